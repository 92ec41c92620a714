"""How good a model is: probabilities over a split, and the figures that follow from them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import DataError, ImageError
from googlenet.base.notebook import BarCell, table
from googlenet.base.progress import Advance, no_advance
from googlenet.calibration import ood, temperature
from googlenet.calibration.ood import STATISTICS, Statistics
from googlenet.calibration.temperature import Bin, Logits, Probabilities
from googlenet.data.folder import DIGITS, has_splits, open_class_folders, remap_labels, reopen_data
from googlenet.data.index import Index, content_sample
from googlenet.files.metadata import ModelMetadata
from googlenet.inference.predict import Predictor, Scores, stream

BATCH = 32
TOP = 5


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """One class: how many images it has, and the share of them that was recognized."""

    label: str
    support: int
    recall: float | None  # None without images
    precision: float | None  # None if it was never guessed


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What one look at a split says; fractions in 0..1."""

    part: str = ""  # which images were measured, in words
    samples: int
    top1: float
    top1_low: float  # 95 % interval of top1, Wilson's
    top1_high: float
    top5: float
    balanced_accuracy: float  # mean recall of the classes that have images
    loss: float  # mean cross-entropy, nats
    ece: float  # expected calibration error over 15 bins
    ece_raw: float  # the same without the model's temperature
    ece_band: tuple[float, float]  # 95 % interval of it for a model whose confidence is exactly true
    unfamiliar: float | None = None  # share of photos unlike the training data; None without a threshold
    classes: tuple[str, ...]
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]  # [true class][guess]
    reliability: tuple[Bin, ...]  # what `ece` is a mean over
    reliability_raw: tuple[Bin, ...]
    unreadable: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        rows = [
            (row.label, row.support, BarCell(row.recall), BarCell(row.precision)) for row in self.per_class
        ]
        interval = f"95 % interval {100 * self.top1_low:.1f} to {100 * self.top1_high:.1f} %"
        said = f"top-1 {100 * self.top1:.1f} % of {self.samples} images ({interval})"
        more = f"top-5 {100 * self.top5:.1f} %, balanced accuracy {100 * self.balanced_accuracy:.1f} %"
        return table(
            ("class", "images", "recall", "precision"),
            rows,
            caption=f"{said}; {more}; calibration error {self.ece:.3f}",
        )

    def summary(self) -> dict[str, Any]:
        """Return those fields that are one line each."""
        tables = ("classes", "per_class", "confusion", "reliability", "reliability_raw")
        return {name: value for name, value in self.as_dict().items() if name not in tables}


@dataclass(frozen=True)
class Scored:
    """Logits [N, classes] and figures [N, 9] of a split's readable images, their numbers, and what failed."""

    logits: Logits
    figures: Statistics
    numbers: npt.NDArray[np.int64]
    bad: dict[int, ImageError]


def choose_split(
    source: str, card: ModelMetadata, split: str | None, *, others: Sequence[ModelMetadata] = ()
) -> tuple[str, Index]:
    """Find the images to measure: what they are, in words, and their index.

    split    by default `val` where there is one of its own; in a folder that we would have to cut,
             `val` if it holds photos that the model was trained on, else all of it
    others   the rest of an ensemble: what any of them was trained on is not unseen
    raises   DataError for classes that the model does not know
    """
    if source != DIGITS and Path(source).is_dir() and split is None and not has_splits(Path(source)):
        have, everything = open_class_folders(Path(source), allow_empty=True)
        index = remap_labels(everything, have=have, want=card.classes, where=source)
        here = set(content_sample(index, most=len(index)))
        trained = [member.data for member in (card, *others) if here & set(member.data.get("sketch", []))]
        if not trained:
            return f"all of {source}", index
        if len(have) < 2 or not all(data.get("cut") for data in trained):
            return f"all of {source}, which holds photos that the model was trained on", index
    data = reopen_data(source, card.data)
    name = split or "val"
    index = remap_labels(data.split(name), have=data.classes, want=card.classes, where=source)
    return f"the {name} split of {source}", index


def score(
    classifier: Predictor,
    index: Index,
    *,
    workers: int = 2,
    progress: Advance = no_advance,
    rows: range | None = None,
) -> Scored:
    """Run every image of a split through the network, in order; with `rows` only those."""
    rows = range(len(index)) if rows is None else rows
    good: list[int] = []
    found: list[Scores] = []
    bad: dict[int, ImageError] = {}
    for number, result in stream(rows, index.read, classifier, batch=BATCH, workers=workers):
        if isinstance(result, ImageError):
            bad[number] = result
        else:
            good.append(number)
            found.append(result)
        progress(1)
    logits = np.array([seen.logits for seen in found], np.float32)
    looks = np.array([seen.figures for seen in found], np.float64)
    shape = (len(found), len(classifier.classes))
    return Scored(logits.reshape(shape), looks.reshape(len(found), STATISTICS), np.array(good, np.int64), bad)


def merge_scored(parts: Sequence[Scored]) -> Scored:
    """The parts of a split that several processes scored, as one, in the order of the index."""
    numbers = np.concatenate([part.numbers for part in parts])
    order = np.argsort(numbers)
    bad = {number: error for part in parts for number, error in sorted(part.bad.items())}
    logits = np.concatenate([part.logits for part in parts])[order]
    figures = np.concatenate([part.figures for part in parts])[order]
    return Scored(logits, figures, numbers[order], bad)


def measure(scored: Scored, index: Index, card: ModelMetadata) -> Metrics:
    """Compute every figure from the logits of a split, with what a card has fitted.

    Raises DataError if no image of it could be read.
    """
    check_not_empty(scored.numbers, index)
    return metrics(
        temperature.probabilities(scored.logits, card.temperature),
        index.labels[scored.numbers],
        card.classes,
        raw=temperature.probabilities(scored.logits),
        unfamiliar=share_unfamiliar(card, scored.figures, temperature.energies(scored.logits)),
        unreadable=len(scored.bad),
    )


def calibrate(scored: Scored, index: Index, card: ModelMetadata) -> tuple[ModelMetadata, Metrics]:
    """Fit temperature, energy threshold and what photos look like, on a split that training did not see.

    returns  the card with both, and the figures of the split, for which no photo was judged at a
             temperature that it had a part in
    raises   DataError if no image of the split could be read
    """
    check_not_empty(scored.numbers, index)
    labels = index.labels[scored.numbers]
    fitted = replace(
        card,
        temperature=temperature.fit_temperature(scored.logits, labels),
        energy_threshold=temperature.fit_energy_threshold(
            temperature.energies(scored.logits), temperature.EACH
        ),
        familiar=ood.fit_detector(scored.figures),
    )
    found = metrics(
        temperature.cross_fit_temperature(scored.logits, labels),
        labels,
        card.classes,
        raw=temperature.probabilities(scored.logits),
        unreadable=len(scored.bad),
    )
    return fitted, found


def check_not_empty(numbers: npt.NDArray[np.int64], index: Index) -> None:
    """Raise DataError if none of a split's images could be read."""
    if not len(numbers):
        raise DataError(f"{index.root}: expected readable images, got none among {len(index)}")


def share_unfamiliar(
    card: ModelMetadata, figures: Statistics, energies: npt.NDArray[np.float32]
) -> float | None:
    """Share of photos, by their figures [N, 9] and energies [N], that are unlike a model's training data."""
    marks = card.are_outliers(figures, energies)
    return None if marks is None else float(marks.mean())


def metrics(
    probabilities: Probabilities,
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    *,
    raw: Probabilities | None = None,
    unfamiliar: float | None = None,
    unreadable: int = 0,
) -> Metrics:
    """Compute every figure from probabilities [N, classes] and labels [N].

    raw  those without a temperature; by default the same
    """
    guesses = probabilities.argmax(axis=1)
    right = guesses == labels
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (labels, guesses), 1)
    support, guessed, hits = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    recalls = hits[support > 0] / support[support > 0]
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    low, high = wilson(int(right.sum()), len(labels))
    sure = probabilities.max(axis=1)
    sure_raw = sure if raw is None else raw.max(axis=1)
    right_raw = right if raw is None else raw.argmax(axis=1) == labels  # averages may guess otherwise
    return Metrics(
        samples=len(labels),
        top1=float(right.mean()),
        top1_low=low,
        top1_high=high,
        top5=float((ranks(probabilities, labels) < TOP).mean()),
        balanced_accuracy=float(recalls.mean()),
        loss=float(-np.log(np.maximum(of_truth, 1e-12)).mean()),
        ece=temperature.calibration_error(sure, right),
        ece_raw=temperature.calibration_error(sure_raw, right_raw),
        ece_band=temperature.perfect_calibration_band(sure),
        unfamiliar=unfamiliar,
        classes=tuple(classes),
        per_class=tuple(
            ClassMetrics(
                label=name,
                support=int(support[i]),
                recall=float(hits[i] / support[i]) if support[i] else None,
                precision=float(hits[i] / guessed[i]) if guessed[i] else None,
            )
            for i, name in enumerate(classes)
        ),
        confusion=tuple(tuple(map(int, row)) for row in confusion),
        reliability=temperature.reliability_bins(sure, right),
        reliability_raw=temperature.reliability_bins(sure_raw, right_raw),
        unreadable=unreadable,
    )


def wilson(hits: int, total: int, *, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share, after Wilson 1927: honest near 0 and 1 and for few images."""
    share = hits / total
    center = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def ranks(probabilities: Probabilities, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many classes came before the true one, for probabilities [N, classes] and labels [N].

    Ties go to the lower class number.
    """
    truth = probabilities[np.arange(len(labels)), labels][:, None]
    numbers = np.arange(probabilities.shape[1])[None, :]
    ahead = (probabilities > truth) | ((probabilities == truth) & (numbers < labels[:, None]))
    ranks: npt.NDArray[np.int64] = ahead.sum(axis=1)
    return ranks
