"""How many of the labels that were changed at random are found, and what correcting them is worth.

    python experiments/wrong_labels.py --data FOLDER --weights MODEL [--share 0.05]

FOLDER holds train/ and validation/, MODEL is pretrained. A share of the training labels is changed to another
class, by the seed. `googlenet train --folds 5` looks for them; every suspect is then given the class that it
is taken for, as somebody would who believes each suggestion. Three runs, on the right labels, on the changed
ones and on the corrected ones, are measured on validation, whose labels nobody touched. A result is one line
in experiments/results/wrong_labels.jsonl, and is not run again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import plots
from common import Arm, Column, Experiment, Metrics, Place, add_options, carry_out
from googlenet.base.errors import TrainingError
from googlenet.crossval.assignment import read_table
from googlenet.crossval.corrections import TABLE, Corrections, Decision
from googlenet.crossval.folder import SUSPECTS, read_cross_validation
from googlenet.crossval.relabel import all_photos
from googlenet.files.modelfile import MODEL_NAME, read_metadata

FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Changed(Arm):
    """Which share of the labels is changed, and for how long each side trains."""

    data: str
    share: float
    folds_minutes: float
    minutes: float
    weights: Path

    @property
    def how(self) -> list[str]:
        """What a result depends on."""
        return [self.data, f"{self.share:g}", f"{self.folds_minutes:g}", f"{self.minutes:g}"]


def experiment(arm: Changed, words: Sequence[str]) -> Experiment:
    """The one comparison."""
    return Experiment(
        name="wrong_labels",
        title="Labels that were changed at random",
        claim="",
        scale=f"{100 * arm.share:g} % of the labels changed, {arm.folds_minutes:g} minutes to find them.",
        arms={" ".join(arm.how): arm},
        measure=measure,
        columns=(Column("found", "found, %", 100), Column("right", "of the suspects wrong, %", 100)),
        drawing=lambda runs: plots.page([]),
        command=("wrong_labels.py", *words),
    )


def measure(arm: Arm, seed: int, place: Place) -> Metrics:
    """Change labels, look for them, correct them, and train three times."""
    assert isinstance(arm, Changed) and place.data is not None
    home = place.work / f"wrong-labels-{'-'.join(arm.how)}-{seed}"
    data, truth = change_labels(place.data, home / arm.data, share=arm.share, seed=seed)
    began = time.monotonic()
    out = train(data, home / "folds", arm, seed, "--folds", str(FOLDS), minutes=arm.folds_minutes)
    seconds = time.monotonic() - began
    suspects = [json.loads(line) for line in (out / SUSPECTS).read_text().splitlines()]
    named = {each["path"] for each in suspects}
    found = len(named & truth.keys())
    asked = read_cross_validation(out)
    corrections = Corrections(out, all_photos(asked, read_table(out / "folds.jsonl", data)))
    for each in suspects:
        corrections.decide(Decision(path=each["path"], action="correct", label=each["suggested"]))
    table = ("--labels", str(out / TABLE))
    runs = {
        "clean": train(place.data, home / "clean", arm, seed, minutes=arm.minutes),
        "changed": train(data, home / "changed", arm, seed, minutes=arm.minutes),
        "corrected": train(data, home / "corrected", arm, seed, *table, minutes=arm.minutes),
    }
    return {
        "changed": len(truth),
        "suspects": len(suspects),
        "found": found / len(truth),
        "right": found / max(1, len(suspects)),
        "mended": sum(truth.get(each["path"]) == each["suggested"] for each in suspects),
        "folds_seconds": round(seconds, 1),
        "out_of_fold": read_metadata(out / MODEL_NAME).metrics["top1"],
        **{f"top1_{name}": read_metadata(run / MODEL_NAME).metrics["top1"] for name, run in runs.items()},
    }


def train(data: Path, out: Path, arm: Changed, seed: int, *words: str, minutes: float) -> Path:
    """Run the program; the run folder."""
    options = ["--weights", str(arm.weights), "--minutes", f"{minutes:g}", "--seed", str(seed), *words]
    command = [sys.executable, "-m", "googlenet", "train", str(data), *options, "--out", str(out), "--force"]
    if status := subprocess.run(command).returncode:
        raise TrainingError(f"it ended with status {status}")
    return out


def change_labels(source: Path, target: Path, *, share: float, seed: int) -> tuple[Path, dict[str, str]]:
    """The same photos as links, a share of those of train/ in another class's folder.

    returns  the folder, and the right class of each photo that is in a wrong one, by its path there
    """
    random = np.random.default_rng(seed)
    truth: dict[str, str] = {}
    for split in sorted(path for path in source.iterdir() if path.is_dir()):
        classes = sorted(path.name for path in split.iterdir() if path.is_dir())
        photos = [photo for name in classes for photo in sorted((split / name).iterdir())]
        chosen = set()
        if split.name == "train":
            chosen = set(random.choice(len(photos), round(share * len(photos)), replace=False).tolist())
        for number, photo in enumerate(photos):
            label = photo.parent.name
            if number in chosen:
                label = str(random.choice([name for name in classes if name != label]))
                truth[f"{split.name}/{label}/{photo.name}"] = photo.parent.name
            place = target / split.name / label / photo.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_symlink():
                place.symlink_to(photo.resolve())
    return target, truth


def main() -> None:
    """Run what is not done yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_options(parser, [])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--folds-minutes", type=float, default=3.0)
    parser.add_argument("--minutes", type=float, default=1.0)
    chosen = parser.parse_args()
    if chosen.data is None:
        parser.error("expected --data FOLDER with train/ and validation/, got none")
    arm = Changed(
        about="",
        data=chosen.data.resolve().name,
        share=chosen.share,
        folds_minutes=chosen.folds_minutes,
        minutes=chosen.minutes,
        weights=chosen.weights.resolve(),
    )
    words = ["--weights", str(arm.weights), "--share", arm.how[1]]
    words += ["--folds-minutes", arm.how[2], "--minutes", arm.how[3]]
    carry_out(experiment(arm, words), chosen)


if __name__ == "__main__":
    main()
