"""The fused network against the plain one."""

import pytest
import torch

from googlenet.architecture.dialects import DIALECTS, Preprocessing
from googlenet.nn import fuse
from googlenet.nn.blocks import ConvBlock
from googlenet.nn.model import GoogLeNet, network_input
from helpers.models import liven


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "naive"])
@pytest.mark.parametrize("merged", [False, True])
def test_fused_is_the_same_function(name: str, merged: bool) -> None:
    net = GoogLeNet(7, dialect_name=name).eval()
    liven(net)
    preprocessing = Preprocessing(size=96)
    images = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    fused = fuse.exportable(net, preprocessing, merged=merged)
    with torch.inference_mode():
        expected = net(network_input(images, preprocessing))
        found, *maps = fused(images)
    assert expected.std() > 0.1
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert len(maps) == (name != "dense")
    if maps:
        assert (maps[0].mean((2, 3)) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_nothing_of_batch_normalization_is_left_and_the_original_is_untouched() -> None:
    net = GoogLeNet(3).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    merged = fuse.merge_siblings(fuse.fold_batch_norm(net))
    assert not [m for m in merged.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    blocks = [m for m in merged.modules() if isinstance(m, ConvBlock)]
    assert len(blocks) == 3 + 9 * 3  # the stem; of each module the 3x3, the 5x5 and the projection
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("name", ["bn", "naive"])
def test_merged_is_said_only_where_something_was(name: str) -> None:
    with torch.device("meta"):  # nothing is calculated
        net = GoogLeNet(3, dialect_name=name).eval()
        assert fuse.exportable(net, Preprocessing()).merged == (name != "naive")
        assert not fuse.exportable(net, Preprocessing(), merged=False).merged
