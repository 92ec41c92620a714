"""The network: GoogLeNet, and the auxiliary heads that exist while training."""

import math
from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet.architecture.dialects import INITS, Dialect, Preprocessing, dialect
from googlenet.architecture.table1 import (
    AUX_CONV,
    AUX_HIDDEN,
    AUX_POOLED,
    AUX_STAGES,
    IMAGE_CHANNELS,
    IMAGENET_CLASSES,
    LAST_MAP,
    MIN_SIZE,
    TRAINED_MAP,
    Conv,
)
from googlenet.base.errors import InputError
from googlenet.files.metadata import ModelMetadata
from googlenet.nn.blocks import ConvBlock, Dropout, InceptionBlock, NaiveInceptionBlock, layer, pool_to_4x4

__all__ = ["GoogLeNet", "InceptionBlock", "NaiveInceptionBlock", "WithAuxiliaryHeads"]


class Outputs(NamedTuple):
    """Logits [N, classes] of the network and of the heads on 4a and 4d, if there are any."""

    logits: Tensor
    aux1: Tensor | None = None
    aux2: Tensor | None = None


class GoogLeNet(nn.Module):
    """The network of Table 1, for inference: no auxiliary heads."""

    def __init__(
        self,
        num_classes: int = IMAGENET_CLASSES,
        *,
        dialect_name: str = "bn",
        dropout: float | None = None,
    ) -> None:
        """Build it with PyTorch's default initial weights; `dropout` by default is the dialect's.

        Raises InputError for an unknown dialect.
        """
        super().__init__()
        self.dialect = dialect(dialect_name)
        self.metadata: ModelMetadata | None = (
            None  # class names and preprocessing, if it came from a model file
        )
        self.num_classes = num_classes
        self.trunk, self.channels = _trunk(self.dialect), self.dialect.channels
        self.others = nn.ModuleList(_trunk(self.dialect) for _ in range(self.dialect.members - 1))
        self.reads = self.dialect.reads
        width = self.dialect.members * sum(self.channels[name] for name in self.reads)
        if self.dialect.dense is None:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
        else:  # flattened maps; sizes other than 224 are brought to the same map
            self.avgpool = nn.AdaptiveAvgPool2d(LAST_MAP)
            self.hidden = nn.Sequential(nn.Linear(width * LAST_MAP**2, self.dialect.dense), nn.ReLU())
            width = self.dialect.dense
        self.dropout = Dropout(self.dialect.dropout if dropout is None else dropout)
        self.classifier = nn.Linear(width, num_classes)

    @property
    def card(self) -> ModelMetadata | None:
        """The former name of `metadata`."""
        return self.metadata

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images [N, 3, H, W], sides of `dialect.min_size` and up -> logits [N, num_classes]."""
        return self.classify(self.maps(check_images(images, least=self.dialect.min_size)))

    def maps(self, images: Tensor) -> Tensor:
        """Normalized images -> the maps [N, channels, h, w] that the classifier averages."""
        first = self.read(self.stages(images, self.reads))
        others = [self.read(self.stages(images, self.reads, trunk)) for trunk in self.others]
        return torch.cat([first, *others], dim=1) if others else first

    def stages(
        self, images: Tensor, names: Collection[str], trunk: nn.Module | None = None
    ) -> dict[str, Tensor]:
        """Normalized images -> the maps that leave these stages of the first trunk, or of another."""
        x, leaving = images, {}
        for name, stage in (trunk or self.trunk).named_children():
            x = stage(x)
            if name in names:
                leaving[name] = x
        return leaving

    def read(self, leaving: dict[str, Tensor]) -> Tensor:
        """Maps of each stage -> those that the classifier averages, on the grid of the last ones."""
        last = leaving[self.reads[-1]]
        if len(self.reads) == 1:
            return last
        earlier = [_averaged(leaving[name], like=last) for name in self.reads[:-1]]
        return torch.cat([*earlier, last], dim=1)

    def classify(self, maps: Tensor) -> Tensor:
        """Maps as `maps` gives them [N, channels, h, w] -> logits [N, num_classes]."""
        return self.classifier(self.dropout(self.features(maps)))  # type: ignore[no-any-return]

    def features(self, maps: Tensor) -> Tensor:
        """Maps as `maps` gives them -> what the classifier multiplies: their averages [N, channels].

        With a dense layer its hidden units instead.
        """
        averages = self.avgpool(maps).flatten(1)
        return averages if self.dialect.dense is None else self.hidden(averages)  # type: ignore[no-any-return]

    def class_maps(self, maps: Tensor) -> Tensor:
        """Maps as `maps` gives them [N, channels, h, w] -> [N, num_classes, h, w].

        The mean of a class's map over its h x w places is its logit: behind a global average the maps
        of Zhou et al. 2016 are exact. Not for a network with a dense layer there.
        """
        weight, bias = self.classifier.weight, self.classifier.bias
        return nn.functional.conv2d(maps, weight[:, :, None, None], bias)


class AuxiliaryHead(nn.Module):
    """A classifier on the maps of a middle stage (section 5), discarded at inference."""

    def __init__(self, channels: int, num_classes: int, *, dialect: Dialect, dropout: float) -> None:
        """Build it for `channels` arriving channels."""
        super().__init__()
        self.adaptive = dialect.adaptive_heads
        self.conv = ConvBlock(channels, Conv(AUX_CONV), dialect=dialect)
        self.hidden = nn.Linear(AUX_CONV * AUX_POOLED**2, AUX_HIDDEN)
        self.relu = nn.ReLU()
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(AUX_HIDDEN, num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [N, channels, h, w], sides of 4 and up -> logits [N, num_classes]."""
        flat = self.conv(pool_to_4x4(maps, adaptive=self.adaptive)).flatten(1)
        return self.classifier(self.dropout(self.relu(self.hidden(flat))))  # type: ignore[no-any-return]


class WithAuxiliaryHeads(nn.Module):
    """GoogLeNet and the two classifiers that push gradient into its middle while training."""

    def __init__(self, net: GoogLeNet, *, dropout: float | None = None, heads: bool = True) -> None:
        """Put heads on the outputs of 4a and 4d of `net`, or none; `dropout` by default is the dialect's."""
        super().__init__()
        self.net = net
        share = net.dialect.aux_dropout if dropout is None else dropout
        self.heads = nn.ModuleDict(
            {
                stage: AuxiliaryHead(net.channels[stage], net.num_classes, dialect=net.dialect, dropout=share)
                for stage in (AUX_STAGES if heads else ())
            }
        )

    def forward(self, images: Tensor) -> Outputs:
        """Normalized images [N, 3, H, W] -> three sets of logits.

        Sides are of `dialect.min_size` and up; while training also of three quarters of it.
        """
        least = self.net.dialect.stem * TRAINED_MAP if self.training else self.net.dialect.min_size
        leaving = self.net.stages(check_images(images, least=least), (*self.heads, *self.net.reads))
        auxiliary = [head(leaving[name]) for name, head in self.heads.items()]
        return Outputs(self.net.classify(self.net.read(leaving)), *auxiliary)


def initialize_weights(net: nn.Module, how: str) -> None:
    """Draw the initial weights of a network, with its heads or without, from torch's random state.

    how     `default`: PyTorch's own, left as they are
            `he`: normal, variance 2 / outgoing connections (He et al. 2015), convolutions alone
            `xavier`: uniform, variance 1 / arriving connections, as Caffe's filler of that name has it;
            biases 0.2, classifiers' 0, as BVLC's network
            `truncated`: normal of standard deviation 0.01, cut at -2 and 2, as torchvision's
    raises  InputError for another word
    """
    if how not in INITS:
        raise InputError(f"expected initial weights among {', '.join(INITS)}, got {how!r}")
    for name, module in net.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear) or how == "default":
            continue
        if how == "he" and isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif how == "truncated":
            nn.init.trunc_normal_(module.weight, std=0.01, a=-2.0, b=2.0)
        elif how == "xavier":
            bound = math.sqrt(3 / module.weight[0].numel())
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.constant_(module.bias, 0.0 if name.endswith("classifier") else 0.2)


def network_input(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 [N, H, W, 3] in 0..255 -> normalized float32 [N, 3, H, W], channels last in memory."""
    mean = torch.tensor(preprocessing.mean, device=images.device)
    std = torch.tensor(preprocessing.std, device=images.device)
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


@torch.fx.wrap  # a step of its own to whoever traces the network, as torchvision's feature extractor does
def check_images(images: Tensor, *, least: int = MIN_SIZE) -> Tensor:
    """Return the batch if the network can take it.

    Raises InputError for anything but [N, 3, H, W] with sides of `least` and up.
    """
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] != IMAGE_CHANNELS or min(shape[2:]) < least:
        raise InputError(
            f"expected images [N, 3, H, W] with sides of at least {least}, got {list(shape)}; "
            "for channels last use x.permute(0, 3, 1, 2)"
        )
    return images


def _averaged(maps: Tensor, *, like: Tensor) -> Tensor:
    """Maps on the grid of others by PyTorch's adaptive average; where windows are equal, in a faster form."""
    height, width = like.shape[-2:]
    (down, below), (across, beside) = divmod(maps.shape[-2], height), divmod(maps.shape[-1], width)
    if below or beside:
        return F.adaptive_avg_pool2d(maps, (height, width))
    return F.avg_pool2d(maps, (down, across)) if (down, across) != (1, 1) else maps


def _trunk(dialect: Dialect) -> nn.Sequential:
    """The rows of the dialect's table."""
    arriving = (IMAGE_CHANNELS, *dialect.channels.values())
    return nn.Sequential(
        OrderedDict(
            (name, layer(row, channels, dialect=dialect))
            for (name, row), channels in zip(dialect.table.items(), arriving, strict=False)
        )
    )
