"""Write the tables of docs/results.md and the plots of docs/experiments/ from the results.

    python experiments/render.py [--check] [--results FOLDER --out FOLDER]

Every figure, every difference and every verdict is computed here from experiments/results/*.jsonl; what has
no results has no section. `--check` only compares.
"""

import argparse
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yardstick_page
from catalogue import EXPERIMENTS
from common import HERE, RESULTS, Experiment, counting
from tables import comparisons, stamp, table

DOCS = HERE.parent / "docs"
PAGE = DOCS / "results.md"
PLOTS = "experiments"
WRAPPED = 118  # letters a line
CLAIMS, YARDSTICKS = "experiments", "yardsticks"  # names of the parts between markers
HEAD = """## The paper's claims

```
make experiments CIFAR10=FOLDER    # or one: python experiments/stem.py --data FOLDER
```

Each claim of the paper is a script in `experiments/`; each run's result is a line in `experiments/results/`,
with its commit (a + says that code had changed since), versions and machine, added as the run ended.
Hyperparameters stand in the scripts and were not chosen by any of these figures, but for the rate of average
pooling against a dense layer, as said there. The test split is measured once a run. Tables give mean ±
standard deviation over what is counted in n: seeds, unless the section says otherwise. A verdict is computed
from the 95 % interval of the difference (Student's t, Welch's variance): “same direction” where it lies
wholly on the side of zero that the paper leads one to expect, “opposite” where on the other, “not settled”
where it holds zero, “too few runs” without an interval, “no claim” where the paper expects nothing. The size
of a difference is not tested against the paper's. About one in twenty such intervals misses the true value,
and this page has more than twenty. The paper's networks saw thousands of times as many images: what is not
settled here, or is opposite, may hold there.
"""


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


def inserted(page: str, part: str, *, name: str = CLAIMS) -> str:
    """The page with the part between the markers of its name.

    Raises ValueError for a page without them.
    """
    begin, end = f"<!-- {name}: begin (python experiments/render.py) -->", f"<!-- {name}: end -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"expected the markers {begin} and {end} once each")
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"


def main() -> None:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=DOCS, help="holds results.md; by default docs")
    chosen = parser.parse_args()
    if not chosen.results.is_dir():
        parser.error(f"expected --results FOLDER with .jsonl files, there is no folder {chosen.results}")
    claims, plots = rendered(chosen.results)
    peers, more = yardstick_page.rendered(chosen.results, plots=PLOTS)
    page = chosen.out / PAGE.name
    wanted = {page: inserted(inserted(page.read_text(), claims), peers, name=YARDSTICKS)}
    wanted |= {chosen.out / PLOTS / f"{name}.svg": plot for name, plot in (plots | more).items()}
    if chosen.check:
        stale = [str(path) for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        sys.exit(f"run python experiments/render.py; stale: {', '.join(stale)}" if stale else 0)
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
