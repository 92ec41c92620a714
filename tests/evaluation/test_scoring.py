"""Metrics and calibration of a split that was scored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import DataError
from googlenet.calibration import ood
from googlenet.data.folder import open_class_folders
from googlenet.data.index import Index
from googlenet.evaluation import scoring
from googlenet.evaluation.scoring import SplitScores, calibrate, measure
from googlenet.files.metadata import ModelMetadata
from googlenet.inference.torch_classifier import Classifier
from googlenet.nn.model import GoogLeNet


def spoilt(count: int, *, seed: int) -> tuple[SplitScores, Index, ModelMetadata]:
    """What a network that is three times too sure says of photos of four classes."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(0, 1.5, (count, 4))
    shares = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) < generator.random((count, 1))).sum(axis=1).clip(max=3)
    looks = generator.normal(size=(count, 9))
    scored = SplitScores((3 * truth).astype(np.float32), looks, np.arange(count), {})
    card = ModelMetadata(classes=tuple("abcd"), dialect="bn", preprocessing=Preprocessing())
    return scored, Index([f"{i}" for i in range(count)], labels, root=Path("photos")), card


def test_calibrate_puts_temperature_and_looks_on_the_card() -> None:
    scored, index, card = spoilt(2000, seed=1)
    fitted, found = calibrate(scored, index, card)
    assert fitted.temperature == pytest.approx(3, rel=0.1)
    assert fitted.familiar == ood.fit_detector(scored.figures)
    assert found.unfamiliar is None  # 5 % by construction: no finding
    assert found.ece < 0.05 < 0.1 < found.ece_raw
    assert found.ece_band[0] < found.ece_band[1] < 0.05
    before = measure(scored, index, card)
    assert found.ece_raw == before.ece == before.ece_raw
    assert (found.top1, found.top5, found.confusion) == (before.top1, before.top5, before.confusion)
    assert found.loss < before.loss
    assert {"classes", "confusion"} & set(found.summary()) == set()
    assert found.summary()["ece_band"] == found.ece_band


def test_features_take_the_place_of_the_energy_where_they_are_known() -> None:
    scored, index, card = spoilt(100, seed=4)
    alone, _ = calibrate(scored, index, card)
    assert alone.energy_threshold is not None and alone.familiar_features is None
    rows = np.random.default_rng(1).random((100, 1024)).astype(np.float32)
    fitted, _ = calibrate(replace(scored, features=dict(enumerate(rows))), index, card)
    assert fitted.energy_threshold is None and fitted.familiar_features == ood.fit_feature_detector(rows)
    assert fitted.familiar == alone.familiar
    few, _ = calibrate(replace(scored, features=dict(enumerate(rows[:19]))), index, card)
    assert few.energy_threshold is not None and few.familiar_features is None


def test_features_are_kept_of_so_many_photos_at_most(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, index = open_class_folders(photos)
    classifier = Classifier(GoogLeNet(3).eval(), replace(spoilt(1, seed=1)[2], classes=("a", "b", "c")))
    monkeypatch.setattr(scoring, "FITTED", 7)
    assert not scoring.score(classifier, index).features
    kept = scoring.score(classifier, index, keep_features=True).features
    assert 3 < len(kept) <= 7 and list(kept) == sorted(kept)
    parts = [
        scoring.score(classifier, index, keep_features=True, rows=rows)
        for rows in (range(11), range(11, len(index)))
    ]
    merged = scoring.merge_scores(parts[::-1]).features
    assert list(merged) == list(kept)
    np.testing.assert_allclose(np.array([*merged.values()]), np.array([*kept.values()]), rtol=1e-4, atol=1e-5)


def test_measure_uses_the_card_and_fits_nothing() -> None:
    scored, index, card = spoilt(500, seed=2)
    usual = ood.fit_detector(scored.figures)
    assert usual is not None
    fitted = replace(card, temperature=3.0, familiar=replace(usual, threshold=4.0))
    found = measure(scored, index, fitted)
    shares = np.exp(scored.logits / 3) / np.exp(scored.logits / 3).sum(axis=1, keepdims=True)
    assert found.loss == pytest.approx(sk.log_loss(index.labels, shares, labels=range(4)), rel=1e-5)
    assert found.unfamiliar == pytest.approx((usual.distances(scored.figures) > 4).mean())
    assert 0.5 < found.unfamiliar < 1
    assert found.ece < found.ece_raw
    assert measure(scored, index, card).unfamiliar is None


def test_nothing_readable_is_refused() -> None:
    scored, index, card = spoilt(3, seed=3)
    nothing = SplitScores(scored.logits[:0], scored.figures[:0], scored.numbers[:0], {})
    for act in (measure, calibrate):
        with pytest.raises(DataError, match="expected readable images, got none among 3"):
            act(nothing, index, card)
