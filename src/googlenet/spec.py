"""Table 1 of the paper as data, the dialects it is spoken in, and the paper's constants.

Everything else is derived from here: the modules (`model`), the arithmetic (`cost`), the docs and
the tests. Source: Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842.
"""

from dataclasses import dataclass
from typing import NamedTuple

from googlenet.errors import InputError


class Conv(NamedTuple):
    """A convolution, followed by the dialect's normalisation and ReLU."""

    out: int
    kernel: int = 1
    stride: int = 1


class MaxPool(NamedTuple):
    """A max-pooling layer."""

    kernel: int
    stride: int


class LRN(NamedTuple):
    """Local response normalisation; absent in a dialect that has none."""


class Inception(NamedTuple):
    """Output channels of one Inception module: the six width columns of Table 1."""

    n1x1: int
    n3x3_reduce: int
    n3x3: int
    n5x5_reduce: int
    n5x5: int
    pool_proj: int

    @property
    def out(self) -> int:
        """Channels of the concatenated output."""
        return self.n1x1 + self.n3x3 + self.n5x5 + self.pool_proj


Row = Conv | MaxPool | LRN | Inception

# fmt: off
TABLE_1: dict[str, Row] = {
    "conv1":        Conv(64, kernel=7, stride=2),
    "pool1":        MaxPool(3, stride=2),
    "norm1":        LRN(),
    "conv2_reduce": Conv(64),
    "conv2":        Conv(192, kernel=3),
    "norm2":        LRN(),
    "pool2":        MaxPool(3, stride=2),
    #                         1x1  3x3r  3x3  5x5r  5x5  pool
    "inception_3a": Inception( 64,   96, 128,   16,  32,   32),
    "inception_3b": Inception(128,  128, 192,   32,  96,   64),
    "pool3":        MaxPool(3, stride=2),
    "inception_4a": Inception(192,   96, 208,   16,  48,   64),
    "inception_4b": Inception(160,  112, 224,   24,  64,   64),
    "inception_4c": Inception(128,  128, 256,   24,  64,   64),
    "inception_4d": Inception(112,  144, 288,   32,  64,   64),
    "inception_4e": Inception(256,  160, 320,   32, 128,  128),
    "pool4":        MaxPool(3, stride=2),
    "inception_5a": Inception(256,  160, 320,   32, 128,  128),
    "inception_5b": Inception(384,  192, 384,   48, 128,  128),
}
# fmt: on

IMAGE_CHANNELS = 3
IMAGENET_CLASSES = 1000
PAPER_SIZE = 224  # pixels, section 5
MIN_SIZE = 64  # below, the maps at 4a are under 4x4, too small for the heads' 4x4 average pooling

# The auxiliary classifiers (section 5): 4x4 average pooling, 1x1 convolution, two dense layers.
AUX_STAGES = ("inception_4a", "inception_4d")
AUX_POOLED = 4
AUX_CONV = 128
AUX_HIDDEN = 1024
AUX_WEIGHT = 0.3
DROPOUT = 0.4
AUX_DROPOUT = 0.7

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a photo becomes the network's input; stored in the model file, used by every verb.

    A centred square whose side is `crop` times the shorter side of the upright photo is resized
    to `size` x `size` in one step (antialiased bicubic), then `(x / 255 - mean) / std`, in RGB.
    """

    size: int = PAPER_SIZE
    crop: float = 0.875  # 224 of 256, as in the paper's centre crop
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One of the ways in which Table 1 has been built."""

    name: str
    about: str
    batch_norm: bool
    lrn: bool
    conv_bias: bool
    ceil_pooling: bool  # Caffe rounds up without padding; the others pad by 1 and round down


BATCH_NORM_EPS = 0.001
LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K = 5, 1e-4, 0.75, 1.0  # Caffe's form: alpha is divided by size

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="bn",
            about="Batch normalisation for LRN, true 5x5 convolutions: trains from random weights.",
            batch_norm=True,
            lrn=False,
            conv_bias=False,
            ceil_pooling=False,
        ),
        Dialect(
            name="paper",
            about="As printed in 2014: local response normalisation, convolution biases, no BN.",
            batch_norm=False,
            lrn=True,
            conv_bias=True,
            ceil_pooling=True,
        ),
    )
}


def dialect(name: str) -> Dialect:
    """Return the dialect of that name.

    Raises InputError for an unknown name, with the list of those there are.
    """
    if name not in DIALECTS:
        raise InputError(f"expected a dialect among {', '.join(DIALECTS)}, got {name!r}")
    return DIALECTS[name]


def check_size(size: int) -> int:
    """Return the input size if the network can take it.

    Raises InputError below 64 pixels.
    """
    if size < MIN_SIZE:
        raise InputError(
            f"expected an input size of at least {MIN_SIZE} pixels, got {size}: five stride-2 layers "
            f"leave smaller images no map to look at; smaller photos are enlarged to --size {MIN_SIZE}"
        )
    return size


def pooled(length: int, *, kernel: int, stride: int, ceil: bool) -> int:
    """Length of one side of the map that a max-pooling layer makes of `length`."""
    if ceil:
        out = -(-(length - kernel) // stride) + 1
        return out - 1 if (out - 1) * stride >= length else out  # the last window starts inside
    return (length + 2 * (kernel // 2) - kernel) // stride + 1


def convolved(length: int, *, kernel: int, stride: int) -> int:
    """Length of one side of the map that a same-padded convolution makes of `length`."""
    return (length + 2 * (kernel // 2) - kernel) // stride + 1
