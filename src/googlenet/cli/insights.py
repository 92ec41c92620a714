"""The verbs that show what units of a model look for, and what they answer to."""

import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from PIL import Image
from tyro.conf import Positional, arg

from googlenet.base.errors import ImageError, InputError
from googlenet.base.machine import cores
from googlenet.cli.common import Commands, Model, counting, need, registering
from googlenet.cli.sights import need_png
from googlenet.files.atomic import atomic_write
from googlenet.files.manifest import is_exported
from googlenet.files.modelfile import model_path
from googlenet.files.output_paths import check_output_path
from googlenet.images.decode import decode_opened, open_image, png_bytes
from googlenet.images.heatmaps import Panel
from googlenet.inference.paths import STDIN, expand, read
from googlenet.interpret.class_maps import LOGITS, class_number

if TYPE_CHECKING:
    from googlenet.interpret.objectives import ObjectiveTerm
    from googlenet.nn.model import GoogLeNet

INSIGHTS: Commands = {}
verb = registering(INSIGHTS)
MOST = 32  # units on a sheet of photos

Layer = Annotated[Positional[str], arg(metavar="LAYER[:CHANNEL]")]


@verb
def visualize(
    model: Model,
    layer: Layer,
    /,
    *,
    out: Path,
    objective: Literal["channel", "neuron", "layer"] = "channel",
    direction: Path | None = None,
    size: int = 224,
    steps: int = 256,
    seed: int = 0,
    variants: int = 1,
    force: bool = False,
) -> int:
    """Draw what units of a layer look for, by gradient ascent from noise.

    Example: googlenet visualize runs/photos inception_4a:0-7 --out units.png

    Args:
        model: a run folder or a model.safetensors
        layer: a layer and its channels, as inception_4a:5, mixed4a_5x5:0-7 or conv2:pre_relu:1,4; without
            channels all of them, a sheet; logits:NAME for a class; with + several at once in one image, as
            inception_4a:5+0.5*mixed3b:7
        out: the PNG file to write
        objective: what to excite: channel, on average over its map; neuron, the unit in its middle; layer,
            all that the layer gives
        direction: a .npy file with a number for each channel of the layer: excite their weighted sum
        size: pixels of a side
        steps: of the ascent
        seed: decides where it begins, and how the image is shaken on the way
        variants: different images for each unit
        force: replace the file that is at --out
    """
    need_png(out)
    check_output_path(out, force=force)
    if direction is not None and objective == "layer":
        raise InputError("expected --direction with --objective channel or neuron, got layer")
    net = _network(model)
    from googlenet.interpret import objectives, visualization

    neuron = objective == "neuron"
    if direction is not None:
        asked = [[objectives.direction(net, layer, _vector(direction), neuron=neuron)]]
    elif objective == "layer":
        asked = [[objectives.whole_layer(net, layer)]]
    else:
        asked = terms(net, layer, neuron=neuron)
    look = visualization.DrawingSettings(size=size, steps=steps, seed=seed, variants=variants)
    batches = math.ceil(len(asked) / visualization.AT_ONCE)
    with counting() as progress:
        drawn = visualization.draw(net, asked, settings=look, progress=progress("drawing", batches * steps))
    atomic_write(out, png_bytes(np.asarray(drawn.sheet(across=variants if variants > 1 else None))))
    print(f"{out}: {len(asked)} of {layer}, {steps} steps at {size} pixels")
    return 0


@verb
def dream(
    model: Model,
    image: Annotated[Positional[str], arg(metavar="IMAGE")],
    /,
    *,
    layer: str,
    out: Path,
    size: int | None = None,
    octaves: int = 4,
    steps: int = 10,
    rate: float = 1.5,
    seed: int = 0,
    force: bool = False,
) -> int:
    """Change a photo so that a layer sees more of what it sees in it (DeepDream).

    Example: googlenet dream runs/photos cat.jpg --layer inception_4c --out dream.png

    Args:
        model: a run folder or a model.safetensors
        image: an image file; - is an image on standard input
        layer: what is to see more: a layer, as inception_4c; a channel of it, as inception_4c:12; or
            logits:NAME for a class
        out: the PNG file to write
        size: pixels of the longer side; by default the photo's own, up to 640
        octaves: sizes that it is dreamt at, each 1.4 times the one before
        steps: of gradient ascent at each size
        rate: how far a step changes a pixel on average, of 255
        seed: decides how the photo is shifted on the way
        force: replace the file that is at --out
    """
    need_png(out)
    check_output_path(out, force=force)
    if not 0 < rate <= 255:
        raise InputError(f"expected --rate above 0, at most 255, got {rate}")
    photo = _photo(image)
    net = _network(model)
    from googlenet.interpret import deepdream, objectives

    if ":" in layer and not layer.endswith(":pre_relu"):
        asked = terms(net, layer, neuron=False)
        if len(asked) != 1 or len(asked[0]) != 1:
            raise InputError(f"expected --layer with one channel or none, got {layer}")
        ((term,),) = asked
    else:
        term = objectives.whole_layer(net, layer)
    how = deepdream.DreamSettings(octaves=octaves, steps=steps, rate=rate, seed=seed)
    least = net.dialect.min_size
    fitted = deepdream.dream_size(photo.size, size, least=least)
    pixels = np.asarray(photo.convert("RGB").resize(fitted, Image.Resampling.BICUBIC))
    total = len(deepdream.octaves(fitted[1], fitted[0], how, least=least)) * steps
    with counting() as progress:
        found = deepdream.dream(net, pixels, term, settings=how, progress=progress("dreaming", total))
    atomic_write(out, png_bytes(found))
    print(f"{out}: {fitted[0]} x {fitted[1]} pixels, {total} steps")
    return 0


@verb
def top_activating(
    model: Model,
    layer: Layer,
    paths: Annotated[Positional[list[str]], arg(metavar="PATH ...")],
    /,
    *,
    out: Path,
    count: int = 8,
    by: Literal["max", "mean"] = "max",
    draw: bool = True,
    size: int = 128,
    steps: int = 128,
    seed: int = 0,
    force: bool = False,
) -> int:
    """Show the photos that excite units most, each with where, beside what the unit looks for.

    Example: googlenet top-activating runs/photos inception_4e:0-5 photos/val --out units.png

    Args:
        model: a run folder or a model.safetensors
        layer: a layer and its channels, as inception_4a:5 or mixed4a_5x5:0-7; logits:NAME for a class
        paths: image files, folders, patterns; any number: only the best are kept
        out: the PNG file to write
        count: photos for each unit
        by: max, the unit's greatest activation anywhere in a photo; mean, its mean over the photo
        draw: begin each row with an image of what the unit looks for
        size: pixels of a side of that image
        steps: of its ascent
        seed: of its ascent
        force: replace the file that is at --out
    """
    need_png(out)
    check_output_path(out, force=force)
    if not paths:
        raise InputError("expected a PATH after the layer: files, folders or patterns")
    if STDIN in paths:
        raise InputError("expected files, which are read again in the end, got -")
    net = _network(model)
    from googlenet.interpret import objectives, top_activations, visualization

    name, channels = units(layer, lambda name: objectives.width_of(net, name), _classes(net))
    if len(channels) > MOST:
        raise InputError(f"expected at most {MOST} units for one sheet, got {len(channels)}; name channels")
    photos = list(expand(paths))
    with counting() as progress:
        found = top_activations.top_activating(
            net,
            name,
            channels,
            photos,
            count=count,
            by=by,
            workers=cores(),
            progress=progress("looking at photos", len(photos)),
        )
    if not found.seen:
        why = "".join(f"; {path}: {error}" for path, error in found.bad[:1])
        raise InputError(f"expected photos that can be read, got none among {len(photos)}{why}")
    before: list[Panel] = []
    if draw:
        look = visualization.DrawingSettings(size=size, steps=steps, seed=seed)
        with counting() as progress:
            batches = math.ceil(len(channels) / visualization.AT_ONCE)
            shown = progress("drawing", batches * steps)
            before = visualization.visualize(net, name, channels, settings=look, progress=shown).panels()
    for channel, best in zip(channels, found.units, strict=True):
        print(f"{name}:{channel}: {', '.join(f'{each.source} {each.value:.2f}' for each in best)}")
    atomic_write(out, png_bytes(np.asarray(found.sheet(before=before))))
    for path, error in found.bad:
        print(f"googlenet: {path}: {error}", file=sys.stderr)
    return 2 if found.bad else 0


def terms(net: "GoogLeNet", text: str, *, neuron: bool) -> "list[list[ObjectiveTerm]]":
    """What LAYER[:CHANNEL] means: an image for each channel, or with `+` one image for several units.

    Raises InputError for what cannot be read, and for layers, channels and classes that there are not.
    """
    from googlenet.interpret.objectives import unit, width_of

    def named(part: str) -> tuple[str, list[int]]:
        return units(part, lambda name: width_of(net, name), _classes(net))

    name_of_class = text.removeprefix(f"{LOGITS}:")
    if "+" not in text or (name_of_class != text and name_of_class in _classes(net)):
        name, channels = named(text)
        return [[unit(net, name, channel, neuron=neuron)] for channel in channels]
    found = []
    for part in text.split("+"):
        weight, star, plain = part.rpartition("*")
        try:
            factor = float(weight) if star else 1.0
        except ValueError:
            raise InputError(f"expected a number before * in {text}, got {weight!r}") from None
        name, channels = named(plain.strip())
        if len(channels) != 1:
            raise InputError(f"expected one channel of each layer in {text}, got {plain.strip()}")
        found.append(unit(net, name, channels[0], neuron=neuron, weight=factor))
    return [found]


def units(text: str, width: Callable[[str], int], classes: Sequence[str]) -> tuple[str, list[int]]:
    """The layer and the channels that LAYER[:CHANNEL] means.

    width    how many channels a layer has
    raises   InputError for what cannot be read, a channel that there is not, or an unknown class
    """
    if text.startswith(f"{LOGITS}:"):
        return LOGITS, [class_number(text.removeprefix(f"{LOGITS}:"), classes)]
    name, colon, said = text.rpartition(":")
    parts = [re.fullmatch(r"(\d+)(?:-(\d+))?", part) for part in said.split(",")]
    if not colon or not all(parts):
        return text, list(range(width(text)))
    ranges = [(int(part[1]), int(part[2] or part[1])) for part in parts if part]
    most = width(name) - 1
    for first, last in ranges:
        if not first <= last <= most:
            raise InputError(f"expected channels of {name} from 0 to {most}, got {said}")
    return name, [channel for first, last in ranges for channel in range(first, last + 1)]


def _photo(path: str) -> Image.Image:
    """A photo, upright.

    Raises ImageError that names it.
    """
    try:
        return decode_opened(open_image(read(path)))
    except ImageError as error:
        raise ImageError(error.code, f"{path}: {error.reason}") from error


def _network(model: Path) -> "GoogLeNet":
    """The network of a run folder or a model file.

    Raises InputError for an exported model, which has no gradients.
    """
    if is_exported(model):
        raise InputError(
            f"expected a run folder or a model file, got the export {model}: it has no gradients, only "
            "explain --method cam and occlusion"
        )
    model_path(model)
    need("torch", extra="train")
    from googlenet.nn.checkpoint import load

    return load(model)


def _classes(net: "GoogLeNet") -> tuple[str, ...]:
    assert net.metadata is not None  # it came from a file
    return net.metadata.classes


def _vector(path: Path) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"expected a .npy file of numbers with --direction, got {path}: {error}") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise InputError(f"expected a .npy file of numbers with --direction, got {path}")
    return found
