"""The report of a run, `report.html`: one self-contained file that opens without a network."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment

from googlenet.evaluation.metrics import Metrics
from googlenet.files.atomic import atomic_write
from googlenet.files.events import Event, StageEnded, Warned
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels
from googlenet.report.charts import BOTTOM, HEIGHT, LEFT, WIDTH, reliability_chart, training_charts
from googlenet.report.gallery import MAX_CLASSES, Gallery, SuspectPhotos, thumbnail_urls
from googlenet.report.summary import FoldResult, RunSummary

VALIDATION = (
    "the averaged weights after the last step, on the validation split, which chose nothing but the "
    "temperature and what photos like these look like; calibration error and loss are cross-fitted"
)

Batch = tuple[Pixels, Sequence[int]]  # uint8 [N, size, size, 3] and labels


@dataclass(frozen=True, kw_only=True)
class Report:
    """The content of a page about a model on a split.

    part         which photos were measured, in words
    run          None for a model without its run folder
    log          the events of the run
    first_batch  uint8 [N, size, size, 3]: augmented photos as the network's input, and their labels
    units        stages of the network, each with visualizations of some of its units and their captions
    notes        what may spoil the training, of a model without a `run`
    folds        of a cross-validation
    suspects     photos with probable wrong labels; None where they were not looked for
    """

    card: ModelMetadata
    part: str
    metrics: Metrics
    gallery: Gallery
    run: RunSummary | None = None
    log: Sequence[Event] = ()
    first_batch: Batch | None = None
    units: Sequence[tuple[str, Pixels, Sequence[str]]] = ()
    notes: Sequence[str] = ()
    folds: Sequence[FoldResult] = ()
    suspects: SuspectPhotos | None = None


def write_report(path: Path, report: Report) -> None:
    """Write the page of a report.

    Raises WriteError if it cannot be written.
    """
    atomic_write(path, render_report(report).encode("utf-8", "replace"))


def render_report(report: Report) -> str:
    """Fill the template; every text from outside, class names above all, is escaped."""
    template = files("googlenet.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    metrics, run = report.metrics, report.run
    notes = run.notes if run else report.notes
    first = []
    if report.first_batch is not None:
        images, labels = report.first_batch
        first = list(zip(thumbnail_urls(images), (report.card.classes[i] for i in labels), strict=True))
    return environment.from_string(template).render(
        card=report.card,
        part=report.part,
        run=run,
        metrics=metrics,
        charts=[
            *(training_charts(report.log) if report.log else ()),
            reliability_chart(metrics.reliability_raw, metrics.reliability),
        ],
        stages=[event for event in report.log if isinstance(event, StageEnded)],
        warnings=[*notes, *(event.text for event in report.log if isinstance(event, Warned))],
        mistakes=report.gallery.mistakes(),
        examples=report.gallery.examples(),
        first=first,
        folds=report.folds,
        spread=spread(report.folds),
        suspects=report.suspects,
        units=[
            (stage, list(zip(thumbnail_urls(images), captions, strict=True)))
            for stage, images, captions in report.units
        ],
        shades=_shades(metrics) if len(metrics.classes) <= MAX_CLASSES else None,
        confused=_most_confused(metrics),
        recipe=json.dumps(report.card.recipe, indent=1),
        box=(WIDTH, HEIGHT, LEFT, BOTTOM),
    )


def spread(folds: Sequence[FoldResult]) -> float:
    """The standard deviation of the accuracies of folds, 0 to 1; 0 of fewer than two."""
    shares = [fold.right / fold.photos for fold in folds if fold.photos]
    return statistics.stdev(shares) if len(shares) > 1 else 0.0


def _shades(metrics: Metrics) -> list[list[int]]:
    """Each cell of the confusion matrix as a percentage of its row."""
    return [[round(100 * cell / max(1, sum(row))) for cell in row] for row in metrics.confusion]


def _most_confused(metrics: Metrics, *, most: int = 8) -> list[tuple[int, str, str]]:
    """The count, true class and prediction of the most frequent confusions."""
    pairs = [
        (count, metrics.classes[i], metrics.classes[j])
        for i, row in enumerate(metrics.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: -pair[0])[:most]
