"""The variants in which Table 1 has been built and fed, as data: one `Dialect` each.

Two are ours, four are those of published weights, two are what the paper argues against. Sources of
the published ones: torchvision's `googlenet`, TF-slim's `inception_v1`, BVLC's `bvlc_googlenet`, and
the TensorFlow graph that Google released in 2015, `inception5h`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from googlenet.architecture.table1 import (
    AUX_DROPOUT,
    DROPOUT,
    IMAGE_CHANNELS,
    IMAGENET_CLASSES,
    LRN,
    MIN_MAP,
    MOST_PIXELS,
    PAPER_SIZE,
    STEM,
    TABLE_1,
    Inception,
    MaxPool,
    NaiveInception,
    Padding,
    TableRow,
)
from googlenet.base.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123 / 255, 117 / 255, 104 / 255)  # BVLC's, here in RGB
BYTE = (1 / 255, 1 / 255, 1 / 255)  # as `std`: the pixels stay in 0..255
HALF = (0.5, 0.5, 0.5)

# A stem of stride 4, for small photos: it keeps the resolution that stride 8 loses before the modules.
SMALL_STEM = ("pool2",)  # rows that it lacks; measured in LOG.md
STEMS = (STEM, STEM // 2)
_STEM = "-stem"  # in the name of a dialect with another stem: bn-stem4
_READ = "+"  # before a module that its classifier reads too: bvlc+4e+5a
_MODULE = "inception_"
_TIMES = "x"  # between a number of networks side by side and their dialect: 5xbvlc+4e
MOST_MEMBERS = 20

INITS = ("default", "he", "xavier", "truncated")  # initial weights, as `nn.model.initialize` draws them

Interpolation = Literal["bicubic", "bilinear"]
Fit = Literal["crop", "squash", "pad"]
FITS: tuple[Fit, ...] = ("crop", "squash", "pad")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a photo becomes the network's input; stored in the model file, used by every verb.

    A centered part of the upright photo is resized to `size` x `size` in one antialiased step, then
    `(x / 255 - mean) / std`, in RGB. By `fit` the part is a square whose side is `crop` times the shorter
    side (crop); a rectangle of the photo's own shape, `crop` times as wide and as high (squash); or a square
    whose side is `crop` times the longer side, where there is no photo of the mean color (pad).
    """

    size: int = PAPER_SIZE
    crop: float = 0.875  # 224 of 256, as in the paper's center crop
    # DEVIATION: section 5 says "zero mean" only; dividing by the deviation too is today's habit
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    fit: Fit = "crop"
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        """Refuse what cannot be applied to an image: ValueError with what was expected."""
        if not 0 < self.size <= MOST_PIXELS:
            raise ValueError(f"expected a size of 1 to {MOST_PIXELS:,} pixels, got {self.size!r}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"expected a crop above 0, at most 1, got {self.crop!r}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not all(map(math.isfinite, values)) or (name == "std" and 0 in values):
                raise ValueError(f"expected {name} of three numbers, got {values!r}")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One of the variants in which Table 1 has been built."""

    name: str
    about: str
    batch_norm: bool  # after every convolution, which then has no bias
    padding: Padding
    scale: bool = True  # batch normalization multiplies, not only adds
    lrn: LRN | None = None
    kernel_5x5: int = 5
    rows: Mapping[str, TableRow] = field(default_factory=dict)  # that differ from Table 1
    stem: int = STEM  # stride before inception_3a
    adaptive_heads: bool = False  # PyTorch's adaptive pooling before the heads, not equal windows
    also_read: tuple[str, ...] = ()  # modules whose maps the classifier averages beside the last one's
    members: int = 1  # networks side by side; one classifier reads the averages of all
    dense: int | None = None  # hidden units behind the flattened maps, in place of their average
    dropout: float = DROPOUT  # of the published network; `train` takes the recipe's
    aux_dropout: float = AUX_DROPOUT
    classes: int = IMAGENET_CLASSES
    channel_order: Literal["RGB", "BGR"] = "RGB"  # of the published weights; ours are turned to RGB
    preprocessing: Preprocessing = Preprocessing()

    @property
    def conv_bias(self) -> bool:
        """Whether convolutions have a bias of their own."""
        return not self.batch_norm

    @property
    def min_size(self) -> int:
        """Least side of an input image, pixels."""
        return self.stem * MIN_MAP

    @property
    def like_printed(self) -> bool:
        """Whether it can be compared with Table 1: the same layers, of nearly the same widths."""
        naive = any(isinstance(row, NaiveInception) for row in self.rows.values())
        plain = self.stem == STEM and not self.also_read and self.members == 1
        return self.kernel_5x5 == 5 and self.dense is None and not naive and plain

    @property
    def table(self) -> dict[str, TableRow]:
        """Table 1 as this dialect builds it, up to the last Inception module."""
        left_out = SMALL_STEM if self.stem != STEM else ()
        rows = {name: self.rows.get(name, row) for name, row in TABLE_1.items() if name not in left_out}
        if self.lrn is None:
            return {name: row for name, row in rows.items() if not isinstance(row, LRN)}
        return {name: self.lrn if isinstance(row, LRN) else row for name, row in rows.items()}

    @property
    def channels(self) -> dict[str, int]:
        """Channels that leave each row of the table."""
        channels, leaving = IMAGE_CHANNELS, {}
        for name, row in self.table.items():
            channels = leaving[name] = channels_after(row, channels)
        return leaving

    @property
    def reads(self) -> tuple[str, ...]:
        """The modules whose averages the classifier reads."""
        return (*self.also_read, list(self.table)[-1])

    @property
    def features(self) -> int:
        """How many averages the classifier reads; 0 with a dense layer, which flattens the maps."""
        channels = self.channels
        return self.members * sum(channels[name] for name in self.reads) if self.dense is None else 0


_NAIVE = {
    name: NaiveInception(row.n1x1, row.n3x3, row.n5x5)
    for name, row in TABLE_1.items()
    if isinstance(row, Inception)
}

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            # DEVIATION: batch normalization (2015) for the local response normalization of Figure 3
            name="bn",
            about="Batch normalization for LRN, true 5x5 convolutions: trains from random weights.",
            padding="floor",
            batch_norm=True,
        ),
        Dialect(
            name="paper",
            about="As printed in 2014: local response normalization, convolution biases, no BN.",
            # DEVIATION: the paper gives neither padding nor LRN's constants; these are Caffe's
            padding="ceil",
            lrn=LRN(),
            batch_norm=False,
        ),
        Dialect(
            name="torchvision",
            about="torchvision's weights: BN, 3x3 in place of 5x5, 2x2 pool4, adaptive heads.",
            padding="ceil",
            kernel_5x5=3,
            rows={"pool4": MaxPool(2, stride=2)},
            adaptive_heads=True,
            dropout=0.2,
            # torchvision normalizes by ImageNet's mean and deviation, then undoes it in its forward.
            preprocessing=Preprocessing(mean=HALF, std=HALF, interpolation="bilinear"),
            batch_norm=True,
        ),
        Dialect(
            name="slim",
            about="TF-slim's weights: BN without scale, 3x3 in place of 5x5, 2x2 pool4, 1001 classes.",
            padding="same",
            scale=False,
            kernel_5x5=3,
            rows={"pool4": MaxPool(2, stride=2)},
            dropout=0.2,
            classes=1001,
            preprocessing=Preprocessing(mean=HALF, std=HALF, fit="squash", interpolation="bilinear"),
            batch_norm=True,
        ),
        Dialect(
            name="bvlc",
            about="BVLC's Caffe weights: as printed, BGR from 0 to 255 less a mean.",
            padding="ceil",
            lrn=LRN(),
            channel_order="BGR",
            preprocessing=Preprocessing(mean=CAFFE_MEAN, std=BYTE, fit="squash"),
            batch_norm=False,
        ),
        Dialect(
            name="inception5h",
            about="Google's TensorFlow graph of 2015: LRN of its own, 4a 204, 5a 48, 1008 classes.",
            padding="same",
            lrn=LRN(size=11, alpha=1.1e-3, beta=0.5, k=2.0),  # radius 5, bias 2, alpha 1e-4 of the sum
            rows={
                "inception_4a": Inception(192, 96, 204, 16, 48, 64),
                "inception_5a": Inception(256, 160, 320, 48, 128, 128),
            },
            classes=1008,
            preprocessing=Preprocessing(
                crop=1.0, mean=(117 / 255,) * 3, std=BYTE, fit="squash", interpolation="bilinear"
            ),
            batch_norm=False,
        ),
        Dialect(
            name="naive",
            about="Figure 2(a): as bn, but no reductions and no projections; to see what they save.",
            padding="floor",
            rows=_NAIVE,
            batch_norm=True,
        ),
        Dialect(
            name="dense",
            about="As bn, but flattened maps and a dense layer for the average; to see what it saves.",
            padding="floor",
            # DEVIATION: the paper does not say which dense layers it compared with; as wide as the heads'
            dense=1024,
            batch_norm=True,
        ),
    )
}


def dialect(name: str) -> Dialect:
    """Return the dialect of that name.

    `bn-stem4` is `bn` with a stem of stride 4; in `bvlc+4e+5a` the classifier reads the averages of these
    modules too; `5xbn` are five networks side by side with one classifier.

    Raises InputError for an unknown name, with the list of those there are.
    """
    number, times, one = name.partition(_TIMES)
    if times and number.isdecimal():
        return side_by_side(dialect(one), int(number))
    built, *modules = name.split(_READ)
    plain, _, stem = built.partition(_STEM)
    kind = DIALECTS.get(plain)
    if kind is None or built not in (plain, with_stem(plain, STEM // 2)):
        raise InputError(f"expected a dialect among {', '.join(DIALECTS)}, got {name!r}")
    kind = replace(kind, name=built, stem=int(stem or STEM))
    return reading(kind, tuple(_MODULE + module for module in modules)) if modules else kind


def reading(kind: Dialect, modules: tuple[str, ...]) -> Dialect:
    """A dialect whose classifier reads the averages of these Inception modules too, in the table's order.

    Raises InputError for other layers, one twice, the last one, or a dialect with a dense layer there.
    """
    able = [name for name, row in kind.table.items() if isinstance(row, Inception | NaiveInception)][:-1]
    wanted = [name for name in able if name in modules]
    if kind.dense is not None or len(wanted) != len(modules):
        names = ", ".join(name.removeprefix(_MODULE) for name in able)
        raise InputError(f"expected {kind.name}{_READ}MODULE with modules among {names}, once each")
    short = "".join(_READ + name.removeprefix(_MODULE) for name in wanted)
    return replace(kind, name=kind.name.split(_READ)[0] + short, also_read=tuple(wanted))


def side_by_side(kind: Dialect, members: int) -> Dialect:
    """A dialect of so many networks side by side, whose one classifier reads the averages of all.

    Raises InputError for fewer than 2 or more than 20, for such a dialect, or one with a dense layer.
    """
    if not 2 <= members <= MOST_MEMBERS or kind.members > 1 or kind.dense is not None:
        raise InputError(
            f"expected 2 to {MOST_MEMBERS} networks side by side, of a dialect without a dense layer, got "
            f"{members}{_TIMES}{kind.name}"
        )
    return replace(kind, name=f"{members}{_TIMES}{kind.name}", members=members)


def with_stem(name: str, stem: int) -> str:
    """The name of a dialect with a stem of that stride, from its name with Table 1's stem."""
    built, plus, modules = name.partition(_READ)
    return name if stem == STEM else f"{built}{_STEM}{stem}{plus}{modules}"


def inception_convs(
    row: Inception | NaiveInception, channels: int, kind: Dialect
) -> dict[str, tuple[int, int, int]]:
    """(channels in, channels out, kernel) of each convolution of a module, by name."""
    if isinstance(row, NaiveInception):
        return {
            "n1x1": (channels, row.n1x1, 1),
            "n3x3": (channels, row.n3x3, 3),
            "n5x5": (channels, row.n5x5, kind.kernel_5x5),
        }
    return {
        "n1x1": (channels, row.n1x1, 1),
        "n3x3_reduce": (channels, row.n3x3_reduce, 1),
        "n3x3": (row.n3x3_reduce, row.n3x3, 3),
        "n5x5_reduce": (channels, row.n5x5_reduce, 1),
        "n5x5": (row.n5x5_reduce, row.n5x5, kind.kernel_5x5),
        "pool_proj": (channels, row.pool_proj, 1),
    }


def channels_after(row: TableRow, channels: int) -> int:
    """Output channels of a row with `channels` input channels."""
    match row:
        case Inception():
            return row.out
        case NaiveInception():
            return row.n1x1 + row.n3x3 + row.n5x5 + channels
        case _:
            return getattr(row, "out", channels)
