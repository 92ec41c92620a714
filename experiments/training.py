"""One training run by the real program, and what is measured of the model that it leaves."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import parts
import timing
from common import HERE, Arm, Column, Metrics, Place, Training
from googlenet.architecture import cost
from googlenet.architecture.table1 import AUX_STAGES
from googlenet.base.errors import InputError, TrainingError
from googlenet.data.index import Index
from googlenet.files.atomic import atomic_write
from googlenet.files.events import Gradients
from googlenet.files.runfolder import RunLog, read_config
from googlenet.images.decode import preprocess
from googlenet.inference.torch_classifier import Classifier
from googlenet.nn.checkpoint import load
from googlenet.training.decision.recipe import MODERN
from networks import modern_words, register

REFERENCE = Training()
BATCH = 64
TAKEN = "taken.json"  # beside a run that ended: how it was asked for, its seconds and memory
SCALE = (
    "A run is 3 epochs of a fixed 10,000 images of CIFAR-10's training split (1,000 a class) at 64 pixels, "
    "then its whole test split, once."
)

TEST = Column("test", "test, %", 100)
TRAIN = Column("train", "train, %", 100)
GAP = Column("gap", "gap", 100)
PARAMETERS = Column("parameters", "parameters, M", 1e-6, 2)
MACS = Column("macs", "multiply-adds, M", 1e-6)
STEP = Column("step_ratio", "step, times bn's", 1, 2)
MEMORY = Column("megabytes", "process, MB", 1, 0)
ACTIVATIONS = Column("activation_bytes", "activations, MB", 1e-6)
EARLY = Column("early_gradient", "early gradient, with heads over without", 1, 2)
ACCURACY = (TEST, TRAIN, GAP)


def measure(arm: Arm, seed: int, place: Place) -> Metrics:
    """Train an arm, or take the model that is there, and measure it.

    returns  `test`, `train`, `gap` as fractions: accuracy on the test split, on training images without
             augmentation, and the difference; parameters and multiply-adds; the time of a step
             as a multiple of the reference's, taken in turns; seconds and memory of the training process;
             `gradients` by stage, means over the run, of the network's loss and of the whole;
             `early_gradient`, the second over the first, below both heads
    """
    assert arm.training is not None
    training = as_placed(arm.training, place)
    folder = trained(arm.training, seed, place)
    taken = json.loads((folder / TAKEN).read_text())
    part = parts.opened(data_of(arm.training, place))
    classifier = Classifier(load(folder))
    unseen, seen = part.split("test"), parts.seen_again(part)
    test, train = (float(right(probabilities(classifier, index), index).mean()) for index in (unseen, seen))
    priced = cost.network(training.dialect, classes=parts.CLASSES, size=64)
    config = read_config(folder)
    norms = gradients(folder)
    return {
        "test": test,
        "test_images": len(unseen),
        "train": train,
        "train_images": len(seen),
        "gap": train - test,
        "parameters": priced.parameters,
        "macs": priced.macs,
        "activation_bytes": priced.memory(batch=config["recipe"]["batch"]).activations,
        "step_ratio": timing.step_ratio(training.dialect, REFERENCE.dialect, rounds=2 if place.smoke else 9),
        "train_seconds": taken["seconds"],
        "megabytes": taken["megabytes"],
        "steps": config["plan"]["steps"],
        "precision": config["plan"]["precision"],
        "fingerprint": config["fingerprint"],
        "gradients": norms,
        "early_gradient": early_gradient(norms),
    }


def trained(training: Training, seed: int, place: Place) -> Path:
    """Train with `googlenet train` in a process of its own; return the run folder.

    A run that ended, and was asked for in the same way, is taken as it is; any other begins anew.

    Raises TrainingError if the training fails.
    """
    training = as_placed(training, place)
    options = [*training.words(), "--seed", str(seed)]
    how = [training.part, *options, *([modern_words()] if training.recipe == MODERN.name else [])]
    folder = place.work / "models" / "-".join((*_plain(training), str(seed)))
    if _ended(folder) == how:
        return folder
    for old in (folder / TAKEN, *folder.glob("*.npz")):  # what was kept of the model before
        old.unlink(missing_ok=True)
    program = [sys.executable, str(HERE / "program.py"), "train", str(data_of(training, place))]
    began = time.monotonic()
    child = subprocess.Popen([*program, "--out", str(folder), "--force", *options])
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)  # waited for here, not by Popen
    if child.returncode:
        raise TrainingError(f"training of {folder.name} ended with status {child.returncode}")
    taken = {
        "how": how,
        "seconds": round(time.monotonic() - began, 1),
        "megabytes": round(used.ru_maxrss / 1024),  # of the trainer; its loaders are other processes
    }
    atomic_write(folder / TAKEN, json.dumps(taken).encode())
    return folder


def as_placed(training: Training, place: Place) -> Training:
    """The training itself, or two steps of it in a smoke test."""
    register()
    return replace(training, part="cifar10-smoke", epochs=1) if place.smoke else training


def data_of(training: Training, place: Place) -> Path:
    """The folder of the part that a training takes."""
    if place.data is None:
        raise InputError("expected --data FOLDER with CIFAR-10 as image files, got none")
    (place.work / "data").mkdir(parents=True, exist_ok=True)
    return parts.prepare(as_placed(training, place).part, place.data, place.work / "data")


def probabilities(classifier: Classifier, index: Index) -> npt.NDArray[np.float32]:
    """What a model says of each image of an index, [N, classes]."""
    rows = []
    for start in range(0, len(index), BATCH):
        numbers = range(start, min(start + BATCH, len(index)))
        squares = [preprocess(index.read(number), classifier.preprocessing) for number in numbers]
        rows.append(classifier(np.stack(squares)))
    return np.concatenate(rows)


def right(rows: npt.NDArray[Any], index: Index) -> npt.NDArray[np.bool_]:
    """Whether each image's likeliest class is its own, for probabilities [N, classes]."""
    return np.asarray(rows.argmax(axis=1) == index.labels)


def gradients(folder: Path) -> dict[str, dict[str, float]]:
    """Norm of the gradient at each stage, geometric mean over the looks of a run.

    returns  `main_alone`: of the network's own loss; `with_heads`: of the whole loss
    """
    looks = [vars(event) for event in RunLog(folder).read() if isinstance(event, Gradients)]
    return {
        kind: {stage: _geometric([look[kind][stage] for look in looks]) for stage in looks[0][kind]}
        for kind in ("main_alone", "with_heads")
    }


def early_gradient(norms: Mapping[str, Mapping[str, float]]) -> float:
    """What the heads' losses make of the gradient below them: a factor, geometric mean over the stages."""
    stages = list(itertools.takewhile(lambda stage: stage != AUX_STAGES[0], norms["main_alone"]))
    return _geometric([norms["with_heads"][stage] / norms["main_alone"][stage] for stage in stages])


def values(runs: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    """One figure of several runs."""
    return [float(run[metric]) for run in runs]


def _geometric(numbers: Sequence[float]) -> float:
    return float(np.exp(np.log(np.maximum(numbers, 1e-12)).mean()))


def _ended(folder: Path) -> list[str] | None:
    path = folder / TAKEN
    return json.loads(path.read_text())["how"] if path.exists() else None


def _plain(training: Training) -> tuple[str, ...]:
    """Words for the name of a folder."""
    options = (word.removeprefix("--") for word in training.options)
    return (training.part, training.dialect, training.recipe, f"{training.epochs}epochs", *options)
