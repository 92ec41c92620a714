"""The parts that the network is built of: convolution, pooling and Inception modules of any dialect."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet.architecture.dialects import Dialect, inception_convs
from googlenet.architecture.table1 import AUX_POOLED, LRN, Conv, Inception, MaxPool, NaiveInception, TableRow
from googlenet.nn.lrn import LocalResponseNorm

BATCH_NORM_EPS = 0.001


class ConvBlock(nn.Sequential):
    """A padded convolution, the dialect's normalization, and ReLU."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d  # where the dialect has it
    relu: nn.ReLU

    def __init__(self, channels: int, row: Conv, *, dialect: Dialect) -> None:
        """Build it for `channels` arriving channels."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        convolution = SameConv2d if dialect.padding == "same" and row.stride > 1 else nn.Conv2d
        padding = row.kernel // 2 if convolution is nn.Conv2d else 0
        layers["conv"] = convolution(
            channels, row.out, row.kernel, row.stride, padding, bias=dialect.conv_bias
        )
        if dialect.batch_norm:
            layers["norm"] = (nn.BatchNorm2d if dialect.scale else ShiftNorm2d)(row.out, eps=BATCH_NORM_EPS)
        layers["relu"] = nn.ReLU()
        super().__init__(layers)


class InceptionBlock(nn.Module):
    """The Inception module with dimension reductions, Figure 2(b)."""

    def __init__(self, channels: int, row: Inception, *, dialect: Dialect) -> None:
        """Build it for `channels` arriving channels, with the widths of one row of Table 1."""
        super().__init__()
        convs = _conv_blocks(channels, row, dialect)
        self.n1x1 = convs["n1x1"]
        self.n3x3_reduce = convs["n3x3_reduce"]
        self.n3x3 = convs["n3x3"]
        self.n5x5_reduce = convs["n5x5_reduce"]
        self.n5x5 = convs["n5x5"]
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.pool_proj = convs["pool_proj"]

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> [N, n1x1 + n3x3 + n5x5 + pool_proj, H, W]."""
        return torch.cat(
            [
                self.n1x1(x),
                self.n3x3(self.n3x3_reduce(x)),
                self.n5x5(self.n5x5_reduce(x)),
                self.pool_proj(self.pool(x)),
            ],
            dim=1,
        )


class NaiveInceptionBlock(nn.Module):
    """The Inception module without reductions, Figure 2(a): what Table 1 would cost without them."""

    def __init__(self, channels: int, row: NaiveInception, *, dialect: Dialect) -> None:
        """Build it for `channels` arriving channels."""
        super().__init__()
        convs = _conv_blocks(channels, row, dialect)
        self.n1x1, self.n3x3, self.n5x5 = convs["n1x1"], convs["n3x3"], convs["n5x5"]
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> [N, n1x1 + n3x3 + n5x5 + channels, H, W]."""
        return torch.cat([self.n1x1(x), self.n3x3(x), self.n5x5(x), self.pool(x)], dim=1)


class Dropout(nn.Dropout):
    """Dropout that can be given a part of a batch, and then drops what it would in the whole batch."""

    part: tuple[range, int] | None = None  # which rows of how many; None for all

    def forward(self, x: Tensor) -> Tensor:
        """[N, …] -> the same shape."""
        if self.part is None or not self.training:
            return super().forward(x)
        rows, total = self.part
        mask = F.dropout(x.new_ones(total, *x.shape[1:]), self.p)
        return x * mask[rows.start : rows.stop]


class ShiftNorm2d(nn.BatchNorm2d):
    """Batch normalization that adds but does not multiply, as TF-slim's default."""

    def __init__(self, channels: int, *, eps: float) -> None:
        """Build it; the scale stays 1 and is no parameter."""
        super().__init__(channels, eps=eps)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's `SAME`: at stride 2, more at the end than at the start."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]."""
        return super().forward(_pad_same(x, self.kernel_size[0], self.stride[0], 0.0))


class SameMaxPool2d(nn.Module):
    """Max-pooling padded as TensorFlow's `SAME`; what is padded never wins."""

    def __init__(self, kernel: int, stride: int) -> None:
        """Build it."""
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, ceil(H / stride), ceil(W / stride)]."""
        return F.max_pool2d(_pad_same(x, self.kernel, self.stride, float("-inf")), self.kernel, self.stride)


def layer(row: TableRow, channels: int, *, dialect: Dialect) -> nn.Module:
    """Build one row of a table for `channels` arriving channels."""
    match row:
        case Conv():
            return ConvBlock(channels, row, dialect=dialect)
        case Inception():
            return InceptionBlock(channels, row, dialect=dialect)
        case NaiveInception():
            return NaiveInceptionBlock(channels, row, dialect=dialect)
        case LRN():
            return LocalResponseNorm(row.size, row.alpha, row.beta, row.k)
        case MaxPool(kernel, stride) if dialect.padding == "same":
            return SameMaxPool2d(kernel, stride)
        case MaxPool(kernel, stride):
            ceil = dialect.padding == "ceil"
            return nn.MaxPool2d(kernel, stride, 0 if ceil else kernel // 2, ceil_mode=ceil)
    raise TypeError(f"no layer for {row}")


def pool_to_4x4(maps: Tensor, *, adaptive: bool = False) -> Tensor:
    """Average-pool maps to 4x4 by evenly spaced equal windows; smaller maps by windows that overlap.

    A map of 14x14, which a 224-pixel image gives, is pooled 5x5 with stride 3, as in section 5.
    `adaptive` takes PyTorch's windows instead, whose sides differ.
    """
    if adaptive or min(maps.shape[-2:]) < AUX_POOLED:
        return F.adaptive_avg_pool2d(maps, AUX_POOLED)
    # DEVIATION: section 5 fixes 5x5 with stride 3; for maps of another side than 14 the windows follow
    strides = [max(1, (side - 2) // AUX_POOLED) for side in maps.shape[-2:]]
    kernels = [
        side - (AUX_POOLED - 1) * stride for side, stride in zip(maps.shape[-2:], strides, strict=True)
    ]
    return F.avg_pool2d(maps, kernels, strides)


def _conv_blocks(channels: int, row: Inception | NaiveInception, dialect: Dialect) -> dict[str, ConvBlock]:
    return {
        name: ConvBlock(arriving, Conv(out, kernel), dialect=dialect)
        for name, (arriving, out, kernel) in inception_convs(row, channels, dialect).items()
    }


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """What TensorFlow's `SAME` puts before and after a side of a map."""
    missing = max(0, (-(-side // stride) - 1) * stride + kernel - side)
    return missing // 2, missing - missing // 2


def _pad_same(x: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    across, down = (same_padding(side, kernel, stride) for side in (x.shape[-1], x.shape[-2]))
    return F.pad(x, [*across, *down], value=value)
