"""Costs as text: Table 1 with the paper's figures beside ours, or several networks side by side."""

from collections.abc import Iterator, Mapping, Sequence

from googlenet.architecture.cost import FLOAT_BYTES, Cost, LayerCost, naive_at_paper_widths, reduction_weights
from googlenet.architecture.dialects import DIALECTS
from googlenet.architecture.table1 import PAPER_SIZE
from googlenet.cli.tables import numeric_table, render_table

WIDTHS = ("1x1", "3x3r", "3x3", "5x5r", "5x5", "pool")
NAIVE_WIDTHS = ("1x1", "3x3", "5x5")


def format_cost(cost: Cost, *, batch: int) -> str:
    """Every row of a network, the paper's printed figures beside it, and the totals."""
    longest = max((len(row.widths) for row in cost.rows if row.widths), default=0)
    widths = next((names for names in (WIDTHS, NAIVE_WIDTHS) if len(names) == longest), ())
    printed = any(row.printed for row in cost.rows)
    paper = ("printed", "off") if printed else ()
    columns = ("row", "kernel", "output", "depth", *widths, "parameters", *paper, "multiply-adds", *paper)
    table = numeric_table(*columns, "activations", left=2)
    notes: dict[str, list[str]] = {}
    for row in (*cost.rows, *cost.heads):
        printed_parameters, printed_macs = _printed(row) if printed else ((), ())
        table.add_row(
            row.name,
            row.what,
            f"{row.side}x{row.side}x{row.channels}",
            str(row.depth or ""),
            *map(str, row.widths or [""] * len(widths)),
            f"{row.parameters:,}" if row.parameters else "",
            *printed_parameters,
            f"{row.macs / 1e6:,.1f} M" if row.macs else "",
            *printed_macs,
            f"{row.activations * FLOAT_BYTES / 1e6:,.2f} MB" if row.activations else "",
        )
        if row.printed and row.printed.note:
            notes.setdefault(row.printed.note, []).append(row.name)
    lines = [render_table(table), "", *(["rows are for one image"] if batch > 1 else [])]
    lines += [*_totals(cost, batch), *_footnotes(notes)]
    if cost.name == DIALECTS["naive"].name and cost.size == PAPER_SIZE:
        lines += _reductions()
    return "\n".join(lines)


def compare_costs(costs: Sequence[Cost], *, batch: int) -> str:
    """Networks side by side, with ratios to the first."""
    first = costs[0]
    columns = ("network", "classes", "parameters", "ratio", "with heads", "ratio", "multiply-adds", "ratio")
    table = numeric_table(*columns, "memory", left=1)
    for cost in costs:
        table.add_row(
            cost.name,
            f"{cost.classes:,}",
            f"{cost.parameters:,}",
            f"{cost.parameters / first.parameters:.2f}",
            f"{cost.training_parameters:,}",
            f"{cost.training_parameters / first.training_parameters:.2f}",
            f"{batch * cost.macs / 1e9:.2f} G",
            f"{cost.macs / first.macs:.2f}",
            f"{cost.memory(batch=batch).total / 1e6:,.1f} MB",
        )
    return (
        f"{render_table(table)}\n\n"
        f"multiply-adds and memory for {_images(batch)} of {first.size} pixels, without heads; "
        f"ratios to {first.name}"
    )


def _totals(cost: Cost, batch: int) -> Iterator[str]:
    memory = cost.memory(batch=batch)
    with_heads = f", {cost.training_parameters:,} with both auxiliary heads" if cost.heads else ""
    yield f"{cost.parameters:,} parameters{with_heads}"
    without_heads = ", without heads" if cost.heads else ""
    yield f"{batch * cost.macs / 1e9:.2f} G multiply-adds for {_images(batch)}{without_heads}"
    yield (
        f"memory in float32, MB: input {memory.input / 1e6:.2f}, "
        f"forward and backward {memory.activations / 1e6:.2f}, parameters {memory.parameters / 1e6:.2f}, "
        f"total {memory.total / 1e6:.2f}"
    )


def _printed(row: LayerCost) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The printed parameters and multiply-adds, each with ours less it; a star where there is a note."""
    if (printed := row.printed) is None:
        return ("", ""), ("", "")
    stars = ["*" if differs else " " for differs in (printed.parameters_differ, printed.macs_differ)]
    return (
        (f"{printed.parameters_k:g} K", f"{printed.parameters_k_off:+.1f}{stars[0]}"),
        (f"{printed.macs_m:g} M", f"{printed.macs_m_off:+.1f}{stars[1]}"),
    )


def _footnotes(notes: Mapping[str, Sequence[str]]) -> list[str]:
    if not notes:
        return []
    return [
        "",
        "off: what the printed widths give, with a bias for each channel, less what is printed; "
        "K is 1,024, M a million.",
        *(f"  * {', '.join(names)}: {note}" for note, names in notes.items()),
    ]


def _reductions() -> list[str]:
    """What the 1x1 reductions save, module by module."""
    modules = naive_at_paper_widths()
    table = numeric_table("module", "naive", "reduced", "ratio", "naive channels out", left=1)
    for name, (naive, reduced, channels) in modules.items():
        cells = (f"{naive / 1e6:,.1f} M", f"{reduced / 1e6:,.1f} M", f"{naive / reduced:.1f}", str(channels))
        table.add_row(name, *cells)
    naive, reduced = (sum(row[i] for row in modules.values()) for i in (0, 1))
    table.add_row("all nine", f"{naive / 1e6:,.0f} M", f"{reduced / 1e6:,.0f} M", f"{naive / reduced:.1f}")
    without, with_reduction = reduction_weights()
    return [
        "",
        "Each module alone, its input held at the width of Table 1, multiply-adds for one image:",
        render_table(table),
        "",
        f"The 3x3 convolution of 3a: {without:,} weights on all input channels, {with_reduction:,} with "
        "its 1x1 reduction before it.",
    ]


def _images(batch: int) -> str:
    return f"{batch} image{'s' * (batch > 1)}"
