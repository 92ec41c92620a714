"""Calibrated probabilities: temperature scaling, energy scores, calibration error. Numpy alone.

A temperature T divides the logits (Guo et al. 2017, arXiv 1706.04599): no prediction changes, only its
confidence. The energy of a photo, -log sum exp(logits), is high where no class fits (Liu et al. 2020, arXiv
2010.03759, with their own temperature at 1). Both are fitted on photos that training did not see.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.floating[Any]]
Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
FOLDS = 5
PASS_RATE = 0.95  # share of photos like the training data that are not marked as outliers
PASS_RATE_EACH = 1 - (1 - PASS_RATE) / 2  # of each of two tests, either of which marks a photo
BINS = 15  # of confidence, equally wide
DRAWS = 1000  # simulated sets of labels


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The photos whose confidence is in one of 15 equal ranges."""

    low: float  # where the range begins
    count: int
    confidence: float  # mean probability of the predicted classes
    accuracy: float  # share of correct predictions


def probabilities(logits: Logits, temperature: float = 1.0) -> Probabilities:
    """Softmax of logits [..., classes] over the temperature, rows summing to 1."""
    return _softmax(logits / temperature).astype(np.float32, copy=False)


def energy_scores(logits: Logits) -> npt.NDArray[np.float32]:
    """Energy -log sum exp [...] of logits [..., classes]: the higher, the less does any class fit."""
    top = logits.max(axis=-1)
    scores: npt.NDArray[np.float32] = -(top + np.log(np.exp(logits - top[..., None]).sum(axis=-1)))
    return scores


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """Find the temperature with the least cross-entropy on logits [N, classes] and labels [N].

    One photo's weight goes to a temperature of 1: with b = 1/T, what is minimized is the summed
    cross-entropy plus b - log b. That is convex in b and has its minimum at a finite T even where every
    prediction is right, or there is no photo; on a thousand photos it changes nothing that shows.

    returns  from 0.05 to 20
    """
    relative = (logits - logits[np.arange(len(labels)), labels][:, None]).astype(np.float64)
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    inverse = 1.0
    for _ in range(100):
        slope, curvature = _derivatives(relative, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature  # Newton's, or to the middle where that leads out
        inverse, before = (step if low <= step <= high else math.sqrt(low * high)), inverse
        if abs(inverse - before) < 1e-9 * before:
            break
    return 1 / inverse


def _derivatives(relative: npt.NDArray[np.float64], inverse: float) -> tuple[float, float]:
    """First and second derivative by 1/T, from logits [N, classes] less that of the true class."""
    shares = _softmax(inverse * relative)
    means = (shares * relative).sum(axis=1)
    variances = (shares * (relative - means[:, None]) ** 2).sum(axis=1)
    return float(means.sum()) + 1 - 1 / inverse, float(variances.sum()) + inverse**-2


def cross_fit_temperature(logits: Logits, labels: Labels) -> Probabilities:
    """Probabilities [N, classes], those of each fold at the temperature fitted on the other four.

    Measured on the photos that it was fitted on, a temperature would look better than it is.
    """
    fold = np.arange(len(labels)) % FOLDS  # splits are sorted by class: every fold has its share of each
    calibrated = np.empty(logits.shape, dtype=np.float32)
    for number in range(FOLDS):
        inside = fold == number
        calibrated[inside] = probabilities(logits[inside], fit_temperature(logits[~inside], labels[~inside]))
    return calibrated


def fit_threshold(scores: npt.NDArray[np.floating[Any]], pass_rate: float = PASS_RATE) -> float:
    """Find the score above which a photo counts as unlike those whose scores [N] are given.

    For a pass rate of 0.95 it lies above 95 of 99, halfway to the next, so that rounding decides for no
    photo. From 19 photos on, another photo of the same kind is above it in at most 5 % of cases; of fewer,
    it is the highest score.

    raises  ValueError if there are none
    """
    rank = min(len(scores), math.ceil(pass_rate * (len(scores) + 1)))
    return float(np.sort(scores)[rank - 1 : rank + 1].mean())


def reliability_bins(confidence: npt.NDArray[Any], right: npt.NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Sort predictions into 15 equal bins of confidence; those that hold any, in order."""
    bins = _bins(confidence)
    return tuple(
        Bin(
            low=int(number) / BINS,
            count=int((bins == number).sum()),
            confidence=float(confidence[bins == number].mean(dtype=np.float64)),
            accuracy=float(right[bins == number].mean()),
        )
        for number in np.unique(bins)
    )


def calibration_error(confidence: npt.NDArray[Any], right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over 15 equal bins."""
    return _error(_bins(confidence), confidence - right)


def perfect_calibration_band(confidence: npt.NDArray[Any]) -> tuple[float, float]:
    """The 95 % interval of a perfect model's calibration error: on few photos it is not 0 either.

    From confidences [N] and 1,000 draws, the same every time, of which predictions are right.
    """
    bins, generator = _bins(confidence), np.random.default_rng(0)
    drawn = [
        _error(bins, confidence - (generator.random(len(confidence)) < confidence)) for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _softmax(logits: Logits) -> Logits:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Logits = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _bins(confidence: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def _error(bins: npt.NDArray[np.int64], gaps: npt.NDArray[Any]) -> float:
    return float(np.abs(np.bincount(bins, weights=gaps)).sum() / len(gaps))
