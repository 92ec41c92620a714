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

CONFUSION_SHOWN = 20  # classes; wider is no table for a terminal
_BAR = 12  # characters
_LONG_BAR = 40
_EVERY = 5  # of the steps of a range test
_LISTED = 12  # of a model's list of classes or hashes
_WIDE = 400  # characters a line where no terminal cuts it


def guesses(rows: Iterable[Row]) -> str:
    """A line a photo: the best guess with a bar, then the others."""
    table = Table("photo", "best guess", "", "", "then", "", box=None)
    for path, group in itertools.groupby(rows, key=lambda row: row.path):
        first, *others = group
        if first.error is not None or first.probability is None:
            table.add_row(Text(path), Text("unreadable", style="red"), "", "", "", "")
            continue
        filled = round(first.probability * _BAR)
        bar = Text("█" * filled + "░" * (_BAR - filled), style="cyan")
        rest = ", ".join(f"{row.label} {_percent(row.probability or 0)}" for row in others)
        mark = Text("unlike the training data" if first.unfamiliar else "", style="yellow")
        table.add_row(
            Text(path),
            Text(first.label or ""),
            _percent(first.probability),
            bar,
            Text(rest, style="dim"),
            mark,
        )
    return text(table)


def metrics(found: "Metrics") -> str:
    """Accuracy, classes and confusion."""
    said = [
        *([f"on {found.part}"] if found.part else []),
        f"top-1 {top1(found)}",
        f"top-5 {_percent(found.top5)}, balanced accuracy {_percent(found.balanced_accuracy)}",
        calibration(found),
    ]
    if found.unfamiliar is not None:
        said.append(f"{_percent(found.unfamiliar)} of the photos are unlike the training data")
    if found.unreadable:
        said.append(f"{found.unreadable} unreadable images were left out")
    wide = len(found.classes) > CONFUSION_SHOWN
    numbers = [] if wide else [str(i) for i in range(len(found.classes))]
    table = right(Table("", "class", "images", "recall", "precision", *numbers, box=None), first=2)
    for i, row in enumerate(found.per_class):
        cells = [] if wide else [str(n) if n else "·" for n in found.confusion[i]]
        shares = ["-" if x is None else _percent(x) for x in (row.recall, row.precision)]
        table.add_row(str(i), Text(row.label), str(row.support), *shares, *cells)
    said.append(text(table))
    if not wide:
        said.append("columns 0, 1, …: how many images of the row's class were taken for that class")
    return "\n".join(said)


def calibration(found: "Metrics") -> str:
    """The calibration error, what it was before, and what it would be if confidence were exactly true."""
    before = f" ({found.ece_raw:.3f} without the temperature)" if found.ece_raw != found.ece else ""
    low, high = found.ece_band
    return (
        f"calibration error {found.ece:.3f}{before}; perfect calibration gives {low:.3f} to {high:.3f} "
        f"on {found.samples} images"
    )


def comparison(found: "Comparison") -> str:
    """The metrics and, if there is anything to compare, Table 3 and the crops that were chosen."""
    said = [metrics(found.metrics)]
    if len(found.rows) > 1:
        said.append(text(_table_3(found)))
    if found.chosen:
        said.append("\n".join(["crops in the order of their choice:", *(v.name for v in found.chosen)]))
    return "\n\n".join(said)


def robustness(found: "Robustness") -> str:
    """Accuracy on whole photos, and a line for each kind of damage."""
    table = right(Table("top-1", *(f"degree {i}" for i in range(1, 6)), "mean", box=None), first=1)
    for kind, shares in found.damaged.items():
        table.add_row(kind, *map(_percent, shares), _percent(sum(shares) / len(shares)))
    left = [f"{found.unreadable} unreadable images were left out"] if found.unreadable else []
    said = [
        f"on {found.part}",
        f"top-1 {_percent(found.whole)} of {found.samples} images; damaged {_percent(found.mean)}",
        *left,
        text(table),
        f"sha256 of the damaged pixels {found.pixels[:16]}…",
    ]
    return "\n".join(said)


def _table_3(found: "Comparison") -> Table:
    names = ("models", "crops", "cost", "top-1 error", "to base", "top-5 error", "to base")
    table = right(Table(*names, box=None), first=0)
    for number, row in enumerate(found.rows):
        changes = [
            f"{100 * change:+.2f}" if number else "base"
            for change in (row.top1_difference, row.top5_difference)
        ]
        table.add_row(
            str(row.models),
            str(row.crops) if row.protocol.isdecimal() else row.protocol,
            str(row.cost),
            f"{100 * row.top1_error:.2f} %",
            changes[0],
            f"{100 * row.top5_error:.2f} %",
            changes[1],
        )
    return table


def card(header: Mapping[str, object]) -> str:
    """What a model file says of itself, a line a field."""
    table = Table(box=None, show_header=False)
    for name, value in header.items():
        table.add_row(name.replace("_", " "), Text(_plain(value)))
    return text(table)


def parity(manifest: "Manifest") -> str:
    """What an export is, and how far its outputs are from the network's."""
    measured = manifest.parity
    assert measured is not None
    difference = f"{measured.largest_difference:.2g} of the largest"
    if measured.logit_difference is not None:
        difference = f"{measured.logit_difference:.1g} (the largest is {measured.largest_logit:.3g})"
    line = (
        f"{manifest.engine}, {manifest.precision}; on {measured.images}: logits within {difference}, "
        f"the same guess for {_percent(measured.agreement)}"
    )
    if measured.agreement_here is not None:
        line += f" ({_percent(measured.agreement_here)} in {measured.precision_here}, as it runs here)"
    if change := measured.accuracy:
        line += f"; top-1 {_percent(change.top1_before)} before, {_percent(change.top1_after)} after"
        if change.loss:
            line += (
                f" (lost {100 * change.loss:.1f} points, 95 % interval {100 * change.loss_at_least:.1f} "
                f"to {100 * change.loss_at_most:.1f})"
            )
    return line


def range_test(found: "RangeTest") -> str:
    """The loss at rising rates with a bar, and the rate that follows."""
    table = right(Table("rate", "loss", "", box=None), first=0)
    table.columns[2].justify = "left"
    high, low = max(found.losses), min(found.losses)
    for rate, loss in list(zip(found.rates, found.losses, strict=True))[::_EVERY]:
        filled = round(_LONG_BAR * (loss - low) / max(high - low, 1e-9))
        table.add_row(f"{rate:.2g}", f"{loss:.3f}", Text("█" * filled, style="cyan"))
    end = f"had grown by a quarter beyond {found.rates[-1]:.2g}" if found.lost else "never grew by a quarter"
    if found.suggested is None:
        said = f"nothing was learnt, and the loss {end}: no rate to suggest; try other --init or --batch"
    else:
        said = (
            f"the loss was lowest at {found.suggested:g} and {end}: try --lr {found.suggested:g}, "
            "to which a run warms up"
        )
    return f"{text(table)}\n{said}"


def top1(found: "Metrics") -> str:
    """Accuracy with its interval."""
    return (
        f"{_percent(found.top1)} of {found.samples} images "
        f"(95 % interval {_percent(found.top1_low)} to {_percent(found.top1_high)})"
    )


def right(table: Table, *, first: int) -> Table:
    """Align the columns from `first` on to the right."""
    for column in table.columns[first:]:
        column.justify = "right"
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _plain(value: object) -> str:
    if isinstance(value, tuple | list):
        more = f" and {len(value) - _LISTED} more" if len(value) > _LISTED + 1 else ""
        return ", ".join(map(_plain, value[:_LISTED] if more else value)) + more
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def text(table: Table) -> str:
    """Render a table for standard output: colored and wrapped on a terminal, whole elsewhere."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())
