"""The paper's test protocols (section 7): probabilities averaged over crops and models, and Table 3."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import DataError, ImageError, InputError
from googlenet.base.progress import Advance, Progress, echo, no_advance, no_progress
from googlenet.calibration import temperature
from googlenet.calibration.ood import Statistics, image_statistics
from googlenet.calibration.temperature import Probabilities
from googlenet.data.index import Index, Indices, stratified_split
from googlenet.evaluation.metrics import (
    BATCH,
    TOP,
    Metrics,
    check_not_empty,
    choose_split,
    metrics,
    ranks,
    share_unfamiliar,
)
from googlenet.images.crops import ALL, ONE, TEN, VIEWS_144, Crops, View, crop_all
from googlenet.images.decode import Pixels
from googlenet.inference.predict import Logits, Predictor, overlapped

MOST_BYTES = 4 * 2**30  # of probabilities kept while crops are chosen
_LISTED = 3  # class names in a message before it only counts


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """A line of Table 3; errors and differences as fractions, differences to the first line."""

    protocol: str  # 1, 10, 144 or greedy:N
    models: int
    crops: int
    cost: int  # passes through a network for each photo
    top1_error: float
    top5_error: float
    top1_difference: float
    top5_difference: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the protocol that was asked for says, and the cheaper ones beside it on the same photos."""

    metrics: Metrics
    protocol: str
    models: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    chosen: tuple[View, ...] = ()  # in the order of their choice; empty unless they were chosen

    def as_dict(self) -> dict[str, Any]:
        """Return the metrics as JSON types, and what they were compared with, if anything."""
        found = self.metrics.as_dict()
        if len(self.rows) > 1:
            found |= {"crops": self.protocol, "models": list(self.models)}
            found["protocols"] = [asdict(row) for row in self.rows]
        if self.chosen:
            found["views"] = [view.name for view in self.chosen]
        return found


def assess(
    models: Mapping[str, Predictor],
    source: str,
    crops: Crops,
    *,
    split: str | None = None,
    workers: int = 2,
    progress: Progress = no_progress,
) -> Comparison:
    """Measure one model or several on a data set by a test protocol.

    models   by the names that messages and results give them; the first gives the order of the classes
    split    as for `evaluate.choose_split`; where crops are to be chosen, it is done on `val`, or, if
             that is measured itself or the folder has no splits, on one half of what is measured
    raises   InputError for models of different classes, or crops to be chosen from too many photos;
             DataError for classes that the models do not know, or no readable image
    """
    ensemble = Ensemble(models)
    first, *others = (classifier.card for classifier in models.values())
    part, index = choose_split(source, first, split, others=others)
    measured = part
    if crops.to_choose:
        if split in (None, "val"):
            choosing, index = halves(index, where=part)
            part = f"half of {part}; the crops were chosen on its other half"
        else:
            place, choosing = choose_split(source, first, "val")
            part += f"; the crops were chosen on {place}"
        advance = progress("choosing crops", len(choosing))
        crops = choose(ensemble, choosing, crops, workers=workers, progress=advance)
    advance = progress(measured, len(index))
    found = compare(ensemble, index, crops, workers=workers, progress=advance)
    return replace(found, metrics=replace(found.metrics, part=part))


class Averages(NamedTuple):
    """What an ensemble says of a photo.

    The groups are the first model and, if there are others, all of them.
    """

    probabilities: Probabilities  # [groups, protocols, classes], of each model at its temperature
    raw: Probabilities  # the same without temperatures
    figures: Statistics  # [9], of the first model's own crop, or where none is asked for of the first view
    energies: npt.NDArray[np.float32]  # [protocols], of the first model, a mean over the crops


class Ensemble:
    """Models whose probabilities are averaged, with the classes in the order of the first."""

    def __init__(self, models: Mapping[str, Predictor]) -> None:
        """Match the classes by name.

        Raises InputError, naming both models, for classes that are not the same.
        """
        self.names = tuple(models)
        self._members = tuple(models.values())
        self.card = self._members[0].card
        self.classes = self._members[0].classes
        self._columns = [
            _columns(self.names[0], self.classes, name, member.classes) for name, member in models.items()
        ]

    def averages(
        self, index: Index, protocols: Sequence[Crops], *, workers: int
    ) -> Iterator[tuple[int, Averages | ImageError]]:
        """Give each image, by number, its averages, or the ImageError that it met.

        No more than a few photos' crops are in memory at a time.
        """
        views = tuple(dict.fromkeys(view for crops in protocols for view in crops.views))
        places = [[views.index(view) for view in crops.views] for crops in protocols]
        kinds = {member.preprocessing for member in self._members}

        def load(number: int) -> dict[Preprocessing, Pixels]:
            return crop_all(index.read(number), kinds, views)

        def answer(photos: list[dict[Preprocessing, Pixels]]) -> Iterator[Averages]:
            return self._averages(photos, places, own=views.index(None) if None in views else 0)

        batch = max(1, BATCH // len(views))
        return overlapped(range(len(index)), load, answer, batch=batch, workers=workers)

    def _averages(
        self, photos: list[dict[Preprocessing, Pixels]], places: list[list[int]], *, own: int
    ) -> Iterator[Averages]:
        each = [self._logits(number, photos) for number in range(len(self._members))]
        temperatures = [member.card.temperature for member in self._members]
        calibrated = [temperature.probabilities(*pair) for pair in zip(each, temperatures, strict=True)]
        raw = [temperature.probabilities(logits) for logits in each]
        looks = image_statistics(np.stack([photo[self._members[0].preprocessing][own] for photo in photos]))
        energies = _over_crops(temperature.energies(each[0]), places)
        return map(Averages, _groups(calibrated, places), _groups(raw, places), looks, energies)

    def _logits(self, number: int, photos: list[dict[Preprocessing, Pixels]]) -> Logits:
        """[photos, views, classes] of one model."""
        member, columns = self._members[number], self._columns[number]
        squares = np.concatenate([photo[member.preprocessing] for photo in photos])
        parts = [member.logits(squares[start : start + BATCH]) for start in range(0, len(squares), BATCH)]
        return np.concatenate(parts)[:, columns].reshape(len(photos), -1, len(columns))


def compare(
    ensemble: Ensemble,
    index: Index,
    crops: Crops,
    *,
    workers: int = 2,
    progress: Advance = no_advance,
) -> Comparison:
    """Measure a protocol, and those it is compared with, on the images of an index.

    Raises DataError if none of them could be read.
    """
    protocols = beside(crops)
    asked, own = protocols.index(crops), protocols.index(ONE)
    bad: dict[int, ImageError] = {}
    kept: list[tuple[npt.NDArray[Any], ...]] = []
    before: list[Indices] = []  # for each image, classes ahead of the true one, [groups * protocols]
    for number, result in ensemble.averages(index, protocols, workers=workers):
        progress(1)
        if isinstance(result, ImageError):
            bad[number] = result
            echo(f"left out: {index.name(number)}: {result}")
            continue
        kept.append(
            (result.probabilities[-1, asked], result.raw[-1, asked], result.figures, result.energies[own])
        )
        flat = result.probabilities.reshape(-1, len(ensemble.classes))
        before.append(ranks(flat, np.full(len(flat), index.labels[number])))
    numbers = np.array([n for n in range(len(index)) if n not in bad], dtype=np.int64)
    check_not_empty(numbers, index)
    probabilities, raw, looks, energies = (np.array(column) for column in zip(*kept, strict=True))
    found = metrics(
        probabilities,
        index.labels[numbers],
        ensemble.classes,
        raw=raw,
        unfamiliar=share_unfamiliar(
            ensemble.card, looks, energies
        ),  # as `predict` with the first model says it
        unreadable=len(bad),
    )
    return Comparison(
        metrics=found,
        protocol=crops.name,
        models=ensemble.names,
        rows=_rows(np.array(before), protocols, len(ensemble.names)),
        chosen=tuple(v for v in crops.views if v) if crops not in (ONE, TEN, ALL) else (),
    )


def beside(crops: Crops) -> tuple[Crops, ...]:
    """Return the protocols that a comparison shows: those up to the one asked for, or all with a choice."""
    standard = (ONE, TEN, ALL)
    if crops in standard:
        return standard[: standard.index(crops) + 1]
    return (ONE, crops, TEN, ALL)


def choose(
    ensemble: Ensemble,
    index: Index,
    crops: Crops,
    *,
    workers: int = 2,
    progress: Advance = no_advance,
) -> Crops:
    """Choose as many of the 144 crops as asked for, on the labeled images of an index.

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
    for number, result in ensemble.averages(index, single, workers=workers):
        progress(1)
        if not isinstance(result, ImageError):
            probabilities[len(labels)] = result.probabilities[-1]
            labels.append(int(index.labels[number]))
    if not labels:
        raise DataError(f"{index.root}: expected readable images to choose crops on, got none")
    best = greedy(probabilities[: len(labels)], np.array(labels), crops.count)
    return replace(crops, views=tuple(VIEWS_144[number] for number in best))


def greedy(probabilities: Probabilities, labels: Indices, count: int) -> list[int]:
    """Choose views one after another, as Howard 2013 does (arXiv 1312.5402).

    Each time it is the view with which the averaged probabilities are right most often; among equals,
    the one with the lower mean cross-entropy, then the first.

    probabilities  [N, views, classes]
    returns        `count` different numbers of views, in the order of their choice
    """
    total = np.zeros((len(probabilities), probabilities.shape[2]))
    chosen: list[int] = []
    for _ in range(count):
        left = [view for view in range(probabilities.shape[1]) if view not in chosen]
        merits = [_merit((total + probabilities[:, v]) / (len(chosen) + 1), labels) for v in left]
        best = left[max(range(len(left)), key=merits.__getitem__)]  # the first of equals
        total += probabilities[:, best]
        chosen.append(best)
    return chosen


def halves(index: Index, *, where: str) -> tuple[Index, Index]:
    """Split images class by class, by a hash of their names: to choose on, and to report on.

    Not by a threshold on the hash, as in `index.by_name`: a `val` cut that way lies all on one side of it.

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


def _merit(means: npt.NDArray[np.float64], labels: Indices) -> tuple[int, float]:
    """Hits and minus the mean cross-entropy of averaged probabilities [N, classes]."""
    truth = means[np.arange(len(labels)), labels]
    return int((means.argmax(axis=1) == labels).sum()), float(np.log(np.maximum(truth, 1e-12)).mean())


def _rows(before: Indices, protocols: Sequence[Crops], models: int) -> tuple[ComparisonRow, ...]:
    """Table 3 from [N, groups * protocols]: how many classes came before the true one."""
    top1, top5 = ((before >= top).mean(axis=0) for top in (1, TOP))
    sizes = [(group, crops) for group in dict.fromkeys((1, models)) for crops in protocols]
    return tuple(
        ComparisonRow(
            protocol=crops.name,
            models=group,
            crops=crops.count,
            cost=group * crops.count,
            top1_error=float(top1[i]),
            top5_error=float(top5[i]),
            top1_difference=float(top1[i] - top1[0]),
            top5_difference=float(top5[i] - top5[0]),
        )
        for i, (group, crops) in enumerate(sizes)
    )


def _groups(each: list[Probabilities], places: list[list[int]]) -> Probabilities:
    """[photos, groups, protocols, classes], from [photos, views, classes] of each model."""
    means = [_over_crops(found, places) for found in each]
    groups = [means[0], np.mean(means, axis=0)] if len(means) > 1 else means
    return np.stack(groups, axis=1)


def _over_crops(found: npt.NDArray[np.float32], places: list[list[int]]) -> npt.NDArray[np.float32]:
    """[photos, protocols, ...], the means of [photos, views, ...] over each protocol's views."""
    return np.stack([found[:, place].mean(axis=1) for place in places], axis=1)


def _columns(mine: str, classes: Sequence[str], other: str, others: Sequence[str]) -> Indices:
    """Where the classes of one model stand among those of another, by name."""
    if tuple(others) == tuple(classes):
        return np.arange(len(classes))
    if set(others) != set(classes):
        raise InputError(
            f"expected models of the same classes, got {mine} with {_some(classes)} "
            f"and {other} with {_some(others)}; "
            f"{other} lacks {_some([name for name in classes if name not in set(others)])}, "
            f"{mine} lacks {_some([name for name in others if name not in set(classes)])}"
        )
    place = {name: number for number, name in enumerate(others)}
    return np.array([place[name] for name in classes])


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names[:_LISTED])) or "none"
    return f"{listed} and {len(names) - _LISTED} more" if len(names) > _LISTED else listed
