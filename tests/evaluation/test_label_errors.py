"""Labels that are probably wrong, of photos that the model has not seen."""

import numpy as np
import pytest

from googlenet.base.errors import MissingExtraError
from googlenet.evaluation import label_errors
from googlenet.evaluation.label_errors import find_suspects

CLASSES = tuple("abcd")


def made(count: int, *, wrong: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, set[int]]:
    """Labels, some of them changed, and probabilities of a model that knows better, mostly."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, count)
    doubt = random.random((count, 1)) ** 4  # a model is sure of most
    probabilities = 0.4 * doubt * random.dirichlet(np.full(4, 0.3), count)
    probabilities[np.arange(count), truth] += 1 - probabilities.sum(axis=1)
    chosen = random.choice(count, wrong, replace=False)
    labels = truth.copy()
    labels[chosen] = (truth[chosen] + random.integers(1, 4, wrong)) % 4
    return labels, probabilities.astype(np.float32), set(chosen.tolist())


def test_changed_labels_are_found() -> None:
    labels, probabilities, wrong = made(600, wrong=30)
    found = find_suspects(labels, probabilities, CLASSES)
    numbers = [suspect.number for suspect in found]
    assert len(set(numbers) & wrong) >= 20 and len(set(numbers) - wrong) <= 5
    confidence = [suspect.confidence for suspect in found]
    assert confidence == sorted(confidence)
    for suspect in found:
        assert suspect.given == CLASSES[labels[suspect.number]]
        assert suspect.suggested == CLASSES[int(probabilities[suspect.number].argmax())] != suspect.given
        assert suspect.confidence == pytest.approx(
            float(probabilities[suspect.number, labels[suspect.number]]), abs=1e-5
        )


def test_right_labels_are_left_alone() -> None:
    labels, probabilities, _ = made(400, wrong=0)
    assert find_suspects(labels, probabilities, CLASSES) == []


def test_without_cleanlab_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_errors, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'googlenet\[labels\]'"):
        find_suspects(*made(40, wrong=0)[:2], CLASSES)
