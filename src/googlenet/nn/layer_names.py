"""Names of layers: the paper's, with branches, and those of the interpretability literature.

inception_4a            the output of a module: its four branches, one after the other
inception_4a/5x5        one branch; also 1x1, 3x3, pool_proj, 3x3_reduce and 5x5_reduce
inception_4a:pre_relu   the same before the ReLU; inception_4a/5x5:pre_relu likewise
mixed4a, mixed4a_5x5_bottleneck_pre_relu, conv2d0   what lucid calls them
"""

import difflib
import re
from dataclasses import dataclass

from torch import nn

from googlenet.base.errors import InputError
from googlenet.nn.blocks import ConvBlock, InceptionBlock, NaiveInceptionBlock
from googlenet.nn.model import GoogLeNet

PRE_RELU = ":pre_relu"
_BRANCHES = {  # names of a module's parts, in the order of its output; then what leads to them
    "1x1": "n1x1",
    "3x3": "n3x3",
    "5x5": "n5x5",
    "pool_proj": "pool_proj",
    "3x3_reduce": "n3x3_reduce",
    "5x5_reduce": "n5x5_reduce",
}
_LEAVING = ("1x1", "3x3", "5x5", "pool_proj")
_LUCID_STEM = {
    "conv2d0": "conv1",
    "maxpool0": "pool1",
    "localresponsenorm0": "norm1",
    "conv2d1": "conv2_reduce",
    "conv2d2": "conv2",
    "localresponsenorm1": "norm2",
    "maxpool1": "pool2",
    "maxpool4": "pool3",
    "maxpool10": "pool4",
}
_LUCID_PARTS = {"3x3_bottleneck": "3x3_reduce", "5x5_bottleneck": "5x5_reduce", "pool_reduce": "pool_proj"}
_LUCID = re.compile(r"(mixed(\d[a-e])|conv2d\d|maxpool\d+|localresponsenorm\d)(?:_(.+))?$")
_LUCID_PRE_RELU = "_pre_relu"


@dataclass(frozen=True)
class Layer:
    """A named layer; its maps [N, C, H, W] are the outputs of `modules`, concatenated."""

    name: str
    modules: tuple[nn.Module, ...]
    channels: int


def find_layer(net: GoogLeNet, name: str) -> Layer:
    """The layer of a name, in either way of naming.

    Raises InputError with the names that are closest.
    """
    layers = all_layers(net)
    full_name = translate_name(name)
    if full_name in layers:
        return layers[full_name]
    close = difflib.get_close_matches(full_name, layers, n=4, cutoff=0.4) or list(layers)
    raise InputError(
        f"expected a layer of the network, got {name!r}; closest: {', '.join(close[:4])}; all: "
        f"{', '.join(stages(net))}, with /1x1, /3x3 and others, and {PRE_RELU}"
    )


def stages(net: GoogLeNet) -> list[str]:
    """The rows of the network's table, in order."""
    return [name for name, _ in net.trunk.named_children()]


def translate_name(name: str) -> str:
    """The full name of a layer; a name of the interpretability literature is translated."""
    plain = name.removesuffix(PRE_RELU).removesuffix(_LUCID_PRE_RELU)
    match = _LUCID.match(plain)
    if match is None:
        return name
    stem, module, part = match.groups()
    full_name = f"inception_{module}" if module else _LUCID_STEM.get(stem, stem)
    if part:
        full_name += f"/{_LUCID_PARTS.get(part, part)}"
    return full_name + (PRE_RELU if plain != name else "")


def all_layers(net: GoogLeNet) -> dict[str, Layer]:
    """Every layer that has a name."""
    layers: dict[str, Layer] = {}
    for name, stage in net.trunk.named_children():
        width = net.channels[name]
        _add(layers, name, (stage,), width, before=(stage,))
        if isinstance(stage, InceptionBlock | NaiveInceptionBlock):
            parts = {part: getattr(stage, own) for part, own in _BRANCHES.items() if hasattr(stage, own)}
            for part, block in parts.items():
                _add(layers, f"{name}/{part}", (block,), block.conv.out_channels, before=(block,))
            leaving = tuple(parts[part] for part in _LEAVING if part in parts)
            if sum(block.conv.out_channels for block in leaving) == width:  # not where a pool is a branch
                _add(layers, name, (stage,), width, before=leaving)
    return layers


def _add(
    layers: dict[str, Layer],
    name: str,
    modules: tuple[nn.Module, ...],
    channels: int,
    *,
    before: tuple[nn.Module, ...],
) -> None:
    layers[name] = Layer(name, modules, channels)
    if all(isinstance(block, ConvBlock) for block in before):
        inner = tuple(list(block.children())[-2] for block in before)  # what the ReLU is given
        layers[name + PRE_RELU] = Layer(name + PRE_RELU, inner, channels)
