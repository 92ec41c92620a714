"""A linear classifier on kept features: logistic regression, how strict it is chosen by photos left out."""

import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from googlenet.data.index import Indices, stratified_split
from googlenet.training.transfer.features import Features

STRENGTHS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # scikit-learn's C, on features of deviation 1 (LOG.md)
USUAL = 1e-3  # where no photos can be left out to choose by
LEFT_OUT = 0.2  # of the photos, to choose by
FOLDS_BELOW = 1000  # photos: below, every fifth of them is left out in its turn
FOLDS = 5
ITERATIONS = 200
_MANY = 3  # times as many channels as rows: then the rows' own span is the smaller space

Weights = npt.NDArray[np.float64]


class LinearClassifier(NamedTuple):
    """Logits = features @ weight.T + bias, and how it was found.

    weight    [classes, channels]
    bias      [classes]
    strength  scikit-learn's C
    accuracy  of photos that were left out, at that strength; None if there were too few to leave any out
    """

    weight: Weights
    bias: Weights
    strength: float
    accuracy: float | None

    def logits(self, features: Features) -> Weights:
        """Features [N, channels] -> logits [N, classes]."""
        return features @ self.weight.T + self.bias


def fit_linear(
    features: Features,
    labels: Indices,
    names: list[str],
    *,
    classes: int,
    weights: Weights | None = None,
    strength: float | None = None,
) -> LinearClassifier:
    """Fit a classifier to features [N, views, channels] of photos with these labels [N].

    names     of the photos: a hash of them says who is left out
    weights   of the photos [N]; None where all count the same
    strength  scikit-learn's C; by default the one with the least loss on photos that were left out
    """
    if strength is not None:
        return LinearClassifier(*_Fit(features, labels, classes, weights).at(strength), strength, None)
    losses, accuracies = _tried(features, labels, names, classes, weights)
    best = int(np.argmin(losses)) if len(losses) else STRENGTHS.index(USUAL)
    accuracy = float(accuracies[best]) if len(losses) else None
    fit = _Fit(features, labels, classes, weights)
    return LinearClassifier(*fit.at(STRENGTHS[best]), STRENGTHS[best], accuracy)


def _tried(
    features: Features, labels: Indices, names: list[str], classes: int, weights: Weights | None
) -> tuple[Weights, Weights]:
    """Loss and accuracy of photos left out, for each strength; nothing where a class has a single photo."""
    if np.bincount(labels, minlength=classes).min() < 2:
        return np.array([]), np.array([])
    folds = FOLDS if len(labels) < FOLDS_BELOW else 1
    losses, right, seen = np.zeros(len(STRENGTHS)), np.zeros(len(STRENGTHS)), 0
    for fold in range(folds):
        rest, out = stratified_split(labels, names, share=LEFT_OUT, seed=fold)
        fit = _Fit(features[rest], labels[rest], classes, None if weights is None else weights[rest])
        seen += len(out)
        for number, strength in enumerate(STRENGTHS):
            weight, bias = fit.at(strength)
            logits = features[out, 0] @ weight.T + bias
            losses[number] -= _log_softmax(logits)[np.arange(len(out)), labels[out]].sum()
            right[number] += (logits.argmax(axis=1) == labels[out]).sum()
    return losses / seen, right / seen


class _Fit:
    """Fits at one strength after another, each from the one before."""

    def __init__(self, features: Features, labels: Indices, classes: int, weights: Weights | None) -> None:
        views = features.shape[1]
        flat = features.reshape(-1, features.shape[2])
        self._mean = flat.mean(axis=0, dtype=np.float64)
        deviation = flat.std(axis=0, dtype=np.float64)
        self._scale = np.where(deviation > 1e-6 * max(deviation.max(), 1e-30), deviation, np.inf)
        self._rows = ((flat - self._mean) / self._scale).astype(np.float32)
        self._back = None
        if len(flat) * _MANY < flat.shape[1]:
            self._rows, self._back = _in_their_span(self._rows)
        self._labels = np.repeat(labels, views)
        self._weights = None if weights is None else np.repeat(weights, views)
        self._classes = classes
        self._solver = LogisticRegression(max_iter=ITERATIONS, tol=1e-3, warm_start=True)

    def at(self, strength: float) -> tuple[Weights, Weights]:
        """Weight [classes, channels] and bias [classes], for features as they are."""
        self._solver.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly the optimum is enough
            self._solver.fit(self._rows, self._labels, self._weights)
        found = np.asarray(self._solver.coef_, np.float64)
        if self._back is not None:
            found = found @ self._back
        offset = np.asarray(self._solver.intercept_, np.float64)
        if len(found) == 1:  # two classes: the solver has the difference of their logits
            found, offset = np.concatenate([-found, found]) / 2, np.concatenate([-offset, offset]) / 2
        weight = np.zeros((self._classes, found.shape[1]))
        bias = np.full(self._classes, offset.min())
        weight[self._solver.classes_], bias[self._solver.classes_] = found / self._scale, offset
        return weight, bias - weight @ self._mean


def _in_their_span(rows: Features) -> tuple[Features, Features]:
    """Rows [N, channels] -> the same by N coordinates and less, and the axes [_, channels] of these.

    The solution is a sum of rows, so it is the same, with far fewer unknowns.
    """
    values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    used = values > 1e-6 * values[-1]
    lengths = np.sqrt(values[used])
    axes = (vectors[:, used] / lengths).T @ rows
    return (vectors[:, used] * lengths).astype(np.float32), axes.astype(np.float32)


def _log_softmax(logits: Weights) -> Weights:
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: Weights = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found
