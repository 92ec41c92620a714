"""Metrics against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics as sk

from googlenet.evaluation.metrics import compute_metrics, wilson_interval


@pytest.fixture(scope="module")
def scores() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 500)
    logits = generator.normal(size=(500, 8)) + 1.2 * np.eye(8)[labels]  # class 7 has no image
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), labels


def test_against_scikit_learn(scores: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = scores
    found = compute_metrics(probabilities, labels, list("abcdefgh"))
    guesses = probabilities.argmax(axis=1)
    assert found.top1 == pytest.approx(sk.accuracy_score(labels, guesses))
    assert found.top5 == pytest.approx(sk.top_k_accuracy_score(labels, probabilities, k=5, labels=range(8)))
    seen = np.bincount(labels, minlength=8) > 0
    recalls = sk.recall_score(labels, guesses, labels=np.flatnonzero(seen), average=None)
    assert found.balanced_accuracy == pytest.approx(recalls.mean())
    assert found.loss == pytest.approx(sk.log_loss(labels, probabilities, labels=range(8)), rel=1e-5)
    np.testing.assert_array_equal(found.confusion, sk.confusion_matrix(labels, guesses, labels=range(8)))
    assert found.per_class[7].recall is None
    assert [row.support for row in found.per_class] == np.bincount(labels, minlength=8).tolist()


def test_top5_of_fewer_classes_is_one() -> None:
    probabilities = np.full((4, 3), 1 / 3, dtype=np.float32)
    assert compute_metrics(probabilities, np.array([0, 1, 2, 2]), list("abc")).top5 == 1.0


def test_interval_is_the_published_one() -> None:
    # Wilson's interval for 81 of 263 in Newcombe 1998, table I: 0.2553 to 0.3662
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(0, 20)[0] == 0.0
