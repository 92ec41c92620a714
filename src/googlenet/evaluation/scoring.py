"""A model's outputs on a split, and its metrics and calibration from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import DataError, ImageError
from googlenet.base.progress import Advance, no_advance
from googlenet.calibration import ood, temperature
from googlenet.calibration.ood import NUM_STATISTICS, Statistics
from googlenet.calibration.temperature import Logits
from googlenet.data.index import Index
from googlenet.evaluation.metrics import Metrics, compute_metrics
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels
from googlenet.inference.predict import Predictor, Scores, score_images

BATCH = 32


@dataclass(frozen=True)
class SplitScores:
    """Logits [N, classes] and statistics [N, 9] of a split's readable images, their numbers, the errors."""

    logits: Logits
    figures: Statistics
    numbers: npt.NDArray[np.int64]
    bad: dict[int, ImageError]


def score(
    classifier: Predictor,
    index: Index,
    *,
    workers: int = 2,
    progress: Advance = no_advance,
    rows: range | None = None,
) -> SplitScores:
    """Run every image of a split through the network, in order; with `rows` only those."""
    rows = range(len(index)) if rows is None else rows
    numbers: list[int] = []
    scores: list[Scores] = []
    bad: dict[int, ImageError] = {}
    for number, result in score_images(rows, index.read, classifier, batch=BATCH, workers=workers):
        if isinstance(result, ImageError):
            bad[number] = result
        else:
            numbers.append(number)
            scores.append(result)
        progress(1)
    logits = np.array([each.logits for each in scores], np.float32).reshape(-1, len(classifier.classes))
    figures = np.array([each.figures for each in scores], np.float64).reshape(-1, NUM_STATISTICS)
    return SplitScores(logits, figures, np.array(numbers, np.int64), bad)


def batched_logits(predictor: Predictor, squares: Pixels) -> npt.NDArray[np.float32]:
    """Logits [N, classes] of squares uint8 [N, size, size, 3], BATCH at a time."""
    batches = [squares[start : start + BATCH] for start in range(0, len(squares), BATCH)]
    return np.concatenate([predictor.logits(batch) for batch in batches])


def merge_scores(parts: Sequence[SplitScores]) -> SplitScores:
    """Join what several processes scored of a split, in the order of the index."""
    numbers = np.concatenate([part.numbers for part in parts])
    order = np.argsort(numbers)
    bad = {number: error for part in parts for number, error in sorted(part.bad.items())}
    logits = np.concatenate([part.logits for part in parts])[order]
    figures = np.concatenate([part.figures for part in parts])[order]
    return SplitScores(logits, figures, numbers[order], bad)


def measure(scores: SplitScores, index: Index, card: ModelMetadata) -> Metrics:
    """Compute the metrics of a split, with the temperature and the detector of a card.

    Raises DataError if no image of it could be read.
    """
    check_not_empty(scores.numbers, index)
    return compute_metrics(
        temperature.probabilities(scores.logits, card.temperature),
        index.labels[scores.numbers],
        card.classes,
        raw=temperature.probabilities(scores.logits),
        unfamiliar=outlier_share(card, scores.figures, temperature.energy_scores(scores.logits)),
        unreadable=len(scores.bad),
    )


def calibrate(scores: SplitScores, index: Index, card: ModelMetadata) -> tuple[ModelMetadata, Metrics]:
    """Fit temperature, energy threshold and outlier detector on a split that training did not see.

    returns  the card with them, and the metrics of the split, cross-fitted: no photo is judged at a
             temperature that was fitted on it
    raises   DataError if no image of the split could be read
    """
    check_not_empty(scores.numbers, index)
    labels = index.labels[scores.numbers]
    fitted = replace(
        card,
        temperature=temperature.fit_temperature(scores.logits, labels),
        energy_threshold=temperature.fit_threshold(
            temperature.energy_scores(scores.logits), temperature.PASS_RATE_EACH
        ),
        familiar=ood.fit_detector(scores.figures),
    )
    measured = compute_metrics(
        temperature.cross_fit_temperature(scores.logits, labels),
        labels,
        card.classes,
        raw=temperature.probabilities(scores.logits),
        unreadable=len(scores.bad),
    )
    return fitted, measured


def check_not_empty(numbers: npt.NDArray[np.int64], index: Index) -> None:
    """Raise DataError if none of a split's images could be read."""
    if not len(numbers):
        raise DataError(f"{index.root}: expected readable images, got none among {len(index)}")


def outlier_share(
    card: ModelMetadata, figures: Statistics, energies: npt.NDArray[np.float32]
) -> float | None:
    """Share of photos unlike a model's training data, by their statistics [N, 9] and energies [N]."""
    outliers = card.are_outliers(figures, energies)
    return None if outliers is None else float(outliers.mean())
