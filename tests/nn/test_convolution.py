"""Faster convolutions give what `nn.Conv2d` gives: outputs and both gradients."""

import copy

import pytest
import torch
from torch import nn

from googlenet.nn.convolution import TrainingConv2d, with_fast_gradients
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "side"),
    [
        (1, 1, 0, 7),
        (1, 2, 0, 7),
        (3, 1, 1, 2),
        (3, 1, 1, 5),
        (3, 1, 1, 8),
        (5, 1, 2, 2),
        (5, 1, 2, 4),
        (3, 1, 0, 4),
    ],
)
def test_the_same_sums(
    kernel: int, stride: int, padding: int, side: int, form: torch.memory_format, bias: bool
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 10, kernel, stride, padding, bias=bias, dtype=torch.float64)
    fast = with_fast_gradients(nn.Sequential(copy.deepcopy(plain)))[0]
    assert type(fast) is TrainingConv2d
    x = torch.randn(3, 6, side, side + 1, dtype=torch.float64).contiguous(memory_format=form)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, found = plain(theirs), fast(mine)
    outgoing = torch.randn_like(expected)
    expected.backward(outgoing)
    found.backward(outgoing)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(mine.grad, theirs.grad)
    for ours, given in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, given.grad)


@pytest.mark.parametrize("options", [{"groups": 6}, {"groups": 2}, {"dilation": 2}])
def test_other_convolutions_are_left_alone(options: dict[str, int]) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 12, 3, padding=2, bias=False, **options)
    x = torch.randn(2, 6, 4, 4)
    fast = with_fast_gradients(nn.Sequential(copy.deepcopy(plain)))
    torch.testing.assert_close(fast(x), plain(x))
    grouped = nn.Conv2d(6, 12, 1, groups=6)
    torch.testing.assert_close(with_fast_gradients(nn.Sequential(copy.deepcopy(grouped)))(x), grouped(x))


def test_a_network_keeps_its_names_and_its_evaluation() -> None:
    torch.manual_seed(0)
    plain = WithAuxiliaryHeads(GoogLeNet(10))
    fast = with_fast_gradients(copy.deepcopy(plain))
    assert list(fast.state_dict()) == list(plain.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(fast.eval()(images).logits, plain.eval()(images).logits)


def test_a_network_learns_the_same() -> None:
    torch.manual_seed(0)
    plain = WithAuxiliaryHeads(GoogLeNet(10, dropout=0.0), dropout=0.0).double().train()
    fast = with_fast_gradients(copy.deepcopy(plain))
    images = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    for net in (plain, fast):
        sum(outputs.square().sum() for outputs in net(images)).backward()
    for ours, given in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, given.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("kernel", "padding", "side"), [(1, 0, 7), (3, 1, 4), (5, 2, 3), (3, 1, 8)])
def test_the_same_sums_in_bfloat16(kernel: int, padding: int, side: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(16, 24, kernel, padding=padding, bias=False)
    fast = with_fast_gradients(nn.Sequential(copy.deepcopy(plain)))
    x = torch.randn(8, 16, side, side)
    found = []
    for net in (plain, fast):
        mine = x.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = net(mine)
        assert result.dtype == torch.bfloat16
        result.backward(torch.linspace(-1, 1, result.numel(), dtype=torch.bfloat16).view_as(result))
        (weight,) = net.parameters()
        assert weight.grad.dtype == mine.grad.dtype == torch.float32
        found.append((result.detach().float(), mine.grad, weight.grad))
    for ours, given in zip(*found[::-1], strict=True):
        torch.testing.assert_close(ours, given, rtol=0.02, atol=0.02 * float(given.abs().max()))
