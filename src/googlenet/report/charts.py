"""Line charts of a run, laid out for SVG: losses, accuracy, gradients, reliability."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from googlenet.calibration.temperature import BINS, Bin
from googlenet.files.events import Event, Gradients, TrainingStep, Validation

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 460, 250, 46, 14, 34  # of a chart, pixels
TICKS = 4
COUNT_ROW = 14  # height of a row of numbers, pixels
COLORS = ("#0b6e99", "#d9730d", "#7a5cc4", "#3a8f4d")
GREY = "#98a2ab"

Points = list[tuple[float, float]]
Ticks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Curve:
    """One curve of a chart."""

    name: str
    color: str
    points: str  # as SVG writes them
    last: str


@dataclass(frozen=True)
class CountRow:
    """A row of numbers under a chart."""

    name: str
    color: str
    numbers: Ticks


@dataclass(frozen=True)
class Chart:
    """A small line chart, laid out for SVG."""

    title: str
    x_label: str
    curves: tuple[Curve, ...]
    x_ticks: Ticks  # with their positions in pixels
    y_ticks: Ticks
    counts: tuple[CountRow, ...] = ()
    height: int = HEIGHT


def training_charts(log: Sequence[Event]) -> list[Chart]:
    """Loss and accuracy over the epochs, and the gradient over the stages where heads add to it.

    A run without heads, without steps or with a single look at validation has fewer.
    """
    steps = [event for event in log if isinstance(event, TrainingStep)]
    validations = [event for event in log if isinstance(event, Validation)]
    gradients = [event for event in log if isinstance(event, Gradients) and event.with_heads]
    losses = {"network": [(e.epoch, e.main) for e in steps]}
    heads = any(e.aux1 or e.aux2 for e in steps)
    if heads:
        losses["head on 4a"] = [(e.epoch, e.aux1) for e in steps]
        losses["head on 4d"] = [(e.epoch, e.aux2) for e in steps]
    accuracies = {
        "top-1, validation": [(e.epoch, 100 * e.top1) for e in validations],
        "top-5, validation": [(e.epoch, 100 * e.top5) for e in validations],
    }
    smooth = {name: _running_mean(points) for name, points in losses.items()}
    return [
        *([_epoch_chart("Training loss, running mean", smooth)] if steps else []),
        *([_epoch_chart("Accuracy, %", accuracies, top=100.0)] if len(validations) > 1 else []),
        *([_gradient_chart(gradients)] if gradients and (heads or not steps) else []),
    ]


def reliability_chart(before: Sequence[Bin], after: Sequence[Bin]) -> Chart:
    """A reliability diagram: accuracy against confidence, without and with the temperature."""
    series = {
        name: [(100 * each.confidence, 100 * each.accuracy) for each in bins]
        for name, bins in (("before", before), ("after", after))
    }
    ticks = [(float(percent), f"{percent}") for percent in range(0, 101, 20)]
    chart = _chart(
        "Reliability before and after the temperature: right guesses, %, and how many guesses there are",
        "confidence, %",
        {**series, "if confidence were exactly true": [(0.0, 0.0), (100.0, 100.0)]},
        x_ticks=ticks,
        y_ticks=ticks,
        right=100.0,
        y_range=(0.0, 100.0),
        last=False,
        colors=(*COLORS[:2], GREY),
    )
    scale = WIDTH - LEFT - RIGHT
    counts = tuple(
        CountRow(
            curve.name,
            curve.color,
            [(LEFT + (each.low + 0.5 / BINS) * scale, _format_count(each.count)) for each in bins],
        )
        for curve, bins in zip(chart.curves, (before, after), strict=False)
    )
    return replace(chart, counts=counts, height=HEIGHT + COUNT_ROW * len(counts))


def _format_count(number: int) -> str:
    """At most four characters, or they would run into each other."""
    return f"{number}" if number < 10_000 else f"{number / 1000:.0f}k"


def _epoch_chart(title: str, series: dict[str, Points], *, top: float | None = None) -> Chart:
    points = [point for line in series.values() for point in line]
    right = max((x for x, _ in points), default=1.0) or 1.0
    high = top if top is not None else max((y for _, y in points), default=1.0) * 1.05
    return _chart(
        title,
        "epoch",
        series,
        x_ticks=[(x, f"{x:g}") for x in _round_ticks(right)],
        y_ticks=[(y, f"{y:g}") for y in _round_ticks(high)],
        right=right,
        y_range=(0.0, high),
    )


def _gradient_chart(gradients: Sequence[Gradients]) -> Chart:
    """Norm of the gradient at each stage, its mean over the run, on a logarithmic scale."""
    stages = list(gradients[0].with_heads)
    series = {
        name: [(float(i), math.log10(_mean(norms, stage))) for i, stage in enumerate(stages)]
        for name, norms in (
            ("of the whole loss", [event.with_heads for event in gradients]),
            ("of the network's loss alone", [event.main_alone for event in gradients]),
        )
    }
    heights = [y for line in series.values() for _, y in line]
    low = math.floor(min(heights))
    high = max(math.ceil(max(heights)), low + 1)
    return _chart(
        "Gradient at each stage, norm, mean of the run: what the auxiliary heads add",
        "stage",
        series,
        x_ticks=[(float(i), _abbreviate(stage)) for i, stage in enumerate(stages)],
        y_ticks=[(float(y), f"{10.0**y:g}") for y in range(low, high + 1)],
        right=max(1.0, float(len(stages) - 1)),
        y_range=(float(low), float(high)),
        last=False,
    )


def _mean(norms: Sequence[Mapping[str, float]], stage: str) -> float:
    return max(1e-12, float(np.mean([each[stage] for each in norms])))


def _abbreviate(stage: str) -> str:
    return stage.removeprefix("inception_").replace("conv2_reduce", "2r").replace("conv", "")


def _chart(
    title: str,
    x_label: str,
    series: dict[str, Points],
    *,
    x_ticks: Ticks,
    y_ticks: Ticks,
    right: float,
    y_range: tuple[float, float],
    last: bool = True,
    colors: Sequence[str] = COLORS,
) -> Chart:
    low, high = y_range
    x_scale, y_scale = (WIDTH - LEFT - RIGHT) / right, (HEIGHT - BOTTOM - 8) / (high - low)

    def position(x: float, y: float) -> tuple[float, float]:
        return LEFT + x * x_scale, HEIGHT - BOTTOM - (y - low) * y_scale

    curves = tuple(
        Curve(
            name,
            color,
            " ".join(f"{px:.1f},{py:.1f}" for px, py in (position(*point) for point in line)),
            (f"{line[-1][1]:.3g}" if line else "none") if last else "",
        )
        for (name, line), color in zip(series.items(), colors, strict=False)
    )
    return Chart(
        title,
        x_label,
        curves,
        [(position(x, low)[0], text) for x, text in x_ticks],
        [(position(0, y)[1], text) for y, text in y_ticks],
    )


def _round_ticks(top: float) -> list[float]:
    """Round numbers from 0 to `top`, about five of them."""
    unit = 10 ** math.floor(math.log10(top / TICKS))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor * TICKS >= top * 0.8)
    return [round(step * i, 10) for i in range(int(top / step + 1e-9) + 1)]


def _running_mean(points: Points, *, window: int = 15) -> Points:
    """Mean over the last few points, as the loss of a single batch is noisy."""
    values = [y for _, y in points]
    return [(x, float(np.mean(values[max(0, i - window + 1) : i + 1]))) for i, (x, _) in enumerate(points)]
