"""Out-of-distribution detection, by nine statistics of a photo's pixels and by the network's features.

Contrast, detail at four scales, sharpness and color tell blank and noisy images from photos, whatever the
network. Another object in a photo of the same kind has such statistics too: that is what features are for
(LOG.md). Numpy alone, so that every engine and precision decides in the same way.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.calibration.temperature import FOLDS, PASS_RATE_EACH, fit_threshold

Statistics = npt.NDArray[np.float64]  # [N, NUM_STATISTICS]
Features = npt.NDArray[np.float32]  # [N, channels], 0 and up

NUM_STATISTICS = 9
MIN_PHOTOS = 20  # to fit a detector on
_SCALES = 4  # detail is measured at full size, a half, a quarter and an eighth
_BLANK = 0.002  # added before a logarithm: half a grey level of 0..1
_GREY = 0.01  # the same for color
_GREY_LEVELS = 32  # bins of the histogram
_MIN_VARIANCE = 1e-3  # of a statistic: photos of one kind never agree more closely
_MOST_OF_ONE = np.float32(100)  # squared deviation of a feature: one that was silent must not decide alone
_MIN_DEVIATION = 0.1  # of a feature, in units of the median one: some are silent on a few hundred photos


@dataclass(frozen=True, kw_only=True)
class OutlierDetector:
    """A normal distribution of the statistics of photos of one kind, and a threshold of the distance."""

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]  # inverse of the covariance
    threshold: float  # of the squared Mahalanobis distance

    def __post_init__(self) -> None:
        """Refuse what `fit_detector` cannot have given, with a ValueError."""
        rows = np.array([self.mean, *self.precision], dtype=np.float64)
        if rows.shape != (1 + NUM_STATISTICS, NUM_STATISTICS) or not np.isfinite(rows).all():
            raise ValueError(
                f"expected {NUM_STATISTICS} means and their precision, got {list(rows.shape)} numbers"
            )
        if not math.isfinite(self.threshold):
            raise ValueError(f"expected a finite threshold, got {self.threshold!r}")

    def distances(self, statistics: Statistics) -> npt.NDArray[np.float64]:
        """Squared Mahalanobis distances [N] of statistics [N, 9]."""
        return _squared_distances(statistics, np.array(self.mean), np.array(self.precision))

    def is_outlier(self, statistics: Statistics) -> npt.NDArray[np.bool_]:
        """Whether photos with these statistics [N, 9] are unlike those that it was fitted on: [N]."""
        return self.distances(statistics) > self.threshold


@dataclass(frozen=True, kw_only=True)
class FeatureDetector:
    """Mean and deviation of the square root of each feature of photos of one kind, and a threshold.

    Features are averages of maps behind ReLU: the root makes their distributions more alike. The distance of
    a photo is the mean over all features of its squared deviation, in units of the usual one and 100 at most:
    that of a normal distribution of independent features, so that a few dozen photos are enough to fit it.
    """

    mean: bytes  # float32 [channels], little-endian; in JSON as Base64
    deviation: bytes  # the same, above 0
    threshold: float  # of the distance

    def __post_init__(self) -> None:
        """Refuse what `fit_feature_detector` cannot have given, with a ValueError."""
        if not self.mean or len(self.mean) != len(self.deviation) or len(self.mean) % 4:
            raise ValueError(
                f"expected a mean and a deviation of each feature, got {len(self.mean)} and "
                f"{len(self.deviation)} bytes"
            )
        mean, deviation = self._arrays()
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()):
            raise ValueError("expected finite means of features and deviations above 0, got others")
        if not math.isfinite(self.threshold):
            raise ValueError(f"expected a finite threshold, got {self.threshold!r}")

    @property
    def channels(self) -> int:
        """How many features it was fitted on."""
        return len(self.mean) // 4

    def distances(self, features: Features) -> npt.NDArray[np.float32]:
        """Distances [N] of features [N, channels]."""
        return _feature_distances(features, *self._arrays())

    def is_outlier(self, features: Features) -> npt.NDArray[np.bool_]:
        """Whether photos with these features [N, channels] are unlike those that it was fitted on: [N]."""
        return self.distances(features) > self.threshold

    def _arrays(self) -> tuple[Features, Features]:
        return np.frombuffer(self.mean, "<f4"), np.frombuffer(self.deviation, "<f4")


def image_statistics(squares: npt.NDArray[np.uint8]) -> Statistics:
    """Compute the statistics of images, uint8 [N, size, size, 3]: float64 [N, 9]."""
    return np.array([_statistics(square) for square in squares], dtype=np.float64).reshape(-1, NUM_STATISTICS)


def _statistics(square: npt.NDArray[np.uint8]) -> list[float]:
    sums = square.sum(axis=2, dtype=np.int16)
    grey: npt.NDArray[np.float32] = sums.astype(np.float32) / 765
    dx, dy = _differences(grey)
    mean_dx = float(abs(dx).mean())
    scaled, details = grey, [(mean_dx + float(abs(dy).mean())) / 2]
    for _ in range(_SCALES - 1):
        scaled = _halve(scaled)
        details.append(sum(float(abs(step).mean()) for step in _differences(scaled)) / 2)
    root_mean_square = math.sqrt(float((dx * dx).mean()))
    second = float(abs(dx[:, 1:] - dx[:, :-1]).mean()) + float(abs(dy[1:] - dy[:-1]).mean())
    return [
        math.log(float(grey.std()) + _BLANK),
        *(math.log(detail + _BLANK) for detail in details),
        math.log((root_mean_square + _BLANK) / (mean_dx + _BLANK)),  # high: few sharp edges, not many soft
        math.log((second + _BLANK) / (2 * details[0] + _BLANK)),
        _grey_entropy(sums),
        math.log(
            _colorfulness(square[::2, ::2].astype(np.int16)) + _GREY
        ),  # half the pixels: color is smooth
    ]


def _differences(grey: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Differences between neighbors of [H, W], across and down."""
    return grey[:, 1:] - grey[:, :-1], grey[1:] - grey[:-1]


def _halve(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    side = len(grey) // 2 * 2
    rows = grey[:side:2, :side] + grey[1:side:2, :side]
    halved: npt.NDArray[np.float32] = (rows[:, ::2] + rows[:, 1::2]) * np.float32(0.25)
    return halved


def _grey_entropy(sums: npt.NDArray[np.int16]) -> float:
    """Entropy of the histogram of grey levels, in nats; from the sums of three colors."""
    counts = np.bincount((sums // (766 // _GREY_LEVELS + 1)).ravel(), minlength=_GREY_LEVELS)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _colorfulness(square: npt.NDArray[np.int16]) -> float:
    """Mean difference between color channels, from 0 to 2."""
    red, green, blue = np.moveaxis(square, 2, 0)
    return (float(abs(red - green).mean()) + float(abs(2 * blue - red - green).mean()) / 2) / 255


def fit_detector(statistics: Statistics) -> OutlierDetector | None:
    """Fit a detector on the statistics [N, 9] of photos; None for fewer than 20.

    97.5 of 100 such photos are within its threshold, which is found by cross-fitting in five folds.
    """
    if len(statistics) < MIN_PHOTOS:
        return None
    mean, precision = _fit_normal(statistics)
    return OutlierDetector(
        mean=tuple(mean.tolist()),
        precision=tuple(map(tuple, precision.tolist())),
        threshold=_cross_fitted_threshold(statistics, _fit_normal, _squared_distances),
    )


def fit_feature_detector(features: Features) -> FeatureDetector | None:
    """Fit a detector on the features [N, channels] of photos; None for fewer than 20.

    97.5 of 100 such photos are within its threshold, which is found by cross-fitting in five folds.
    """
    if len(features) < MIN_PHOTOS:
        return None
    mean, deviation = _fit_features(features)
    return FeatureDetector(
        mean=mean.astype("<f4").tobytes(),
        deviation=deviation.astype("<f4").tobytes(),
        threshold=_cross_fitted_threshold(features, _fit_features, _feature_distances),
    )


def _cross_fitted_threshold(
    rows: npt.NDArray[Any],
    fit: Callable[[npt.NDArray[Any]], tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    distances: Callable[..., npt.NDArray[Any]],
) -> float:
    """The threshold of distances of rows [N, _] from a distribution that was fitted without them."""
    fold = np.arange(len(rows)) % FOLDS
    held_out = np.empty(len(rows))
    for number in range(FOLDS):
        inside = fold == number
        held_out[inside] = distances(rows[inside], *fit(rows[~inside]))
    return fit_threshold(held_out, PASS_RATE_EACH)


def _fit_features(features: Features) -> tuple[Features, Features]:
    """Mean and deviation, [channels] each, of the square roots of features [N, channels]."""
    roots = np.sqrt(features.clip(min=0))
    deviation = roots.std(axis=0)
    least = _MIN_DEVIATION * float(np.median(deviation)) + 1e-6
    return roots.mean(axis=0), np.sqrt(deviation**2 + np.float32(least) ** 2)


def _feature_distances(features: Features, mean: Features, deviation: Features) -> npt.NDArray[np.float32]:
    away = (np.sqrt(features.clip(min=0)) - mean) / deviation
    distances: npt.NDArray[np.float32] = np.minimum(away * away, _MOST_OF_ONE).mean(axis=1)
    return distances


def _fit_normal(statistics: Statistics) -> tuple[Statistics, Statistics]:
    """Mean [9] and precision [9, 9], the covariance shrunk to its diagonal: the more, the fewer photos."""
    count, mean = len(statistics), statistics.mean(axis=0)
    covariance = (statistics - mean).T @ (statistics - mean) / count
    diagonal = np.diag(np.diag(covariance))
    shrunk = (count * covariance + NUM_STATISTICS * diagonal) / (count + NUM_STATISTICS)
    return mean, np.linalg.inv(shrunk + _MIN_VARIANCE * np.eye(NUM_STATISTICS))


def _squared_distances(
    statistics: Statistics, mean: Statistics, precision: Statistics
) -> npt.NDArray[np.float64]:
    centered = statistics - mean
    squared: npt.NDArray[np.float64] = (centered @ precision * centered).sum(axis=1)
    return squared
