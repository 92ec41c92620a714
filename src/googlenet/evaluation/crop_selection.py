"""The greedy choice of crops: which few of the 144 are best together, on photos kept for choosing."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import DataError, ImageError, InputError
from googlenet.base.progress import Advance, no_advance
from googlenet.calibration.temperature import Probabilities
from googlenet.data.index import Index, Indices, stratified_split
from googlenet.evaluation.ensemble import Ensemble
from googlenet.images.crops import VIEWS_144, Crops

MOST_BYTES = 4 * 2**30  # of probabilities kept while crops are chosen


def choose_crops(
    ensemble: Ensemble,
    index: Index,
    crops: Crops,
    *,
    workers: int = 2,
    progress: Advance = no_advance,
) -> Crops:
    """Choose `crops.count` of the 144 crops on the labeled images of an index.

    Raises InputError if the probabilities would not fit, DataError if no image could be read.
    """
    shape = (len(index), len(VIEWS_144), len(ensemble.classes))
    size = math.prod(shape) * np.dtype(np.float32).itemsize
    if size > MOST_BYTES:
        raise InputError(
            f"expected at most {MOST_BYTES / 2**30:.0f} GiB of probabilities to choose crops from, got "
            f"{size / 2**30:.1f} ({len(index):,} photos, {len(VIEWS_144)} crops, {len(ensemble.classes):,} "
            "classes); put fewer photos into val, or use --crops 10"
        )
    single = [Crops(view.name, 1, (view,)) for view in VIEWS_144]
    probabilities = np.empty(shape, dtype=np.float32)
    labels: list[int] = []
    for number, result in ensemble.scores(index, single, workers=workers):
        progress(1)
        if not isinstance(result, ImageError):
            probabilities[len(labels)] = result.probabilities[-1]
            labels.append(int(index.labels[number]))
    if not labels:
        raise DataError(f"{index.root}: expected readable images to choose crops on, got none")
    best = greedy_views(probabilities[: len(labels)], np.array(labels), crops.count)
    return replace(crops, views=tuple(VIEWS_144[number] for number in best))


def greedy_views(probabilities: Probabilities, labels: Indices, count: int) -> list[int]:
    """Choose views one after another, as Howard 2013 does (arXiv 1312.5402).

    Each time it is the view with which the averaged probabilities are right most often; among equals,
    the one with the lower mean cross-entropy, then the first.

    probabilities  [N, views, classes]
    returns        the numbers of `count` different views, in the order of their choice
    """
    total = np.zeros((len(probabilities), probabilities.shape[2]))
    chosen: list[int] = []
    for _ in range(count):
        candidates = [view for view in range(probabilities.shape[1]) if view not in chosen]
        merits = [
            _accuracy_and_loss((total + probabilities[:, v]) / (len(chosen) + 1), labels) for v in candidates
        ]
        best = candidates[max(range(len(candidates)), key=merits.__getitem__)]  # the first of equals
        total += probabilities[:, best]
        chosen.append(best)
    return chosen


def split_in_halves(index: Index, *, where: str) -> tuple[Index, Index]:
    """Split images class by class, by a hash of their names: to choose on, and to report on.

    Not by a threshold on the hash, as `index.hash_split`: a `val` cut that way lies all on one side of it.

    Raises DataError if no class has two images.
    """
    names = [index.name(number) for number in range(len(index))]
    report, choosing = stratified_split(index.labels, names, share=0.5)
    if not len(choosing):
        raise DataError(
            f"{where}: expected a class of two images at least, to choose crops on one and report on the "
            f"other, got {len(index)} images of as many classes; use --crops 10"
        )
    return index.keep(choosing), index.keep(report)


def _accuracy_and_loss(means: npt.NDArray[np.float64], labels: Indices) -> tuple[int, float]:
    """Hits and minus the mean cross-entropy of averaged probabilities [N, classes]."""
    truth = means[np.arange(len(labels)), labels]
    return int((means.argmax(axis=1) == labels).sum()), float(np.log(np.maximum(truth, 1e-12)).mean())
