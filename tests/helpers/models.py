"""Small networks whose outputs say something, and model files of them."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from googlenet.architecture.dialects import Preprocessing
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels, preprocess
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet
from helpers.painting import photo

CLASSES = ("blue", "green", "red")
SIZE = 64
CLOTHES = ("boot", "dress", "hat")


def liven(net: nn.Module, *, seed: int = 0) -> nn.Module:
    """He weights and random batch statistics: with the defaults activations shrink to nothing."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * (2 / fan) ** 0.5
        elif isinstance(module, nn.BatchNorm2d):
            for tensor, low in (
                (module.weight.data, 0.8),
                (module.bias.data, -0.1),
                (module.running_mean, -0.1),
                (module.running_var, 0.7),
            ):
                assert tensor is not None
                tensor.copy_(low + 0.4 * torch.rand(tensor.shape, generator=generator))
    return net


def save(path: Path, dialect: str) -> Path:
    """Write a model file of three classes at 64 pixels."""
    net = GoogLeNet(3, dialect_name=dialect).eval()
    liven(net, seed=1)
    net.classifier.weight.data *= 0.2  # so that guesses are no certainties
    card = ModelMetadata(
        classes=CLASSES, dialect=dialect, preprocessing=Preprocessing(size=SIZE), temperature=1.7
    )
    checkpoint.save(path, net, card)
    return path


def squares(count: int = 5) -> np.ndarray:
    """Random network inputs, uint8 [count, 64, 64, 3]."""
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def small_net() -> GoogLeNet:
    """A network of three classes at 96 pixels, with its card."""
    torch.manual_seed(0)
    found = liven(GoogLeNet(3)).eval()
    found.metadata = ModelMetadata(classes=CLOTHES, dialect="bn", preprocessing=Preprocessing(size=96))
    return found


def seen(net: GoogLeNet) -> Pixels:
    """What the network is given of `photo`, uint8 [1, size, size, 3]."""
    return np.stack([preprocess(photo(), net.metadata.preprocessing)])
