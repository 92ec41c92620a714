"""Convolutions for training on processors: the same sums, taken as matrix products where that is faster.

oneDNN reaches the speed of a matrix product in the forward pass of a 3x3 convolution, but half of it
and less in the gradient of the weights: the fewer pixels a map has, the worse (LOG.md has the figures).
"""

from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)

SMALL_MAP = 5  # pixels: up to this side the gradient of the weights is taken as one product


class TrainingConv2d(nn.Conv2d):
    """A convolution whose parameters and results are those of `nn.Conv2d`, but for rounding."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out, H', W']."""
        plain = self.stride == self.dilation == (1, 1) and self.groups == 1
        alike = plain and x.device.type == "cpu"
        if self.training and alike and self.kernel_size == (1, 1):
            pixels = x.permute(0, 2, 3, 1)
            return F.linear(pixels, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        if self.training and alike and self.bias is None and max(x.shape[2:]) <= SMALL_MAP:
            return _SmallMap.apply(x, self.weight, self.padding)  # type: ignore[no-any-return]
        return super().forward(x)


class _SmallMap(torch.autograd.Function):
    """A convolution of stride 1 whose weight gradient is one product over all windows of all images."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        if torch.is_autocast_enabled("cpu"):  # so that the gradient of the weights is in it too
            lower = torch.get_autocast_dtype("cpu")
            x, weight = x.to(lower), weight.to(lower)
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return F.conv2d(x, weight, None, 1, padding)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outgoing: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        to_input = to_weight = None
        if ctx.needs_input_grad[0]:
            to_input = torch.ops.aten.convolution_backward(
                outgoing, x, weight, None, (1, 1), ctx.padding, (1, 1), False, (0, 0), 1, (True, False, False)
            )[0]
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(x, outgoing, tuple(weight.shape[2:]), ctx.padding)
        return to_input, to_weight, None


def _weight_gradient(
    x: Tensor, outgoing: Tensor, kernel: tuple[int, ...], padding: tuple[int, int]
) -> Tensor:
    """Images [N, C, H, W] and gradients [N, out, H', W'] -> gradient [out, C, *kernel]."""
    down, across = padding
    pixels = F.pad(x.permute(0, 2, 3, 1), (0, 0, across, across, down, down))
    windows = pixels.unfold(1, kernel[0], 1).unfold(2, kernel[1], 1).permute(0, 1, 2, 4, 5, 3)
    flat = outgoing.permute(0, 2, 3, 1).flatten(0, 2)
    taps = windows.reshape(len(flat), -1)
    return (flat.t() @ taps).view(-1, *kernel, x.shape[1]).permute(0, 3, 1, 2)


def for_input_gradients(net: Net) -> Net:
    """Let a network whose weights stay still use the same faster convolutions, in evaluation."""
    for module in net.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = TrainingConv2d
            module.train()  # of a convolution it changes how it is computed, not what
    return net


def with_fast_gradients(net: Net) -> Net:
    """Let a network on its way to training use faster convolutions and overwrite its own activations.

    Its parameters, their names and its evaluation stay as they are. Only here: elsewhere ReLUs stay out
    of place, so that hooks on a normalization layer see its own output.
    """
    for module in net.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = TrainingConv2d
        elif isinstance(module, nn.ReLU):
            module.inplace = True
    return net
