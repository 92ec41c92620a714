"""The report of a model, made again or for other photos."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from googlenet.architecture.dialects import dialect
from googlenet.base.errors import GoogLeNetError, InputError
from googlenet.base.progress import say
from googlenet.data.folder import open_again
from googlenet.evaluation.metrics import calibrate, choose_split, measure, score
from googlenet.files import runfolder
from googlenet.images.decode import Pixels
from googlenet.inference import loading as models
from googlenet.inference.predict import Predictor
from googlenet.report import page as report
from googlenet.report.gallery import Gallery
from googlenet.training.recipe import Recipe

SIZE, STEPS = 96, 64  # of the images of units

Counting = Callable[[str, int], Callable[[int], None]]


def review(
    model: Path,
    source: str | None,
    out: Path,
    *,
    split: str | None,
    units: int,
    workers: int,
    shown: Counting,
) -> report.Report:
    """Measure a model and write a page about it.

    source  the photos; by default those that the run was made with
    split   by default validation where there is one
    units   images of units to draw for each stage; none for an exported model, which has no gradients
    raises  InputError, DataError, ModelFileError
    """
    predictor, _ = models.predictor(models.find(model))
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
        first_batch=_first_batch(run) if run else None,
        units=_units(predictor, units, shown),
    )
    report.write(out, page)
    return page


def _run(model: Path) -> dict[str, Any] | None:
    """What the run of a folder was asked; None for a model that is alone."""
    return runfolder.read_config(model) if (model / runfolder.CONFIG).is_file() else None


def _first_batch(run: dict[str, Any]) -> tuple[Pixels, list[int]] | None:
    """None if the run's data is not there as it was, or without torch."""
    if find_spec("torch") is None:
        return None
    from googlenet.training.plan import Plan
    from googlenet.training.prepare import first_batch, same_data

    try:
        data = same_data(open_again(run["data"], run), run)
        recipe, plan = Recipe.from_dict(run["recipe"]), Plan.from_dict(run["plan"])
        if len(data.split("train")) == plan.samples:
            return first_batch(data.split("train"), recipe, plan, stem=dialect(run["dialect"]).stem)
    except GoogLeNetError as error:
        say(f"the report shows no training images: {error}")
    return None


def _units(predictor: Predictor, count: int, shown: Counting) -> list[tuple[str, Pixels, list[str]]]:
    net = getattr(predictor, "net", None)
    if net is None or not count:
        return []
    from googlenet.interpret.visualization import Look, of_stages

    stages = sum(name.startswith(("conv", "inception")) for name in net.channels)
    drawn = of_stages(
        net, count=count, look=Look(size=SIZE, steps=STEPS), progress=shown("drawing units", stages * STEPS)
    )
    return [(stage, found.images, [panel.caption for panel in found.panels()]) for stage, found in drawn]
