"""The report of a model, made again or for other photos."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from googlenet.base.errors import InputError
from googlenet.base.progress import Progress
from googlenet.evaluation.metrics import calibrate, choose_split, measure, score
from googlenet.files import runfolder
from googlenet.images.decode import Pixels
from googlenet.inference import loading
from googlenet.inference.predict import Predictor
from googlenet.report import page as report
from googlenet.report.gallery import Gallery

SIZE, STEPS = 96, 64  # of the images of units


def build_report(
    model: Path,
    source: str | None,
    out: Path,
    *,
    split: str | None,
    units: int,
    workers: int,
    shown: Progress,
    first_batch: Callable[[dict[str, Any]], report.Batch | None] = lambda run: None,
) -> report.Report:
    """Measure a model and write a page about it.

    source  the photos; by default those that the run was made with
    split   by default validation where there is one
    units   images of units to draw for each stage; none for an exported model, which has no gradients
    first_batch  of a run as it was asked, the images of its first step
    raises  InputError, DataError, ModelFileError
    """
    predictor, _ = loading.open_predictor(loading.resolve_model(model))
    card = predictor.card
    run = _run(model)
    own = source is None and split in (None, "val")
    source = source or (run or {}).get("data")
    if source is None:
        raise InputError(f"expected DATA to report on: {model} is no run folder, which would know its own")
    part, index = choose_split(source, card, split or ("val" if run and own else None))
    scored = score(predictor, index, workers=workers, progress=shown("measuring", len(index)))
    if own:
        _, metrics = calibrate(scored, index, card)
        part = report.VALIDATION
    else:
        metrics = measure(scored, index, card)
    page = report.Report(
        card=card,
        part=part,
        metrics=metrics,
        gallery=Gallery(scored, index, card, predictor),
        run=run,
        log=runfolder.RunLog(model).read() if run else (),
        first_batch=first_batch(run) if run else None,
        units=_units(predictor, units, shown),
    )
    report.write(out, page)
    return page


def _run(model: Path) -> dict[str, Any] | None:
    """What the run of a folder was asked; None for a model that is alone."""
    return runfolder.read_config(model) if (model / runfolder.CONFIG).is_file() else None


def _units(predictor: Predictor, count: int, shown: Progress) -> list[tuple[str, Pixels, list[str]]]:
    net = getattr(predictor, "net", None)
    if net is None or not count:
        return []
    from googlenet.interpret.visualization import DrawingSettings, of_stages

    stages = sum(name.startswith(("conv", "inception")) for name in net.channels)
    drawn = of_stages(
        net,
        count=count,
        look=DrawingSettings(size=SIZE, steps=STEPS),
        progress=shown("drawing units", stages * STEPS),
    )
    return [(stage, found.images, [panel.caption for panel in found.panels()]) for stage, found in drawn]
