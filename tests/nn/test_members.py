"""Networks side by side: one network whose logits are the mean of theirs."""

import numpy as np
import pytest
import torch

from googlenet.architecture import cost
from googlenet.architecture.dialects import Preprocessing, dialect
from googlenet.base.errors import InputError
from googlenet.export import export, graph
from googlenet.files.metadata import ModelMetadata
from googlenet.inference.engines import open_exported
from googlenet.nn import checkpoint
from googlenet.nn.members import join_networks
from googlenet.nn.model import GoogLeNet
from helpers.models import CLASSES, liven, squares

TEMPERATURES = (0.7, 1.0, 2.3)


def networks(name: str, count: int = 3) -> list[GoogLeNet]:
    found = []
    for seed in range(count):
        net = GoogLeNet(3, dialect_name=name).eval()
        liven(net, seed=seed)
        net.classifier.bias.data += torch.arange(3.0) * seed
        found.append(net)
    return found


@pytest.mark.parametrize("name", ["bn", "bvlc+4e", "naive"])
def test_its_logits_are_the_mean_of_theirs(name: str) -> None:
    nets = networks(name)
    joint = join_networks(nets, TEMPERATURES)
    images = torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        each = torch.stack([net(images) / t for net, t in zip(nets, TEMPERATURES, strict=True)])
        found = joint(images)
        maps = joint.class_maps(joint.maps(images))
    assert joint.dialect.name == f"3x{name}"
    assert torch.allclose(found, each.mean(dim=0), atol=1e-4 * float(each.abs().max()))
    assert torch.allclose(maps.mean(dim=(2, 3)), found, atol=1e-4 * float(each.abs().max()))
    assert joint.features(joint.maps(images)).shape == (4, joint.dialect.features)


def test_what_differs_in_the_classifier_alone_is_one_network() -> None:
    nets = networks("bn", 1) * 3
    nets = [checkpoint_copy(net, seed) for seed, net in enumerate(nets)]
    joint = join_networks(nets, TEMPERATURES)
    images = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        each = torch.stack([net(images) / t for net, t in zip(nets, TEMPERATURES, strict=True)])
        assert joint.dialect.name == "bn"
        assert torch.allclose(joint(images), each.mean(dim=0), atol=1e-4 * float(each.abs().max()))


def checkpoint_copy(net: GoogLeNet, seed: int) -> GoogLeNet:
    copy = GoogLeNet(3).eval()
    copy.load_state_dict(net.state_dict())
    copy.classifier.weight.data += seed
    return copy


def test_others_are_refused() -> None:
    with pytest.raises(InputError, match="of one dialect"):
        join_networks([GoogLeNet(3), GoogLeNet(3, dialect_name="paper")], (1.0, 1.0))
    for name in ("1xbn", "21xbn", "2x3xbn", "2xdense", "2xnothing"):
        with pytest.raises(InputError):
            dialect(name)


def test_it_costs_what_its_members_do() -> None:
    one, five = cost.network("bn+4e", classes=7), cost.network("5xbn+4e", classes=7)
    net = GoogLeNet(7, dialect_name="5xbn+4e")
    assert five.parameters == sum(parameter.numel() for parameter in net.parameters())
    assert five.macs == 5 * one.macs
    assert five.heads == ()


@pytest.mark.parametrize("to", ["openvino", "onnx"])
def test_it_is_exported_as_one(to: str, tmp_path) -> None:
    nets = networks("bvlc+4e", 2)
    for mine, theirs in zip(nets[1].trunk.children(), nets[0].trunk.children(), strict=True):
        if mine is nets[1].trunk.inception_3b:
            break
        mine.load_state_dict(theirs.state_dict())  # as in a start from pretrained weights, which stay still
    joint = join_networks(nets, (1.0, 1.0))
    preprocessing = Preprocessing(size=64)
    made = graph.network_graph(joint, preprocessing)
    names = [node.name for node in made.graph.node]
    assert "inception_3b.2" in names and "inception_3a.2" not in names  # what both have is there once
    card = ModelMetadata(classes=CLASSES, dialect=joint.dialect.name, preprocessing=preprocessing)
    checkpoint.save(tmp_path / "model.safetensors", joint, card)
    export.export(tmp_path / "model.safetensors", tmp_path / "out", to=to)
    opened = open_exported(tmp_path / "out", exact=True)
    loaded = checkpoint.load(tmp_path / "model.safetensors")
    pixels = squares()
    from googlenet.inference.torch_classifier import Classifier

    expected = Classifier(loaded).outputs(pixels)
    found = opened.outputs(pixels)
    assert found.maps is not None and found.features is not None and expected.features is not None
    scale = float(np.abs(expected.logits).max())
    assert np.abs(found.logits - expected.logits).max() < 1e-4 * scale
    assert np.allclose(found.maps.mean(axis=(2, 3)), expected.logits, atol=1e-4 * scale)
    assert np.allclose(found.features, expected.features, atol=1e-4 * float(expected.features.max()))
