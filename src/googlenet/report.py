"""A run's `report.html`: one file with everything in it, that opens without a network."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from googlenet import confidence
from googlenet.charts import BOTTOM, HEIGHT, LEFT, WIDTH, charts, reliability
from googlenet.errors import ImageError
from googlenet.evaluate import Metrics, Scored
from googlenet.image import centre_box, cut, open_image, upright_size
from googlenet.index import Index
from googlenet.modelfile import Card, write_bytes
from googlenet.runfolder import REPORT

WORST = 24  # mistakes shown
THUMBNAIL = 160  # pixels
CONFUSION_SHOWN = 60  # classes; a larger matrix is no picture any more


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
    page = render(card=card, config=config, log=log, metrics=metrics, mistakes=mistakes(scored, index, card))
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
        charts=[*charts(log), reliability(metrics.reliability_raw, metrics.reliability)],
        warnings=[*config.get("notes", ()), *(event["text"] for event in log if event["kind"] == "warning")],
        mistakes=mistakes,
        shades=_shades(metrics) if len(metrics.classes) <= CONFUSION_SHOWN else None,
        confused=_most_confused(metrics),
        recipe=json.dumps(config["recipe"], indent=1),
        box=(WIDTH, HEIGHT, LEFT, BOTTOM),
    )


def mistakes(scored: Scored, index: Index, card: Card) -> list[Mistake]:
    """The validation images that the model was most sure of and wrong about."""
    labels = index.labels[scored.numbers]
    probabilities = confidence.probabilities(scored.logits, card.temperature)
    guesses, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]
    return [
        Mistake(
            index.name(int(scored.numbers[i])),
            card.classes[labels[i]],
            card.classes[guesses[i]],
            float(sure[i]),
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
