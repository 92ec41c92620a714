"""Whether a photo looks like those that a model knows, by nine figures of its pixels. Numpy alone.

The network is not asked: its logits, and the features behind them, take blank and noisy images for known
ones (LOG.md). Contrast, grain at four sizes, sharpness and color do not, and they are the same in every
engine and precision. Another thing in a photo of the same kind has such figures too: it is not found.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.calibration.temperature import EACH, FOLDS, fit_energy_threshold

Statistics = npt.NDArray[np.float64]  # [N, FIGURES]

STATISTICS = 9
LEAST = 20  # photos, to say what is usual
_SCALES = 4  # grain is measured on the square, and on it at a half, a quarter and an eighth
_BLANK = 0.002  # added before a logarithm: half a grey level
_GREY = 0.01  # the same for color
_TONES = 32  # grey levels told apart
_SPREAD = 1e-3  # least variance of a figure: what no two photos of a kind agree in more closely


@dataclass(frozen=True, kw_only=True)
class OutlierDetector:
    """What is usual for the photos of one kind: a normal distribution of their figures, and its border."""

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]  # inverse of the covariance
    threshold: float  # of the squared Mahalanobis distance

    def __post_init__(self) -> None:
        """Refuse what `fit` cannot have given, with a ValueError."""
        rows = np.array([self.mean, *self.precision], dtype=np.float64)
        if rows.shape != (1 + STATISTICS, STATISTICS) or not np.isfinite(rows).all():
            raise ValueError(
                f"expected {STATISTICS} means and their precision, got {list(rows.shape)} numbers"
            )
        if not math.isfinite(self.threshold):
            raise ValueError(f"expected a finite threshold, got {self.threshold!r}")

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "OutlierDetector":
        """Rebuild it from JSON types; ValueError, TypeError or KeyError for anything else."""
        mean, precision, threshold = fields["mean"], fields["precision"], fields["threshold"]
        return cls(
            mean=tuple(map(float, mean)),
            precision=tuple(tuple(map(float, row)) for row in precision),
            threshold=float(threshold),
        )

    def distances(self, found: Statistics) -> npt.NDArray[np.float64]:
        """Squared Mahalanobis distances [N] of figures [N, 9]."""
        return _distances(found, np.array(self.mean), np.array(self.precision))

    def is_outlier(self, found: Statistics) -> npt.NDArray[np.bool_]:
        """Which of the photos with these figures [N, 9] are unlike those that it was fitted on: [N]."""
        return self.distances(found) > self.threshold


def image_statistics(squares: npt.NDArray[np.uint8]) -> Statistics:
    """Describe squares of pixels, uint8 [N, size, size, 3]: float64 [N, 9]."""
    return np.array([_described(square) for square in squares], dtype=np.float64).reshape(-1, STATISTICS)


def _described(square: npt.NDArray[np.uint8]) -> list[float]:
    sums = square.sum(axis=2, dtype=np.int16)
    grey = sums.astype(np.float32) / 765
    across, down = grey[:, 1:] - grey[:, :-1], grey[1:] - grey[:-1]
    edges = abs(across)
    grains = [(float(edges.mean()) + float(abs(down).mean())) / 2]
    scaled: npt.NDArray[np.float32] = grey
    for _ in range(_SCALES - 1):
        scaled = _halved(scaled)
        grains.append(_grain(scaled))
    sharp = math.sqrt(float((across * across).mean())) + _BLANK
    bends = float(abs(across[:, 1:] - across[:, :-1]).mean()) + float(abs(down[1:] - down[:-1]).mean())
    return [
        math.log(float(grey.std()) + _BLANK),
        *(math.log(grain + _BLANK) for grain in grains),
        math.log(sharp / (float(edges.mean()) + _BLANK)),  # few sharp steps, or many soft
        math.log((bends + _BLANK) / (2 * grains[0] + _BLANK)),
        _entropy(sums),
        math.log(_colorful(square[::2, ::2].astype(np.int16)) + _GREY),  # color changes slowly
    ]


def fit_detector(found: Statistics) -> OutlierDetector | None:
    """Learn from figures [N, 9] of photos what is usual; None of fewer than 20.

    The border is beyond 97.5 of 100 such photos, each judged by what four fifths without it give.
    """
    if len(found) < LEAST:
        return None
    fold = np.arange(len(found)) % FOLDS
    judged = np.empty(len(found))
    for number in range(FOLDS):
        judged[fold == number] = _distances(found[fold == number], *_normal(found[fold != number]))
    mean, precision = _normal(found)
    return OutlierDetector(
        mean=tuple(mean.tolist()),
        precision=tuple(map(tuple, precision.tolist())),
        threshold=fit_energy_threshold(judged, EACH),
    )


def _normal(found: Statistics) -> tuple[Statistics, Statistics]:
    """Mean and precision; of few photos the figures count as more independent than they look."""
    mean = found.mean(axis=0)
    covariance = (found - mean).T @ (found - mean) / len(found)
    alone = np.diag(np.diag(covariance))
    mixed = (len(found) * covariance + STATISTICS * alone) / (len(found) + STATISTICS)
    return mean, np.linalg.inv(mixed + _SPREAD * np.eye(STATISTICS))


def _distances(found: Statistics, mean: Statistics, precision: Statistics) -> npt.NDArray[np.float64]:
    away = found - mean
    squared: npt.NDArray[np.float64] = (away @ precision * away).sum(axis=1)
    return squared


def _grain(grey: npt.NDArray[np.float32]) -> float:
    """Mean step from a pixel of [H, W] to the next."""
    return (float(abs(grey[:, 1:] - grey[:, :-1]).mean()) + float(abs(grey[1:] - grey[:-1]).mean())) / 2


def _halved(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    side = len(grey) // 2 * 2
    even, odd = grey[:side:2, :side], grey[1:side:2, :side]
    pairs = even + odd
    found: npt.NDArray[np.float32] = (pairs[:, ::2] + pairs[:, 1::2]) * np.float32(0.25)
    return found


def _entropy(sums: npt.NDArray[np.int16]) -> float:
    """How evenly grey levels are used, in nats; of the sums of three colors."""
    counts = np.bincount((sums // (766 // _TONES + 1)).ravel(), minlength=_TONES)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _colorful(square: npt.NDArray[np.int16]) -> float:
    red, green, blue = np.moveaxis(square, 2, 0)
    shades = float(abs(red - green).mean()) + float(abs(2 * blue - red - green).mean()) / 2
    return shades / 255
