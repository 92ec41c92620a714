"""Activations of named layers, by hooks that are gone afterwards."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from googlenet.base.errors import InputError
from googlenet.images.decode import Pixels
from googlenet.nn import layer_names
from googlenet.nn.layer_names import Layer
from googlenet.nn.model import GoogLeNet, network_input


class Recorder:
    """What the layers gave in the last forward pass; with gradients, unless that was without."""

    def __init__(self, wanted: Sequence[Layer]) -> None:
        """Record these layers."""
        self._wanted = wanted
        self._given: dict[nn.Module, Tensor] = {}

    def keep(self, module: nn.Module, args: Any, output: Tensor) -> None:
        """Keep what a module gave: a forward hook."""
        self._given[module] = output

    def __getitem__(self, name: str) -> Tensor:
        """Maps [N, C, H, W] of a layer."""
        (layer,) = (layer for layer in self._wanted if layer.name == name)
        return layer_names.maps_of(tuple(self._given[module] for module in layer.modules))


@contextmanager
def recording(net: GoogLeNet, names: Sequence[str]) -> Iterator[Recorder]:
    """Record layers of a network while it runs; the names are ours, see `layers.translated`.

    Raises InputError for a layer that it has not.
    """
    wanted = [layer_names.find_layer(net, name) for name in names]
    recorder = Recorder(wanted)
    modules = {module for layer in wanted for module in layer.modules}
    handles = [module.register_forward_hook(recorder.keep) for module in modules]
    try:
        with _uncompiled():
            yield recorder
    finally:
        for handle in handles:
            handle.remove()


def _uncompiled() -> AbstractContextManager[Any]:
    """What was compiled before knows of no hooks; where nothing was, its compiler takes a second to load."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@torch.inference_mode()
def features(net: GoogLeNet, images: Pixels | Tensor, *, layers: Sequence[str]) -> dict[str, Tensor]:
    """Activations of layers at inference, under the names that they were asked for by.

    images   uint8 squares [N, size, size, 3] as the model's preprocessing cuts them, or a normalized
             tensor [N, 3, H, W]
    returns  float32 [N, C, H, W] of each layer
    raises   InputError for a layer that the network has not
    """
    found = {name: _ours(net, name) for name in layers}
    training = net.training
    with recording(net, list(dict.fromkeys(found.values()))) as recorder:
        try:
            net.eval()(_tensor(net, images))
        finally:
            net.train(training)
    return {name: recorder[ours].detach() for name, ours in found.items()}


def _ours(net: GoogLeNet, name: str) -> str:
    return layer_names.find_layer(net, name).name


def _tensor(net: GoogLeNet, images: Pixels | Tensor) -> Tensor:
    device = next(net.parameters()).device
    if isinstance(images, Tensor) and images.dtype != torch.uint8:
        return images.to(device)
    if net.card is None:
        raise InputError("expected a normalized tensor for a network without a card, got pixels")
    squares = images if isinstance(images, Tensor) else torch.tensor(images)
    return network_input(squares.to(device), net.card.preprocessing)
