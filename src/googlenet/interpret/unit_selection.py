"""Units of a network as text: LAYER[:CHANNEL], logits:NAME, or a weighted sum such as conv1:3+0.5*conv2:7."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import InputError
from googlenet.interpret import objectives
from googlenet.interpret.class_maps import LOGITS, class_number
from googlenet.interpret.objectives import ObjectiveTerm, unit, whole_layer, width_of
from googlenet.nn.model import GoogLeNet


def select_objectives(
    net: GoogLeNet,
    text: str,
    *,
    objective: Literal["channel", "neuron", "layer"] = "channel",
    direction: Path | None = None,
) -> list[list[ObjectiveTerm]]:
    """Read what to draw: an objective for each image, which is a sum of terms.

    text       a layer with its channels, or for `direction` and the objective `layer` the layer alone
    direction  a .npy file with a number for each channel of the layer
    raises     InputError
    """
    neuron = objective == "neuron"
    if direction is not None:
        vector = _read_numbers(direction)
        return [[objectives.direction(net, text, vector, neuron=neuron)]]
    if objective == "layer":
        return [[whole_layer(net, text)]]
    return parse_objectives(net, text, neuron=neuron)


def select_term(net: GoogLeNet, text: str) -> ObjectiveTerm:
    """Read one term: a layer, one channel of it, or a class as logits:NAME.

    Raises InputError.
    """
    if ":" not in text or text.endswith(":pre_relu"):
        return whole_layer(net, text)
    match parse_objectives(net, text):
        case [[term]]:
            return term
    raise InputError(f"expected --layer with one channel or none, got {text}")


def parse_objectives(net: GoogLeNet, text: str, *, neuron: bool = False) -> list[list[ObjectiveTerm]]:
    """Parse LAYER[:CHANNEL]: one objective for each channel, or with `+` one objective for several units.

    Raises InputError for text that cannot be parsed, and for unknown layers, channels and classes.
    """
    class_name = text.removeprefix(f"{LOGITS}:")
    if "+" not in text or (class_name != text and class_name in _classes(net)):
        layer, channels = parse_units(net, text)
        return [[unit(net, layer, channel, neuron=neuron)] for channel in channels]
    terms = []
    for part in text.split("+"):
        weight, star, plain = part.rpartition("*")
        try:
            factor = float(weight) if star else 1.0
        except ValueError:
            raise InputError(f"expected a number before * in {text}, got {weight!r}") from None
        layer, channels = parse_units(net, plain.strip())
        if len(channels) != 1:
            raise InputError(f"expected one channel of each layer in {text}, got {plain.strip()}")
        terms.append(unit(net, layer, channels[0], neuron=neuron, weight=factor))
    return [terms]


def parse_units(net: GoogLeNet, text: str) -> tuple[str, list[int]]:
    """Parse LAYER[:CHANNEL] into the layer and its channels; without CHANNEL, all of them.

    Raises InputError for text that cannot be parsed, and for unknown layers, channels and classes.
    """
    if text.startswith(f"{LOGITS}:"):
        return LOGITS, [class_number(text.removeprefix(f"{LOGITS}:"), _classes(net))]
    layer, colon, ranges = text.rpartition(":")
    matches = [re.fullmatch(r"(\d+)(?:-(\d+))?", part) for part in ranges.split(",")]
    if not colon or not all(matches):
        return text, list(range(width_of(net, text)))
    last = width_of(net, layer) - 1
    channels: list[int] = []
    for match in filter(None, matches):
        low, high = int(match[1]), int(match[2] or match[1])
        if not low <= high <= last:
            raise InputError(f"expected channels of {layer} from 0 to {last}, got {ranges}")
        channels += range(low, high + 1)
    return layer, channels


def _classes(net: GoogLeNet) -> tuple[str, ...]:
    assert net.metadata is not None, "class names are known only for a network from a file"
    return net.metadata.classes


def _read_numbers(path: Path) -> npt.NDArray[np.float32]:
    try:
        array: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
        if isinstance(array, np.ndarray) and array.dtype.kind in "fiu":
            return array
        reason = "no array of numbers"
    except (OSError, ValueError, EOFError) as error:
        reason = str(error)
    raise InputError(f"expected a .npy file of numbers with --direction, got {path}: {reason}")
