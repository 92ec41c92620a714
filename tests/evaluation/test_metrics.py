"""Metrics against scikit-learn and by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import DataError
from googlenet.calibration import ood
from googlenet.data import folder
from googlenet.data.index import Index, content_sample
from googlenet.evaluation import metrics
from googlenet.files.metadata import ModelMetadata
from helpers.painting import COLORS, paint


@pytest.fixture(scope="module")
def scores() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 500)
    logits = generator.normal(size=(500, 8)) + 1.2 * np.eye(8)[labels]  # class 7 has no image
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), labels


def test_against_scikit_learn(scores: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = scores
    found = metrics.metrics(probabilities, labels, list("abcdefgh"))
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
    assert metrics.metrics(probabilities, np.array([0, 1, 2, 2]), list("abc")).top5 == 1.0


def test_interval_is_the_published_one() -> None:
    # Wilson's interval for 81 of 263 in Newcombe 1998, table I: 0.2553 to 0.3662
    low, high = metrics.wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert metrics.wilson(0, 20)[0] == 0.0


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
        paint(root / "val" / "red" / "new.jpg", COLORS["red"], seed=1)
    trained = folder.open_data(str(root))
    card = ModelMetadata(
        classes=trained.classes,
        dialect="bn",
        preprocessing=Preprocessing(),
        data={"sketch": content_sample(trained.split("train")), "cut": trained.is_our_split},
    )

    def measured(source: Path) -> tuple[str, set[str]]:
        where, index = metrics.choose_split(str(source), card, None)
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
    paint(tmp_path / "other" / "red" / "a.jpg", COLORS["red"], seed=77)
    assert measured(tmp_path / "other") == (f"all of {tmp_path / 'other'}", {"red/a.jpg"})


def spoilt(count: int, *, seed: int) -> tuple[metrics.Scored, Index, ModelMetadata]:
    """What a network that is three times too sure says of photos of four classes."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(0, 1.5, (count, 4))
    shares = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) < generator.random((count, 1))).sum(axis=1).clip(max=3)
    looks = generator.normal(size=(count, 9))
    scored = metrics.Scored((3 * truth).astype(np.float32), looks, np.arange(count), {})
    card = ModelMetadata(classes=tuple("abcd"), dialect="bn", preprocessing=Preprocessing())
    return scored, Index([f"{i}" for i in range(count)], labels, root=Path("photos")), card


def test_calibrate_puts_temperature_and_looks_on_the_card() -> None:
    scored, index, card = spoilt(2000, seed=1)
    fitted, found = metrics.calibrate(scored, index, card)
    assert fitted.temperature == pytest.approx(3, rel=0.1)
    assert fitted.familiar == ood.fit_detector(scored.figures)
    assert found.unfamiliar is None  # 5 % by construction: no finding
    assert found.ece < 0.05 < 0.1 < found.ece_raw
    assert found.ece_band[0] < found.ece_band[1] < 0.05
    before = metrics.measure(scored, index, card)
    assert found.ece_raw == before.ece == before.ece_raw
    assert (found.top1, found.top5, found.confusion) == (before.top1, before.top5, before.confusion)
    assert found.loss < before.loss
    assert {"classes", "confusion"} & set(found.summary()) == set()
    assert found.summary()["ece_band"] == found.ece_band


def test_measure_uses_the_card_and_fits_nothing() -> None:
    scored, index, card = spoilt(500, seed=2)
    usual = ood.fit_detector(scored.figures)
    assert usual is not None
    fitted = replace(card, temperature=3.0, familiar=replace(usual, threshold=4.0))
    found = metrics.measure(scored, index, fitted)
    shares = np.exp(scored.logits / 3) / np.exp(scored.logits / 3).sum(axis=1, keepdims=True)
    assert found.loss == pytest.approx(sk.log_loss(index.labels, shares, labels=range(4)), rel=1e-5)
    assert found.unfamiliar == pytest.approx((usual.distances(scored.figures) > 4).mean())
    assert 0.5 < found.unfamiliar < 1
    assert found.ece < found.ece_raw
    assert metrics.measure(scored, index, card).unfamiliar is None


def test_nothing_readable_is_refused() -> None:
    scored, index, card = spoilt(3, seed=3)
    nothing = metrics.Scored(scored.logits[:0], scored.figures[:0], scored.numbers[:0], {})
    for act in (metrics.measure, metrics.calibrate):
        with pytest.raises(DataError, match="expected readable images, got none among 3"):
            act(nothing, index, card)
