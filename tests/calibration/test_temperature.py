"""Temperature and calibration against other libraries, loops, and cases worked out by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from googlenet.calibration import temperature as confidence


def drawn(count: int, classes: int, *, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are drawn from what the logits say at a temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 4, (count, classes)).astype(np.float32)
    shares = torch.from_numpy(logits / temperature).softmax(1).numpy().astype(np.float64)
    labels = (shares.cumsum(axis=1) < generator.random((count, 1))).sum(axis=1).clip(max=classes - 1)
    return logits, labels


def by_torch(logits: np.ndarray, labels: np.ndarray, *, prior: float = 1.0) -> float:
    """The temperature by torch's L-BFGS on its own cross-entropy, in another variable."""
    scores, truth = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([log_t], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        total = torch.nn.functional.cross_entropy(scores / log_t.exp(), truth, reduction="sum")
        total = total + prior * ((-log_t).exp() + log_t)
        total.backward()
        return total

    search.step(loss)
    return float(log_t.detach().exp())


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
@pytest.mark.parametrize("count, classes", [(30, 2), (400, 10), (2000, 3)])
def test_temperature_against_another_optimizer(count: int, classes: int, temperature: float) -> None:
    logits, labels = drawn(count, classes, temperature=temperature, seed=count)
    found = confidence.fit_temperature(logits, labels)
    assert found == pytest.approx(by_torch(logits, labels), rel=1e-5)


def test_temperature_of_two_classes_is_a_logistic_regression() -> None:
    """On the difference of the logits, without intercept, its coefficient is 1/T."""
    logits, labels = drawn(20_000, 2, temperature=2.0, seed=1)
    model = LogisticRegression(fit_intercept=False, C=1e9, tol=1e-10)
    model.fit((logits[:, 1] - logits[:, 0])[:, None], labels)
    found = confidence.fit_temperature(logits, labels)
    assert found == pytest.approx(1 / model.coef_[0, 0], rel=1e-3)
    assert found == pytest.approx(2.0, rel=0.03)  # what the labels were drawn with


def test_the_weight_of_one_photo_goes_to_a_temperature_of_1() -> None:
    logits, labels = drawn(5000, 10, temperature=3.0, seed=2)
    without = by_torch(logits, labels, prior=0.0)
    assert confidence.fit_temperature(logits, labels) == pytest.approx(without, rel=1e-3)
    assert confidence.fit_temperature(logits[:0], labels[:0]) == 1.0


def test_perfect_guesses_give_a_temperature_by_their_number() -> None:
    """All n right by a margin m: what is minimised is n log(1 + e^-bm) + b - log b, with b = 1/T."""
    found = []
    for count in (1, 10, 1000):
        logits = np.tile(np.array([2.0, 0.0], dtype=np.float32), (count, 1))
        found.append(confidence.fit_temperature(logits, np.zeros(count, dtype=np.int64)))
        b = 1 / found[-1]
        assert count * 2 / (1 + math.exp(2 * b)) == pytest.approx(1 - 1 / b, rel=1e-6)
    assert 1 > found[0] > found[1] > found[2] > confidence.MIN_TEMPERATURE


def test_guesses_that_say_nothing_keep_a_temperature_of_1() -> None:
    for logits in (np.zeros((50, 4), np.float32), np.full((50, 4), 7.5, np.float32)):
        assert confidence.fit_temperature(logits, np.arange(50) % 4) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "wrong, bound", [(True, confidence.MAX_TEMPERATURE), (False, confidence.MIN_TEMPERATURE)]
)
def test_temperatures_stay_in_their_bounds(wrong: bool, bound: float) -> None:
    """Sure and always wrong, or hardly sure and always right."""
    margin = 1e4 if wrong else 1e-3
    logits = np.tile(np.array([margin, 0.0], dtype=np.float32), (100_000, 1))
    found = confidence.fit_temperature(logits, np.full(100_000, int(wrong)))
    assert found == pytest.approx(bound, rel=1e-6)


def test_cross_fitted_is_never_by_the_photo_itself() -> None:
    logits, labels = drawn(57, 5, temperature=3.0, seed=3)
    found = confidence.cross_fit_temperature(logits, labels)
    used = set()
    for number in range(57):
        others = [i for i in range(57) if i % 5 != number % 5]
        temperature = by_torch(logits[others], labels[others])
        used.add(round(temperature, 4))
        expected = torch.from_numpy(logits[number] / temperature).softmax(0).numpy()
        np.testing.assert_allclose(found[number], expected, atol=1e-5)
    assert len(used) == 5
    np.testing.assert_array_equal(found.argmax(axis=1), logits.argmax(axis=1))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_cross_fitted_on_few_photos(count: int) -> None:
    logits, labels = drawn(count, 3, temperature=1.0, seed=4)
    found = confidence.cross_fit_temperature(logits, labels)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    if count == 1:
        np.testing.assert_allclose(found, torch.from_numpy(logits).softmax(1), rtol=1e-6)


def test_probabilities_against_torch() -> None:
    logits = np.random.default_rng(5).normal(0, 30, (4, 6, 7)).astype(np.float32)
    scores = torch.from_numpy(logits)
    for temperature in (0.05, 1.0, 3.0):
        found = confidence.probabilities(logits, temperature)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, (scores / temperature).softmax(-1), atol=2e-6)


def test_energies_against_torch() -> None:
    logits = np.random.default_rng(5).normal(0, 30, (4, 6, 7)).astype(np.float32)
    np.testing.assert_allclose(
        confidence.energy_scores(logits), -torch.from_numpy(logits).logsumexp(-1), rtol=1e-6
    )
    np.testing.assert_allclose(
        confidence.energy_scores(np.zeros((2, 8), np.float32)), -math.log(8), rtol=1e-6
    )
    huge = np.array([[1e4, -1e4], [-1e4, -1e4]], np.float32)
    np.testing.assert_allclose(confidence.energy_scores(huge), [-1e4, 1e4 - math.log(2)], rtol=1e-6)


@pytest.mark.parametrize("count, rank", [(1, 1), (5, 5), (18, 18), (19, 19), (20, 20), (39, 38), (99, 95)])
def test_threshold_is_an_order_statistic(count: int, rank: int) -> None:
    values = np.random.default_rng(count).permutation(count).astype(np.float32)
    expected = rank - 0.5 if rank < count else rank - 1  # the values are 0, 1, 2, …
    assert confidence.fit_threshold(values) == expected


def test_threshold_lets_new_photos_pass_as_often_as_it_says() -> None:
    """On average over many validation sets, at most 5 % of others lie above it, and not far fewer."""
    generator = np.random.default_rng(6)
    above = [
        (generator.normal(size=200) > confidence.fit_threshold(generator.normal(size=60))).mean()
        for _ in range(2000)
    ]
    rank, spread = math.ceil(0.95 * 61), np.std(above) / math.sqrt(len(above))
    most, least = 1 - rank / 61, 1 - (rank + 1) / 61  # at one value, and at the next
    assert least - 4 * spread < np.mean(above) < most + 4 * spread
    assert most <= 0.05


def naive_error(sure: np.ndarray, right: np.ndarray) -> float:
    total = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        inside = [i for i, p in enumerate(sure) if low <= p < high or (number == 14 and p >= 1.0)]
        if inside:
            gap = abs(sum(float(sure[i]) for i in inside) - sum(bool(right[i]) for i in inside)) / len(inside)
            total += gap * len(inside) / len(sure)
    return total


def test_calibration_error_against_a_loop() -> None:
    generator = np.random.default_rng(7)
    sure = np.append(generator.random(300), [1.0, 1.0, 0.0])
    right = generator.random(303) < sure**2
    found = confidence.calibration_error(sure, right)
    assert found == pytest.approx(naive_error(sure, right), rel=1e-9)
    assert found > 0.1
    bins = confidence.reliability_bins(sure, right)
    assert sum(each.count for each in bins) == 303
    assert found == pytest.approx(
        sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / 303
    )
    assert all(each.low <= each.confidence <= each.low + 1 / 15 for each in bins)


def test_calibration_error_by_hand() -> None:
    sure = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, True, False])
    by_hand = 4 / 6 * abs(0.95 - 0.75) + 2 / 6 * abs(0.55 - 0.5)
    assert confidence.calibration_error(sure, right) == pytest.approx(by_hand)
    assert [(each.count, each.accuracy) for each in confidence.reliability_bins(sure, right)] == [
        (2, 0.5),
        (4, 0.75),
    ]


def test_band_against_its_own_simulation() -> None:
    """Labels drawn class by class from whole rows of probabilities, another generator, the naive error."""
    logits, _ = drawn(341, 10, temperature=1.0, seed=8)
    shares = confidence.probabilities(logits, 4.0)
    torch.manual_seed(0)
    guesses = shares.argmax(axis=1)
    drawn_labels = torch.multinomial(torch.from_numpy(shares), 600, replacement=True).numpy()
    errors = [naive_error(shares.max(axis=1), guesses == labels) for labels in drawn_labels.T]
    low, high = confidence.perfect_calibration_band(shares.max(axis=1))
    assert low == pytest.approx(np.quantile(errors, 0.025), abs=0.004)
    assert high == pytest.approx(np.quantile(errors, 0.975), abs=0.006)
    assert confidence.perfect_calibration_band(shares.max(axis=1)) == (low, high)


def test_band_of_one_photo_and_of_certainty() -> None:
    assert confidence.perfect_calibration_band(np.ones(100)) == (0.0, 0.0)
    assert confidence.perfect_calibration_band(np.array([0.75])) == (0.25, 0.75)  # right, or wrong


def test_fitting_repairs_what_was_spoilt() -> None:
    """Drawn at temperature 3, so far too sure at 1; cross-fitted, 95 of 100 times within the band."""
    within = []
    for seed in range(100):
        logits, labels = drawn(341, 10, temperature=3.0, seed=seed)
        right = logits.argmax(axis=1) == labels
        before = confidence.probabilities(logits).max(axis=1)
        after = confidence.cross_fit_temperature(logits, labels).max(axis=1)
        assert confidence.calibration_error(before, right) > confidence.perfect_calibration_band(before)[1]
        low, high = confidence.perfect_calibration_band(after)
        within.append(low <= confidence.calibration_error(after, right) <= high)
    assert 89 <= sum(within) <= 99  # 95 and three standard deviations, were they independent draws
