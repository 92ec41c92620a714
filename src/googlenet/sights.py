"""The verbs that show what a model sees."""

import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from tyro.conf import Positional, arg

from googlenet import models
from googlenet.commands import Commands, Model, counting, need, registering
from googlenet.errors import ImageError, InputError
from googlenet.explanation import CAM, LEGEND, LOGITS, Attribution, class_number, occlusion
from googlenet.explanation import explain as explained
from googlenet.image import png_bytes
from googlenet.manifest import is_exported
from googlenet.modelfile import model_path, write_bytes
from googlenet.overlay import SIDE, Panel, sheet
from googlenet.place import need_free
from googlenet.predict import Predictor, check, expand, read

SIGHTS: Commands = {}
verb = registering(SIGHTS)
MOST = 32  # photos on a sheet; each is kept, up to 8 MB


@verb
def explain(
    model: Model,
    paths: Annotated[Positional[list[str]], arg(metavar="PATH ...")],
    /,
    *,
    out: Path,
    classes: Annotated[tuple[str, ...], arg(name="class", metavar="NAME ...")] = (),
    top: int = 3,
    method: Literal["cam", "gradcam", "integrated-gradients", "occlusion"] = "cam",
    layer: str | None = None,
    force: bool = False,
) -> int:
    """Show which parts of a photo speak for a class, as a heat map over the whole photo.

    The class map (cam) is exact: its mean is the model's logit. It needs no torch with an exported model.

    Example: googlenet explain runs/photos cat.jpg --out why.png

    Args:
        model: a run folder, a model.safetensors or an exported folder
        paths: image files, folders, patterns; - is an image on standard input; a row of the sheet each
        out: the PNG file to write
        classes: what to explain; by default the most probable classes
        top: how many of the most probable classes, side by side
        method: cam; gradcam of any --layer; integrated-gradients; occlusion
        layer: of gradcam, as inception_4e or inception_4e/5x5; by default inception_5b
        force: replace the file that is at --out
    """
    _need_png(out)
    check(top=top, batch=1)
    if not paths:
        raise InputError("expected a PATH after the model: files, folders, patterns, or -")
    if layer is not None and method != "gradcam":
        raise InputError(f"expected --layer with --method gradcam, got {method}")
    need_free(out, force=force)
    photos = list(expand(paths))
    if len(photos) > MOST:
        raise InputError(f"expected at most {MOST} photos for one sheet, got {len(photos)}; name fewer")
    predictor, about = models.predictor(models.find(model))
    print(f"googlenet: {about}", file=sys.stderr)
    attribution = _attribution(method, predictor, layer)
    rows: list[list[Panel]] = []
    failed: list[str] = []
    for path in photos:
        try:
            found = explained(read(path), predictor, classes=classes, top=top, attribution=attribution)
        except ImageError as error:
            failed.append(f"{path}: {error}")
            continue
        rows.append(found.panels(Path(path).name))
        told = ", ".join(f"{reason.label} {reason.probability:.1%}" for reason in found.reasons)
        print(f"{path}: {told}")
    if rows:
        page = sheet(rows, legend=f"{method}: {LEGEND[method]}")
        write_bytes(out, png_bytes(np.asarray(page)))
    for problem in failed:
        print(f"googlenet: {problem}", file=sys.stderr)
    return 2 if failed else 0


@verb
def visualize(
    model: Model,
    layer: Annotated[Positional[str], arg(metavar="LAYER[:CHANNEL]")],
    /,
    *,
    out: Path,
    size: int = 224,
    steps: int = 256,
    seed: int = 0,
    variants: int = 1,
    neuron: bool = False,
    force: bool = False,
) -> int:
    """Draw what units of a layer look for, by gradient ascent from noise.

    Example: googlenet visualize runs/photos inception_4a:0-7 --out units.png

    Args:
        model: a run folder or a model.safetensors
        layer: a layer and its channels, as inception_4a:5, mixed4a_5x5:0-7 or conv2:pre_relu:1,4; without
            channels all of them, a sheet; logits:NAME for a class
        out: the PNG file to write
        size: pixels of a side
        steps: of the ascent
        seed: decides where it begins, and how the image is shaken on the way
        variants: different images for each unit
        neuron: excite the unit in the middle of the map alone, not the whole channel
        force: replace the file that is at --out
    """
    _need_png(out)
    need_free(out, force=force)
    if is_exported(model):
        raise InputError(
            f"expected a run folder or a model file, got the export {model}: it has no gradients, only "
            "explain --method cam and occlusion"
        )
    model_path(model)
    need("torch", extra="train")
    from googlenet import visualization
    from googlenet.checkpoint import load
    from googlenet.classifier import Classifier

    classifier = Classifier(load(model))
    net, card = classifier.net, classifier.card
    name, channels = units(layer, lambda name: visualization.width_of(net, name), card.classes)
    look = visualization.Look(size=size, steps=steps, seed=seed, variants=variants, neuron=neuron)
    batches = math.ceil(len(channels) / visualization.AT_ONCE)
    with counting() as progress:
        images, values = visualization.visualize(
            net,
            name,
            channels,
            taken=card.preprocessing,
            look=look,
            progress=progress("drawing", batches * steps),
        )
    whose = [channel for channel in channels for _ in range(variants)]
    titles = [card.classes[channel] if name == LOGITS else str(channel) for channel in whose]
    panels = [
        Panel(Image.fromarray(image), f"{title}  {value:.2f}")
        for image, title, value in zip(images, titles, values, strict=True)
    ]
    across = variants if variants > 1 else min(8, math.ceil(math.sqrt(len(panels))))
    rows = [panels[start : start + across] for start in range(0, len(panels), across)]
    write_bytes(out, png_bytes(np.asarray(sheet(rows, side=min(size, SIDE)))))
    print(f"{out}: {len(channels)} of {name}, {steps} steps at {size} pixels")
    return 0


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


def _need_png(out: Path) -> None:
    if out.suffix.lower() not in (".png", ""):
        raise InputError(f"expected --out with a name that ends in .png, got {out}")


def _attribution(method: str, predictor: Predictor, layer: str | None) -> Attribution | None:
    """The method of a name; None for the class map, which `explain` makes itself.

    Raises InputError where gradients are asked of an exported model, and for an unknown layer.
    """
    if method == CAM:
        return None
    if method == "occlusion":
        return occlusion(predictor)
    net = getattr(predictor, "net", None)
    if net is None:
        raise InputError(
            f"expected --method cam or occlusion for an exported model, got {method}: it has no gradients; "
            "give the run folder or the model file that it was exported from"
        )
    need("captum", extra="explain")
    from googlenet.attribution import method as chosen

    return chosen(method, net, predictor.preprocessing, layer=layer)
