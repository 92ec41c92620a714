"""A model's outputs on a split, and its metrics and calibration from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import DataError, ImageError
from googlenet.base.progress import Advance, no_advance
from googlenet.calibration import ood, temperature
from googlenet.calibration.ood import NUM_STATISTICS, Features, Statistics
from googlenet.calibration.temperature import Logits
from googlenet.data.index import Index
from googlenet.evaluation.metrics import Metrics, compute_metrics
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels
from googlenet.inference.predict import Predictor, Scores, outputs_of, score_images

BATCH = 32
FITTED = 4096  # photos at most whose features are kept to fit a detector on


@dataclass(frozen=True)
class SplitScores:
    """What a model makes of a split's readable images, and the errors of the others."""

    logits: Logits  # [N, classes]
    figures: Statistics  # [N, 9]
    numbers: npt.NDArray[np.int64]  # [N], in the index
    bad: dict[int, ImageError]
    distances: npt.NDArray[np.float32] | None = None  # [N], as the model's metadata has them
    features: dict[int, Features] = field(default_factory=dict)  # [channels] of some, where asked for


def score(
    classifier: Predictor,
    index: Index,
    *,
    workers: int = 2,
    progress: Advance = no_advance,
    rows: range | None = None,
    keep_features: bool = False,
) -> SplitScores:
    """Run every image of a split through the network, in order; with `rows` only those.

    keep_features  of photos for a detector to be fitted on, 4,096 at most
    """
    rows = range(len(index)) if rows is None else rows
    every = _stride(index) if keep_features else 0
    numbers: list[int] = []
    scores: list[Scores] = []
    distances: list[npt.NDArray[np.float32]] = []
    kept: dict[int, Features] = {}
    bad: dict[int, ImageError] = {}
    for number, result in score_images(rows, index.read, classifier, batch=BATCH, workers=workers):
        if isinstance(result, ImageError):
            bad[number] = result
        else:
            numbers.append(number)
            scores.append(Scores(result.logits, result.figures))
            if result.features is not None:
                if every and number % every == 0:
                    kept[number] = result.features
                found = classifier.metadata.distances(result.features[None])
                distances.extend([] if found is None else found)
        progress(1)
    logits = np.array([each.logits for each in scores], np.float32).reshape(-1, len(classifier.classes))
    figures = np.array([each.figures for each in scores], np.float64).reshape(-1, NUM_STATISTICS)
    return SplitScores(
        logits,
        figures,
        np.array(numbers, np.int64),
        bad,
        distances=np.array(distances, np.float32) if distances else None,
        features=kept,
    )


def _stride(index: Index) -> int:
    """Of every how many photos the features are kept."""
    return -(-len(index) // FITTED)


def batched_outputs(
    predictor: Predictor, squares: Pixels
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Logits [N, classes] and distances [N], if there are any, of squares uint8 [N, size, size, 3]."""
    batches = [squares[start : start + BATCH] for start in range(0, len(squares), BATCH)]
    logits, distances = [], []
    for outputs in (outputs_of(predictor, batch) for batch in batches):
        logits.append(outputs.logits)
        distances.append(predictor.metadata.distances(outputs.features))
    found = [part for part in distances if part is not None]
    return np.concatenate(logits), np.concatenate(found) if found else None


def merge_scores(parts: Sequence[SplitScores]) -> SplitScores:
    """Join what several processes scored of a split, in the order of the index."""
    numbers = np.concatenate([part.numbers for part in parts])
    order = np.argsort(numbers)
    bad = {number: error for part in parts for number, error in sorted(part.bad.items())}
    logits = np.concatenate([part.logits for part in parts])[order]
    figures = np.concatenate([part.figures for part in parts])[order]
    distances = [part.distances for part in parts if part.distances is not None]
    kept = {number: found for part in parts for number, found in part.features.items()}
    return SplitScores(
        logits,
        figures,
        numbers[order],
        bad,
        distances=np.concatenate(distances)[order] if distances else None,
        features=dict(sorted(kept.items())),
    )


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
        unfamiliar=outlier_share(
            card, scores.figures, temperature.energy_scores(scores.logits), scores.distances
        ),
        unreadable=len(scores.bad),
    )


def calibrate(scores: SplitScores, index: Index, card: ModelMetadata) -> tuple[ModelMetadata, Metrics]:
    """Fit temperature and outlier detectors on a split that training did not see.

    One detector looks at pixels, one at the network's features; at its logits where features are not known
    of enough photos.

    returns  the card with them, and the metrics of the split, cross-fitted: no photo is judged at a
             temperature that was fitted on it
    raises   DataError if no image of the split could be read
    """
    check_not_empty(scores.numbers, index)
    labels = index.labels[scores.numbers]
    features = ood.fit_feature_detector(np.array([*scores.features.values()], np.float32))
    energies = temperature.energy_scores(scores.logits)
    fitted = replace(
        card,
        temperature=temperature.fit_temperature(scores.logits, labels),
        energy_threshold=temperature.fit_threshold(energies, temperature.PASS_RATE_EACH)
        if features is None
        else None,
        familiar=ood.fit_detector(scores.figures),
        familiar_features=features,
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
    card: ModelMetadata,
    figures: Statistics,
    energies: npt.NDArray[np.float32],
    distances: npt.NDArray[np.float32] | None = None,
) -> float | None:
    """Share of photos unlike a model's training data; arguments as for `ModelMetadata.are_outliers`."""
    outliers = card.are_outliers(figures, energies, distances)
    return None if outliers is None else float(outliers.mean())
