"""ReLUs that pass a gradient on where they are off, as lucid's: else a unit that is off stays off."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet.nn.convolution import for_input_gradients
from googlenet.nn.fuse import fold_batch_norm
from googlenet.nn.model import GoogLeNet


class RedirectedReLU(nn.Module):
    """A ReLU that, while `redirects`, passes a gradient on where it is off, if that would switch it on.

    In a grey image a unit may be off everywhere, and a plain ReLU then has no gradient at all.
    """

    redirects = False

    def forward(self, x: Tensor) -> Tensor:
        """[…] -> the same shape."""
        return _Redirect.apply(x) if self.redirects else F.relu(x)


class _Redirect(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.relu(x)

    @staticmethod
    def backward(ctx: Any, outgoing: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        plain = outgoing * (x > 0)
        redirected = torch.where((x < 0) & (outgoing > 0), torch.zeros_like(outgoing), outgoing)
        off = plain.flatten(1).abs().amax(dim=1) == 0  # images without any gradient
        return torch.where(off.view(-1, *[1] * (x.ndim - 1)), redirected, plain)


def with_redirected_relus(net: GoogLeNet) -> GoogLeNet:
    """Copy a network for gradients of its input: weights frozen, ReLUs replaced by redirected ones."""
    copied = fold_batch_norm(net).requires_grad_(False)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, RedirectedReLU())
    return for_input_gradients(copied.to(memory_format=torch.channels_last))


def set_redirects(net: GoogLeNet, on: bool) -> None:
    """Switch the ReLUs of a copy that `with_redirected_relus` made."""
    for module in net.modules():
        if isinstance(module, RedirectedReLU):
            module.redirects = on
