"""Our explanations against other people's tools, and the model in their hands."""

import warnings
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from captum.attr import LayerActivation, LayerGradCam
from torch import Tensor
from torchvision.models.feature_extraction import create_feature_extractor

import googlenet as package
from googlenet.interpret import attribution
from googlenet.nn import layer_names
from googlenet.nn.model import GoogLeNet
from helpers.models import seen, small_net

with warnings.catch_warnings():  # its own imports warn
    warnings.simplefilter("ignore")
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget


@pytest.fixture(scope="module")
def net() -> GoogLeNet:
    return small_net()


def images_of(net: GoogLeNet) -> Tensor:
    square = torch.tensor(seen(net))
    taken = net.metadata.preprocessing
    return ((square / 255 - torch.tensor(taken.mean)) / torch.tensor(taken.std)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.filterwarnings("ignore")
def test_class_maps_and_grad_cam_agree_with_pytorch_grad_cam(net: GoogLeNet, number: int) -> None:
    images = images_of(net)
    with GradCAM(model=net, target_layers=[net.trunk.inception_5b]) as theirs:
        expected = theirs(input_tensor=images, targets=[ClassifierOutputTarget(number)])[0]
    maps = package.Classifier(net).class_maps(seen(net))[0, number] - net.classifier.bias[number].item()
    ours = attribution.grad_cam(net, images, number, layer_names.find_layer(net, "inception_5b"))
    for heat in (maps, ours):
        positive = cv2.resize(np.maximum(heat, 0), expected.shape[::-1])
        if not positive.any():
            assert not expected.any()  # nothing speaks for it
            continue
        assert np.corrcoef(positive.ravel(), expected.ravel())[0, 1] >= 0.999


def test_class_maps_agree_with_captum(net: GoogLeNet) -> None:
    maps = package.Classifier(net).class_maps(seen(net))[0]
    for number in range(3):
        expected = LayerGradCam(net, net.trunk.inception_5b).attribute(images_of(net), target=number)
        assert np.corrcoef(maps[number].ravel(), expected.detach().numpy().ravel())[0, 1] >= 0.999


def test_captum_sees_the_features_that_we_give(net: GoogLeNet) -> None:
    images = images_of(net)
    ours = package.features(net, images, layers=["mixed4b", "inception_4b/3x3"])
    for name, module in (
        ("mixed4b", net.trunk.inception_4b),
        ("inception_4b/3x3", net.trunk.inception_4b.n3x3),
    ):
        theirs = LayerActivation(net, module).attribute(images)
        torch.testing.assert_close(ours[name], theirs.detach())


def test_torchvisions_feature_extractor_works_on_the_model(net: GoogLeNet) -> None:
    images = images_of(net)
    nodes = {"trunk.inception_3b.cat": "inception_3b", "trunk.inception_5b.cat": "inception_5b"}
    with torch.inference_mode():
        theirs = create_feature_extractor(net, nodes)(images)
    ours = package.features(net, images, layers=list(nodes.values()))
    for name in nodes.values():
        torch.testing.assert_close(ours[name], theirs[name])


def test_features_of_a_compiled_model(net: GoogLeNet) -> None:
    images = images_of(net)
    compiled: Callable[[Tensor], Tensor] = torch.compile(net, backend="eager")
    with torch.inference_mode():
        torch.testing.assert_close(compiled(images), net(images))
    names = ["inception_4a", "inception_4a/5x5:pre_relu"]
    ours, theirs = (package.features(each, images, layers=names) for each in (net, compiled))
    for name in names:
        torch.testing.assert_close(ours[name], theirs[name])
    with torch.inference_mode():  # and again without hooks
        torch.testing.assert_close(compiled(images), net(images))
