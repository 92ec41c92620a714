"""What the experiments share: a claim as data, runs that are kept as they end, and the command line.

    python experiments/NAME.py --data CIFAR10 [--work FOLDER] [--seeds 0,1,2] [--only ARM] [--list] [--smoke]

Each run (an arm with a seed) is a process of its own. When it has ended, and not before, its result is one
line in experiments/results/NAME.jsonl. What stands there is not run again.
"""

import argparse
import fcntl
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from googlenet.base.errors import GoogLeNetError, InputError
from googlenet.base.machine import cores
from googlenet.base.progress import echo
from googlenet.base.version import versions
from googlenet.files.atomic import atomic_write
from stats import Expected

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
EXAMPLE = "python experiments/stem.py --data cifar10 --work runs/experiments"

Metrics = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained: options of `googlenet train`, over a fixed number of epochs of a part."""

    dialect: str = "bn"
    recipe: str = "claims"
    part: str = "cifar10-10k"
    epochs: int = 3
    options: tuple[str, ...] = ()

    def words(self) -> tuple[str, ...]:
        """The options, but for data, seed and folder."""
        fixed = ("--dialect", self.dialect, "--recipe", self.recipe, "--stem", "8", "--size", "64")
        return (*fixed, "--epochs", str(self.epochs), *self.options)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One of the things compared; `borrowed` names the (experiment, arm) whose runs it shares."""

    about: str
    training: Training | None = None
    borrowed: tuple[str, str] | None = None
    note: str = ""  # what a run depends on beside its training

    @property
    def how(self) -> list[str]:
        """What a result of this arm depends on; a result that was got otherwise does not count."""
        trained = (self.training.part, *self.training.words()) if self.training else ()
        return [*trained, *([self.note] if self.note else [])]


@dataclass(frozen=True)
class Column:
    """A figure of each run, as a table shows it: the metric's name, a heading, a factor, decimals."""

    metric: str
    heading: str
    factor: float = 1.0
    decimals: int = 1


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A difference that bears on the claim: of two arms, or of one arm's metric and `against`."""

    what: str
    column: Column
    mine: str  # arm
    theirs: str | None = None  # arm; None with `against`
    paper: str  # what the paper says of it, or that it says nothing
    expected: Expected
    against: str | float | None = None  # another metric of the same runs, then by pairs; or a number


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run finds its data and leaves its models."""

    data: Path | None
    work: Path
    smoke: bool = False


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A claim of the paper, the arms that put it to the test, and what is measured of each run."""

    name: str  # of its results, and of its script unless there is a `command`
    title: str
    claim: str  # what the paper says, and in which section
    scale: str  # what a run consists of
    arms: Mapping[str, Arm]
    seeds: tuple[int, ...] = (0, 1, 2)
    measure: Callable[[Arm, int, Place], Metrics]
    columns: tuple[Column, ...]
    comparisons: tuple[Comparison, ...] = ()
    drawing: Callable[[Mapping[str, Sequence[Metrics]]], str]
    command: tuple[str, ...] = ()  # its script and the words that make this experiment of it

    @property
    def script(self) -> tuple[str, ...]:
        """How it is called: a script beside this one, and words."""
        return self.command or (f"{self.name}.py",)

    def runs(self, seeds: Sequence[int] | None = None, only: str | None = None) -> Iterator[tuple[str, int]]:
        """The runs of its own, seed by seed, so that what was stopped half-way has all arms."""
        for seed in self.seeds if seeds is None else seeds:
            for name, arm in self.arms.items():
                if arm.borrowed is None and only in (None, name):
                    yield name, seed


def read(name: str, *, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The results of an experiment, in the order in which they ended."""
    path = folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(result: Mapping[str, Any], *, folder: Path = RESULTS) -> None:
    """Add a result to its experiment's file, which at any time holds whole lines only."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['experiment']}.jsonl"
    before = path.read_bytes() if path.exists() else b""
    atomic_write(path, before + json.dumps(result, allow_nan=False).encode() + b"\n")


def counting(experiment: Experiment, *, folder: Path = RESULTS) -> dict[tuple[str, int], dict[str, Any]]:
    """The results that count, by arm and seed: those got as the script now says; the last of several."""
    return {
        (result["arm"], result["seed"]): result
        for result in read(experiment.name, folder=folder)
        if result["arm"] in experiment.arms and result["how"] == experiment.arms[result["arm"]].how
    }


def main(experiment: Experiment) -> None:
    """The command line of an experiment's script."""
    parser = argparse.ArgumentParser(description=f"{experiment.title}. {experiment.scale}")
    add_options(parser, [name for name, arm in experiment.arms.items() if not arm.borrowed])
    chosen = parser.parse_args()
    carry_out(experiment, chosen, only=chosen.only)


def add_options(parser: argparse.ArgumentParser, arms: Sequence[str]) -> None:
    """Add what every experiment's script understands."""
    parser.add_argument(
        "--data", type=Path, help="a folder of image files in splits; of CIFAR-10, train/ and test/"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/experiments"), help="keeps models")
    parser.add_argument("--seeds", help="as 0,1,2; by default the experiment's own")
    parser.add_argument("--only", choices=arms)
    parser.add_argument("--list", action="store_true", help="say what there is to run, and what is done")
    parser.add_argument("--smoke", action="store_true", help="two steps a run; results stay in --work")
    parser.add_argument("--run", nargs=2, metavar=("ARM", "SEED"), help=argparse.SUPPRESS)


def carry_out(experiment: Experiment, chosen: argparse.Namespace, *, only: str | None = None) -> None:
    """Do what a command line asks for; a mistake of the user is one line."""
    place = Place(data=chosen.data, work=chosen.work.resolve(), smoke=chosen.smoke)
    try:
        if chosen.run:
            one(experiment, chosen.run[0], int(chosen.run[1]), place)
            return
        seeds = _numbers(chosen.seeds) if chosen.seeds else None
        wanted = list(experiment.runs(seeds, only))
        if chosen.list:
            _list(experiment, wanted, place)
            return
        if place.data is not None and not place.data.is_dir():
            raise InputError(f"expected --data FOLDER with images in splits, there is no folder {place.data}")
        failed = run(experiment, wanted, place)
    except GoogLeNetError as error:
        print(f"{experiment.name}: {error}", file=sys.stderr)
        sys.exit(2)
    if failed:
        sys.exit(f"{experiment.name}: failed, and left nothing: {', '.join(failed)}")


def run(experiment: Experiment, wanted: Sequence[tuple[str, int]], place: Place) -> list[str]:
    """Run what is not done yet, one process after another; return what failed.

    Raises InputError if other runs are going on in the same folder: they would slow each other down.
    """
    failed = []
    with _alone(place.work):
        for arm, seed in wanted:
            label = f"{experiment.name}, {arm}, seed {seed}"
            if (arm, seed) in counting(experiment, folder=results(place)):
                echo(f"{label}: done before")
                continue
            echo(f"{label}: begins")
            if subprocess.run(_command(experiment, arm, seed, place)).returncode:
                failed.append(f"{arm} {seed}")
    return failed


def one(experiment: Experiment, arm: str, seed: int, place: Place) -> None:
    """Make one run in this process and keep its result, stamped; whatever stops it leaves none."""
    began, stamp = time.monotonic(), provenance()  # of the code that runs, not of a later commit
    metrics = experiment.measure(experiment.arms[arm], seed, place)
    result = {
        "experiment": experiment.name,
        "arm": arm,
        "seed": seed,
        "how": experiment.arms[arm].how,
        "metrics": metrics,
        "seconds": round(time.monotonic() - began, 1),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **stamp,
    }
    keep(result, folder=results(place))


def results(place: Place) -> Path:
    """Where results go: beside the scripts, those of a smoke test elsewhere."""
    return place.work / "smoke-results" if place.smoke else RESULTS


def provenance() -> dict[str, Any]:
    """Versions, commit, whether code was changed since, and the machine in a line."""
    changed = _git("status", "--porcelain", "--", "src", "experiments/*.py")
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in _lines(Path("/proc/cpuinfo"))
            if line.startswith("model name")
        ),
        platform.processor() or "unknown processor",
    )
    return {
        "versions": {"python": platform.python_version(), **versions()},
        "commit": _git("rev-parse", "--short", "HEAD") or "unknown",
        "changed": bool(changed),
        "machine": f"{platform.machine()}, {processor}, {cores()} cores",
    }


def _command(experiment: Experiment, arm: str, seed: int, place: Place) -> list[str]:
    script, *words = experiment.script
    data = ["--data", str(place.data)] if place.data else []
    smoke = ["--smoke"] if place.smoke else []
    place_words = ["--work", str(place.work), *data, *smoke]
    return [sys.executable, str(HERE / script), *words, "--run", arm, str(seed), *place_words]


def _list(experiment: Experiment, wanted: Sequence[tuple[str, int]], place: Place) -> None:
    done = counting(experiment, folder=results(place))
    print(f"{experiment.title}: {experiment.scale}")
    for arm, seed in wanted:
        state = f"done, {done[arm, seed]['seconds']:.0f} s" if (arm, seed) in done else "to do"
        print(f"  {arm}, seed {seed}: {state}")
    for name, other in experiment.arms.items():
        if other.borrowed:
            print(f"  {name}: runs of {', '.join(other.borrowed)}")


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"expected no other experiment at work in {work}, got one; wait for it, since two at once "
                "slow each other down"
            ) from error
        yield


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise InputError(f"expected --seeds as 0,1,2, got {text!r}") from error


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=HERE.parent, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
