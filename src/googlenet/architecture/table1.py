"""Table 1 of the paper as data, the networks that it is compared with, and the paper's constants.

Everything else is derived from here: the modules (`nn.model`), the arithmetic (`cost`), the docs and
the tests. Source: Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842.
"""

from typing import Literal, NamedTuple

from googlenet.base.errors import InputError

Padding = Literal["floor", "ceil", "same"]
"""How a layer of stride 2 is padded. `floor`: padded by half a kernel, rounded down. `ceil`:
pooling is not padded but rounded up, as in Caffe. `same`: as many pixels as the result needs to be
the input over the stride, the odd one at the end, as in TensorFlow."""


class Conv(NamedTuple):
    """A convolution, followed by the dialect's normalization and ReLU."""

    out: int
    kernel: int = 1
    stride: int = 1
    padded: bool = True


class MaxPool(NamedTuple):
    """A max-pooling layer."""

    kernel: int
    stride: int


class LRN(NamedTuple):
    """Local response normalization, with the constants of the paper's time: AlexNet's, as in Caffe.

    x / (k + alpha * mean of x^2 over `size` neighboring channels) ^ beta: the mean, as Caffe and
    PyTorch take it; where TensorFlow takes the sum, alpha is `size` times as large.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0


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


class NaiveInception(NamedTuple):
    """Output channels of a module without reductions, Figure 2(a): its pooling passes all channels on."""

    n1x1: int
    n3x3: int
    n5x5: int


class GlobalAverage(NamedTuple):
    """The mean of each map."""


class Dense(NamedTuple):
    """A fully connected layer on the flattened maps, followed by ReLU unless it is the last."""

    out: int


TableRow = Conv | MaxPool | LRN | Inception | NaiveInception | GlobalAverage | Dense

# fmt: off
TABLE_1: dict[str, TableRow] = {
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

# What each row of Table 1 is printed to hold and to cost: parameters in K (1,024), multiply-adds in M.
PRINTED: dict[str, tuple[float, float]] = {
    "conv1": (2.7, 34),
    "conv2": (112, 360),  # with its reduction
    "inception_3a": (159, 128),
    "inception_3b": (380, 304),
    "inception_4a": (364, 73),
    "inception_4b": (437, 88),
    "inception_4c": (463, 100),
    "inception_4d": (580, 119),
    "inception_4e": (840, 170),
    "inception_5a": (1072, 54),
    "inception_5b": (1388, 71),
    "classifier": (1000, 1),
}

# Why a printed figure is not what the printed widths give.
DISAGREEMENTS: dict[str, str] = {
    "conv1": "printed: a separable convolution with depth multiplier 8 (2,712 weights, 34.0 M); "
    "every released network has the dense one",
    "inception_4a": "printed: both figures are those of 204 channels after the 3x3, as in the network "
    "that Google released; the width column says 208",
    "inception_4b": "printed: the figure for 508 arriving channels, which follows from 4a with 204",
    "inception_4c": "printed parameters are too low for the printed widths; the multiply-adds fit",
    "inception_4d": "printed parameters are too low for the printed widths; the multiply-adds fit",
    "inception_4e": "printed parameters are too low for the printed widths; the multiply-adds fit",
    "inception_5a": "printed multiply-adds are those of a 5x5 reduction to 48, as in the network that "
    "Google released; the width column says 32; printed parameters fit neither",
    "inception_5b": "printed parameters are too low for the printed widths; the multiply-adds fit",
}

IMAGE_CHANNELS = 3
IMAGENET_CLASSES = 1000

# The networks that the paper is measured against (section 7) or builds on (section 2). Widths are as
# published: Simonyan and Zisserman 2014, configurations D and E; Lin et al. 2013, the ImageNet network
# of the authors' Caffe release.
# fmt: off
VGG_16: dict[str, TableRow] = {
    "conv1_1": Conv( 64, 3), "conv1_2": Conv( 64, 3), "pool1": MaxPool(2, 2),
    "conv2_1": Conv(128, 3), "conv2_2": Conv(128, 3), "pool2": MaxPool(2, 2),
    "conv3_1": Conv(256, 3), "conv3_2": Conv(256, 3), "conv3_3": Conv(256, 3), "pool3": MaxPool(2, 2),
    "conv4_1": Conv(512, 3), "conv4_2": Conv(512, 3), "conv4_3": Conv(512, 3), "pool4": MaxPool(2, 2),
    "conv5_1": Conv(512, 3), "conv5_2": Conv(512, 3), "conv5_3": Conv(512, 3), "pool5": MaxPool(2, 2),
    "fc6": Dense(4096), "fc7": Dense(4096), "fc8": Dense(IMAGENET_CLASSES),
}
VGG_19: dict[str, TableRow] = {
    "conv1_1": Conv( 64, 3), "conv1_2": Conv( 64, 3), "pool1": MaxPool(2, 2),
    "conv2_1": Conv(128, 3), "conv2_2": Conv(128, 3), "pool2": MaxPool(2, 2),
    "conv3_1": Conv(256, 3), "conv3_2": Conv(256, 3), "conv3_3": Conv(256, 3), "conv3_4": Conv(256, 3),
    "pool3": MaxPool(2, 2),
    "conv4_1": Conv(512, 3), "conv4_2": Conv(512, 3), "conv4_3": Conv(512, 3), "conv4_4": Conv(512, 3),
    "pool4": MaxPool(2, 2),
    "conv5_1": Conv(512, 3), "conv5_2": Conv(512, 3), "conv5_3": Conv(512, 3), "conv5_4": Conv(512, 3),
    "pool5": MaxPool(2, 2),
    "fc6": Dense(4096), "fc7": Dense(4096), "fc8": Dense(IMAGENET_CLASSES),
}
NETWORK_IN_NETWORK: dict[str, TableRow] = {
    "conv1": Conv(96, 11, 4, padded=False), "cccp1": Conv( 96), "cccp2": Conv( 96), "pool1": MaxPool(3, 2),
    "conv2": Conv( 256,  5), "cccp3": Conv( 256), "cccp4": Conv( 256), "pool2": MaxPool(3, 2),
    "conv3": Conv( 384,  3), "cccp5": Conv( 384), "cccp6": Conv( 384), "pool3": MaxPool(3, 2),
    "conv4": Conv(1024,  3), "cccp7": Conv(1024), "cccp8": Conv(IMAGENET_CLASSES), "average": GlobalAverage(),
}
# fmt: on
PAPER_SIZE = 224  # pixels, section 5
LAST_MAP = 7  # side of the last maps at that size, Table 1
STEM = 8  # stride of the layers before inception_3a
MIN_MAP = 8  # side of the maps at 3a: below, those at 4a are under 4x4, too small for the heads' pooling
MIN_SIZE = STEM * MIN_MAP
MOST_PIXELS = 4096  # of a side of the input
TRAINED_MAP = 6  # least side of the maps at 3a in an early phase of training: pooling windows overlap

# The auxiliary classifiers (section 5): 4x4 average pooling, 1x1 convolution, two dense layers.
AUX_STAGES = ("inception_4a", "inception_4d")
AUX_POOLED = 4
AUX_CONV = 128
AUX_HIDDEN = 1024
AUX_WEIGHT = 0.3
DROPOUT = 0.4
AUX_DROPOUT = 0.7


def check_size(size: int, *, stem: int = STEM) -> int:
    """Return the input size if a network whose stem has that stride can take it.

    Raises InputError below 64 pixels for Table 1's stem, below 32 for one of stride 4, and above
    `MOST_PIXELS`.
    """
    if size > MOST_PIXELS:
        raise InputError(f"expected an input size of at most {MOST_PIXELS:,} pixels, got {size:,}")
    least = stem * MIN_MAP
    if size < least:
        raise InputError(
            f"expected an input size of at least {least} pixels, got {size}: the stride-2 layers would leave "
            f"maps that are too small; use --size {least}, to which smaller photos are enlarged"
            + (f", or --stem {STEM // 2}" if size >= least // 2 and stem == STEM else "")
        )
    return size


def pooled(length: int, row: MaxPool, padding: Padding) -> int:
    """Output length of one side of a map after max pooling."""
    kernel, stride = row
    if padding == "same":
        return -(-length // stride)
    if padding == "ceil":
        out = -(-(length - kernel) // stride) + 1
        return out - 1 if (out - 1) * stride >= length else out  # the last window starts inside
    return (length + 2 * (kernel // 2) - kernel) // stride + 1


def convolved(length: int, row: Conv) -> int:
    """Output length of one side of a map after a convolution; the same in all dialects."""
    return (length + 2 * (row.kernel // 2) * row.padded - row.kernel) // row.stride + 1
