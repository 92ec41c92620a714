"""What a network costs, by arithmetic from its table: parameters, multiply-adds and memory.

No torch here. The tests hold the built modules against these numbers, so a mistake in either shows.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from googlenet.architecture.dialects import DIALECTS, Dialect, channels_after, dialect, inception_convs
from googlenet.architecture.table1 import (
    AUX_CONV,
    AUX_HIDDEN,
    AUX_POOLED,
    AUX_STAGES,
    DISAGREEMENTS,
    IMAGE_CHANNELS,
    IMAGENET_CLASSES,
    LAST_MAP,
    LRN,
    NETWORK_IN_NETWORK,
    PAPER_SIZE,
    PRINTED,
    TABLE_1,
    VGG_16,
    VGG_19,
    Conv,
    Dense,
    GlobalAverage,
    Inception,
    MaxPool,
    NaiveInception,
    Padding,
    TableRow,
    check_size,
    convolved,
    pooled,
)
from googlenet.base.errors import InputError

FLOAT_BYTES = 4
PAPER_K = 1024  # of the K in its column of parameters

Counts = tuple[int, int, int]  # parameters, multiply-adds, activations

BASELINES: dict[str, tuple[Mapping[str, TableRow], Padding]] = {
    "vgg16": (VGG_16, "ceil"),
    "vgg19": (VGG_19, "ceil"),
    "nin": (NETWORK_IN_NETWORK, "ceil"),
}
NAMES = (*DIALECTS, *BASELINES)


@dataclass(frozen=True)
class PaperFigures:
    """What the paper's Table 1 prints for a row, and how far the arithmetic of its widths is from it."""

    parameters_k: float
    macs_m: float
    parameters_k_off: float  # ours, with one bias per channel, less the paper's
    macs_m_off: float
    parameters_differ: bool  # by more than a unit of the last printed digit: some are rounded, some cut
    macs_differ: bool  # by more than rounding
    note: str | None  # why they disagree, where they do


@dataclass(frozen=True)
class LayerCost:
    """One row of a table: its output map, its parameters, its multiply-adds for one image."""

    name: str
    what: str  # "7x7/2", as Table 1's second column
    depth: int  # layers with weights in sequence
    channels: int
    side: int  # pixels
    parameters: int
    macs: int
    activations: int  # output values of the layers with parameters, for one image
    widths: tuple[int, ...] | None = None  # of an Inception module, in Table 1's order
    printed: PaperFigures | None = None


@dataclass(frozen=True)
class Memory:
    """Bytes of one pass forward and backward over a batch, in float32, as torchinfo counts them.

    Activations are those of layers with parameters, batch normalization apart, each with its gradient.
    """

    input: int
    activations: int
    parameters: int

    @property
    def total(self) -> int:
        """The sum, without the auxiliary heads."""
        return self.input + self.activations + self.parameters


@dataclass(frozen=True)
class Cost:
    """The rows of a network and of its two auxiliary heads, if it has any, and their totals."""

    name: str
    size: int
    classes: int
    rows: tuple[LayerCost, ...]
    heads: tuple[LayerCost, ...] = ()

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

    @property
    def training_macs(self) -> int:
        """Multiply-adds with both auxiliary heads, for one image, forward."""
        return self.macs + sum(row.macs for row in self.heads)

    def memory(self, *, batch: int = 1) -> Memory:
        """Memory of a pass over `batch` images, without heads."""
        pixels = IMAGE_CHANNELS * self.size * self.size
        outputs = sum(row.activations for row in self.rows)
        return Memory(
            batch * pixels * FLOAT_BYTES, 2 * batch * outputs * FLOAT_BYTES, self.parameters * FLOAT_BYTES
        )

    def as_dict(self, *, batch: int = 1) -> dict[str, Any]:
        """Return rows and totals as JSON types: rows for one image, totals for `batch`."""
        memory = self.memory(batch=batch)
        return {
            **asdict(self),
            "batch": batch,
            "parameters": self.parameters,
            "training_parameters": self.training_parameters,
            "macs": batch * self.macs,
            "training_macs": batch * self.training_macs,
            "memory": {**asdict(memory), "total": memory.total},
        }


def network(name: str = "bn", *, classes: int | None = None, size: int = PAPER_SIZE) -> Cost:
    """Compute the cost of GoogLeNet in one dialect, of `vgg16`, `vgg19` or `nin`.

    classes  by default those of the published network
    size     pixels of one side of the input
    raises   InputError for an unknown name, or a size that the network cannot take
    """
    if classes is not None and classes < 1:
        raise InputError(f"expected --classes of at least 1, got {classes}")
    if name in BASELINES:
        return _baseline(name, classes or IMAGENET_CLASSES, size)
    if re.split("[-+]", re.sub("^[0-9]+x", "", name))[0] not in DIALECTS:
        raise InputError(f"expected a network among {', '.join(NAMES)}, got {name!r}")
    kind = dialect(name)
    return _googlenet(kind, classes or kind.classes, check_size(size, stem=kind.stem))


def naive_at_paper_widths(*, size: int = PAPER_SIZE) -> dict[str, tuple[int, int, int]]:
    """Figure 2 (a) against (b) for each module, its input held at the width of Table 1.

    returns  by module: multiply-adds naive, with reductions, and the output channels of (a)
    """
    naive, reduced = DIALECTS["naive"], DIALECTS["bn"]
    channels, modules = IMAGE_CHANNELS, {}
    sides = {row.name: row.side for row in _rows(reduced.table, reduced, size)}
    for name, row in reduced.table.items():
        naive_row = naive.table[name]
        if isinstance(row, Inception) and isinstance(naive_row, NaiveInception):
            _, naive_macs, _ = _inception(naive_row, channels, sides[name], naive)
            _, macs, _ = _inception(row, channels, sides[name], reduced)
            modules[name] = (naive_macs, macs, channels_after(naive_row, channels))
        channels = channels_after(row, channels)
    return modules


def reduction_weights() -> tuple[int, int]:
    """Weights of the 3x3 convolution of 3a on all input channels, and with its reduction before it."""
    row, channels = TABLE_1["inception_3a"], channels_after(TABLE_1["conv2"], IMAGE_CHANNELS)
    assert isinstance(row, Inception)
    convs = inception_convs(row, channels, DIALECTS["bn"])
    reduced = sum(i * o * k * k for i, o, k in (convs["n3x3_reduce"], convs["n3x3"]))
    return channels * row.n3x3 * convs["n3x3"][2] ** 2, reduced


def _googlenet(kind: Dialect, classes: int, size: int) -> Cost:
    rows = tuple(_rows(kind.table, kind, size))
    if kind.members > 1:
        rows = tuple(_times(row, kind.members) for row in rows)
    last = rows[-1]
    if kind.dense is None:
        flat = last.channels + sum(row.channels for row in rows if row.name in kind.also_read)
        rows += (_without_weights("avgpool", f"average {last.side}x{last.side}", flat, 1),)
    else:
        rows += (_dense("hidden", last.channels * LAST_MAP**2, kind.dense),)
        flat = kind.dense
    rows += (_dense("classifier", flat, classes),)
    channels = {row.name: row.channels for row in rows}
    heads = (
        ()
        if kind.members > 1
        else tuple(
            _head(kind, f"aux{number}", channels[stage], classes)
            for number, stage in enumerate(AUX_STAGES, start=1)
        )
    )
    if size == PAPER_SIZE and kind.like_printed:
        rows = tuple(_with_paper_figures(rows, kind))
    return Cost(kind.name, size, classes, rows, heads)


def _baseline(name: str, classes: int, size: int) -> Cost:
    table, padding = BASELINES[name]
    if any(isinstance(row, Dense) for row in table.values()) and size != PAPER_SIZE:
        raise InputError(
            f"expected --size {PAPER_SIZE} for {name}, got {size}: its dense layers need maps of that size"
        )
    kind = Dialect(name=name, about="", batch_norm=False, padding=padding)
    last = list(table)[-2 if name == "nin" else -1]
    widths = {**table, last: table[last]._replace(out=classes)}  # type: ignore[call-arg]
    rows = tuple(_rows(widths, kind, size))
    if min(row.side for row in rows) < 1:
        raise InputError(f"expected a larger --size for {name}, got {size}: its maps would be empty")
    return Cost(name, size, classes, rows)


def _rows(table: Mapping[str, TableRow], kind: Dialect, side: int) -> Iterator[LayerCost]:
    channels = IMAGE_CHANNELS
    for name, row in table.items():
        match row:
            case Conv():
                out_side = convolved(side, row)
                what, counts = _kernel(row.kernel, row.stride), _conv(kind, channels, row, out_side)
                layer = LayerCost(name, what, 1, row.out, out_side, *counts)
            case MaxPool():
                layer = _without_weights(
                    name, f"max {_kernel(*row)}", channels, pooled(side, row, kind.padding)
                )
            case LRN():
                layer = _without_weights(name, f"over {row.size}", channels, side)
            case GlobalAverage():
                layer = _without_weights(name, f"average {side}x{side}", channels, 1)
            case Dense(out):
                layer = _dense(name, channels * side * side, out)
            case _:
                out, counts = channels_after(row, channels), _inception(row, channels, side, kind)
                layer = LayerCost(name, "", 2, out, side, *counts, widths=tuple(row))
        channels, side = layer.channels, layer.side
        yield layer


def _conv(kind: Dialect, channels: int, row: Conv, side: int) -> Counts:
    """The counts of a convolution; batch normalization has a scale and a shift per channel."""
    weights = channels * row.out * row.kernel**2
    extra = row.out * (1 + kind.scale if kind.batch_norm else 1)
    area = side * side
    return weights + extra, weights * area, row.out * area * (1 + kind.batch_norm)


def _inception(row: Inception | NaiveInception, channels: int, side: int, kind: Dialect) -> Counts:
    return _total(
        _conv(kind, into, Conv(out, kernel), side)
        for into, out, kernel in inception_convs(row, channels, kind).values()
    )


def _total(parts: Iterable[Counts]) -> Counts:
    parameters, macs, activations = map(sum, zip(*parts, strict=True))
    return parameters, macs, activations


def _times(row: LayerCost, members: int) -> LayerCost:
    """The same layer in so many networks side by side."""
    counts = {
        name: members * getattr(row, name) for name in ("channels", "parameters", "macs", "activations")
    }
    return replace(row, what=f"{members} of {row.what}".removesuffix(" of "), **counts)


def _dense(name: str, channels: int, out: int) -> LayerCost:
    return LayerCost(name, "dense", 1, out, 1, channels * out + out, channels * out, out)


def _without_weights(name: str, what: str, channels: int, side: int) -> LayerCost:
    return LayerCost(name, what, 0, channels, side, 0, 0, 0)


def _head(kind: Dialect, name: str, channels: int, classes: int) -> LayerCost:
    """Section 5: average pooling to 4x4, 1x1 convolution to 128, 1024 hidden units, classifier."""
    conv = _conv(kind, channels, Conv(AUX_CONV), AUX_POOLED)
    layers = (
        _dense("hidden", AUX_CONV * AUX_POOLED**2, AUX_HIDDEN),
        _dense("classifier", AUX_HIDDEN, classes),
    )
    counts = _total([conv, *((layer.parameters, layer.macs, layer.activations) for layer in layers)])
    return LayerCost(name, "head", 3, classes, 1, *counts)


def _with_paper_figures(rows: tuple[LayerCost, ...], kind: Dialect) -> Iterator[LayerCost]:
    """Add to each row what the paper prints for it; conv2 is printed with its reduction."""
    biased = {row.name: row for row in _rows(kind.table, replace(kind, batch_norm=False), PAPER_SIZE)}
    for row in rows:
        if row.name not in PRINTED or (row.name == "classifier" and row.channels != IMAGENET_CLASSES):
            yield row
            continue
        parts = [biased.get(row.name, row)] + [biased["conv2_reduce"]] * (row.name == "conv2")
        printed_k, printed_m = PRINTED[row.name]
        k_off = sum(part.parameters for part in parts) / PAPER_K - printed_k
        m_off = sum(part.macs for part in parts) / 1e6 - printed_m
        differ = abs(k_off) > 1.0, abs(m_off) > 0.5
        note = DISAGREEMENTS[row.name] if any(differ) else None
        figures = PaperFigures(printed_k, printed_m, round(k_off, 1), round(m_off, 2), *differ, note)
        yield replace(row, printed=figures)


def _kernel(kernel: int, stride: int) -> str:
    return f"{kernel}x{kernel}/{stride}"
