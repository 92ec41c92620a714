"""Write the tables of docs/results.md and the plots of docs/experiments/ from the results.

    python experiments/render.py [--check] [--results FOLDER --out FOLDER]

Every figure, every difference and every verdict is computed here from experiments/results/*.jsonl; what has
no results has no section. `--check` only compares.
"""

import argparse
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from catalogue import EXPERIMENTS
from common import HERE, RESULTS, Column, Comparison, Experiment, counting
from stats import Difference, between, summarise, verdict, within

DOCS = HERE.parent / "docs"
PAGE = DOCS / "results.md"
PLOTS = "experiments"
WRAPPED = 118  # letters a line
BEGIN, END = "<!-- experiments: begin (python experiments/render.py) -->", "<!-- experiments: end -->"
HEAD = """## The paper's claims

```
make experiments CIFAR10=FOLDER    # or one: python experiments/stem.py --data FOLDER
```

Each claim of the paper is a script in `experiments/`; each run's result is a line in `experiments/results/`,
with its commit (a + says that code had changed since), versions and machine, added as the run ended.
Hyperparameters stand in the scripts and were not chosen by any of these figures; the test split is measured
once a run. Tables give mean ± standard deviation over seeds. A verdict is computed: “agrees” or “disagrees”
where the 95 % interval of the difference (Student's t, Welch's variance) lies wholly on one side of zero,
“not settled” otherwise. Of twenty such intervals one misses the truth. The paper's networks saw thousands of
times as many images: what is not settled here, or disagrees, may hold there.
"""

Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def gathered(experiment: Experiment, folder: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:
    """The results that count of each arm that has any, borrowed ones too, by seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, arm in experiment.arms.items():
        owner, theirs = (
            (EXPERIMENTS[arm.borrowed[0]], arm.borrowed[1]) if arm.borrowed else (experiment, name)
        )
        done = counting(owner, folder=folder)
        mine = [done[key] for key in sorted(done) if key[0] == theirs]
        if mine:
            found[name] = mine
    return found


def section(experiment: Experiment, results: Mapping[str, list[dict[str, Any]]]) -> str:
    """The section of one experiment: claim, scale, plot, table, comparisons, where it ran."""
    runs = {arm: [result["metrics"] for result in found] for arm, found in results.items()}
    parts = [
        f"### {experiment.title}",
        experiment.claim,
        f"`python experiments/{experiment.name}.py`. {experiment.scale}",
        f"![{experiment.title}]({PLOTS}/{experiment.name}.svg)",
        table(experiment, runs),
    ]
    if experiment.comparisons:
        parts.append(comparisons(experiment.comparisons, runs))
    return "\n\n".join([*parts, stamp(experiment, results)])


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
    found = summarise([column.factor * value for value in values])
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
    machines = "; ".join(sorted({result["machine"] for result in every}))
    torches = ", ".join(sorted({result["versions"]["torch"] for result in every}))
    seconds = summarise([result["seconds"] for result in every]).mean
    missing = len(list(experiment.runs())) - sum(
        len(found) for arm, found in results.items() if not experiment.arms[arm].borrowed
    )
    left = f" {missing} of its runs have not been made." if missing > 0 else ""
    return f"{machines}; torch {torches}; commit {commits}; {seconds:.0f} s a run on average.{left}"


def rendered(folder: Path = RESULTS) -> tuple[str, dict[str, str]]:
    """The part of the page, and the plots by name."""
    sections, plots, missing = [HEAD], {}, []
    for experiment in EXPERIMENTS.values():
        results = gathered(experiment, folder)
        own = [arm for arm in results if not experiment.arms[arm].borrowed]
        if not own:
            missing.append(experiment.title)
            continue
        sections.append(section(experiment, results))
        runs = {arm: [result["metrics"] for result in found] for arm, found in results.items()}
        plots[experiment.name] = experiment.drawing(runs)
    if missing:
        sections.append(textwrap.fill(f"Not run yet: {'; '.join(missing)}.", WRAPPED))
    return "\n\n".join(part.strip() for part in sections), plots


def inserted(page: str, part: str) -> str:
    """The page with the part between its markers.

    Raises ValueError for a page without them.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"expected the markers {BEGIN} and {END} once each")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{after}"


def _strong(said: str) -> str:
    return f"**{said}**" if said == "disagrees" else said


def main() -> None:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=DOCS, help="holds results.md; by default docs")
    chosen = parser.parse_args()
    part, plots = rendered(chosen.results)
    page = chosen.out / PAGE.name
    wanted = {page: inserted(page.read_text(), part)}
    wanted |= {chosen.out / PLOTS / f"{name}.svg": plot for name, plot in plots.items()}
    if chosen.check:
        stale = [str(path) for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        sys.exit(f"run python experiments/render.py; stale: {', '.join(stale)}" if stale else 0)
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
