"""Checkpoints as other programs save them: wrappers and prefixes are found and said, and nothing is run."""

import collections
import pathlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.models import googlenet

from googlenet.architecture.dialects import HALF, IMAGENET_MEAN, IMAGENET_STD
from googlenet.base.errors import InputError, ModelFileError
from googlenet.cli.main import main
from googlenet.export.export import export
from googlenet.nn import checkpoint
from googlenet.weights.convert import convert, load, read_published
from helpers import published
from helpers.models import save, squares
from helpers.painting import paint

CLASSES = ("boot", "dress", "hat")


class Settings:
    """A class of the program that trained, as Lightning and others pickle with their hyperparameters."""

    def __init__(self) -> None:
        self.ran = True

    def __setstate__(self, state: dict[str, Any]) -> None:
        pytest.fail("it was imported and filled")


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """torchvision's own network, fine-tuned to three classes."""
    torch.manual_seed(0)
    found = googlenet(weights=None, init_weights=False, aux_logits=False, num_classes=3).eval()
    for module in found.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return found


def state(net: nn.Module, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in net.state_dict().items()}


def halved(net: nn.Module) -> dict[str, torch.Tensor]:
    """Half precision as `model.half()` and careless loops make it: the counters too."""
    return {name: tensor.half() for name, tensor in net.state_dict().items()}


def compiled(net: nn.Module) -> dict[str, torch.Tensor]:
    """A network of which one module was compiled."""
    return {name.replace("inception3a.", "inception3a._orig_mod."): t for name, t in net.state_dict().items()}


def lightning(net: nn.Module) -> dict[str, Any]:
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.1",
        "state_dict": state(net, "model.") | {"criterion.weight": torch.ones(3)},
        "callbacks": {"ModelCheckpoint": {"best_model_path": pathlib.PurePosixPath("a"), "n": 1}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(5)}}}],
        "hyper_parameters": Settings(),
        "counts": collections.Counter("aab"),
    }


WRAPPED = {
    "plain": (lambda net: state(net), ""),
    "DataParallel": (lambda net: state(net, "module."), "begin with 'module.'"),
    "torch.compile": (lambda net: state(net, "_orig_mod."), ""),
    "compiled, in DataParallel": (lambda net: state(net, "module._orig_mod."), "begin with 'module.'"),
    "one module compiled": (compiled, ""),
    "half precision": (halved, ""),
    "tutorial": (lambda net: {"epoch": 1, "model_state_dict": state(net)}, "lies under 'model_state_dict'"),
    "imagenet example": (
        lambda net: {
            "arch": "googlenet",
            "state_dict": state(net, "module."),
            "best": torch.tensor(7.0),
        },
        "lies under 'state_dict'",
    ),
    "Lightning": (lightning, "1 arrays under other names were left out: criterion.weight"),
    "deep": (
        lambda net: {"ckpt": {"trainer": {"net": state(net, "backbone.encoder.")}}},
        "begin with 'backbone.encoder.'",
    ),
}


@pytest.mark.parametrize("kind", WRAPPED)
@pytest.mark.parametrize("suffix", [".pth", ".ckpt"])
def test_wrappers_and_prefixes_are_found_and_said(
    net: nn.Module, kind: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, said = WRAPPED[kind]
    path = tmp_path / f"x{suffix}"
    torch.save(make(net), path)
    found = read_published(path, "torchvision")
    tolerance = 1e-2 if kind == "half precision" else 0
    np.testing.assert_allclose(found.arrays["classifier.weight"], net.fc.weight.detach(), rtol=tolerance)
    assert found.card.dialect == "torchvision" and len(found.card.classes) == 3
    assert said in capsys.readouterr().err
    assert load(str(path)).arrays.keys() == found.arrays.keys()  # as `train --weights` takes it


def test_torch_1_5_and_before(net: nn.Module, tmp_path: Path) -> None:
    torch.save(
        {"state_dict": state(net), "args": Settings()},
        tmp_path / "x.pth",
        _use_new_zipfile_serialization=False,
    )
    assert read_published(tmp_path / "x.pth").card.data["converted_from"] == "torchvision"


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_state_dict_as_safetensors(net: nn.Module, kind: torch.dtype, tmp_path: Path) -> None:
    tensors = {name: t.to(kind) if t.is_floating_point() else t for name, t in state(net, "model.").items()}
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(tensors, path, metadata={"classes": '["boot", "dress", "hat"]'})
    found = load(str(path))
    assert found.card.classes == CLASSES
    np.testing.assert_allclose(found.arrays["classifier.bias"], net.fc.bias.detach(), rtol=1e-2)


@pytest.mark.parametrize("layers", ["dropout", "dropout and a name"])
def test_a_classifier_in_a_sequence(
    net: nn.Module, layers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = state(net)
    new = {"dropout": "fc.1", "dropout and a name": "fc.last"}[layers]
    for part in ("weight", "bias"):
        tensors[f"{new}.{part}"] = tensors.pop(f"fc.{part}")
    torch.save(tensors, tmp_path / "x.pt")
    found = read_published(tmp_path / "x.pt")
    np.testing.assert_array_equal(found.arrays["classifier.weight"], net.fc.weight.detach())
    assert f"{new}.weight was taken for fc.weight" in capsys.readouterr().err


def test_a_classifier_of_two_layers_is_refused(net: nn.Module, tmp_path: Path) -> None:
    tensors = {name: t for name, t in state(net).items() if not name.startswith("fc.")}
    tensors |= {"fc.0.weight": torch.ones(512, 1024), "fc.0.bias": torch.ones(512)}
    tensors |= {"fc.3.weight": torch.ones(3, 512), "fc.3.bias": torch.ones(3)}
    torch.save(tensors, tmp_path / "x.pt")
    with pytest.raises(ModelFileError, match=r"missing fc\.weight, fc\.bias; unexpected fc\.0\.weight"):
        read_published(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "names",
    [
        {"classes": list(CLASSES)},
        {"class_to_idx": {"hat": 2, "boot": 0, "dress": 1}},
        {"names": {0: "boot", 1: "dress", 2: "hat"}},
    ],
)
def test_class_names_in_the_checkpoint(net: nn.Module, names: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"model_state_dict": state(net), **names}, tmp_path / "x.pt")
    assert read_published(tmp_path / "x.pt").card.classes == CLASSES
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    assert read_published(tmp_path / "x.pt", labels=labels).card.classes == ("a", "b", "c")


def test_without_names_classes_are_numbered_with_a_hint(
    net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state(net), tmp_path / "x.pt")
    assert read_published(tmp_path / "x.pt").card.classes == ("class 0000", "class 0001", "class 0002")
    assert "convert --labels gives them names" in capsys.readouterr().err


def test_a_caffemodel_with_renamed_classifiers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = published.random_layers(published.PAPER, classes=4)
    content = published.caffemodel(layers)
    for number in "123":  # as Caffe's example of fine-tuning asks for
        old, new = (f"loss{number}/classifier{more}".encode() for more in ("", "_retr"))
        assert content.count(old) == 1
        content = published.renamed_layer(content, old.decode(), new.decode())
    path = published.write(tmp_path / "x.caffemodel", content)
    found = read_published(path)
    np.testing.assert_array_equal(found.arrays["classifier.weight"], layers["classifier"][0])
    np.testing.assert_array_equal(
        found.arrays["heads.inception_4a.classifier.bias"], layers["aux1/classifier"][1]
    )
    assert "loss3/classifier_retr[0] was taken for loss3/classifier[0]" in capsys.readouterr().err


# What the network was trained on


def test_what_was_assumed_is_said_and_can_be_told(
    net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "x.pt", tmp_path / "x.safetensors"
    torch.save(state(net), path)
    words = ["convert", str(path), "--from", "torchvision", "--out", str(out), "--force"]
    for more, mean, std, said in (
        ([], HALF, HALF, "assumed to be given pixels from 0 to 1 less 0.5, 0.5, 0.5, divided by 0.5"),
        (["--preprocessing", "imagenet"], IMAGENET_MEAN, IMAGENET_STD, ""),
        (["--mean", "0.1", "0.2", "0.3", "--std", "1", "1", "1"], (0.1, 0.2, 0.3), (1.0, 1.0, 1.0), ""),
    ):
        assert main([*words, *more]) == 0
        found, error = checkpoint.read(out)[1].preprocessing, capsys.readouterr().err
        assert (found.mean, found.std) == (mean, std)
        assert said in error and ("assumed to be given" in error) == (not more)
    for wrong in (["--mean", "0", "0", "0"], ["--mean", *"000", "--std", *"111", "--preprocessing", "half"]):
        assert main([*words, *wrong]) == 2
        assert "--mean and --std together" in capsys.readouterr().err


# What is none


def test_another_network_is_named_by_its_first_keys(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.save(resnet18(weights=None).state_dict(), tmp_path / "x.pth")
    with pytest.raises(ModelFileError, match=r"arrays named conv1\.weight, bn1\.weight.*; the nearest is"):
        read_published(tmp_path / "x.pth")


class Marking:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return pathlib.Path.mkdir, (self.marker,)


def test_a_pickled_call_beside_the_tensors_is_not_made(net: nn.Module, tmp_path: Path) -> None:
    torch.save({"state_dict": state(net), "extra": Marking(tmp_path / "made")}, tmp_path / "x.pth")
    with pytest.raises(ModelFileError):
        read_published(tmp_path / "x.pth")
    assert not (tmp_path / "made").exists()
    torch.save({"state_dict": state(net), "extra": Settings()}, tmp_path / "y.pth")
    assert read_published(tmp_path / "y.pth").parameters > 5_000_000  # and what is not made does no harm


def test_a_whole_pickled_network_is_refused(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "x.pth")
    with pytest.raises(ModelFileError, match="state_dict") as caught:
        read_published(tmp_path / "x.pth")
    assert "\n" not in str(caught.value)
    (tmp_path / "z.pth").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ModelFileError):
        read_published(tmp_path / "z.pth")


# ONNX


@pytest.mark.parametrize("dialect", ["bn", "bn-stem4", "slim", "bvlc", "dense", "inception5h", "bvlc+4e+5a"])
def test_our_own_onnx_files_are_read_back(dialect: str, tmp_path: Path) -> None:
    model = save(tmp_path / "m.safetensors", dialect)
    export(model, tmp_path / "out", to="onnx")
    found = tmp_path / "back.safetensors"
    source = str(tmp_path / "out" / "model.onnx")
    assert main(["convert", source, "--from", "onnx", "--out", str(found)]) == 0
    before, after = checkpoint.load(model), checkpoint.load(found)
    assert after.metadata == before.metadata
    images = torch.from_numpy(squares()).permute(0, 3, 1, 2).float() / 128 - 1
    with torch.inference_mode():
        expected = before(images)
        assert (after(images) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_an_onnx_file_of_ours_takes_other_names_and_is_of_no_other_family(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(save(tmp_path / "m.safetensors", "bn"), tmp_path / "out", to="onnx")
    source, labels = tmp_path / "out" / "model.onnx", tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    out = tmp_path / "named.safetensors"
    words = ["convert", str(source), "--labels", str(labels), "--preprocessing", "unit", "--out", str(out)]
    assert main([*words, "--from", "onnx"]) == 0
    card = checkpoint.read(out)[1]
    assert card.classes == ("a", "b", "c") and card.preprocessing.mean == (0.0, 0.0, 0.0)
    assert main([*words, "--force", "--from", "bvlc"]) == 2
    assert "expected weights of bvlc" in capsys.readouterr().err


def test_an_onnx_file_of_another_network_is_refused(tmp_path: Path) -> None:
    tensor = onnx.numpy_helper.from_array(np.ones((3, 3), np.float32), "w")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    ports = [onnx.helper.make_tensor_value_info(name, 1, [3, 3]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", ports[:1], ports[1:], [tensor])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "x.onnx")
    with pytest.raises(ModelFileError, match="expected weights of onnx, got arrays named w"):
        read_published(tmp_path / "x.onnx", "onnx")
    with pytest.raises(InputError):
        read_published(tmp_path / "x.onnx", "keras")


def test_train_starts_from_a_lightning_checkpoint(
    net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, color in enumerate(((200, 30, 30), (30, 200, 30), (30, 30, 200))):
        for i in range(6):
            paint(tmp_path / "photos" / CLASSES[label] / f"{i}.jpg", color, seed=10 * label + i)
    torch.save(
        {**lightning(net), "class_to_idx": {name: i for i, name in enumerate(CLASSES)}}, tmp_path / "x.ckpt"
    )
    words = [
        "train",
        str(tmp_path / "photos"),
        "--out",
        str(tmp_path / "run"),
        "--weights",
        str(tmp_path / "x.ckpt"),
    ]
    assert main([*words, "--epochs", "1", "--size", "64", "--batch", "4"]) == 0
    assert "pretrained on 3 classes: the heads newly initialized" in capsys.readouterr().err


def test_a_model_file_of_ours_needs_no_conversion(tmp_path: Path) -> None:
    ours = save(tmp_path / "model.safetensors", "bn")
    with pytest.raises(InputError, match="a model file already"):
        convert(ours, "torchvision", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
