"""The part of docs/results.md on what a budget buys: ours and its peers on two data sets."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from common import RESULTS, counting, read
from stats import between, summarize
from tables import Runs, stamp, table
from yardstick_runs import OURS
from yardsticks import YARDSTICKS, Goal, Yardstick, published

HEAD = """## What a budget buys

```
python experiments/yardsticks.py clothing --data FOLDER    # or cifar10; --only resnet18 for one network
```

Each network has as many minutes of the same cores, from the start of its program to its end, the last look
at validation included. The peers go through the loop, the recipe and the planner of `googlenet train`, with
networks of torchvision's in the place of ours; `torchvision_googlenet` goes through the loop and the recipe
of torchvision's own script, its schedule shortened to the budget. All see the same images in the same
splits. Tables give mean ± standard deviation over seeds; images/s are images trained on over all seconds of
the program. A row named with `--epochs` was not timed: it ran a plan made on an idle machine for as many
minutes, with other work beside it; the plot draws it as if it had taken them.
"""


def rendered(folder: Path = RESULTS, *, plots: str) -> tuple[str, dict[str, str]]:
    """The part of the page, and the plots by name, which are to lie in `plots` beside the page."""
    sections, drawn = [HEAD.strip()], {}
    for yardstick in YARDSTICKS.values():
        experiment = published(yardstick, folder=folder)
        done = counting(experiment, folder=folder)
        found = {
            arm: [done[key] for key in sorted(done) if key[0] == arm]
            for arm in experiment.arms
            if any(key[0] == arm for key in done)
        }
        runs = {arm: [result["metrics"] for result in results] for arm, results in found.items()}
        sections += [f"### {yardstick.title}", f"{experiment.scale} {experiment.claim}"]
        if found:
            drawn[experiment.name] = experiment.drawing(runs)
            sections += [
                f"![Accuracy against minutes]({plots}/{experiment.name}.svg)",
                table(experiment, runs),
            ]
        sections.append(goals(yardstick, runs))
        if found:
            sections.append(stamp(experiment, found))
        if before := earlier(read(experiment.name, folder=folder), done.values()):
            sections.append(before)
    return "\n\n".join(sections), drawn


def earlier(results: Iterable[Mapping[str, Any]], counted: Collection[Mapping[str, Any]]) -> str:
    """A line on the runs of recipes that have changed since, which count no more; empty without any."""
    lines = []
    for result in results:
        if result not in counted:
            found = result["metrics"]
            network, options, _ = result["how"]
            lines.append(
                f"{network} {options}, seed {result['seed']}, {100 * found['top1']:.1f} % "
                f"(with mirror image {100 * found['mirrored']:.1f}), ECE {found['ece']:.3f}, "
                f"{found['epochs']:.1f} epochs at {found['pixels']} pixels ({result['machine']}; commit "
                f"{result['commit']})"
            )
    return f"Of earlier recipes, which count no more: {'; '.join(lines)}." if lines else ""


def goals(yardstick: Yardstick, runs: Runs) -> str:
    """A row for each goal, with what was reached so far."""
    rows = [_row(goal, runs) for goal in yardstick.goals]
    return "\n".join(["| aimed at | bound | here | n | |", "|---|---|---|---|---|", *rows])


def _row(goal: Goal, runs: Runs) -> str:
    bound = f"{'at most' if goal.most else 'at least'} {goal.bound:g}"
    mine = _values(goal, runs, OURS)
    theirs = _values(goal, runs, goal.theirs) if goal.theirs else None
    if not mine or theirs == []:
        return f"| {goal.what} | {bound} | | | not run yet |"
    mean = summarize(mine).mean - (summarize(theirs).mean if theirs else 0)
    spread = summarize(mine).deviation
    if theirs:
        difference = between(mine, theirs)
        spread = difference.error if difference else None
    reached = mean <= goal.bound if goal.most else mean >= goal.bound
    digits = max(goal.column.decimals, 1)
    here = f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")
    n = f"{len(mine)}, {len(theirs)}" if theirs else str(len(mine))
    return f"| {goal.what} | {bound} | {here} | {n} | {'reached' if reached else '**not reached**'} |"


def _values(goal: Goal, runs: Runs, network: str) -> list[float]:
    """The figure of a network's runs: those with the yardstick's own options, else the last with others."""
    named: Mapping[str, str] = {arm.partition(" ")[0]: arm for arm in runs}
    arm = network if network in runs else named.get(network)
    return [goal.column.factor * run[goal.column.metric] for run in runs[arm]] if arm else []
