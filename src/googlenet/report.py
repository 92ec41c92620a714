"""A run's `report.html`: one file with everything in it, that opens without a network."""

import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from googlenet.errors import ImageError
from googlenet.evaluate import Metrics, Scored
from googlenet.image import centre_box, cut, open_image, upright_size
from googlenet.index import Index
from googlenet.modelfile import Card, write_bytes
from googlenet.runfolder import REPORT

WORST = 24  # mistakes shown
THUMBNAIL = 160  # pixels
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 460, 250, 46, 14, 34  # of a chart, pixels
TICKS = 4
CONFUSION_SHOWN = 60  # classes; a larger matrix is no picture any more
COLOURS = ("#0b6e99", "#d9730d", "#7a5cc4", "#3a8f4d")


@dataclass(frozen=True)
class Line:
    """One curve of a chart."""

    name: str
    colour: str
    points: str  # as SVG writes them
    last: str


@dataclass(frozen=True)
class Chart:
    """A small line chart, laid out for SVG."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Mistake:
    """A validation image that was taken for something else, most confidently first."""

    name: str
    truth: str
    guess: str
    probability: float
    picture: str  # a data URL


def write(
    out: Path,
    *,
    card: Card,
    config: dict[str, Any],
    log: list[dict[str, Any]],
    metrics: Metrics,
    scored: Scored,
    index: Index,
) -> Path:
    """Write the report of a finished run into its folder.

    Raises WriteError if it cannot be written.
    """
    page = render(
        card=card, config=config, log=log, metrics=metrics, mistakes=mistakes(scored, index, card.classes)
    )
    write_bytes(out / REPORT, page.encode("utf-8", "replace"))
    return out / REPORT


def render(
    *,
    card: Card,
    config: dict[str, Any],
    log: list[dict[str, Any]],
    metrics: Metrics,
    mistakes: Sequence[Mistake],
) -> str:
    """Fill the page; every text from outside, class names above all, is escaped."""
    template = files("googlenet").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        card=card,
        config=config,
        metrics=metrics,
        charts=charts(log),
        mistakes=mistakes,
        shades=_shades(metrics) if len(metrics.classes) <= CONFUSION_SHOWN else None,
        confused=_most_confused(metrics),
        recipe=json.dumps(config["recipe"], indent=1),
        box=(WIDTH, HEIGHT, LEFT, BOTTOM),
    )


def charts(log: list[dict[str, Any]]) -> list[Chart]:
    """Loss and accuracy over the epochs."""
    steps = [event for event in log if event["kind"] == "train"]
    looks = [event for event in log if event["kind"] == "val"]
    losses = {
        "network": [(e["epoch"], e["main"]) for e in steps],
        "head on 4a": [(e["epoch"], e["aux1"]) for e in steps],
        "head on 4d": [(e["epoch"], e["aux2"]) for e in steps],
    }
    accuracies = {
        "top-1, validation": [(e["epoch"], 100 * e["top1"]) for e in looks],
        "top-5, validation": [(e["epoch"], 100 * e["top5"]) for e in looks],
    }
    smooth = {name: _smoothed(points) for name, points in losses.items()}
    return [_chart("Training loss, running mean", smooth), _chart("Accuracy, %", accuracies, top=100.0)]


def mistakes(scored: Scored, index: Index, classes: Sequence[str]) -> list[Mistake]:
    """The validation images that the model was most sure of and wrong about."""
    labels = index.labels[scored.numbers]
    guesses = scored.probabilities.argmax(axis=1)
    confidence = scored.probabilities.max(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST]
    return [
        Mistake(
            index.name(int(scored.numbers[i])),
            classes[labels[i]],
            classes[guesses[i]],
            float(confidence[i]),
            thumbnail(index.read(int(scored.numbers[i]))),
        )
        for i in worst
    ]


def thumbnail(data: bytes) -> str:
    """A small upright JPEG of an image file as a data URL; empty if it cannot be read."""
    try:
        image = open_image(data)
        small = cut(image, centre_box(*upright_size(image), crop=1.0), THUMBNAIL)
    except ImageError:
        return ""
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _chart(title: str, series: dict[str, list[tuple[float, float]]], *, top: float | None = None) -> Chart:
    points = [point for line in series.values() for point in line]
    right = max((x for x, _ in points), default=1.0) or 1.0
    high = top if top is not None else max((y for _, y in points), default=1.0) * 1.05
    x_scale, y_scale = (WIDTH - LEFT - RIGHT) / right, (HEIGHT - BOTTOM - 8) / high

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x * x_scale, HEIGHT - BOTTOM - y * y_scale

    lines = tuple(
        Line(
            name,
            colour,
            " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(*point) for point in line)),
            f"{line[-1][1]:.3g}" if line else "none",
        )
        for (name, line), colour in zip(series.items(), COLOURS, strict=False)
    )
    return Chart(
        title,
        lines,
        tuple((place(x, 0)[0], f"{x:g}") for x in _round_marks(right)),
        tuple((place(0, y)[1], f"{y:g}") for y in _round_marks(high)),
    )


def _round_marks(top: float) -> list[float]:
    """Round numbers from 0 to `top`, about five of them."""
    unit = 10 ** math.floor(math.log10(top / TICKS))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor * TICKS >= top * 0.8)
    return [round(step * i, 10) for i in range(int(top / step + 1e-9) + 1)]


def _smoothed(points: list[tuple[float, float]], *, window: int = 15) -> list[tuple[float, float]]:
    """Mean over the last few points: a single batch says little."""
    values = [y for _, y in points]
    return [(x, float(np.mean(values[max(0, i - window + 1) : i + 1]))) for i, (x, _) in enumerate(points)]


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
