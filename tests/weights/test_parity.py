"""Converted weights against the engines that their publishers meant them for.

torchvision runs its own network, OpenCV the Caffe and TensorFlow files, a literal forward pass slim's
variables. Every compared stage must vary, or agreement would mean nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet.architecture.dialects import CAFFE_MEAN, IMAGENET_MEAN, IMAGENET_STD
from googlenet.files import modelfile
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads, network_input
from googlenet.weights.convert import PretrainedWeights, read_published
from helpers import published
from helpers.models import liven

Stages = dict[str, Tensor]
STAGES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


def agree(ours: Stages, theirs: Stages, *, tolerance: float) -> None:
    """Every array of theirs varies, and ours is as close as the tolerance of its largest value."""
    assert theirs
    for name, expected in theirs.items():
        assert expected.std() >= 0.1, name
        assert ours[name].shape == expected.shape, name
        error = (ours[name] - expected).abs().max() / expected.abs().max()
        assert error <= tolerance, f"{name} differs by {error:.1e} of its largest value"


def build(found: PretrainedWeights) -> WithAuxiliaryHeads:
    """Our network with converted weights, in evaluation mode."""
    net = WithAuxiliaryHeads(GoogLeNet(len(found.card.classes), dialect_name=found.card.dialect))
    trunk = {name: array for name, array in found.arrays.items() if not name.startswith("heads.")}
    checkpoint.load_arrays(net.net, trunk, where="converted")
    if found.has_heads:
        checkpoint.load_arrays(net.heads, found.arrays, where="converted", prefix="heads.")
    return net.eval()


@contextmanager
def watched(modules: dict[str, nn.Module]) -> Iterator[Stages]:
    """Collect what modules give, by name."""
    seen: Stages = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen.__setitem__(name, output)

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    yield seen
    for handle in handles:
        handle.remove()


def features(net: WithAuxiliaryHeads, x: Tensor) -> Stages:
    """Logits, heads and every stage of ours, under the paper's names."""
    with torch.inference_mode(), watched(dict(net.net.trunk.named_children())) as seen:
        logits, aux1, aux2 = net(x)
    return seen | {"logits": logits, "aux1": aux1, "aux2": aux2}


def photo(size: int, *, count: int = 1, seed: int = 5) -> Tensor:
    """uint8 [count, size, size, 3] with large shapes and fine grain, as a photo has."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    smooth = F.interpolate(coarse, size, mode="bicubic")
    grain = 0.2 * torch.randn(count, 3, size, size, generator=generator)
    return ((smooth + grain).clamp(0, 1) * 255).byte().permute(0, 2, 3, 1)


def swap_branches(net: WithAuxiliaryHeads) -> None:
    """Two branches of 4d, both of 64 channels, in each other's place."""
    module = net.net.trunk.inception_4d
    module.n5x5, module.pool_proj = module.pool_proj, module.n5x5
    module.forward = lambda x: torch.cat(
        [
            module.n1x1(x),
            module.n3x3(module.n3x3_reduce(x)),
            module.n5x5(module.pool(x)),
            module.pool_proj(module.n5x5_reduce(x)),
        ],
        dim=1,
    )


def round_down(net: WithAuxiliaryHeads) -> None:
    """Padded pooling that rounds down, as PyTorch users write it, in place of Caffe's."""
    for name in ("pool1", "pool2", "pool3"):
        setattr(net.net.trunk, name, nn.MaxPool2d(3, 2, 1))


SLIPS = {"branches": swap_branches, "floor": round_down}


# torchvision


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    from torchvision.models import googlenet

    net = googlenet(weights=None, init_weights=False, aux_logits=True, transform_input=False)
    return liven(net).eval()


@pytest.fixture(scope="module")
def torchvision_file(theirs: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torchvision") / "googlenet.pth"
    torch.save(theirs.state_dict(), path)
    return path


def torchvision_features(net: nn.Module, x: Tensor) -> Stages:
    names = {"conv1": "conv1", "pool1": "maxpool1", "conv2_reduce": "conv2", "conv2": "conv3"}
    names |= {f"pool{number}": f"maxpool{number}" for number in (2, 3, 4)}
    names |= {f"inception_{stage}": f"inception{stage}" for stage in STAGES}
    modules = {ours: net.get_submodule(name) for ours, name in names.items()}
    with torch.inference_mode(), watched(modules) as seen:
        logits = net(x)
        heads = {
            "aux1": net.get_submodule("aux1")(seen["inception_4a"]),
            "aux2": net.get_submodule("aux2")(seen["inception_4d"]),
        }
    return seen | heads | {"logits": logits}


@pytest.mark.parametrize("size", [224, 193])
def test_torchvision_stage_by_stage(theirs: nn.Module, torchvision_file: Path, size: int) -> None:
    ours = build(read_published(torchvision_file, "torchvision"))
    x = network_input(photo(size, count=2), ours.net.dialect.preprocessing)
    agree(features(ours, x), torchvision_features(theirs, x), tolerance=1e-5)


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_would_be_caught(theirs: nn.Module, torchvision_file: Path, slip: str) -> None:
    ours = build(read_published(torchvision_file, "torchvision"))
    SLIPS[slip](ours)
    x = network_input(photo(224), ours.net.dialect.preprocessing)
    with pytest.raises(AssertionError, match="differs by"):
        agree(features(ours, x), torchvision_features(theirs, x), tolerance=1e-4)


def test_torchvisions_hidden_transform_is_our_preprocessing(
    theirs: nn.Module, torchvision_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_published(torchvision_file, "torchvision")
    pixels = photo(224)
    normalized = (pixels / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    monkeypatch.setattr(theirs, "transform_input", True)
    expected = torchvision_features(theirs, normalized.permute(0, 3, 1, 2))
    x = network_input(pixels, found.card.preprocessing)
    agree(features(build(found), x), expected, tolerance=1e-5)


def test_dead_weights_would_be_caught() -> None:
    with pytest.raises(AssertionError):
        agree({"logits": torch.zeros(5)}, {"logits": torch.zeros(5)}, tolerance=1)


def test_pytorch_bn_file_keeps_each_head_with_its_stage(tmp_path: Path) -> None:
    """The names in the wild, put on our own network: main, 4a's head and 4d's must come back as they were."""
    net = WithAuxiliaryHeads(GoogLeNet(12)).eval()
    liven(net)
    wild = {pytorch_bn_name(name): tensor for name, tensor in net.state_dict().items()}
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": t for name, t in wild.items()}}, tmp_path / "w.pt"
    )
    (tmp_path / "labels.txt").write_text("\n".join(f"kind {i}" for i in range(12)))
    found = read_published(tmp_path / "w.pt", "pytorch-bn", labels=tmp_path / "labels.txt")
    x = network_input(photo(128), found.card.preprocessing)
    agree(features(build(found), x), features(net, x), tolerance=0)
    assert wild["aux1.conv.conv_block.0.weight"].shape[1] == 512  # channels of 4a
    assert wild["aux2.conv.conv_block.0.weight"].shape[1] == 528  # and of 4d


def pytorch_bn_name(name: str) -> str:
    for ours, wild in (
        ("net.trunk.", ""),
        ("net.classifier", "fc"),
        ("heads.inception_4a", "aux1"),
        ("heads.inception_4d", "aux2"),
        ("hidden", "fc1"),
        ("aux1.classifier", "aux1.fc2"),
        ("aux2.classifier", "aux2.fc2"),
        ("conv2_reduce", "conv2a"),
        ("conv2.", "conv2b."),
        ("inception_", "inception"),
        ("n1x1", "branch1"),
        ("n3x3_reduce", "branch2.0"),
        ("n3x3", "branch2.1"),
        ("n5x5_reduce", "branch3.0"),
        ("n5x5", "branch3.1"),
        ("pool_proj", "branch4.1"),
    ):
        name = name.replace(ours, wild)
    return name.replace(".norm.", ".conv_block.1.").replace(".conv.weight", ".conv_block.0.weight")


# OpenCV runs the published files themselves


def opencv(net: object, blob: np.ndarray, names: dict[str, str]) -> Stages:
    net.setInput(np.ascontiguousarray(blob))  # type: ignore[attr-defined]
    outputs = net.forward(list(names.values()))  # type: ignore[attr-defined]
    return {ours: torch.from_numpy(output) for ours, output in zip(names, outputs, strict=True)}


@pytest.fixture(scope="module")
def caffe_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("caffe")
    layers = published.random_layers(published.PAPER)
    published.write(folder / "new.caffemodel", published.caffemodel(layers))
    published.write(folder / "old.caffemodel", published.caffemodel(layers, old=True))
    return folder


CAFFE = {
    "pool1": "pool1/3x3_s2",
    "norm1": "pool1/norm1",
    "norm2": "conv2/norm2",
    **{f"inception_{stage}": f"inception_{stage}/output" for stage in STAGES},
    **{f"pool{number}": f"pool{number}/3x3_s2" for number in (2, 3, 4)},
    "aux1": "loss1/classifier",
    "aux2": "loss2/classifier",
    "logits": "loss3/classifier",
}


def caffe_features(folder: Path, file: str, pixels: Tensor, *, lrn: bool = True) -> Stages:
    import cv2

    prototxt = published.write(folder / "net.prototxt", published.prototxt(lrn=lrn).encode())
    net = cv2.dnn.readNetFromCaffe(str(prototxt), str(folder / file))
    bgr = pixels.numpy()[..., ::-1].astype(np.float32) - np.float32([104, 117, 123])
    names = CAFFE if lrn else {"logits": CAFFE["logits"]}
    return opencv(net, bgr.transpose(0, 3, 1, 2), names)


@pytest.mark.parametrize("file", ["new.caffemodel", "old.caffemodel"])
def test_bvlc_stage_by_stage(caffe_files: Path, file: str) -> None:
    found = read_published(caffe_files / file, "bvlc")
    pixels = photo(224)
    expected = caffe_features(caffe_files, file, pixels)
    x = network_input(pixels, found.card.preprocessing)
    agree(features(build(found), x), expected, tolerance=1e-4)
    assert found.card.preprocessing.mean == CAFFE_MEAN


def test_bvlc_without_normalization_would_be_caught(caffe_files: Path) -> None:
    found = read_published(caffe_files / "new.caffemodel", "bvlc")
    pixels = photo(224)
    expected = caffe_features(caffe_files, "new.caffemodel", pixels, lrn=False)
    x = network_input(pixels, found.card.preprocessing)
    with pytest.raises(AssertionError, match="differs by"):
        agree(features(build(found), x), expected, tolerance=0.01)


TENSORFLOW = {
    "conv1": "conv2d0",
    "pool1": "maxpool0",
    "norm1": "localresponsenorm0",
    "conv2": "conv2d2",
    "norm2": "localresponsenorm1",
    "pool2": "maxpool1",
    "pool3": "maxpool4",
    "pool4": "maxpool10",
    **{f"inception_{stage}": f"mixed{stage}" for stage in STAGES},
    # OpenCV adds a bias in the layer before it
    "aux1": "softmax0_pre_relu/matmul",
    "aux2": "softmax1_pre_relu/matmul",
    "logits": "softmax2_pre_relu/matmul",
}


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layers = published.random_layers(published.RELEASED, classes=1008)
    content = published.frozen_graph(layers)
    return published.write(tmp_path_factory.mktemp("graph") / "graph.pb", content)


@pytest.fixture(scope="module")
def graph_features(graph_file: Path) -> Stages:
    import cv2

    pixels = photo(224).numpy().astype(np.float32) - 117
    net = cv2.dnn.readNetFromTensorflow(str(graph_file))
    return opencv(net, pixels.transpose(0, 3, 1, 2), TENSORFLOW)


def test_inception5h_stage_by_stage(graph_file: Path, graph_features: Stages) -> None:
    found = read_published(graph_file, "inception5h")
    x = network_input(photo(224), found.card.preprocessing)
    agree(features(build(found), x), graph_features, tolerance=1e-4)


def test_inception5h_with_the_papers_normalization_would_be_caught(
    graph_file: Path, graph_features: Stages
) -> None:
    found = read_published(graph_file, "inception5h")
    net = build(found)
    net.net.trunk.norm1 = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)
    with pytest.raises(AssertionError, match="differs by"):
        agree(
            features(net, network_input(photo(224), found.card.preprocessing)), graph_features, tolerance=0.01
        )


# slim: a literal forward pass over its own variables


def same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """TensorFlow's SAME padding: as much as the last window needs, the odd pixel at the end."""
    missing = max(0, (-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1])
    return F.pad(x, [missing // 2, missing - missing // 2] * 2, value=value)


def slim_forward(variables: dict[str, np.ndarray], x: Tensor) -> Stages:
    v = {
        name.removeprefix("InceptionV1/"): torch.from_numpy(array.copy()) for name, array in variables.items()
    }

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = v[f"{name}/weights"].permute(3, 2, 0, 1)
        y = F.conv2d(same(x, weight.shape[-1], stride), weight, None, stride)
        mean, variance, beta = (
            v[f"{name}/BatchNorm/{part}"][:, None, None]
            for part in ("moving_mean", "moving_variance", "beta")
        )
        return ((y - mean) / (variance + 0.001).sqrt() + beta).relu()

    def pool(x: Tensor, kernel: int, stride: int) -> Tensor:
        return F.max_pool2d(same(x, kernel, stride, -torch.inf), kernel, stride)

    def mixed(name: str, x: Tensor) -> Tensor:
        third = "Conv2d_0a_3x3" if name == "Mixed_5b" else "Conv2d_0b_3x3"
        return torch.cat(
            [
                conv(f"{name}/Branch_0/Conv2d_0a_1x1", x),
                conv(f"{name}/Branch_1/Conv2d_0b_3x3", conv(f"{name}/Branch_1/Conv2d_0a_1x1", x)),
                conv(f"{name}/Branch_2/{third}", conv(f"{name}/Branch_2/Conv2d_0a_1x1", x)),
                conv(f"{name}/Branch_3/Conv2d_0b_1x1", pool(x, 3, 1)),
            ],
            dim=1,
        )

    seen: Stages = {}
    x = seen["pool1"] = pool(conv("Conv2d_1a_7x7", x, 2), 3, 2)
    x = seen["pool2"] = pool(conv("Conv2d_2c_3x3", conv("Conv2d_2b_1x1", x)), 3, 2)
    for stage, letter in zip(STAGES, ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"), strict=True):
        x = seen[f"inception_{stage}"] = mixed(f"Mixed_{letter}", x)
        if stage == "3b":
            x = seen["pool3"] = pool(x, 3, 2)
        if stage == "4e":
            x = seen["pool4"] = pool(x, 2, 2)
    weight, bias = (v[f"Logits/Conv2d_0c_1x1/{part}"] for part in ("weights", "biases"))
    return seen | {"logits": x.mean((2, 3)) @ weight[0, 0] + bias}


@pytest.mark.parametrize("size", [224, 193])
def test_slim_stage_by_stage(tmp_path: Path, size: int) -> None:
    layers = published.random_layers(published.PAPER, five=3, classes=1001)
    variables = published.slim_variables(layers)
    np.savez(tmp_path / "slim.npz", **variables)
    found = read_published(tmp_path / "slim.npz", "slim")
    assert not found.has_heads
    x = network_input(photo(size), found.card.preprocessing)
    with torch.inference_mode():
        expected = slim_forward(variables, x)
    expected["logits"] = expected["logits"][:, 1:]  # without the background
    agree(features(build(found), x), expected, tolerance=1e-5)


# The model file on disk


def test_a_converted_file_predicts_the_same_and_heads_stay_in_it(
    torchvision_file: Path, tmp_path: Path
) -> None:
    from googlenet.weights.convert import convert

    out = tmp_path / "model.safetensors"
    found = convert(torchvision_file, "torchvision", out)
    net = checkpoint.load(out)
    x = network_input(photo(224), found.card.preprocessing)
    with torch.inference_mode():
        assert torch.equal(net(x), build(found)(x).logits)
    stored, _ = modelfile.read(out)
    assert stored.keys() == found.arrays.keys()
    again = tmp_path / "again.safetensors"
    checkpoint.save(again, net, found.card, heads=build(found).heads)
    for name, array in modelfile.read(again)[0].items():
        np.testing.assert_array_equal(array, stored[name], err_msg=name)
