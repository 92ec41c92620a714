"""Plots of results as SVG: every run a dot, the mean a line, the standard deviation a band beside it."""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stats import summarize

INK, DIM, GRID, PAPER = "#1d2329", "#5d6873", "#d9dee3", "#ffffff"
COLOURS = ("#0b6e99", "#d9730d", "#7a5cc4", "#3a8f4d", "#b8405e", "#8a6d1b", "#4a5560", "#2bb3a3")
WIDTH = 720
RIGHT, TOP, BOTTOM = 24, 58, 46  # margins of a panel
ROW = 34  # height of an arm
LETTER = 7.0  # width of a letter, about

Line = Sequence[tuple[float, float]]
Series = Mapping[str, Line]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Panel:
    """A finished plot: SVG elements and their height."""

    body: str
    height: float


def page(panels: Sequence[Panel]) -> str:
    """Panels one below the other, as a file."""
    bodies, y = [], 0.0
    for panel in panels:
        bodies.append(f'<g transform="translate(0 {y:.0f})">{panel.body}</g>')
        y += panel.height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" width="{WIDTH}" '
        f'height="{y:.0f}" font-family="system-ui, sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{y:.0f}" fill="{PAPER}"/>\n' + "\n".join(bodies) + "\n</svg>\n"
    )


def dots(title: str, unit: str, groups: Mapping[str, Mapping[str, Sequence[float]]]) -> Panel:
    """A row for each arm, in it a dot for each run: {arm: {series: values}}; series share their colours.

    The line is the mean, the pale band one standard deviation to either side.
    """
    names = list(dict.fromkeys(name for series in groups.values() for name in series))
    left = 24 + LETTER * max(map(len, groups))
    height = TOP + ROW * len(groups) + BOTTOM
    everything = [value for series in groups.values() for values in series.values() for value in values]
    marks = round_marks(min(everything), max(everything))
    x = _linear(marks[0], marks[-1], left, WIDTH - RIGHT)
    body = [_heading(title), _key(names), _across(marks, x, TOP, height - BOTTOM, unit)]
    for number, (arm, series) in enumerate(groups.items()):
        y = TOP + ROW * (number + 0.5)
        body.append(_text(left - 12, y + 4, arm, anchor="end", colour=INK))
        for name, values in series.items():
            body.append(_run_dots(values, x, y, COLOURS[names.index(name) % len(COLOURS)]))
    return Panel("".join(body), height)


def curves(
    title: str,
    across: str,
    up: str,
    series: Series,
    *,
    log_x: bool = False,
    log_y: bool = False,
    x_names: Sequence[str] | None = None,
    height: float = 330,
) -> Panel:
    """A line for each name, over numbers or over named places (`x_names`, numbered from 0)."""
    single = {name: [line] for name, line in series.items()}
    return lines(title, across, up, single, log_x=log_x, log_y=log_y, x_names=x_names, height=height)


def lines(
    title: str,
    across: str,
    up: str,
    series: Mapping[str, Sequence[Line]],
    *,
    log_x: bool = False,
    log_y: bool = False,
    x_names: Sequence[str] | None = None,
    height: float = 330,
) -> Panel:
    """The same with any number of lines for each name, in one colour."""
    points = [point for found in series.values() for line in found for point in line]
    x_marks = (
        [float(i) for i in range(len(x_names))] if x_names else _marks([x for x, _ in points], log=log_x)
    )
    y_marks = _marks([y for _, y in points], log=log_y)
    left = 72
    place_x = (_logarithmic if log_x else _linear)(x_marks[0], x_marks[-1], left, WIDTH - RIGHT - 10)
    place_y = (_logarithmic if log_y else _linear)(y_marks[0], y_marks[-1], height - BOTTOM, TOP)
    body = [_heading(title), _key(list(series)), _text(14, TOP - 13, up, colour=DIM)]
    for mark in y_marks:
        y = place_y(mark)
        body.append(f'<path d="M{left} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        body.append(_text(left - 8, y + 4, f"{mark:g}", anchor="end"))
    for number, mark in enumerate(x_marks):
        name = x_names[number] if x_names else f"{mark:g}"
        body.append(_text(place_x(mark), height - BOTTOM + 17, name, anchor="middle"))
    body.append(_text((left + WIDTH - RIGHT) / 2, height - 8, across, anchor="middle"))
    coloured = [
        (line, colour) for found, colour in zip(series.values(), COLOURS, strict=False) for line in found
    ]
    for line, colour in coloured:
        placed = [(place_x(x), place_y(y)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
    return Panel("".join(body), height)


def round_marks(low: float, high: float) -> list[float]:
    """Round numbers, four to eight of them, that span `low` to `high`."""
    if high == low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 5
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 10) for i in range(first, last + 1)]


def _marks(values: Sequence[float], *, log: bool) -> list[float]:
    if not log:
        return round_marks(min(values), max(values))
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _run_dots(values: Sequence[float], x: Scale, y: float, colour: str) -> str:
    found = summarize(values)
    parts = []
    if found.deviation:
        start, end = x(found.mean - found.deviation), x(found.mean + found.deviation)
        parts.append(
            f'<rect x="{start:.1f}" y="{y - 9:.1f}" width="{end - start:.1f}" height="18" rx="3" '
            f'fill="{colour}" opacity="0.16"/>'
        )
    parts.append(
        f'<path d="M{x(found.mean):.1f} {y - 10:.1f}V{y + 10:.1f}" stroke="{colour}" stroke-width="2.5"/>'
    )
    parts += [
        f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="3.6" fill="{colour}" opacity="0.8"/>'
        for value in values
    ]
    return "".join(parts)


def _across(marks: Sequence[float], x: Scale, top: float, bottom: float, unit: str) -> str:
    parts = []
    for mark in marks:
        parts.append(f'<path d="M{x(mark):.1f} {top}V{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x(mark), bottom + 17, f"{mark:g}", anchor="middle"))
    parts.append(_text((x(marks[0]) + x(marks[-1])) / 2, bottom + 36, unit, anchor="middle"))
    return "".join(parts)


def _heading(title: str) -> str:
    return _text(14, 22, title, colour=INK, extra=' font-size="14" font-weight="600"')


def _key(names: Sequence[str]) -> str:
    """Names of the series in their colours; none where there is one without a name."""
    parts, x = [], float(WIDTH - RIGHT)
    for name, colour in reversed(list(zip(names, COLOURS, strict=False))):
        if not name:
            continue
        x -= LETTER * len(name)
        parts.append(_text(x, 42, name, colour=INK))
        parts.append(f'<circle cx="{x - 9:.1f}" cy="38" r="4.5" fill="{colour}"/>')
        x -= 26
    return "".join(parts)


def _text(x: float, y: float, said: str, *, anchor: str = "start", colour: str = DIM, extra: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{extra}>'
        f"{html.escape(said)}</text>"
    )


def _linear(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    place = _linear(math.log10(low), math.log10(high), start, end)
    return lambda value: place(math.log10(value))
