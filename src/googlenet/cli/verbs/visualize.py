"""`googlenet visualize`."""

from pathlib import Path
from typing import Literal

from googlenet.base.errors import InputError
from googlenet.cli.common import Layer, Model, progress_bars, write_png
from googlenet.files.output_paths import check_png_path
from googlenet.inference.loading import load_network


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
    """Visualize what units of a layer respond to, by gradient ascent from noise.

    Example: googlenet visualize runs/photos inception_4a:0-7 --out units.png

    Args:
        model: a run folder or a model.safetensors
        layer: a layer and its channels, as inception_4a:5, mixed4a_5x5:0-7 or conv2:pre_relu:1,4; without
            channels all of them, a sheet; logits:NAME for a class; several joined with + in one image, as
            inception_4a:5+0.5*mixed3b:7
        out: the PNG file to write
        objective: what to maximize: channel, the mean of its map; neuron, the center of its map; layer,
            the mean square of all maps
        direction: a .npy file with a number for each channel of the layer: maximize their weighted sum
        size: side of the images in pixels
        steps: of gradient ascent
        seed: decides the initial noise and the random transformations
        variants: different images for each unit
        force: replace the file at --out
    """
    check_png_path(out, force=force)
    if direction is not None and objective == "layer":
        raise InputError("expected --direction with --objective channel or neuron, got layer")
    net = load_network(model)
    from googlenet.interpret import unit_selection, visualization

    objectives = unit_selection.select_objectives(net, layer, objective=objective, direction=direction)
    settings = visualization.DrawingSettings(size=size, steps=steps, seed=seed, variants=variants)
    with progress_bars() as progress:
        advance = progress("drawing", visualization.count_steps(len(objectives), settings))
        drawn = visualization.draw(net, objectives, settings=settings, progress=advance)
    write_png(out, drawn.sheet(across=variants if variants > 1 else None))
    print(f"{out}: {len(objectives)} of {layer}, {steps} steps at {size} pixels")
    return 0
