"""Results as text for people: tables on a terminal, whole lines where a program reads them."""

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from googlenet.inference.predict import Row

if TYPE_CHECKING:
    from googlenet.evaluation.metrics import Metrics
    from googlenet.evaluation.multi_crop import Comparison
    from googlenet.evaluation.robustness import Robustness
    from googlenet.files.manifest import Manifest
    from googlenet.training.lr_range_test import RangeTest

MAX_CONFUSION = 20  # classes; more columns do not fit a terminal
_PROBABILITY_BAR, _LOSS_BAR = 12, 40  # characters
_EVERY = 5  # steps of a range test for each row
_MAX_LISTED = 12  # of a model's list of classes or hashes
_PIPE_WIDTH = 400  # characters in a line where standard output is no terminal


def format_predictions(rows: Iterable[Row]) -> str:
    """A row for each photo: the most probable class with a bar, then the others."""
    table = Table("photo", "best guess", "", "", "then", "", box=None)
    for path, group in itertools.groupby(rows, key=lambda row: row.path):
        first, *others = group
        if first.error is not None or first.probability is None:
            table.add_row(Text(path), Text("unreadable", style="red"))
            continue
        filled = round(first.probability * _PROBABILITY_BAR)
        bar = "█" * filled + "░" * (_PROBABILITY_BAR - filled)
        rest = ", ".join(f"{row.label} {_percent(row.probability or 0)}" for row in others)
        table.add_row(
            Text(path),
            Text(first.label or ""),
            _percent(first.probability),
            Text(bar, style="cyan"),
            Text(rest, style="dim"),
            Text("unlike the training data" if first.unfamiliar else "", style="yellow"),
        )
    return render_table(table)


def format_metrics(metrics: "Metrics") -> str:
    """Accuracy, calibration, classes and confusion."""
    lines = [
        *([f"on {metrics.part}"] if metrics.part else []),
        f"top-1 {format_top1(metrics)}",
        f"top-5 {_percent(metrics.top5)}, balanced accuracy {_percent(metrics.balanced_accuracy)}",
        _format_calibration(metrics),
    ]
    if metrics.unfamiliar is not None:
        lines.append(f"{_percent(metrics.unfamiliar)} of the photos are unlike the training data")
    if metrics.unreadable:
        lines.append(f"{metrics.unreadable} unreadable images were left out")
    with_confusion = len(metrics.classes) <= MAX_CONFUSION
    numbers = [str(i) for i in range(len(metrics.classes))] if with_confusion else []
    table = numeric_table("", "class", "images", "recall", "precision", *numbers, left=2)
    for i, row in enumerate(metrics.per_class):
        counts = [str(n) if n else "·" for n in metrics.confusion[i]] if with_confusion else []
        rates = ["-" if rate is None else _percent(rate) for rate in (row.recall, row.precision)]
        table.add_row(str(i), Text(row.label), str(row.support), *rates, *counts)
    lines.append(render_table(table))
    if with_confusion:
        lines.append("columns 0, 1, …: how many images of the row's class were predicted as that class")
    return "\n".join(lines)


def _format_calibration(metrics: "Metrics") -> str:
    """The calibration error, without the temperature, and of a perfectly calibrated model."""
    before = f" ({metrics.ece_raw:.3f} without the temperature)" if metrics.ece_raw != metrics.ece else ""
    low, high = metrics.ece_band
    return (
        f"calibration error {metrics.ece:.3f}{before}; perfect calibration gives {low:.3f} to {high:.3f} "
        f"on {metrics.samples} images"
    )


def format_comparison(comparison: "Comparison") -> str:
    """The metrics and, if there are several protocols, Table 3 and the crops that were chosen."""
    parts = [format_metrics(comparison.metrics)]
    if len(comparison.rows) > 1:
        parts.append(_format_table3(comparison))
    if comparison.chosen:
        names = (view.name for view in comparison.chosen)
        parts.append("\n".join(["crops in the order of their choice:", *names]))
    return "\n\n".join(parts)


def _format_table3(comparison: "Comparison") -> str:
    names = ("models", "crops", "cost", "top-1 error", "to base", "top-5 error", "to base")
    table = numeric_table(*names, left=0)
    for number, row in enumerate(comparison.rows):
        top1_change, top5_change = (
            f"{100 * change:+.2f}" if number else "base"
            for change in (row.top1_difference, row.top5_difference)
        )
        table.add_row(
            str(row.models),
            str(row.crops) if row.protocol.isdecimal() else row.protocol,
            str(row.cost),
            f"{100 * row.top1_error:.2f} %",
            top1_change,
            f"{100 * row.top5_error:.2f} %",
            top5_change,
        )
    return render_table(table)


def format_robustness(robustness: "Robustness") -> str:
    """Accuracy on clean photos, and a row for each corruption."""
    table = numeric_table("top-1", *(f"degree {i}" for i in range(1, 6)), "mean", left=1)
    for corruption, accuracies in robustness.damaged.items():
        mean = sum(accuracies) / len(accuracies)
        table.add_row(corruption, *map(_percent, accuracies), _percent(mean))
    unreadable = robustness.unreadable
    return "\n".join(
        [
            f"on {robustness.part}",
            f"top-1 {_percent(robustness.whole)} of {robustness.samples} images; "
            f"damaged {_percent(robustness.mean)}",
            *([f"{unreadable} unreadable images were left out"] if unreadable else []),
            render_table(table),
            f"sha256 of the damaged pixels {robustness.pixels[:16]}…",
        ]
    )


def format_metadata(header: Mapping[str, object]) -> str:
    """The metadata of a model, a row for each field."""
    table = Table(box=None, show_header=False)
    for name, value in header.items():
        table.add_row(name.replace("_", " "), Text(_format_value(value)))
    return render_table(table)


def format_export(manifest: "Manifest") -> str:
    """What an export is, and what its proof found."""
    measured = manifest.parity
    assert measured is not None
    difference = f"{measured.largest_difference:.2g} of the largest"
    if measured.logit_difference is not None:
        difference = f"{measured.logit_difference:.1g} (the largest is {measured.largest_logit:.3g})"
    line = (
        f"{manifest.engine}, {manifest.precision}; on {measured.images}: logits within {difference}, "
        f"the same guess for {_percent(measured.agreement)}"
    )
    if measured.sure:
        line += f", and for {_percent(measured.sure_agreement or 0.0)} of the {measured.sure} it is sure of"
    elif measured.sure == 0:
        line += ", and it is sure of none"
    if measured.agreement_here is not None:
        line += f" ({_percent(measured.agreement_here)} in {measured.precision_here}, as it runs here)"
    if manifest.precision == "int8" and not measured.accuracy:
        line += "; no labels, so agreement decided"
    if change := measured.accuracy:
        line += f"; top-1 {_percent(change.top1_before)} before, {_percent(change.top1_after)} after"
        if change.loss:
            line += (
                f" (lost {100 * change.loss:.1f} points, 95 % interval {100 * change.loss_at_least:.1f} "
                f"to {100 * change.loss_at_most:.1f})"
            )
    return line


def format_range_test(result: "RangeTest") -> str:
    """The loss at rising rates with a bar, and the suggested rate."""
    table = numeric_table("rate", "loss", "", left=0)
    table.columns[2].justify = "left"
    high, low = max(result.losses), min(result.losses)
    for rate, loss in list(zip(result.rates, result.losses, strict=True))[::_EVERY]:
        filled = round(_LOSS_BAR * (loss - low) / max(high - low, 1e-9))
        table.add_row(f"{rate:.2g}", f"{loss:.3f}", Text("█" * filled, style="cyan"))
    end = "never grew by a quarter"
    if result.lost:
        end = f"had grown by a quarter beyond {result.rates[-1]:.2g}"
    if result.suggested is None:
        advice = f"nothing was learned, and the loss {end}: no rate to suggest; try other --init or --batch"
    else:
        advice = (
            f"the loss was lowest at {result.suggested:g} and {end}: try --lr {result.suggested:g}, "
            "the peak of the warm-up"
        )
    return f"{render_table(table)}\n{advice}"


def format_top1(metrics: "Metrics") -> str:
    """Top-1 accuracy with its confidence interval."""
    return (
        f"{_percent(metrics.top1)} of {metrics.samples} images "
        f"(95 % interval {_percent(metrics.top1_low)} to {_percent(metrics.top1_high)})"
    )


def numeric_table(*headers: str, left: int) -> Table:
    """A table without lines whose columns, after the first `left`, are aligned right."""
    table = Table(*headers, box=None)
    for column in table.columns[left:]:
        column.justify = "right"
    return table


def render_table(table: Table) -> str:
    """Render a table for standard output: colored and wrapped on a terminal, whole elsewhere."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _format_value(value: object) -> str:
    if isinstance(value, tuple | list):
        more = f" and {len(value) - _MAX_LISTED} more" if len(value) > _MAX_LISTED + 1 else ""
        return ", ".join(map(_format_value, value[:_MAX_LISTED] if more else value)) + more
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format_value(inner)}" for name, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
