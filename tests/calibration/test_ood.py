"""What photos look like: figures by hand, the distance against other libraries, and what is found by it."""

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.covariance import EmpiricalCovariance

from googlenet.calibration import ood


def test_figures_of_a_checkerboard_by_hand() -> None:
    """64 pixels, squares of 8, black and white: 7 edges of 63 steps; at an eighth every step is one."""
    rows, columns = np.indices((64, 64)) // 8
    squares = np.repeat((255 * ((rows + columns) % 2))[None, ..., None], 3, axis=3).astype(np.uint8)
    found = ood.image_statistics(squares)[0]
    assert found[0] == pytest.approx(np.log(0.5 + 0.002))
    steps = [7 / 63, 7 / 31, 7 / 15, 7 / 7]
    np.testing.assert_allclose(found[1:5], np.log(np.array(steps) + 0.002), rtol=1e-6)
    assert found[5] == pytest.approx(np.log((np.sqrt(7 / 63) + 0.002) / (7 / 63 + 0.002)))
    assert found[6] == pytest.approx(np.log((2 * 14 / 62 + 0.002) / (2 * 7 / 63 + 0.002)))
    assert found[7] == pytest.approx(np.log(2))
    assert found[8] == pytest.approx(np.log(0.01))


def test_entropy_and_color_of_noise() -> None:
    squares = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    found = ood.image_statistics(squares)
    grey = squares.mean(axis=3) / 255
    for each, row in zip(grey, found, strict=True):
        assert row[7] == pytest.approx(entropy(np.histogram(each, bins=32, range=(0, 1))[0]), abs=0.01)
    x = squares[:, ::2, ::2].astype(float) / 255
    shades = abs(x[..., 0] - x[..., 1]) + abs(x[..., 2] - x[..., :2].mean(axis=3))
    np.testing.assert_allclose(found[:, 8], np.log(shades.mean(axis=(1, 2)) + 0.01))


def test_each_photo_alone_gives_the_same_bits() -> None:
    squares = np.random.default_rng(2).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    together = ood.image_statistics(squares)
    for number in range(5):
        np.testing.assert_array_equal(ood.image_statistics(squares[number : number + 1])[0], together[number])


def test_distance_against_scikit_learn_on_many_photos() -> None:
    generator = np.random.default_rng(3)
    mixing = generator.normal(size=(9, 9))
    found = generator.normal(size=(20_000, 9)) @ mixing
    usual = ood.fit_detector(found)
    assert usual is not None
    expected = EmpiricalCovariance().fit(found).mahalanobis(found)
    np.testing.assert_allclose(usual.distances(found), expected, rtol=0.1)
    new = generator.normal(size=(20_000, 9)) @ mixing
    assert usual.is_outlier(new).mean() == pytest.approx(0.025, abs=0.004)


@pytest.mark.parametrize("count", [20, 60, 341])
def test_at_most_one_in_twenty_new_photos_is_marked(count: int) -> None:
    """On average; of few photos the border is cautious, not too narrow."""
    generator = np.random.default_rng(4)
    shares = []
    for _ in range(60):
        usual = ood.fit_detector(generator.normal(size=(count, 9)))
        assert usual is not None
        shares.append(usual.is_outlier(generator.normal(size=(500, 9))).mean())
    assert 0.005 < np.mean(shares) < 0.06


def test_of_fewer_than_twenty_nothing_is_usual_and_equal_photos_are_no_error() -> None:
    assert ood.fit_detector(np.zeros((19, 9))) is None
    usual = ood.fit_detector(np.zeros((20, 9)))
    assert usual is not None
    assert usual.is_outlier(np.ones((1, 9))).all()


def silent_and_loud(count: int, *, seed: int = 5) -> np.ndarray:
    """Features [count, 60] behind ReLU: of very different sizes, the last ten nearly always 0."""
    generator = np.random.default_rng(seed)
    found = (generator.normal(1, 0.5, (count, 60)).clip(min=0) * np.geomspace(1e-3, 100, 60)) ** 2
    found[:, 50:] *= generator.random((count, 10)) < 0.02
    return found.astype(np.float32)


def test_distance_of_features_by_hand() -> None:
    features = silent_and_loud(341)
    usual = ood.fit_feature_detector(features)
    assert usual is not None and usual.channels == 60
    roots = [[float(value) ** 0.5 for value in column] for column in features.T]
    means = [sum(column) / 341 for column in roots]
    variances = [
        sum((v - mean) ** 2 for v in column) / 341 for column, mean in zip(roots, means, strict=True)
    ]
    least = (0.1 * sorted(variances)[30] ** 0.5 + 0.1 * sorted(variances)[29] ** 0.5) / 2 + 1e-6
    new = silent_and_loud(7, seed=6)
    for row, found in zip(new, usual.distances(new), strict=True):
        terms = [
            min(100, (float(v) ** 0.5 - mean) ** 2 / (variance + least**2))
            for v, mean, variance in zip(row, means, variances, strict=True)
        ]
        assert found == pytest.approx(sum(terms) / 60, rel=1e-3)
    np.testing.assert_array_equal(usual.distances(new)[3:4], usual.distances(new[3:4]))


@pytest.mark.parametrize("count", [20, 60, 341])
def test_of_features_too_at_most_one_in_twenty_new_photos_is_marked(count: int) -> None:
    shares = []
    for seed in range(40):
        usual = ood.fit_feature_detector(silent_and_loud(count, seed=seed))
        assert usual is not None
        shares.append(usual.is_outlier(silent_and_loud(500, seed=1000 + seed)).mean())
    assert 0.005 < np.mean(shares) < 0.05


def test_features_of_other_things_are_marked_and_few_photos_fit_nothing() -> None:
    usual = ood.fit_feature_detector(silent_and_loud(100))
    assert usual is not None
    others = silent_and_loud(100, seed=9)[:, ::-1].copy()
    assert usual.is_outlier(others).all()
    assert ood.fit_feature_detector(silent_and_loud(19)) is None
    assert ood.fit_feature_detector(np.zeros(0, np.float32)) is None
    constant = ood.fit_feature_detector(np.ones((20, 5), np.float32))
    assert constant is not None and not constant.is_outlier(np.ones((3, 5), np.float32)).any()
