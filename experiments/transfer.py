"""What a budget buys from ImageNet's weights, beside two plain programs and our own run from random weights.

    python experiments/transfer.py --data FOLDER --weights MODEL --photos 20 --minutes 1 [--only WHO]

FOLDER holds train/ and validation/ (of CIFAR-10, its train/ and 100 photos a class of its test/; or those two
as they are, then all of test/ is evaluated after training); a result bears its name. MODEL is
`bvlc_googlenet.caffemodel` converted. `--photos` takes so many photos of each class, chosen by the seed;
without it all. A run is a program of its own; when it has ended its result is one line in
experiments/results/transfer.jsonl, and is not run again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import plots
from common import HERE, Arm, Column, Experiment, Metrics, Place, add_options, carry_out, read
from googlenet.base.errors import TrainingError
from googlenet.files.modelfile import MODEL_NAME, read_metadata
from googlenet.files.runfolder import read_config

ABOUT = {
    "googlenet": "`googlenet train --weights`",
    "random": "`googlenet train`, from random weights",
    "features": "frozen features at 224 and logistic regression",
    "loop": "a plain PyTorch loop over the whole network, float32",
}


@dataclass(frozen=True, kw_only=True)
class Contender(Arm):
    """Who trains, on how many photos of a class (0: all), for how long, from which weights."""

    who: str
    data: str  # the name of the folder
    photos: int
    minutes: float
    weights: Path

    @property
    def how(self) -> list[str]:
        """What a result depends on."""
        return [self.who, self.data, str(self.photos), f"{self.minutes:g}"]


def experiment(who: Sequence[str], data: str, photos: int, minutes: float, weights: Path) -> Experiment:
    """The runs of one cell: a folder of data, a number of photos and of minutes."""
    return Experiment(
        name="transfer",
        title="From ImageNet's weights",
        claim="",
        scale=f"{photos or 'All'} photos of a class, {minutes:g} minutes of a program, all of it.",
        arms={
            f"{each} {data} {photos or 'all'} {minutes:g}": Contender(
                about=ABOUT[each], who=each, data=data, photos=photos, minutes=minutes, weights=weights
            )
            for each in who
        },
        measure=measure,
        columns=(Column("top1", "accuracy, %", 100), Column("minutes", "minutes", 1, 2)),
        drawing=draw,
        command=(
            "transfer.py",
            "--photos",
            str(photos),
            "--minutes",
            f"{minutes:g}",
            "--weights",
            str(weights),
        ),
    )


def measure(arm: Arm, seed: int, place: Place) -> Metrics:
    """Train once, and give accuracy on validation and the minutes of the whole program."""
    assert isinstance(arm, Contender)
    assert place.data is not None
    data = _part(place.data, place.work / "parts", arm.photos, seed) if arm.photos else place.data
    minutes = 0.3 if place.smoke else arm.minutes
    budget = ["--minutes", f"{minutes:g}", "--seed", str(seed)]
    began = time.monotonic()
    if arm.who in ("features", "loop"):
        words = [str(HERE / "transfer_peers.py"), arm.who, str(data), str(arm.weights), *budget]
        done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise TrainingError(f"{arm.who} ended with status {done.returncode}")
        found = json.loads(done.stdout)
        return {"top1": found["top1"], "minutes": (time.monotonic() - began) / 60, "epochs": found["epochs"]}
    out = place.work / "models" / f"transfer-{'-'.join(arm.how)}-{seed}"
    start = ["--weights", str(arm.weights)] if arm.who == "googlenet" else []
    words = ["-m", "googlenet", "train", str(data), *start, *budget, "--out", str(out), "--force"]
    if status := subprocess.run([sys.executable, *words]).returncode:
        raise TrainingError(f"{arm.who} ended with status {status}")
    spent, plan = (time.monotonic() - began) / 60, read_config(out)["plan"]
    metrics = read_metadata(out / MODEL_NAME).metrics
    if (data / "test").is_dir() and not (data / "validation").is_dir():
        metrics = _test(out, data)
    return {"top1": metrics["top1"], "ece": metrics["ece"], "minutes": spent, "steps": plan["steps"]}


def _test(model: Path, data: Path) -> dict[str, float]:
    words = ["-m", "googlenet", "evaluate", str(model), str(data), "--split", "test", "--json"]
    found: dict[str, float] = json.loads(subprocess.check_output([sys.executable, *words]))
    return found


def _part(source: Path, place: Path, photos: int, seed: int) -> Path:
    """The same validation, and so many training photos of each class, chosen by the seed."""
    part = place / f"{source.name}-{photos}-{seed}"
    for split in (path for path in source.iterdir() if path.is_dir()):
        for label in sorted(path for path in split.iterdir() if path.is_dir()):
            files = sorted(label.iterdir())
            if split.name == "train":
                order = np.random.default_rng(seed).permutation(len(files))
                files = [files[i] for i in sorted(order[:photos])]
            target = part / split.name / label.name
            target.mkdir(parents=True, exist_ok=True)
            for file in files:
                link = target / file.name
                if not link.exists():
                    link.symlink_to(file.resolve())
    return part


def draw(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Accuracy against the minutes of a program: a plot for each number of photos, a line each contender."""
    cells: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, found in runs.items():
        who, data, photos, _ = name.split()
        spent, reached = (float(np.mean([run[metric] for run in found])) for metric in ("minutes", "top1"))
        cell = cells.setdefault(f"{data}, {photos if photos == 'all' else f'{photos} of each class'}", {})
        cell.setdefault(who, []).append((spent, 100 * reached))
    return plots.page(
        [
            plots.lines(
                f"{cell}: validation, %, against minutes of the program",
                "minutes",
                "%",
                {who: [sorted(points)] for who, points in series.items()},
                log_x=True,
                height=250,
            )
            for cell, series in sorted(cells.items())
        ]
    )


def draw_all() -> str:
    """The plot of all results; of several of an arm and a seed the last counts."""
    last = {(result["arm"], result["seed"]): result["metrics"] for result in read("transfer")}
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for (arm, _), metrics in sorted(last.items()):
        runs.setdefault(arm, []).append(metrics)
    return draw(runs)


def main() -> None:
    """Run what is not done yet of one cell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_options(parser, list(ABOUT))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--photos", type=int, default=0)
    parser.add_argument("--minutes", type=float)
    parser.add_argument(
        "--draw", type=Path, metavar="FILE", help="only draw the results that there are, as SVG"
    )
    chosen = parser.parse_args()
    if chosen.draw is not None:
        chosen.draw.write_text(draw_all(), encoding="utf-8")
        return
    if chosen.weights is None or chosen.minutes is None:
        parser.error("expected --weights MODEL and --minutes M")
    who = [chosen.only] if chosen.only else list(ABOUT)
    chosen.only = None
    if chosen.data is None:
        parser.error("expected --data FOLDER with train/ and validation/, got none")
    data = chosen.data.resolve().name
    carry_out(experiment(who, data, chosen.photos, chosen.minutes, chosen.weights.resolve()), chosen)


if __name__ == "__main__":
    main()
