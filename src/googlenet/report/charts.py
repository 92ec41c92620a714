"""Line charts of a run, laid out for SVG: losses, accuracy, gradients, reliability."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from googlenet.calibration.temperature import BINS, Bin

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 460, 250, 46, 14, 34  # of a chart, pixels
TICKS = 4
COUNTS = 14  # pixels of a row of numbers
COLORS = ("#0b6e99", "#d9730d", "#7a5cc4", "#3a8f4d")
GREY = "#98a2ab"

Points = list[tuple[float, float]]
Event = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One curve of a chart."""

    name: str
    color: str
    points: str  # as SVG writes them
    last: str


@dataclass(frozen=True)
class Counts:
    """A row of numbers under a chart."""

    name: str
    color: str
    numbers: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Chart:
    """A small line chart, laid out for SVG."""

    title: str
    across: str  # what the horizontal axis counts
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    counts: tuple[Counts, ...] = ()
    height: int = HEIGHT


def charts(log: Sequence[Event]) -> list[Chart]:
    """Loss and accuracy over the epochs, and the gradient over the stages if it was logged."""
    steps = [event for event in log if event["kind"] == "train"]
    looks = [event for event in log if event["kind"] == "val"]
    gradients = [event for event in log if event["kind"] == "gradients" and event["with_heads"]]
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
    found = [_over_epochs("Training loss, running mean", smooth)]
    found.append(_over_epochs("Accuracy, %", accuracies, top=100.0))
    return found + ([_over_stages(gradients)] if gradients else [])


def reliability(before: Sequence[Bin], after: Sequence[Bin]) -> Chart:
    """How often guesses are right against how sure they are, without and with the temperature."""
    both = {"before": before, "after": after}
    series: dict[str, Points] = {
        name: [(100 * each.confidence, 100 * each.accuracy) for each in bins] for name, bins in both.items()
    }
    marks = [(float(share), f"{share}") for share in range(0, 101, 20)]
    chart = _chart(
        "Reliability before and after the temperature: right guesses, %, and how many guesses there are",
        "confidence, %",
        {**series, "if confidence were exactly true": [(0.0, 0.0), (100.0, 100.0)]},
        x_marks=marks,
        y_marks=marks,
        right=100.0,
        y_range=(0.0, 100.0),
        last=False,
        colors=(*COLORS[:2], GREY),
    )
    scale = WIDTH - LEFT - RIGHT
    counts = tuple(
        Counts(
            name, color, tuple((LEFT + (each.low + 0.5 / BINS) * scale, _count(each.count)) for each in bins)
        )
        for (name, bins), color in zip(both.items(), COLORS, strict=False)
    )
    return replace(chart, counts=counts, height=HEIGHT + COUNTS * len(counts))


def _count(number: int) -> str:
    """At most four characters, or they would run into each other."""
    return f"{number}" if number < 10_000 else f"{number / 1000:.0f}k"


def _over_epochs(title: str, series: dict[str, Points], *, top: float | None = None) -> Chart:
    points = [point for line in series.values() for point in line]
    right = max((x for x, _ in points), default=1.0) or 1.0
    high = top if top is not None else max((y for _, y in points), default=1.0) * 1.05
    return _chart(
        title,
        "epoch",
        series,
        x_marks=[(x, f"{x:g}") for x in _round_marks(right)],
        y_marks=[(y, f"{y:g}") for y in _round_marks(high)],
        right=right,
        y_range=(0.0, high),
    )


def _over_stages(gradients: Sequence[Event]) -> Chart:
    """Norm of the gradient at each stage, a mean over the run, on a scale of powers of ten."""
    stages = list(gradients[0]["with_heads"])
    series = {
        name: [(float(i), math.log10(_mean(gradients, kind, stage))) for i, stage in enumerate(stages)]
        for name, kind in (("of the whole loss", "with_heads"), ("of the network's loss alone", "main_alone"))
    }
    heights = [y for line in series.values() for _, y in line]
    low, high = math.floor(min(heights)), math.ceil(max(heights))
    return _chart(
        "Gradient at each stage, norm, mean of the run: what the auxiliary heads add",
        "stage",
        series,
        x_marks=[(float(i), _short(stage)) for i, stage in enumerate(stages)],
        y_marks=[(float(y), f"{10.0**y:g}") for y in range(low, max(high, low + 1) + 1)],
        right=max(1.0, float(len(stages) - 1)),
        y_range=(float(low), float(max(high, low + 1))),
        last=False,
    )


def _mean(gradients: Sequence[Event], kind: str, stage: str) -> float:
    return max(1e-12, float(np.mean([event[kind][stage] for event in gradients])))


def _short(stage: str) -> str:
    return stage.removeprefix("inception_").replace("conv2_reduce", "2r").replace("conv", "")


def _chart(
    title: str,
    across: str,
    series: dict[str, Points],
    *,
    x_marks: Sequence[tuple[float, str]],
    y_marks: Sequence[tuple[float, str]],
    right: float,
    y_range: tuple[float, float],
    last: bool = True,
    colors: Sequence[str] = COLORS,
) -> Chart:
    low, high = y_range
    x_scale, y_scale = (WIDTH - LEFT - RIGHT) / right, (HEIGHT - BOTTOM - 8) / (high - low)

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x * x_scale, HEIGHT - BOTTOM - (y - low) * y_scale

    lines = tuple(
        Line(
            name,
            color,
            " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(*point) for point in line)),
            (f"{line[-1][1]:.3g}" if line else "none") if last else "",
        )
        for (name, line), color in zip(series.items(), colors, strict=False)
    )
    return Chart(
        title,
        across,
        lines,
        tuple((place(x, low)[0], text) for x, text in x_marks),
        tuple((place(0, y)[1], text) for y, text in y_marks),
    )


def _round_marks(top: float) -> list[float]:
    """Round numbers from 0 to `top`, about five of them."""
    unit = 10 ** math.floor(math.log10(top / TICKS))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor * TICKS >= top * 0.8)
    return [round(step * i, 10) for i in range(int(top / step + 1e-9) + 1)]


def _smoothed(points: Points, *, window: int = 15) -> Points:
    """Mean over the last few points: a single batch says little."""
    values = [y for _, y in points]
    return [(x, float(np.mean(values[max(0, i - window + 1) : i + 1]))) for i, (x, _) in enumerate(points)]
