"""`googlenet dream`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from googlenet.base.errors import ImageError, InputError
from googlenet.cli.common import Model, progress_bars, report_failures, write_png
from googlenet.files.output_paths import check_png_path
from googlenet.images.decode import decode_opened, open_image
from googlenet.inference.loading import load_network
from googlenet.inference.paths import read


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
    """Change a photo so that it excites a layer more (DeepDream).

    Example: googlenet dream runs/photos cat.jpg --layer inception_4c --out dream.png

    Args:
        model: a run folder or a model.safetensors
        image: an image file; - is an image on standard input
        layer: what to excite: a layer, as inception_4c; a channel of it, as inception_4c:12; or
            logits:NAME for a class
        out: the PNG file to write
        size: pixels of the longer side; by default the photo's own, up to 640
        octaves: number of scales, each 1.4 times the one before
        steps: of gradient ascent at each scale
        rate: mean change of a pixel in a step, of 255
        seed: decides the random shifts
        force: replace the file at --out
    """
    check_png_path(out, force=force)
    if not 0 < rate <= 255:
        raise InputError(f"expected --rate above 0, at most 255, got {rate}")
    try:
        photo = decode_opened(open_image(read(image)))
    except ImageError as error:
        return report_failures([f"{image}: {error}"])
    net = load_network(model)
    from googlenet.interpret import deepdream, unit_selection

    term = unit_selection.select_term(net, layer)
    settings = deepdream.DreamSettings(octaves=octaves, steps=steps, rate=rate, seed=seed)
    with progress_bars() as progress:
        dreamed, total = deepdream.dream_photo(
            net, photo, term, size=size, settings=settings, progress=progress
        )
    write_png(out, dreamed)
    print(f"{out}: {dreamed.width} x {dreamed.height} pixels, {total} steps")
    return 0
