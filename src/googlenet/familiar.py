"""Whether a photo looks like those that a model knows, by nine figures of its pixels. Numpy alone.

The network is not asked: its logits, and the features behind them, take blank and noisy images for known
ones (LOG.md). Contrast, grain at four sizes, sharpness and colour do not, and they are the same in every
engine and precision. Another thing in a photo of the same kind has such figures too: it is not found.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.confidence import FOLDS, fit_threshold

Figures = npt.NDArray[np.float64]  # [N, FIGURES]

FIGURES = 9
LEAST = 20  # photos, to say what is usual
_SCALES = 4  # grain is measured on the square, and on it at a half, a quarter and an eighth
_BLANK = 0.002  # added before a logarithm: half a grey level
_GREY = 0.01  # the same for colour
_TONES = 32  # grey levels told apart
_SPREAD = 1e-3  # least variance of a figure: what no two photos of a kind agree in more closely


@dataclass(frozen=True, kw_only=True)
class Familiar:
    """What is usual for the photos of one kind: a normal distribution of their figures, and its border."""

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]  # inverse of the covariance
    threshold: float  # of the squared Mahalanobis distance

    def __post_init__(self) -> None:
        """Refuse what `fit` cannot have given, with a ValueError."""
        rows = np.array([self.mean, *self.precision], dtype=np.float64)
        if rows.shape != (1 + FIGURES, FIGURES) or not np.isfinite(rows).all():
            raise ValueError(f"expected {FIGURES} means and their precision, got {list(rows.shape)} numbers")
        if not math.isfinite(self.threshold):
            raise ValueError(f"expected a finite threshold, got {self.threshold!r}")

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Familiar":
        """Rebuild it from JSON types; ValueError, TypeError or KeyError for anything else."""
        mean, precision, threshold = fields["mean"], fields["precision"], fields["threshold"]
        return cls(
            mean=tuple(map(float, mean)),
            precision=tuple(tuple(map(float, row)) for row in precision),
            threshold=float(threshold),
        )

    def distances(self, found: Figures) -> npt.NDArray[np.float64]:
        """Squared Mahalanobis distances [N] of figures [N, 9]."""
        return _distances(found, np.array(self.mean), np.array(self.precision))

    def strange(self, found: Figures) -> npt.NDArray[np.bool_]:
        """Which of the photos with these figures [N, 9] are unlike those that it was fitted on: [N]."""
        return self.distances(found) > self.threshold


def figures(squares: npt.NDArray[np.uint8]) -> Figures:
    """Describe squares of pixels, uint8 [N, size, size, 3]: float64 [N, 9]."""
    colour = squares / 255.0
    grey = colour.mean(axis=3)
    columns = [np.log(grey.std(axis=(1, 2)) + _BLANK)]
    scaled = grey
    for _ in range(_SCALES):
        columns.append(np.log(_grain(scaled) + _BLANK))
        scaled = _halved(scaled)
    across = np.diff(grey, axis=2)
    steps = np.sqrt((across**2).mean(axis=(1, 2))) + _BLANK
    columns.append(np.log(steps / (abs(across).mean(axis=(1, 2)) + _BLANK)))  # few sharp steps, or many soft
    bends = sum(abs(np.diff(grey, 2, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
    columns.append(np.log((bends + _BLANK) / (2 * _grain(grey) + _BLANK)))
    columns.append(np.array([_entropy(each) for each in grey]))
    red, green, blue = np.moveaxis(colour, 3, 0)
    shades = abs(red - green).mean(axis=(1, 2)) + abs(blue - (red + green) / 2).mean(axis=(1, 2))
    columns.append(np.log(shades + _GREY))
    return np.stack(columns, axis=1)


def fit(found: Figures) -> Familiar | None:
    """Learn from figures [N, 9] of photos what is usual; None of fewer than 20.

    The border is beyond 95 of 100 such photos, each judged by what four fifths without it give.
    """
    if len(found) < LEAST:
        return None
    fold = np.arange(len(found)) % FOLDS
    judged = np.empty(len(found))
    for number in range(FOLDS):
        judged[fold == number] = _distances(found[fold == number], *_normal(found[fold != number]))
    mean, precision = _normal(found)
    return Familiar(
        mean=tuple(mean.tolist()),
        precision=tuple(map(tuple, precision.tolist())),
        threshold=fit_threshold(judged),
    )


def _normal(found: Figures) -> tuple[Figures, Figures]:
    """Mean and precision; of few photos the figures count as more independent than they look."""
    mean = found.mean(axis=0)
    covariance = (found - mean).T @ (found - mean) / len(found)
    alone = np.diag(np.diag(covariance))
    mixed = (len(found) * covariance + FIGURES * alone) / (len(found) + FIGURES)
    return mean, np.linalg.inv(mixed + _SPREAD * np.eye(FIGURES))


def _distances(found: Figures, mean: Figures, precision: Figures) -> npt.NDArray[np.float64]:
    away = found - mean
    squared: npt.NDArray[np.float64] = (away @ precision * away).sum(axis=1)
    return squared


def _grain(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean step from a pixel to the next, [N] of [N, H, W]."""
    found: npt.NDArray[np.float64] = (
        sum(abs(np.diff(grey, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)) / 2
    )
    return found


def _halved(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    count, side = len(grey), grey.shape[1] // 2
    whole = grey[:, : 2 * side, : 2 * side]
    found: npt.NDArray[np.float64] = whole.reshape(count, side, 2, side, 2).mean(axis=(2, 4))
    return found


def _entropy(grey: npt.NDArray[np.float64]) -> float:
    """How evenly grey levels are used, in nats."""
    counts = np.bincount((grey * (_TONES - 1e-6)).astype(np.int64).ravel(), minlength=_TONES)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
