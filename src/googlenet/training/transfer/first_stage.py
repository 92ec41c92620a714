"""The first stage of a run from pretrained weights: a classifier on the features of the frozen network."""

import functools
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from googlenet.base.progress import Advance
from googlenet.calibration import temperature
from googlenet.data.index import Index, Indices, inverse_frequency_weights
from googlenet.export.extractor import feature_extractor
from googlenet.files import modelfile
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import Arrays
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet
from googlenet.training.decision.recipe import Recipe
from googlenet.training.decision.run_config import FirstStage, HeldOut
from googlenet.training.transfer.features import Features, forget, kept_features
from googlenet.training.transfer.linear import LinearClassifier, fit_linear

_START = "first-stage-start.safetensors"  # and the classifier for those that are not held out
FILE = "first-stage.safetensors"  # among the training states: the network with the classifier for all photos


def run_first_stage(
    net: GoogLeNet,
    card: ModelMetadata,
    train: Index,
    held_out: Index | None,
    *,
    recipe: Recipe,
    precision: str,
    device: str,
    folder: Path,
    progress: Advance,
    pool: Index | None = None,
    pool_folder: Path | None = None,
) -> tuple[Arrays, FirstStage]:
    """Find a classifier on all photos, write the network with it, and find one without those held out.

    net       pretrained; its classifier becomes the one on all photos
    folder    of the training states
    progress  called after each photo; may raise to stop
    pool      of photos among which all of these are: the features of all of them are kept, in `pool_folder`
    returns   the classifier that a second stage begins with, and what the stage found
    raises    ImageError, WriteError
    """
    began = time.monotonic()
    features = functools.partial(
        _features, net, card, recipe=recipe, precision=precision, device=device, progress=progress
    )
    parts = [part for part in (train, held_out) if part is not None]
    if pool is not None and pool_folder is not None:
        every_one = features(pool, pool_folder)
        found = [every_one[_rows(part, pool)] for part in parts]
    else:
        found = [features(part, folder / f"features-{number}") for number, part in enumerate(parts)]
    classes = len(card.classes)
    every = _fit(parts, found, recipe, classes)
    start = _fit(parts[:1], found[:1], recipe, classes, strength=every.strength) if held_out else every
    put_in(net, every)
    checkpoint.save(folder / FILE, net, card)
    modelfile.write(folder / _START, _arrays(start), {})
    measured = None
    if held_out is not None:
        measured = measure_held_out(start.logits(found[1][:, 0]), held_out.labels)
    for number in range(len(parts)):
        forget(folder / f"features-{number}")
    seconds = round(time.monotonic() - began, 1)
    stage = FirstStage(strength=every.strength, accuracy=every.accuracy, held_out=measured, seconds=seconds)
    return _arrays(start), stage


def keep_features(
    net: GoogLeNet,
    card: ModelMetadata,
    pool: Index,
    *,
    recipe: Recipe,
    precision: str,
    device: str,
    folder: Path,
    progress: Advance,
) -> None:
    """Keep the features of the photos that several runs share; arguments as for `run_first_stage`."""
    _features(net, card, pool, folder, recipe=recipe, precision=precision, device=device, progress=progress)


def _features(
    net: GoogLeNet,
    card: ModelMetadata,
    index: Index,
    folder: Path,
    *,
    recipe: Recipe,
    precision: str,
    device: str,
    progress: Advance,
) -> Features:
    """Features of all photos of an index, taken from a folder where they are kept there."""
    return kept_features(
        net,
        feature_extractor(net, card.preprocessing, device=device, precision=precision),
        index,
        card.preprocessing,
        folder=folder,
        mirror=recipe.flip and recipe.mirror_features,
        progress=progress,
    )


def _rows(part: Index, pool: Index) -> Indices:
    """Where the photos of a part are in the pool."""
    number = {pool.name(i): i for i in range(len(pool))}
    return np.array([number[part.name(i)] for i in range(len(part))], dtype=np.int64)


def _fit(
    parts: list[Index],
    found: list[Features],
    recipe: Recipe,
    classes: int,
    *,
    strength: float | None = None,
) -> LinearClassifier:
    """A classifier on the photos of these parts."""
    labels: Indices = np.concatenate([part.labels for part in parts])
    weights = None
    if recipe.balance != "none":
        weights = inverse_frequency_weights(labels, classes=classes, power=recipe.balance_power)[labels]
    names = [part.name(i) for part in parts for i in range(len(part))]
    return fit_linear(
        np.concatenate(found), labels, names, classes=classes, weights=weights, strength=strength
    )


def read_start(folder: Path) -> Arrays:
    """The classifier that the second stage began with; raises ModelFileError if it is not there."""
    return modelfile.read(folder / _START)[0]


def _arrays(fit: LinearClassifier) -> Arrays:
    return {"weight": fit.weight.astype(np.float32), "bias": fit.bias.astype(np.float32)}


@torch.no_grad()
def put_in(net: GoogLeNet, classifier: LinearClassifier | Arrays) -> None:
    """Give a network this classifier."""
    arrays = classifier if isinstance(classifier, dict) else _arrays(classifier)
    net.classifier.weight.copy_(torch.from_numpy(arrays["weight"]))
    net.classifier.bias.copy_(torch.from_numpy(arrays["bias"]))


def measure_held_out(logits: npt.NDArray[np.floating], labels: Indices) -> HeldOut:
    """How a network did on photos, from its logits [N, classes] and their labels [N]."""
    logits = logits.astype(np.float32)
    shares = temperature.probabilities(logits, temperature.fit_temperature(logits, labels))
    own = shares[np.arange(len(labels)), labels].clip(1e-9)
    right = int((logits.argmax(axis=1) == labels).sum())
    return HeldOut(right=right, losses=tuple((-np.log(own)).round(6).tolist()))
