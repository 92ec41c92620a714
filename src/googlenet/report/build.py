"""Write the report of a model again, or on other photos."""

from pathlib import Path

from googlenet.base.errors import InputError
from googlenet.base.progress import Progress
from googlenet.data.splits import choose_split
from googlenet.evaluation.scoring import calibrate, measure, score
from googlenet.files import runfolder
from googlenet.images.decode import Pixels
from googlenet.inference import loading
from googlenet.inference.predict import Predictor
from googlenet.report.gallery import Gallery
from googlenet.report.page import VALIDATION, Batch, Report, write_report
from googlenet.report.summary import RunSummary

SIZE, STEPS = 96, 64  # of the visualizations of units


def build_report(
    model: Path,
    source: str | None,
    out: Path,
    *,
    split: str | None,
    units: int,
    workers: int,
    progress: Progress,
    run: RunSummary | None = None,
    first_batch: Batch | None = None,
) -> Report:
    """Evaluate a model and write a report.

    source       the data set; by default that of the run
    split        by default validation where there is one
    units        units to visualize in each stage; none for an exported model, which has no gradients
    run          of the run folder; None for a model that is alone
    first_batch  the images of its first step
    raises       InputError, DataError, ModelFileError
    """
    predictor = loading.load_predictor(model)
    card = predictor.metadata
    own_validation = source is None and split in (None, "val")
    labels = run.labels if run and source is None else None
    source = source or (run.data if run else None)
    if source is None:
        raise InputError(f"expected DATA to report on, got none: {model} is not a run folder, which names it")
    part, index = choose_split(
        source, card, split or ("val" if run and own_validation else None), labels=labels
    )
    scored = score(predictor, index, workers=workers, progress=progress("measuring", len(index)))
    if own_validation:
        _, metrics = calibrate(scored, index, card)
        part = VALIDATION
    else:
        metrics = measure(scored, index, card)
    report = Report(
        card=card,
        part=part,
        metrics=metrics,
        gallery=Gallery(scored, index, card, predictor),
        run=run,
        log=runfolder.RunLog(model).read() if run else (),
        first_batch=first_batch,
        units=_visualize_units(predictor, units, progress),
    )
    write_report(out, report)
    return report


def _visualize_units(
    predictor: Predictor, count: int, progress: Progress
) -> list[tuple[str, Pixels, list[str]]]:
    """Stages of the network, each with images and captions of `count` units."""
    net = getattr(predictor, "net", None)
    if net is None or not count:
        return []
    from googlenet.interpret.visualization import DrawingSettings, visualize_stages

    stages = sum(name.startswith(("conv", "inception")) for name in net.channels)
    drawn = visualize_stages(
        net,
        count=count,
        settings=DrawingSettings(size=SIZE, steps=STEPS),
        progress=progress("drawing units", stages * STEPS),
    )
    return [
        (stage, drawings.images, [panel.caption for panel in drawings.panels()]) for stage, drawings in drawn
    ]
