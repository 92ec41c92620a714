"""What an image is drawn for: units, directions and layers, alone or added up."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from googlenet.base.errors import InputError
from googlenet.interpret.class_maps import LOGITS
from googlenet.nn import layer_names
from googlenet.nn.activations import recording
from googlenet.nn.model import GoogLeNet

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Term:
    """One thing to excite.

    layer      our name of a layer, or `logits`
    direction  float32 [channels]: excite the maps' product with it, for one unit a row of the unit matrix;
               None for all of the layer, by its mean square (what DeepDream ascends)
    weight     what it counts beside others; below zero it is avoided
    neuron     only in the middle of the map, not on average over it
    """

    layer: str
    direction: Vector | None
    weight: float = 1.0
    neuron: bool = False
    title: str = ""


Objective = Sequence[Term]  # the sum of its terms, one or more


def unit(net: GoogLeNet, layer: str, channel: int, *, neuron: bool = False, weight: float = 1.0) -> Term:
    """A channel of a layer, or a class of `logits`.

    Raises InputError for a layer or a channel that there is not.
    """
    width = width_of(net, layer)
    if not 0 <= channel < width:
        raise InputError(f"expected a channel of {layer} from 0 to {width - 1}, got {channel}")
    one = np.zeros(width, np.float32)
    one[channel] = 1
    named = layer == LOGITS and net.card is not None
    title = net.card.classes[channel] if named and net.card else str(channel)
    return Term(layer=_ours(net, layer), direction=one, weight=weight, neuron=neuron, title=title)


def direction(net: GoogLeNet, layer: str, vector: Vector, *, neuron: bool = False) -> Term:
    """A direction in the space of a layer's channels, float32 [channels].

    Raises InputError for a layer that there is not, or a vector of another width.
    """
    width = width_of(net, layer)
    if vector.shape != (width,) or not np.isfinite(vector).all() or not vector.any():
        raise InputError(
            f"expected a direction of {width} finite numbers, not all zero, for {layer}, got "
            f"{'such of shape ' if vector.shape != (width,) else 'others of shape '}{list(vector.shape)}"
        )
    return Term(layer=_ours(net, layer), direction=vector.astype(np.float32), neuron=neuron, title=layer)


def whole(net: GoogLeNet, layer: str) -> Term:
    """All that a layer gives, by its mean square.

    Raises InputError for a layer that there is not.
    """
    return Term(layer=_ours(net, layer), direction=None, title=layer)


def width_of(net: GoogLeNet, layer: str) -> int:
    """How many channels a layer has.

    Raises InputError.
    """
    return net.num_classes if layer == LOGITS else layer_names.find_layer(net, layer).channels


def maps(net: GoogLeNet, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Maps [N, C, h, w] of layers for normalized images, the network run no further than the last of them.

    names  ours, as in a `Term`; logits are maps of one place
    """
    inner = list(dict.fromkeys(name for name in names if name != LOGITS))
    found: dict[str, Tensor] = {}
    with ExitStack() as stack:
        recorder = stack.enter_context(recording(net, inner)) if inner else None
        if LOGITS in names:
            found[LOGITS] = net(images)[:, :, None, None]
        else:
            awaited = {name.split("/")[0].removesuffix(layer_names.PRE_RELU) for name in inner}
            x = images
            for stage, module in net.trunk.named_children():
                x = module(x)
                awaited.discard(stage)
                if not awaited:
                    break
        return found | {name: recorder[name] for name in inner if recorder is not None}


def excitement(given: dict[str, Tensor], objectives: Sequence[Objective]) -> Tensor:
    """How far each image excites its own objective, from `maps` [N, C, h, w] of it: [N]."""
    return torch.stack(
        [
            sum((term.weight * _value(given[term.layer][i], term) for term in objective), torch.zeros(()))
            for i, objective in enumerate(objectives)
        ]
    )


def _value(own: Tensor, term: Term) -> Tensor:
    """Of maps [C, h, w]."""
    if term.direction is None:
        return own.square().mean()
    vector = torch.from_numpy(term.direction).to(own)
    places = own[:, own.shape[1] // 2, own.shape[2] // 2] if term.neuron else own.mean(dim=(1, 2))
    return places @ vector


def _ours(net: GoogLeNet, layer: str) -> str:
    return layer if layer == LOGITS else layer_names.find_layer(net, layer).name
