"""What the network costs, by arithmetic from Table 1: parameters, multiply-adds and maps.

No torch here. The tests hold the built modules against these numbers, so a mistake in either shows.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from googlenet.errors import InputError
from googlenet.spec import (
    AUX_CONV,
    AUX_HIDDEN,
    AUX_POOLED,
    AUX_STAGES,
    IMAGE_CHANNELS,
    IMAGENET_CLASSES,
    PAPER_SIZE,
    TABLE_1,
    Conv,
    Dialect,
    Inception,
    MaxPool,
    check_size,
    convolved,
    dialect,
    pooled,
)


@dataclass(frozen=True)
class RowCost:
    """One row: its output map, its parameters, its multiply-adds for one image."""

    name: str
    channels: int
    side: int  # pixels
    parameters: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """The rows of the network, of its two auxiliary heads, and their totals."""

    dialect: str
    size: int
    classes: int
    rows: tuple[RowCost, ...]
    heads: tuple[RowCost, ...]

    @property
    def parameters(self) -> int:
        """Parameters of the network without heads, as used for inference."""
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds of the network without heads, for one image."""
        return sum(row.macs for row in self.rows)

    @property
    def training_parameters(self) -> int:
        """Parameters with both auxiliary heads, as trained."""
        return self.parameters + sum(row.parameters for row in self.heads)

    def as_dict(self, *, batch: int = 1) -> dict[str, Any]:
        """Return rows and totals as JSON types, multiply-adds for `batch` images."""
        return {
            **asdict(self),
            "batch": batch,
            "parameters": self.parameters,
            "training_parameters": self.training_parameters,
            "macs": batch * self.macs,
        }


def network(dialect_name: str = "bn", *, classes: int = IMAGENET_CLASSES, size: int = PAPER_SIZE) -> Cost:
    """Count GoogLeNet in one dialect.

    size     pixels of one side of the input
    raises   InputError for an unknown dialect or a size below 64
    """
    if classes < 1:
        raise InputError(f"expected --classes of at least 1, got {classes}")
    kind = dialect(dialect_name)
    rows = tuple(_rows(kind, check_size(size)))
    last = rows[-1].channels
    rows += (
        RowCost("avgpool", last, 1, 0, 0),
        RowCost("classifier", classes, 1, last * classes + classes, last * classes),
    )
    sides = {row.name: row for row in rows}
    heads = tuple(
        _head(kind, f"aux{number}", sides[stage].channels, classes)
        for number, stage in enumerate(AUX_STAGES, start=1)
    )
    return Cost(kind.name, size, classes, rows, heads)


def _rows(kind: Dialect, side: int) -> Iterator[RowCost]:
    channels = IMAGE_CHANNELS
    for name, row in TABLE_1.items():
        match row:
            case Conv(out, kernel, stride):
                side = convolved(side, kernel=kernel, stride=stride)
                parameters, macs = _conv(kind, channels, out, kernel=kernel, side=side)
                channels = out
            case MaxPool(kernel, stride):
                side = pooled(side, kernel=kernel, stride=stride, ceil=kind.ceil_pooling)
                parameters = macs = 0
            case Inception():
                convs = [
                    _conv(kind, arriving, out, kernel=kernel, side=side)
                    for arriving, out, kernel in inception_convs(row, channels)
                ]
                parameters, macs = sum(p for p, _ in convs), sum(m for _, m in convs)
                channels = row.out
            case _:
                if not kind.lrn:
                    continue
                parameters = macs = 0
        yield RowCost(name, channels, side, parameters, macs)


def inception_convs(row: Inception, channels: int) -> list[tuple[int, int, int]]:
    """(channels in, channels out, kernel) of the six convolutions of Figure 2(b)."""
    return [
        (channels, row.n1x1, 1),
        (channels, row.n3x3_reduce, 1),
        (row.n3x3_reduce, row.n3x3, 3),
        (channels, row.n5x5_reduce, 1),
        (row.n5x5_reduce, row.n5x5, 5),
        (channels, row.pool_proj, 1),
    ]


def _conv(kind: Dialect, channels: int, out: int, *, kernel: int, side: int) -> tuple[int, int]:
    """Parameters and multiply-adds; batch normalisation is a scale and a shift per channel."""
    weights = channels * out * kernel * kernel
    extra = out * (2 * kind.batch_norm + kind.conv_bias)
    return weights + extra, weights * side * side


def _head(kind: Dialect, name: str, channels: int, classes: int) -> RowCost:
    """Section 5: average pooling to 4x4, 1x1 convolution to 128, 1024 hidden units, classifier."""
    conv_parameters, conv_macs = _conv(kind, channels, AUX_CONV, kernel=1, side=AUX_POOLED)
    flat = AUX_CONV * AUX_POOLED * AUX_POOLED
    dense = flat * AUX_HIDDEN + AUX_HIDDEN * classes
    return RowCost(name, classes, 1, conv_parameters + dense + AUX_HIDDEN + classes, conv_macs + dense)
