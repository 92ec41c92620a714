"""Activations of named layers, by hooks that are gone afterwards."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from googlenet.base.errors import InputError
from googlenet.images.decode import Pixels
from googlenet.nn.layer_names import Layer, find_layer
from googlenet.nn.model import GoogLeNet, network_input


class Recorder:
    """Outputs of layers in the last forward pass, with gradients if it had them."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        """Record these layers."""
        self._layers = {layer.name: layer for layer in layers}
        self._outputs: dict[nn.Module, Tensor] = {}

    def keep(self, module: nn.Module, args: Any, output: Tensor) -> None:
        """Keep the output of a module: a forward hook."""
        self._outputs[module] = output

    def __getitem__(self, name: str) -> Tensor:
        """Maps [N, C, H, W] of a layer."""
        outputs = [self._outputs[module] for module in self._layers[name].modules]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


@contextmanager
def recording(net: GoogLeNet, names: Sequence[str]) -> Iterator[Recorder]:
    """Record layers of a network while it runs, by their full names: see `layer_names.translate_name`.

    Raises InputError for a layer that it has not.
    """
    layers = [find_layer(net, name) for name in names]
    recorder = Recorder(layers)
    modules = {module for layer in layers for module in layer.modules}
    handles = [module.register_forward_hook(recorder.keep) for module in modules]
    try:
        with _uncompiled():
            yield recorder
    finally:
        for handle in handles:
            handle.remove()


def _uncompiled() -> AbstractContextManager[Any]:
    """Compiled code runs no hooks; where nothing was compiled, loading the compiler would take a second."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@torch.inference_mode()
def features(net: GoogLeNet, images: Pixels | Tensor, *, layers: Sequence[str]) -> dict[str, Tensor]:
    """Activations of layers at inference, under the names that are given.

    images   uint8 squares [N, size, size, 3] as the model's preprocessing cuts them, or a normalized
             tensor [N, 3, H, W]
    returns  float32 [N, C, H, W] of each layer
    raises   InputError for a layer that the network has not
    """
    full_names = {name: find_layer(net, name).name for name in layers}
    training = net.training
    with recording(net, list(dict.fromkeys(full_names.values()))) as recorder:
        try:
            net.eval()(_tensor(net, images))
        finally:
            net.train(training)
    return {name: recorder[full].detach() for name, full in full_names.items()}


def _tensor(net: GoogLeNet, images: Pixels | Tensor) -> Tensor:
    device = next(net.parameters()).device
    if isinstance(images, Tensor) and images.dtype != torch.uint8:
        return images.to(device)
    if net.metadata is None:
        raise InputError("expected a normalized tensor for a network without a card, got pixels")
    squares = images if isinstance(images, Tensor) else torch.tensor(images)
    return network_input(squares.to(device), net.metadata.preprocessing)
