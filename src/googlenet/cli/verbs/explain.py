"""`googlenet explain`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from googlenet.base.errors import ImageError, InputError
from googlenet.cli.common import Model, report_failures, write_png
from googlenet.files.output_paths import check_png_path
from googlenet.images.heatmaps import Panel, contact_sheet
from googlenet.inference import loading
from googlenet.inference.paths import expand, read
from googlenet.inference.predict import check_options
from googlenet.interpret import class_maps
from googlenet.interpret.methods import choose_attribution

MAX_PHOTOS = 32  # on a sheet; each is kept in memory, up to 8 MB


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
    baseline: Literal["blur", "grey"] = "blur",
    force: bool = False,
) -> int:
    """Show which parts of a photo are evidence for a class, as a heat map over the whole photo.

    The class map (cam) is exact: its mean is the model's logit. It needs no torch with an exported model.

    Example: googlenet explain runs/photos cat.jpg --out why.png

    Args:
        model: a run folder, a model.safetensors or an exported folder
        paths: image files, folders, patterns; - is an image on standard input; each is a row of the sheet
        out: the PNG file to write
        classes: the classes to explain; by default the most probable classes
        top: how many of the most probable classes, side by side
        method: cam; gradcam of any --layer; integrated-gradients; occlusion
        layer: of gradcam, as inception_4e or inception_4e/5x5; by default inception_5b
        baseline: of integrated-gradients: the photo without detail (blur), or grey
        force: replace the file at --out
    """
    check_png_path(out, force=force)
    check_options(top=top, batch=1)
    if not paths:
        raise InputError("expected a PATH after the model: files, folders, patterns, or -")
    if layer is not None and method != "gradcam":
        raise InputError(f"expected --layer with --method gradcam, got {method}")
    if baseline != "blur" and method != "integrated-gradients":
        raise InputError(f"expected --baseline with --method integrated-gradients, got {method}")
    photos = list(expand(paths))
    if len(photos) > MAX_PHOTOS:
        raise InputError(f"expected at most {MAX_PHOTOS} photos for one sheet, got {len(photos)}; name fewer")
    predictor = loading.load_predictor(model)
    print(f"googlenet: {predictor.about}", file=sys.stderr)
    attribution = choose_attribution(method, predictor, layer=layer, baseline=baseline)
    rows: list[list[Panel]] = []
    failed: list[str] = []
    for path in photos:
        try:
            explanation = class_maps.explain(
                read(path), predictor, classes=classes, top=top, attribution=attribution
            )
        except ImageError as error:
            failed.append(f"{path}: {error}")
            continue
        rows.append(explanation.panels(Path(path).name))
        shown = ", ".join(f"{reason.label} {reason.probability:.1%}" for reason in explanation.reasons)
        print(f"{path}: {shown}")
    if rows:
        sheet = contact_sheet(rows, legend=f"{method}: {class_maps.LEGEND[method]}")
        write_png(out, sheet)
    return report_failures(failed)
