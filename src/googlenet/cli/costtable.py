"""Costs as text: Table 1 with the paper's figures beside ours, or several networks side by side."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from googlenet.architecture.cost import FLOAT_BYTES, Cost, LayerCost, naive_at_paper_widths, reduction_weights
from googlenet.architecture.dialects import DIALECTS
from googlenet.architecture.table1 import PAPER_SIZE
from googlenet.cli.terminal import right, text

WIDTHS = ("1x1", "3x3r", "3x3", "5x5r", "5x5", "pool")
NAIVE_WIDTHS = ("1x1", "3x3", "5x5")


def one(found: Cost, *, batch: int) -> str:
    """Every row of a network, the paper's printed figures beside it, and the totals."""
    notes: dict[str, list[str]] = {}
    widths = _width_names(found)
    printed = any(row.printed for row in found.rows)
    paper = ("printed", "off", "printed", "off") if printed else ()
    head = (
        "row",
        "kernel",
        "output",
        "depth",
        *widths,
        "parameters",
        *paper[:2],
        "multiply-adds",
        *paper[2:],
    )
    table = right(Table(*head, "activations", box=None), first=2)
    for row in (*found.rows, *found.heads):
        table.add_row(
            row.name,
            row.what,
            f"{row.side}x{row.side}x{row.channels}",
            str(row.depth or ""),
            *([str(width) for width in row.widths] if row.widths else [""] * len(widths)),
            f"{row.parameters:,}" if row.parameters else "",
            *(_off(row, "parameters") if printed else ()),
            f"{row.macs / 1e6:,.1f} M" if row.macs else "",
            *(_off(row, "macs") if printed else ()),
            f"{row.activations * FLOAT_BYTES / 1e6:,.2f} MB" if row.activations else "",
        )
        if row.printed and row.printed.note:
            notes.setdefault(row.printed.note, []).append(row.name)
    said = [*(["rows are for one image"] if batch > 1 else []), *totals(found, batch=batch)]
    return "\n".join([text(table), "", *said, *_footnotes(notes), *_naive(found)])


def several(found: Sequence[Cost], *, batch: int) -> str:
    """Networks side by side, each beside the first."""
    first = found[0]
    head = (
        "network",
        "classes",
        "parameters",
        "ratio",
        "with heads",
        "ratio",
        "multiply-adds",
        "ratio",
        "memory",
    )
    table = right(Table(*head, box=None), first=1)
    for each in found:
        table.add_row(
            each.name,
            f"{each.classes:,}",
            f"{each.parameters:,}",
            f"{each.parameters / first.parameters:.2f}",
            f"{each.training_parameters:,}",
            f"{each.training_parameters / first.training_parameters:.2f}",
            f"{batch * each.macs / 1e9:.2f} G",
            f"{each.macs / first.macs:.2f}",
            f"{each.memory(batch=batch).total / 1e6:,.1f} MB",
        )
    return (
        f"{text(table)}\n\n"
        f"multiply-adds and memory for {_images(batch)} of {first.size} pixels, without heads; "
        f"ratios to {first.name}"
    )


def totals(found: Cost, *, batch: int) -> list[str]:
    """Parameters, multiply-adds and memory in words."""
    memory = found.memory(batch=batch)
    heads = f", {found.training_parameters:,} with both auxiliary heads" if found.heads else ""
    without = ", without heads" if found.heads else ""
    return [
        f"{found.parameters:,} parameters{heads}",
        f"{batch * found.macs / 1e9:.2f} G multiply-adds for {_images(batch)}{without}",
        f"memory in float32, MB: input {memory.input / 1e6:.2f}, "
        f"forward and backward {memory.activations / 1e6:.2f}, parameters {memory.parameters / 1e6:.2f}, "
        f"total {memory.total / 1e6:.2f}",
    ]


def _width_names(found: Cost) -> tuple[str, ...]:
    longest = max((len(row.widths) for row in found.rows if row.widths), default=0)
    return {len(WIDTHS): WIDTHS, len(NAIVE_WIDTHS): NAIVE_WIDTHS}.get(longest, ())


def _off(row: LayerCost, what: str) -> tuple[str, str]:
    """The printed figure, and ours less it; a star where there is a note."""
    if row.printed is None:
        return "", ""
    if what == "macs":
        star = "*" if row.printed.macs_differ else " "
        return f"{row.printed.macs_m:g} M", f"{row.printed.macs_m_off:+.1f}{star}"
    star = "*" if row.printed.parameters_differ else " "
    return f"{row.printed.parameters_k:g} K", f"{row.printed.parameters_k_off:+.1f}{star}"


def _footnotes(notes: Mapping[str, Sequence[str]]) -> list[str]:
    if not notes:
        return []
    return [
        "",
        "off: what the printed widths give, with a bias for each channel, less what is printed; "
        "K is 1,024, M a million.",
        *(f"  * {', '.join(names)}: {note}" for note, names in notes.items()),
    ]


def _naive(found: Cost) -> list[str]:
    """What the reductions save, if this is the network without them."""
    if found.name != DIALECTS["naive"].name or found.size != PAPER_SIZE:
        return []
    held = naive_at_paper_widths()
    table = right(Table("module", "naive", "reduced", "ratio", "naive channels out", box=None), first=1)
    for name, (naive, reduced, channels) in held.items():
        cells = (f"{naive / 1e6:,.1f} M", f"{reduced / 1e6:,.1f} M", f"{naive / reduced:.1f}", str(channels))
        table.add_row(name, *cells)
    plain, with_reductions = (sum(row[i] for row in held.values()) for i in (0, 1))
    bare, with_reduction = reduction_weights()
    ratio = f"{plain / with_reductions:.1f}"
    table.add_row("all nine", f"{plain / 1e6:,.0f} M", f"{with_reductions / 1e6:,.0f} M", ratio, "")
    return [
        "",
        "Each module alone, its input held at the width of Table 1, multiply-adds for one image:",
        text(table),
        "",
        f"The 3x3 convolution of 3a: {bare:,} weights on all arriving channels, {with_reduction:,} with "
        "its 1x1 reduction before it.",
    ]


def _images(batch: int) -> str:
    return f"{batch} image{'s' * (batch > 1)}"
