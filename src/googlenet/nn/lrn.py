"""Local response normalization as matrix products: what `nn.LocalResponseNorm` computes, only faster.

y = x / t^beta with t = k + alpha / size * (the sum of x^2 over neighboring channels), Krizhevsky et al. 2012.
The sum over neighbors is a 1x1 convolution with a banded matrix of ones, and so is the gradient's:
dx = g / t^beta - 2 alpha beta / size * x * (the sum of g * y / t over neighboring channels).
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalResponseNorm(nn.LocalResponseNorm):
    """`nn.LocalResponseNorm` of an odd size for maps [N, C, H, W]: the same results, but for rounding."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        """Build it; ValueError for an even size."""
        if size % 2 == 0:
            raise ValueError(f"expected an odd size, got {size}")
        super().__init__(size, alpha, beta, k)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape and type."""
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)


@torch.fx.wrap  # one step to whoever traces the network
def local_response_norm(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Normalize maps [N, C, H, W] over `size` neighboring channels, an odd number."""
    return _LocalResponseNorm.apply(x, size, alpha, beta, k)  # type: ignore[no-any-return]


class _LocalResponseNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        with _as_given(x):
            total = _neighbor_sum(x * x, size, factor=alpha / size, offset=k)
            ctx.save_for_backward(x, total)
            ctx.constants = size, alpha, beta
            return x * _negative_power(total, beta)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outgoing: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, total = ctx.saved_tensors
        size, alpha, beta = ctx.constants
        with _as_given(x):
            direct = outgoing * _negative_power(total, beta)
            shared = _neighbor_sum((direct * x).div_(total), size, factor=-2 * alpha * beta / size)
            return direct.addcmul_(x, shared), None, None, None, None


def _as_given(x: Tensor) -> AbstractContextManager[object]:
    """Calculate in the type of a tensor, also where autocast would lower it; some devices have none."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def _neighbor_sum(x: Tensor, size: int, *, factor: float, offset: float = 0.0) -> Tensor:
    """`factor` times the sum of `size` channels around each, plus `offset`, as a new tensor."""
    channels = torch.arange(x.shape[1], device=x.device)
    band = ((channels[:, None] - channels).abs() <= size // 2).to(x.dtype) * factor
    added = x.new_full((x.shape[1],), offset) if offset else None
    return F.conv2d(x, band[:, :, None, None], added)


def _negative_power(total: Tensor, beta: float) -> Tensor:
    """total^-beta as a new tensor; of the exponents that are used, in roots, which processors have."""
    if beta == 0.75:
        root = total.rsqrt()
        return root.sqrt().mul_(root)
    return total.rsqrt() if beta == 0.5 else total.pow(-beta)
