"""One run of a yardstick by a program of its own, and what is measured of the model that it leaves."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

import peer_networks
import torchvision_loop
from common import HERE, Arm, Metrics, Place
from googlenet.base.errors import InputError, TrainingError
from googlenet.calibration import temperature
from googlenet.data.folder import reopen_data
from googlenet.data.index import Index
from googlenet.evaluation.metrics import compute_metrics
from googlenet.files.atomic import atomic_write
from googlenet.files.runfolder import LOG, STATE, read_config
from googlenet.images.decode import preprocess
from googlenet.images.formats import SUFFIXES
from googlenet.inference.torch_classifier import Classifier
from networks import modern_words

OURS, REFERENCE = "googlenet", "torchvision_googlenet"
NETWORKS = (OURS, *peer_networks.PEERS, REFERENCE)
SMOKE = ("--epochs", "1", "--size", "64")
SMOKE_IMAGES = 12  # of a class and split
BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Contender(Arm):
    """A network with its loop and its budget."""

    network: str
    options: tuple[str, ...]  # words of its program, --minutes or --epochs first

    @property
    def how(self) -> list[str]:
        """Network, budget and recipe: a result that was got by another recipe does not count."""
        return [self.network, " ".join(self.options), recipe_words(self.network)]

    @property
    def budget(self) -> str:
        """`minutes`, or `epochs` of a plan that was made beforehand."""
        return self.options[0].removeprefix("--")


def recipe_words(network: str) -> str:
    """The recipe of a network's loop."""
    if network == REFERENCE:
        return "torchvision's reference script"
    return modern_words()


def measure(arm: Arm, seed: int, place: Place) -> Metrics:
    """Train a contender, or go on with it or take it as it is, and measure it.

    returns  accuracies as fractions, on the test split where there is one, else on validation: `top1`, and
             `mirrored`, by the mean of an image's and its mirror image's probabilities; `ece` of both;
             `curve`: (minutes since the program began, accuracy on validation) at each look;
             `images_per_second`: images trained on over the seconds of the whole program
    """
    assert isinstance(arm, Contender)
    if place.data is None:
        raise InputError("expected --data FOLDER with train/ and a validation or test split, got none")
    source = _few(place.data, place.work / "data") if place.smoke else place.data
    folder = trained(arm, seed, source, place)
    config, sessions = read_config(folder), json.loads(_sessions(folder).read_text())
    plan = config["plan"]
    seen = plan.get("seen") or plan["steps"] * config["recipe"]["batch"]
    log = (folder / LOG).read_text(encoding="utf-8")
    seconds = spent(sessions["ended"], sessions["began"], stamps(log))
    data = reopen_data(str(source), config)  # with the cut that it was trained with
    split = "test" if "test" in data.splits else "val"
    return {
        "budget": arm.budget,
        "minutes": seconds / 60,
        "sessions": len(sessions["began"]),
        "threads": plan["threads"],
        "precision": plan.get("precision", "float32"),
        "steps": plan["steps"],
        "epochs": seen / plan["samples"],
        "images_per_second": seen / seconds,
        "pixels": plan["size"],
        "curve": curve(log, sessions["began"]),
        "fingerprint": config["fingerprint"],
        "split": split,
        **measured(arm.network, folder, data.split(split), data.classes, unseen=split == "test"),
    }


def measured(network: str, folder: Path, index: Index, classes: Sequence[str], *, unseen: bool) -> Metrics:
    """Accuracy and calibration of a finished run on a split, with one view and with the mirror image too.

    unseen  the temperature was not fitted on this split; otherwise each photo is judged without its own part
    """
    if network == REFERENCE:
        net, size = torchvision_loop.load(folder)
        views = [torchvision_loop.logits(net, index, size, mirror=mirror) for mirror in (False, True)]
        shares = [temperature.probabilities(view) for view in views]  # it has no temperature
    else:
        classifier = peer_networks.load(folder)
        net, views = classifier.net, _views(classifier, index)
        shares = [
            temperature.probabilities(view, classifier.metadata.temperature)
            if unseen
            else temperature.cross_fit_temperature(view, index.labels)
            for view in views
        ]
    plain = compute_metrics(shares[0], index.labels, classes)
    both = compute_metrics(np.mean(shares, axis=0, dtype=np.float32), index.labels, classes)
    return {
        "images": plain.samples,
        "top1": plain.top1,
        "mirrored": both.top1,
        "balanced_accuracy": plain.balanced_accuracy,
        "ece": plain.ece,
        "ece_band": list(plain.ece_band),
        "ece_mirrored": both.ece,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
    }


def trained(arm: Contender, seed: int, source: Path, place: Place) -> Path:
    """Train by a program of its own; return the run folder.

    A run that ended, and was asked for in the same way, is taken as it is; one that was stopped goes on,
    unless it is the reference's, which begins anew.

    Raises TrainingError if the training fails or is stopped.
    """
    options = SMOKE if place.smoke else arm.options
    how = [str(source.resolve()), arm.network, *options, str(seed), recipe_words(arm.network)]
    words = (word.removeprefix("--") for word in (source.name, arm.network, *options, str(seed)))
    folder = place.work / "models" / "-".join(words)
    before = json.loads(_sessions(folder).read_text()) if _sessions(folder).exists() else {}
    if before.get("how") == how and "ended" in before:
        return folder
    resumed = before.get("how") == how and arm.network != REFERENCE and any(folder.glob(f"{STATE}/*"))
    now = {"how": how, "began": [*(before["began"] if resumed else ()), time.time()]}
    folder.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(_sessions(folder), json.dumps(now).encode())
    asked = ("--resume",) if resumed else (str(source), *options, "--seed", str(seed), "--force")
    program = [sys.executable, *command(arm.network, resume=resumed), *asked, "--out", str(folder)]
    if status := subprocess.Popen(program).wait():  # stopped together with this, it saves in its own time
        raise TrainingError(
            f"training of {folder.name} ended with status {status}; run again to go on with it"
        )
    atomic_write(_sessions(folder), json.dumps({**now, "ended": time.time()}).encode())
    return folder


def _sessions(folder: Path) -> Path:
    """Beside a run folder: how it was asked for, when each session began, when the last one ended."""
    return folder.parent / f"{folder.name}.json"


def command(network: str, *, resume: bool = False) -> list[str]:
    """The program that trains a network, as words for Python."""
    if network == REFERENCE:
        return [str(HERE / "torchvision_reference.py")]
    if network == OURS:
        return ["-m", "googlenet", "train"]
    return [str(HERE / "program.py"), "train", *(() if resume else ("--dialect", network))]


def curve(log: str, began: Sequence[float]) -> list[tuple[float, float]]:
    """(minutes of work since the program began, accuracy on validation) at each look of a `log.txt`.

    began  when each session began; what a resumed run did again counts as time, and once as a look
    """
    looks = {
        int(step): (round(spent(_seconds(stamp), began, stamps(log)) / 60, 3), float(top1))
        for stamp, step, top1 in re.findall(r"^(\S+ \S+) val step (\d+) .*?\btop1 ([\d.]+)", log, re.M)
    }
    return [looks[step] for step in sorted(looks)]


def spent(moment: float, began: Sequence[float], stamps: Sequence[float]) -> float:
    """Seconds of work until a moment: from the beginning of each session to its last line in the log.

    moment, began, stamps  seconds since the epoch: now, of each session, of each line
    """
    total = 0.0
    for start, following in pairwise([*began, float("inf")]):
        if moment < following:
            return total + max(0.0, moment - start)
        total += max([0.0, *(stamp - start for stamp in stamps if start <= stamp < following)])
    return total


def stamps(log: str) -> list[float]:
    """When each line of a `log.txt` was written, in seconds since the epoch."""
    return [_seconds(stamp) for stamp in re.findall(r"^(\d+-\d+-\d+ \d+:\d+:\d+) ", log, re.M)]


def _seconds(stamp: str) -> float:
    return time.mktime(time.strptime(stamp, "%Y-%m-%d %H:%M:%S"))


def _views(classifier: Classifier, index: Index) -> list[npt.NDArray[np.float32]]:
    """Logits [N, classes] of the images of a split, and of their mirror images."""
    plain, mirrored = [], []
    for start in range(0, len(index), BATCH):
        numbers = range(start, min(start + BATCH, len(index)))
        squares = np.stack([preprocess(index.read(i), classifier.preprocessing) for i in numbers])
        plain.append(classifier.logits(squares))
        mirrored.append(classifier.logits(np.ascontiguousarray(squares[:, :, ::-1])))
    return [np.concatenate(plain), np.concatenate(mirrored)]


def _few(source: Path, place: Path) -> Path:
    """A data set of a few images of each class and split of another."""
    few = place / f"{source.name}-smoke"
    if not few.is_dir():
        for label in sorted(source.glob("*/*/")):
            files = sorted(path for path in label.iterdir() if path.suffix.lower() in SUFFIXES)
            (few / label.relative_to(source)).mkdir(parents=True)
            for file in files[:SMOKE_IMAGES]:
                (few / file.relative_to(source)).symlink_to(file.resolve())
    return few
