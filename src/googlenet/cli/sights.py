"""The verb that shows why a model says so."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from tyro.conf import Positional, arg

from googlenet.base.errors import ImageError, InputError
from googlenet.cli.common import Commands, Model, need, registering
from googlenet.files.atomic import atomic_write
from googlenet.files.output_paths import check_output_path
from googlenet.images.decode import png_bytes
from googlenet.images.heatmaps import Panel, contact_sheet
from googlenet.inference import loading
from googlenet.inference.paths import expand, read
from googlenet.inference.predict import Predictor, check_options
from googlenet.interpret.class_maps import CAM, LEGEND, Attribution, occlusion
from googlenet.interpret.class_maps import explain as explained

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
    baseline: Literal["blur", "grey"] = "blur",
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
        baseline: of integrated-gradients: what the photo is compared with, itself without detail, or grey
        force: replace the file that is at --out
    """
    need_png(out)
    check_options(top=top, batch=1)
    if not paths:
        raise InputError("expected a PATH after the model: files, folders, patterns, or -")
    if layer is not None and method != "gradcam":
        raise InputError(f"expected --layer with --method gradcam, got {method}")
    if baseline != "blur" and method != "integrated-gradients":
        raise InputError(f"expected --baseline with --method integrated-gradients, got {method}")
    check_output_path(out, force=force)
    photos = list(expand(paths))
    if len(photos) > MOST:
        raise InputError(f"expected at most {MOST} photos for one sheet, got {len(photos)}; name fewer")
    predictor = loading.load_predictor(model)
    print(f"googlenet: {predictor.about}", file=sys.stderr)
    attribution = _attribution(method, predictor, layer, baseline)
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
        page = contact_sheet(rows, legend=f"{method}: {LEGEND[method]}")
        atomic_write(out, png_bytes(np.asarray(page)))
    for problem in failed:
        print(f"googlenet: {problem}", file=sys.stderr)
    return 2 if failed else 0


def need_png(out: Path) -> None:
    """Refuse a name that says that it is another kind of picture."""
    if out.suffix.lower() not in (".png", ""):
        raise InputError(f"expected --out with a name that ends in .png, got {out}")


def _attribution(
    method: str, predictor: Predictor, layer: str | None, baseline: Literal["blur", "grey"]
) -> Attribution | None:
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
    from googlenet.interpret.attribution import method as chosen

    return chosen(method, net, predictor.preprocessing, layer=layer, baseline=baseline)
