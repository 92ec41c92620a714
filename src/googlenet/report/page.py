"""The page of a run, `report.html`: one file with everything in it, that opens without a network."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment

from googlenet.evaluation.metrics import Metrics
from googlenet.files.atomic import atomic_write
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels
from googlenet.report.charts import BOTTOM, HEIGHT, LEFT, WIDTH, charts, reliability
from googlenet.report.gallery import CLASSES, Gallery, tiles

VALIDATION = (
    "the averaged weights after the last step, on the validation split, which chose nothing but the "
    "temperature and what photos like these look like; calibration error and loss are cross-fitted"
)


Batch = tuple[Pixels, Sequence[int]]  # uint8 [N, size, size, 3] and labels


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a page tells of a model on a split.

    part         which photos were measured, in words
    run          what the run was asked; None for a model without its run folder
    log          what happened in it
    first_batch  uint8 [N, size, size, 3]: augmented photos as the network was given them, and their labels
    units        for stages of the network, images of what some of its units look for
    """

    card: ModelMetadata
    part: str
    metrics: Metrics
    gallery: Gallery
    run: dict[str, Any] | None = None
    log: Sequence[dict[str, Any]] = ()
    first_batch: Batch | None = None
    units: Sequence[tuple[str, Pixels, Sequence[str]]] = ()


def write(path: Path, report: Report) -> None:
    """Write the page of a report.

    Raises WriteError if it cannot be written.
    """
    atomic_write(path, render(report).encode("utf-8", "replace"))


def render(report: Report) -> str:
    """Fill the page; every text from outside, class names above all, is escaped."""
    template = files("googlenet.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    metrics, run = report.metrics, report.run
    notes = run.get("notes", ()) if run else ()
    batch, labels = report.first_batch or (None, ())
    curves = charts(report.log) if report.log else []
    return environment.from_string(template).render(
        card=report.card,
        part=report.part,
        run=run,
        metrics=metrics,
        charts=[*curves, reliability(metrics.reliability_raw, metrics.reliability)],
        warnings=[*notes, *(event["text"] for event in report.log if event["kind"] == "warning")],
        mistakes=report.gallery.mistakes(),
        examples=report.gallery.examples(),
        first=[]
        if batch is None
        else list(zip(tiles(batch), [report.card.classes[i] for i in labels], strict=True)),
        units=[
            (stage, list(zip(tiles(images), titles, strict=True))) for stage, images, titles in report.units
        ],
        shades=_shades(metrics) if len(metrics.classes) <= CLASSES else None,
        confused=_most_confused(metrics),
        recipe=json.dumps(report.card.recipe, indent=1),
        box=(WIDTH, HEIGHT, LEFT, BOTTOM),
    )


def _shades(metrics: Metrics) -> list[list[int]]:
    """Per cell, the share of its row in percent."""
    return [[round(100 * cell / max(1, sum(row))) for cell in row] for row in metrics.confusion]


def _most_confused(metrics: Metrics, *, most: int = 8) -> list[tuple[int, str, str]]:
    """(how often, true class, guess), most often first."""
    pairs = [
        (count, metrics.classes[i], metrics.classes[j])
        for i, row in enumerate(metrics.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: -pair[0])[:most]
