"""Local response normalization against PyTorch's own, and its gradient against finite differences."""

import pytest
import torch
from torch import nn

from googlenet.architecture.dialects import DIALECTS
from googlenet.architecture.table1 import LRN
from googlenet.nn.lrn import LocalResponseNorm, local_response_norm

KINDS = [LRN(), DIALECTS["inception5h"].lrn, LRN(size=3, alpha=2.0, beta=1.3, k=0.7)]


@pytest.mark.parametrize("row", KINDS)
@pytest.mark.parametrize("channels", [1, 4, 64])
def test_the_same_as_pytorch(row: LRN, channels: int) -> None:
    torch.manual_seed(0)
    x = (30 * torch.randn(2, channels, 5, 3, dtype=torch.float64)).requires_grad_()
    mine, theirs = LocalResponseNorm(*row), nn.LocalResponseNorm(*row)
    outgoing = torch.randn_like(x)
    (one,) = torch.autograd.grad(mine(x), x, outgoing)
    (other,) = torch.autograd.grad(theirs(x), x, outgoing)
    assert torch.allclose(mine(x), theirs(x), rtol=1e-12, atol=0)
    assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("row", KINDS)
def test_gradient_by_finite_differences(row: LRN) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 7, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: local_response_norm(x, *row), (x,))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_within_rounding_in_lower_precision(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    x = 50 * torch.randn(2, 64, 8, 8, dtype=torch.float64).relu().to(kind).contiguous(
        memory_format=torch.channels_last
    )
    exact = nn.LocalResponseNorm(*LRN())(x.double())
    found = LocalResponseNorm(*LRN())(x)
    assert found.dtype == kind and found.is_contiguous(memory_format=torch.channels_last)
    assert ((found.double() - exact).abs() <= 4 * torch.finfo(kind).eps * exact.abs()).all()


def test_type_stays_as_it_comes_in_autocast() -> None:
    x = torch.randn(1, 8, 4, 4).to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = LocalResponseNorm(*LRN())(x)
    found.sum().backward()
    assert found.dtype == x.grad.dtype == torch.bfloat16


def test_even_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        LocalResponseNorm(4)
