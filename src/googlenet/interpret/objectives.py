"""What an image is drawn for: units, directions and layers, alone or added up."""

from collections.abc import Sequence
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
class ObjectiveTerm:
    """One unit, direction or layer to excite.

    layer      full name of a layer, or `logits`
    direction  float32 [channels]: excite the maps' product with it, for one unit a row of the unit matrix;
               None for all of the layer, by its mean square (what DeepDream ascends)
    weight     in the sum of terms; below zero the term is suppressed
    neuron     only in the middle of the map, not on average over it
    """

    layer: str
    direction: Vector | None
    weight: float = 1.0
    neuron: bool = False
    title: str = ""


Objective = Sequence[ObjectiveTerm]  # the sum of its terms, one or more


def unit(
    net: GoogLeNet, layer: str, channel: int, *, neuron: bool = False, weight: float = 1.0
) -> ObjectiveTerm:
    """A channel of a layer, or a class of `logits`.

    Raises InputError for a layer or a channel that there is not.
    """
    width = width_of(net, layer)
    if not 0 <= channel < width:
        raise InputError(f"expected a channel of {layer} from 0 to {width - 1}, got {channel}")
    one_hot = np.eye(1, width, channel, dtype=np.float32)[0]
    title = net.metadata.classes[channel] if layer == LOGITS and net.metadata is not None else str(channel)
    return ObjectiveTerm(
        layer=_full_name(net, layer), direction=one_hot, weight=weight, neuron=neuron, title=title
    )


def direction(net: GoogLeNet, layer: str, vector: Vector, *, neuron: bool = False) -> ObjectiveTerm:
    """A direction in the space of a layer's channels, float32 [channels].

    Raises InputError for a layer that there is not, or a vector of another width.
    """
    width = width_of(net, layer)
    if vector.shape != (width,) or not np.isfinite(vector).all() or not vector.any():
        fault = "shape" if vector.shape != (width,) else "zeros or values that are not finite, shape"
        raise InputError(
            f"expected a direction of {width} finite numbers, not all zero, for {layer}, "
            f"got {fault} {list(vector.shape)}"
        )
    return ObjectiveTerm(
        layer=_full_name(net, layer), direction=vector.astype(np.float32), neuron=neuron, title=layer
    )


def whole_layer(net: GoogLeNet, layer: str) -> ObjectiveTerm:
    """The mean square of all that a layer outputs.

    Raises InputError for a layer that there is not.
    """
    return ObjectiveTerm(layer=_full_name(net, layer), direction=None, title=layer)


def width_of(net: GoogLeNet, layer: str) -> int:
    """How many channels a layer has.

    Raises InputError.
    """
    return net.num_classes if layer == LOGITS else layer_names.find_layer(net, layer).channels


def layer_maps(net: GoogLeNet, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Maps [N, C, h, w] of layers for normalized images, the network run no further than the last of them.

    names  as in an `ObjectiveTerm`; logits are maps of one place
    """
    inner = list(dict.fromkeys(name for name in names if name != LOGITS))
    outputs: dict[str, Tensor] = {}
    with recording(net, inner) as recorder:
        if LOGITS in names:
            outputs[LOGITS] = net(images)[:, :, None, None]
        else:
            pending = {name.split("/")[0].removesuffix(layer_names.PRE_RELU) for name in inner}
            x = images
            for stage, module in net.trunk.named_children():
                x = module(x)
                pending.discard(stage)
                if not pending:
                    break
        return outputs | {name: recorder[name] for name in inner}


def objective_values(maps: dict[str, Tensor], objectives: Sequence[Objective]) -> Tensor:
    """The value of each image's own objective, [N], from `layer_maps` [N, C, h, w]."""
    return torch.stack(
        [
            sum((term.weight * _value(maps[term.layer][i], term) for term in objective), torch.zeros(()))
            for i, objective in enumerate(objectives)
        ]
    )


def _value(maps: Tensor, term: ObjectiveTerm) -> Tensor:
    """The value of a term for maps [C, h, w]."""
    if term.direction is None:
        return maps.square().mean()
    vector = torch.from_numpy(term.direction).to(maps)
    channels = maps[:, maps.shape[1] // 2, maps.shape[2] // 2] if term.neuron else maps.mean(dim=(1, 2))
    return channels @ vector


def _full_name(net: GoogLeNet, layer: str) -> str:
    return layer if layer == LOGITS else layer_names.find_layer(net, layer).name
