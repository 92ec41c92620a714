"""How good a model is: the metrics that follow from the probabilities of a split."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.base.notebook import BarCell, table
from googlenet.calibration import temperature
from googlenet.calibration.temperature import Bin, Probabilities

TOP = 5


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """One class: how many images it has, its recall and precision."""

    label: str
    support: int
    recall: float | None  # None without images
    precision: float | None  # None if it was never guessed


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The metrics of one split; fractions in 0..1."""

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
    ece_band: tuple[float, float]  # 95 % interval of it for a perfectly calibrated model
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
        top1 = f"top-1 {100 * self.top1:.1f} % of {self.samples} images ({interval})"
        more = f"top-5 {100 * self.top5:.1f} %, balanced accuracy {100 * self.balanced_accuracy:.1f} %"
        return table(
            ("class", "images", "recall", "precision"),
            rows,
            caption=f"{top1}; {more}; calibration error {self.ece:.3f}",
        )

    def summary(self) -> dict[str, Any]:
        """Return those fields that are one line each."""
        tables = ("classes", "per_class", "confusion", "reliability", "reliability_raw")
        return {name: value for name, value in self.as_dict().items() if name not in tables}


def compute_metrics(
    probabilities: Probabilities,
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    *,
    raw: Probabilities | None = None,
    unfamiliar: float | None = None,
    unreadable: int = 0,
) -> Metrics:
    """Compute the metrics from probabilities [N, classes] and labels [N].

    raw  those without a temperature; by default the same
    """
    guesses = probabilities.argmax(axis=1)
    right = guesses == labels
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (labels, guesses), 1)
    support, guessed, hits = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    recalls = hits[support > 0] / support[support > 0]
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    low, high = wilson_interval(int(right.sum()), len(labels))
    raw = probabilities if raw is None else raw
    confidence, confidence_raw = probabilities.max(axis=1), raw.max(axis=1)
    right_raw = raw.argmax(axis=1) == labels  # averages may guess otherwise
    return Metrics(
        samples=len(labels),
        top1=float(right.mean()),
        top1_low=low,
        top1_high=high,
        top5=float((ranks(probabilities, labels) < TOP).mean()),
        balanced_accuracy=float(recalls.mean()),
        loss=float(-np.log(np.maximum(of_truth, 1e-12)).mean()),
        ece=temperature.calibration_error(confidence, right),
        ece_raw=temperature.calibration_error(confidence_raw, right_raw),
        ece_band=temperature.perfect_calibration_band(confidence),
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
        reliability=temperature.reliability_bins(confidence, right),
        reliability_raw=temperature.reliability_bins(confidence_raw, right_raw),
        unreadable=unreadable,
    )


def wilson_interval(hits: int, total: int, *, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share, after Wilson 1927, which holds near 0 and 1 and for few images."""
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
    return ahead.sum(axis=1)  # type: ignore[no-any-return]
