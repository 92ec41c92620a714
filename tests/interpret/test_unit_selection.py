"""Units as text: layers, channels, classes and sums."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from googlenet.base.errors import InputError
from googlenet.files.modelfile import read_metadata
from googlenet.interpret.unit_selection import parse_objectives, parse_units, select_term
from googlenet.nn.model import GoogLeNet
from helpers.models import save


@pytest.fixture
def net(tmp_path: Path) -> GoogLeNet:
    net = GoogLeNet(3)
    net.metadata = replace(
        read_metadata(save(tmp_path / "model.safetensors", "bn")), classes=("C++", "b", "c")
    )
    return net


def test_units(net: GoogLeNet) -> None:
    assert parse_units(net, "mixed4a:3") == ("mixed4a", [3])
    assert parse_units(net, "conv2:pre_relu:0-2,7") == ("conv2:pre_relu", [0, 1, 2, 7])
    assert parse_units(net, "inception_4a/5x5") == ("inception_4a/5x5", list(range(48)))
    assert parse_units(net, "logits:b") == ("logits", [1])
    for wrong, message in (
        ("conv1:64", "from 0 to 63, got 64"),
        ("conv1:5-3", "got 5-3"),
        ("conv9:1", "expected a layer of the network, got 'conv9'"),
        ("conv1:x", "expected a layer of the network, got 'conv1:x'"),
        ("logits:d", "expected one of the 3 classes"),
    ):
        with pytest.raises(InputError, match=message):
            parse_units(net, wrong)


def test_sums(net: GoogLeNet) -> None:
    ((first, second),) = parse_objectives(net, "mixed4a:3 + -0.5*conv2:pre_relu:7", neuron=True)
    assert (first.layer, second.layer) == ("inception_4a", "conv2:pre_relu")
    assert (first.weight, second.weight) == (1, -0.5) and first.neuron
    assert first.direction is not None and np.flatnonzero(first.direction).tolist() == [3]
    assert [term.title for (term,) in parse_objectives(net, "logits:C++")] == ["C++"]
    assert [term.title for (term,) in parse_objectives(net, "conv1:2-4")] == ["2", "3", "4"]
    for wrong, message in (
        ("conv1:0-1+conv2:3", "expected one channel of each layer"),
        ("conv1+conv2:3", "expected one channel"),
        ("x*conv1:0+conv2:3", "expected a number before"),
    ):
        with pytest.raises(InputError, match=message):
            parse_objectives(net, wrong)


def test_one_term(net: GoogLeNet) -> None:
    assert select_term(net, "conv2:pre_relu").direction is None
    assert select_term(net, "logits:b").title == "b"
    with pytest.raises(InputError, match="--layer with one channel or none"):
        select_term(net, "conv1:0-1")
