"""`googlenet top-activating`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from googlenet.base.errors import InputError
from googlenet.base.machine import cores
from googlenet.cli.common import Layer, Model, progress_bars, report_failures, write_png
from googlenet.files.output_paths import check_png_path
from googlenet.images.heatmaps import Panel
from googlenet.inference.loading import load_network
from googlenet.inference.paths import STDIN, expand

MAX_UNITS = 32  # on a sheet


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
    """Show the photos that activate units most, with activation maps, beside a visualization of each unit.

    Example: googlenet top-activating runs/photos inception_4e:0-5 photos/val --out units.png

    Args:
        model: a run folder or a model.safetensors
        layer: a layer and its channels, as inception_4a:5 or mixed4a_5x5:0-7; logits:NAME for a class
        paths: image files, folders, patterns; any number, as only the top photos are kept
        out: the PNG file to write
        count: photos for each unit
        by: max, the unit's greatest activation anywhere in a photo; mean, its mean over the photo
        draw: begin each row with a visualization of the unit
        size: side of that image in pixels
        steps: of its gradient ascent
        seed: of its gradient ascent
        force: replace the file at --out
    """
    check_png_path(out, force=force)
    if not paths:
        raise InputError("expected a PATH after the layer: files, folders or patterns")
    if STDIN in paths:
        raise InputError("expected files, which are read a second time for the sheet, got -")
    net = load_network(model)
    from googlenet.interpret import top_activations, unit_selection, visualization

    name, channels = unit_selection.parse_units(net, layer)
    if len(channels) > MAX_UNITS:
        raise InputError(
            f"expected at most {MAX_UNITS} units for one sheet, got {len(channels)}; name channels"
        )
    photos = list(expand(paths))
    settings = visualization.DrawingSettings(size=size, steps=steps, seed=seed)
    drawings: list[Panel] = []
    with progress_bars() as progress:
        advance = progress("finding top photos", len(photos))
        best = top_activations.top_activating(
            net, name, channels, photos, count=count, by=by, workers=cores(), progress=advance
        )
    if not best.seen:
        first = "".join(f"; {path}: {error}" for path, error in best.bad[:1])
        raise InputError(f"expected photos that can be read, got none among {len(photos)}{first}")
    if draw:
        with progress_bars() as progress:
            advance = progress("drawing", visualization.count_steps(len(channels), settings))
            drawn = visualization.visualize(net, name, channels, settings=settings, progress=advance)
        drawings = drawn.panels()
    for channel, top in zip(channels, best.units, strict=True):
        print(f"{name}:{channel}: {', '.join(f'{photo.source} {photo.value:.2f}' for photo in top)}")
    write_png(out, best.sheet(before=drawings))
    return report_failures(f"{path}: {error}" for path, error in best.bad)
