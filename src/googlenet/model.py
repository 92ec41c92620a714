"""The network: the Inception module, GoogLeNet, and the auxiliary heads that exist while training."""

from collections import OrderedDict
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet.errors import InputError
from googlenet.modelfile import Card
from googlenet.spec import (
    AUX_CONV,
    AUX_DROPOUT,
    AUX_HIDDEN,
    AUX_POOLED,
    AUX_STAGES,
    BATCH_NORM_EPS,
    DROPOUT,
    IMAGE_CHANNELS,
    IMAGENET_CLASSES,
    LRN,
    LRN_ALPHA,
    LRN_BETA,
    LRN_K,
    LRN_SIZE,
    MIN_SIZE,
    TABLE_1,
    Conv,
    Dialect,
    Inception,
    MaxPool,
    Preprocessing,
    dialect,
)

INITS = ("default", "he", "xavier", "truncated")

Net = TypeVar("Net", bound=nn.Module)


class Outputs(NamedTuple):
    """Logits [N, classes] of the network and of the heads on 4a and 4d."""

    logits: Tensor
    aux1: Tensor
    aux2: Tensor


class ConvBlock(nn.Sequential):
    """A same-padded convolution, the dialect's normalisation, and ReLU."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, *, kind: Dialect) -> None:
        """Build it for `channels` arriving channels."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv"] = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=kind.conv_bias)
        if kind.batch_norm:
            layers["norm"] = nn.BatchNorm2d(out, eps=BATCH_NORM_EPS)
        layers["relu"] = nn.ReLU()
        super().__init__(layers)


class InceptionBlock(nn.Module):
    """The Inception module with dimension reductions, Figure 2(b)."""

    def __init__(self, channels: int, row: Inception, *, kind: Dialect) -> None:
        """Build it for `channels` arriving channels, with the widths of one row of Table 1."""
        super().__init__()
        self.n1x1 = ConvBlock(channels, row.n1x1, kind=kind)
        self.n3x3_reduce = ConvBlock(channels, row.n3x3_reduce, kind=kind)
        self.n3x3 = ConvBlock(row.n3x3_reduce, row.n3x3, 3, kind=kind)
        self.n5x5_reduce = ConvBlock(channels, row.n5x5_reduce, kind=kind)
        self.n5x5 = ConvBlock(row.n5x5_reduce, row.n5x5, 5, kind=kind)
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.pool_proj = ConvBlock(channels, row.pool_proj, kind=kind)

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


class GoogLeNet(nn.Module):
    """The network of Table 1, for inference: no auxiliary heads."""

    def __init__(
        self,
        num_classes: int = IMAGENET_CLASSES,
        *,
        dialect_name: str = "bn",
        dropout: float = DROPOUT,
    ) -> None:
        """Build it with PyTorch's default initial weights.

        Raises InputError for an unknown dialect.
        """
        super().__init__()
        self.kind = dialect(dialect_name)
        self.card: Card | None = None  # class names and preprocessing, if it came from a model file
        self.num_classes = num_classes
        self.trunk, channels = _trunk(self.kind)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [N, 3, H, W], sides of 64 and up -> logits [N, num_classes]."""
        return self.classify(self.trunk(check_images(images)))

    def classify(self, maps: Tensor) -> Tensor:
        """Maps of the last Inception module [N, 1024, h, w] -> logits [N, num_classes]."""
        return self.classifier(self.dropout(self.avgpool(maps).flatten(1)))  # type: ignore[no-any-return]


class AuxiliaryHead(nn.Module):
    """A classifier on the maps of a middle stage (section 5), discarded at inference."""

    def __init__(self, channels: int, num_classes: int, *, kind: Dialect, dropout: float) -> None:
        """Build it for `channels` arriving channels."""
        super().__init__()
        self.conv = ConvBlock(channels, AUX_CONV, kind=kind)
        self.hidden = nn.Linear(AUX_CONV * AUX_POOLED**2, AUX_HIDDEN)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(AUX_HIDDEN, num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [N, channels, h, w], sides of 4 and up -> logits [N, num_classes]."""
        flat = self.conv(pool_to_4x4(maps)).flatten(1)
        return self.classifier(self.dropout(self.relu(self.hidden(flat))))  # type: ignore[no-any-return]


class WithAuxiliaryHeads(nn.Module):
    """GoogLeNet and the two classifiers that push gradient into its middle while training."""

    def __init__(self, net: GoogLeNet, *, dropout: float = AUX_DROPOUT) -> None:
        """Put heads on the outputs of 4a and 4d of `net`."""
        super().__init__()
        self.net = net
        self.heads = nn.ModuleDict(
            {
                stage: AuxiliaryHead(_width(stage), net.num_classes, kind=net.kind, dropout=dropout)
                for stage in AUX_STAGES
            }
        )

    def forward(self, images: Tensor) -> Outputs:
        """Normalised images [N, 3, H, W], sides of 64 and up -> three sets of logits."""
        x, auxiliary = check_images(images), []
        for name, stage in self.net.trunk.named_children():
            x = stage(x)
            if name in self.heads:
                auxiliary.append(self.heads[name](x))
        return Outputs(self.net.classify(x), *auxiliary)


def initialise(net: nn.Module, how: str) -> None:
    """Draw the initial weights of a network, with its heads or without, from torch's random state.

    how     `default`: PyTorch's own, left as they are
            `he`: normal, variance 2 / outgoing connections (He et al. 2015), convolutions alone
            `xavier`: uniform (Glorot and Bengio 2010), biases 0.2, classifiers' 0, as BVLC's solver
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
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.constant_(module.bias, 0.0 if name.endswith("classifier") else 0.2)


def network_input(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 [N, H, W, 3] in 0..255 -> normalised float32 [N, 3, H, W], channels last in memory."""
    mean = torch.tensor(preprocessing.mean, device=images.device)
    std = torch.tensor(preprocessing.std, device=images.device)
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def relu_in_place(net: Net) -> Net:
    """Let every ReLU overwrite its input, which training can afford: the same numbers, less memory.

    Elsewhere it stays out of place, so that hooks on a normalisation layer see its own output.
    """
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    return net


def pool_to_4x4(maps: Tensor) -> Tensor:
    """Average-pool maps of any side of 4 and up to 4x4 by evenly spaced equal windows.

    A map of 14x14, which a 224-pixel image gives, is pooled 5x5 with stride 3, as in section 5.
    """
    strides = [max(1, (side - 2) // AUX_POOLED) for side in maps.shape[-2:]]
    kernels = [
        side - (AUX_POOLED - 1) * stride for side, stride in zip(maps.shape[-2:], strides, strict=True)
    ]
    return F.avg_pool2d(maps, kernels, strides)


def check_images(images: Tensor) -> Tensor:
    """Return the batch if the network can take it.

    Raises InputError for anything but [N, 3, H, W] with sides of 64 and up.
    """
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] != IMAGE_CHANNELS or min(shape[2:]) < MIN_SIZE:
        raise InputError(
            f"expected images [N, 3, H, W] with sides of at least {MIN_SIZE}, got {list(shape)}; "
            "for channels last use x.permute(0, 3, 1, 2)"
        )
    return images


def _trunk(kind: Dialect) -> tuple[nn.Sequential, int]:
    """The rows of Table 1 up to the last Inception module, and the channels that leave it."""
    channels = IMAGE_CHANNELS
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, row in TABLE_1.items():
        match row:
            case Conv(out, kernel, stride):
                layers[name] = ConvBlock(channels, out, kernel, stride, kind=kind)
                channels = out
            case MaxPool(kernel, stride):
                padding = 0 if kind.ceil_pooling else kernel // 2
                layers[name] = nn.MaxPool2d(kernel, stride, padding, ceil_mode=kind.ceil_pooling)
            case LRN() if kind.lrn:
                layers[name] = nn.LocalResponseNorm(LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K)
            case Inception():
                layers[name] = InceptionBlock(channels, row, kind=kind)
                channels = row.out
    return nn.Sequential(layers), channels


def _width(stage: str) -> int:
    row = TABLE_1[stage]
    assert isinstance(row, Inception)
    return row.out
