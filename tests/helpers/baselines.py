"""The networks that the paper compares with or builds on: Network in Network, VGG-16 and VGG-19.

VGG is torchvision's; Network in Network (Lin et al. 2013) is built from its table in `architecture.table1`.
"""

from collections import OrderedDict

from torch import nn
from torchvision.models import vgg16, vgg19

from googlenet.architecture.table1 import IMAGE_CHANNELS, IMAGENET_CLASSES, NETWORK_IN_NETWORK, Conv, MaxPool
from googlenet.base.errors import InputError

NAMES = ("nin", "vgg16", "vgg19")
NIN_DROPOUT = 0.5


def baseline(name: str, num_classes: int = IMAGENET_CLASSES) -> nn.Module:
    """Build a network [N, 3, 224, 224] -> logits [N, num_classes] with random weights.

    Raises InputError for an unknown name, with the list of those there are.
    """
    match name:
        case "nin":
            return network_in_network(num_classes)
        case "vgg16":
            return vgg16(weights=None, num_classes=num_classes)  # type: ignore[no-any-return]
        case "vgg19":
            return vgg19(weights=None, num_classes=num_classes)  # type: ignore[no-any-return]
    raise InputError(f"expected a baseline among {', '.join(NAMES)}, got {name!r}")


def network_in_network(num_classes: int = IMAGENET_CLASSES) -> nn.Sequential:
    """Network in Network for ImageNet: 1x1 convolutions and a global average, no dense layer.

    The last 1x1 convolution has a map for each class; dropout stands before the last stage.
    """
    channels = IMAGE_CHANNELS
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, row in NETWORK_IN_NETWORK.items():
        match row:
            case Conv(out, kernel, stride, padded):
                width = num_classes if name == "cccp8" else out
                layers[name] = nn.Conv2d(channels, width, kernel, stride, kernel // 2 if padded else 0)
                layers[f"{name}_relu"] = nn.ReLU()
                channels = width
            case MaxPool(kernel, stride):
                layers[name] = nn.MaxPool2d(kernel, stride, ceil_mode=True)
            case _:
                layers[name] = nn.AdaptiveAvgPool2d(1)
        if name == "pool3":
            layers["dropout"] = nn.Dropout(NIN_DROPOUT)
    layers["logits"] = nn.Flatten()
    return nn.Sequential(layers)
