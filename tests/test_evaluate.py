"""Metrics against scikit-learn and by hand."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from conftest import COLOURS, paint
from googlenet import data, evaluate
from googlenet.dialects import Preprocessing
from googlenet.index import sketch
from googlenet.modelfile import Card


@pytest.fixture(scope="module")
def scores() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 500)
    logits = generator.normal(size=(500, 8)) + 1.2 * np.eye(8)[labels]  # class 7 has no image
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), labels


def test_against_scikit_learn(scores: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = scores
    found = evaluate.metrics(probabilities, labels, list("abcdefgh"))
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
    assert evaluate.metrics(probabilities, np.array([0, 1, 2, 2]), list("abc")).top5 == 1.0


def test_interval_is_the_published_one() -> None:
    # Wilson's interval for 81 of 263 in Newcombe 1998, table I: 0.2553 to 0.3662
    low, high = evaluate.wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert evaluate.wilson(0, 20)[0] == 0.0


@pytest.mark.parametrize("layout", ["classes", "train only", "train and val"])
def test_the_part_that_is_measured_is_never_called_unseen_when_it_was_seen(
    photos: Path, tmp_path: Path, layout: str
) -> None:
    root = photos
    if layout != "classes":
        root = tmp_path / "root"
        root.mkdir()
        photos.rename(root / "train")
    if layout == "train and val":
        paint(root / "val" / "red" / "new.jpg", COLOURS["red"], seed=1)
    trained = data.open_data(str(root))
    card = Card(
        classes=trained.classes,
        dialect="bn",
        preprocessing=Preprocessing(),
        data={"sketch": sketch(trained.split("train")), "cut": trained.cut},
    )

    def measured(source: Path) -> tuple[str, set[str]]:
        where, index = evaluate.choose_split(str(source), card, None)
        return where, {index.name(i) for i in range(len(index))}

    train = trained.split("train")
    seen = {train.name(i) for i in range(len(train))}
    where, names = measured(root)
    assert where.startswith("the val split")
    assert not names & seen or layout == "train and val"
    where, names = measured(root if layout == "classes" else root / "train")
    if layout == "train and val":
        assert "trained on" in where
        assert names == seen
    else:
        assert where.startswith("the val split")
        assert not names & seen
    paint(tmp_path / "other" / "red" / "a.jpg", COLOURS["red"], seed=77)
    assert measured(tmp_path / "other") == (f"all of {tmp_path / 'other'}", {"red/a.jpg"})


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, True, False])
    by_hand = 4 / 6 * abs(0.95 - 0.75) + 2 / 6 * abs(0.55 - 0.5)
    assert evaluate.calibration_error(confidence, right) == pytest.approx(by_hand)
