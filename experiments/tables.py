"""Markdown tables of an experiment's results; every figure is computed here."""

from collections.abc import Mapping, Sequence
from typing import Any

from common import Column, Comparison, Experiment
from stats import Difference, between, summarize, verdict, within

Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def table(experiment: Experiment, runs: Runs) -> str:
    """A row for each arm that has results."""
    columns = experiment.columns
    lines = [
        f"| arm | | n | {' | '.join(column.heading for column in columns)} |",
        f"|---|---|---|{'---|' * len(columns)}",
    ]
    for name, found in runs.items():
        cells = [cell(column, [run[column.metric] for run in found]) for column in columns]
        lines.append(f"| {name} | {experiment.arms[name].about} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(column: Column, values: Sequence[float]) -> str:
    """Mean ± standard deviation; the mean alone of one run, or of runs that do not differ."""
    found = summarize([column.factor * value for value in values])
    mean = f"{found.mean:.{column.decimals}f}"
    return f"{mean} ± {found.deviation:.{column.decimals}f}" if found.deviation else mean


def comparisons(wanted: Sequence[Comparison], runs: Runs) -> str:
    """A row for each difference whose arms have results."""
    lines = [
        "| difference | here ± standard error | 95 % interval | the paper | verdict |",
        "|---|---|---|---|---|",
    ]
    for comparison in wanted:
        if comparison.mine not in runs or (comparison.theirs and comparison.theirs not in runs):
            continue
        found = difference(comparison, runs)
        here, interval = "one run", ""
        if found is not None:
            digits = max(comparison.column.decimals, 2)
            here = f"{found.mean:+.{digits}f} ± {found.error:.{digits}f}"
            interval = f"{found.low:+.{digits}f} to {found.high:+.{digits}f}"
        said = verdict(found, comparison.expected)
        lines.append(f"| {comparison.what} | {here} | {interval} | {comparison.paper} | {_strong(said)} |")
    return "\n".join(lines)


def difference(comparison: Comparison, runs: Runs) -> Difference | None:
    """The difference of a comparison in the unit of its column: mean, standard error, interval."""
    column = comparison.column
    mine = [column.factor * run[column.metric] for run in runs[comparison.mine]]
    if isinstance(comparison.against, float):
        return within(mine, [column.factor * comparison.against] * len(mine))
    if comparison.against is not None:
        return within(mine, [column.factor * run[comparison.against] for run in runs[comparison.mine]])
    assert comparison.theirs is not None
    return between(mine, [column.factor * run[column.metric] for run in runs[comparison.theirs]])


def stamp(experiment: Experiment, results: Mapping[str, list[dict[str, Any]]]) -> str:
    """Where and with what the runs were made, and which of them are still missing."""
    every = [result for found in results.values() for result in found]
    commits = ", ".join(sorted({result["commit"] + "+" * result["changed"] for result in every}))
    machines = "; ".join(sorted({result["machine"].replace(" 1 cores", " 1 core") for result in every}))
    torches = ", ".join(sorted({result["versions"]["torch"] for result in every}))
    seconds = summarize([result["seconds"] for result in every]).mean
    missing = len(list(experiment.runs())) - sum(
        len(found) for arm, found in results.items() if not experiment.arms[arm].borrowed
    )
    precisions = sorted({result["metrics"].get("precision", "") for result in every} - {""})
    machines += f"; {', '.join(precisions)}" if precisions else ""
    left = f" Runs that are still to be made: {missing}." if missing > 0 else ""
    return f"{machines}; torch {torches}; commit {commits}; {seconds:.0f} s a run on average.{left}"


def _strong(said: str) -> str:
    return f"**{said}**" if said == "opposite" else said
