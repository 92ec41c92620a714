"""How well photos of other things are told from photos like the training data, by four scores side by side.

    python experiments/unfamiliar.py MODEL DATA OTHER ...

MODEL is a run, a model file or an exported folder, DATA the folder that it was trained on, each OTHER a
folder of photos of other things; handwritten digits, blank and noisy images are made here. Every detector is
fitted on one half of validation and judged by the other half and by the others, both ways; the means are
printed: AUROC, and the share that is marked at the border beyond 95 % of the photos that it was fitted on.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from googlenet.base.machine import cores
from googlenet.base.progress import progress_bar
from googlenet.base.version import versions
from googlenet.calibration import ood, temperature
from googlenet.data.splits import choose_split
from googlenet.images.decode import Pixels
from googlenet.inference.loading import load_predictor
from googlenet.inference.paths import expand, read
from googlenet.inference.predict import Predictor, outputs_of, score_images

MADE = 200  # images of each kind that is made
MOST = 1000  # photos of another folder
BATCH = 16

Values = npt.NDArray[np.float64]


class Known(NamedTuple):
    """What is known of photos [N]: statistics of pixels, features, logits."""

    figures: Values
    features: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]

    def half(self, number: int) -> "Known":
        """Every second photo."""
        return Known(self.figures[number::2], self.features[number::2], self.logits[number::2])


def of_files(model: Predictor, files: list[str], name: str) -> Known:
    """What is known of files."""
    figures, features, logits = [], [], []
    with progress_bar(name, len(files)) as shown:
        for path, found in score_images(files, read, model, batch=BATCH, workers=cores()):
            if isinstance(found, Exception):
                raise SystemExit(f"{path}: {found}")
            assert found.features is not None, "expected a model that gives features"
            figures.append(found.figures)
            features.append(found.features)
            logits.append(found.logits)
            shown.advance()
    return Known(np.array(figures), np.array(features), np.array(logits))


def of_squares(model: Predictor, squares: Iterator[Pixels]) -> Known:
    """What is known of images that were made."""
    images = np.stack(list(squares))
    outputs = [outputs_of(model, images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    features = np.concatenate([found.features for found in outputs if found.features is not None])
    return Known(ood.image_statistics(images), features, np.concatenate([found.logits for found in outputs]))


def made(size: int) -> dict[str, Iterator[Pixels]]:
    """Images that are no photos."""
    generator = np.random.default_rng(0)
    digits = load_digits().images[:MADE]
    return {
        "digits": (
            np.asarray(Image.fromarray((each * 15.9).astype(np.uint8)).convert("RGB").resize((size, size)))
            for each in digits
        ),
        "blank": (
            np.tile(generator.integers(0, 256, (1, 1, 3), dtype=np.uint8), (size, size, 1))
            for _ in range(MADE)
        ),
        "noise": (generator.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(MADE)),
    }


def energy(fitted: Known) -> Callable[[Known], Values]:
    """-log sum exp of the logits."""
    return lambda known: temperature.energy_scores(known.logits).astype(np.float64)


def largest_probability(fitted: Known) -> Callable[[Known], Values]:
    """The largest probability, negative."""
    return lambda known: -temperature.probabilities(known.logits).max(axis=1).astype(np.float64)


def pixels(fitted: Known) -> Callable[[Known], Values]:
    """Nine statistics of the pixels."""
    detector = ood.fit_detector(fitted.figures)
    assert detector is not None
    return lambda known: detector.distances(known.figures)


def features(fitted: Known) -> Callable[[Known], Values]:
    """The features that the classifier reads."""
    detector = ood.fit_feature_detector(fitted.features)
    assert detector is not None
    return lambda known: detector.distances(known.features).astype(np.float64)


SCORES = {
    "energy": energy,
    "largest probability": largest_probability,
    "pixels": pixels,
    "features": features,
}


def marked(fitted: Known, known: Known) -> npt.NDArray[np.bool_]:
    """What a model marks: by pixels or by features, each letting 97.5 % pass."""
    by_pixels, by_features = ood.fit_detector(fitted.figures), ood.fit_feature_detector(fitted.features)
    assert by_pixels is not None and by_features is not None
    return by_pixels.is_outlier(known.figures) | by_features.is_outlier(known.features)


def cell(score: Callable[[Known], Callable[[Known], Values]], validation: Known, other: Known) -> str:
    """AUROC / marked %, and of validation itself: the means of both halves."""
    found = []
    for number in (0, 1):
        fitted, rest = validation.half(number), validation.half(1 - number)
        of = score(fitted)
        border = temperature.fit_threshold(of(fitted))
        own, others = of(rest), of(other)
        truth = np.r_[np.zeros(len(own)), np.ones(len(others))]
        found.append((roc_auc_score(truth, np.r_[own, others]), 100 * (others > border).mean()))
    area, share = np.mean(found, axis=0)
    return f"{area:.3f} / {share:.0f}"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("data")
    parser.add_argument("others", nargs="+", metavar="OTHER")
    options = parser.parse_args()
    model = load_predictor(options.model)
    what, index = choose_split(options.data, model.metadata, "val")
    validation = of_files(model, [str(index.root / index.name(i)) for i in range(len(index))], what)
    others = {}
    for folder in options.others:
        files = list(expand([folder]))
        files = files[:: -(-len(files) // MOST)]
        others[f"{Path(folder).name} ({len(files)})"] = of_files(model, files, folder)
    for kind, squares in made(model.preprocessing.size).items():
        others[f"{kind} ({MADE})"] = of_squares(model, squares)
    print(f"| score | {' | '.join(others)} |\n|---|{'---|' * len(others)}")
    for name, score in SCORES.items():
        print(f"| {name} | {' | '.join(cell(score, validation, other) for other in others.values())} |")
    shares = []
    for known in (None, *others.values()):
        halves = [marked(validation.half(i), known or validation.half(1 - i)).mean() for i in (0, 1)]
        shares.append(f"{100 * np.mean(halves):.1f}")
    print(f"| marked by the model, % | {' | '.join(shares[1:])} |")
    print(f"\nof {what} itself, {len(index)} photos, it marks {shares[0]} %")
    print(f"{getattr(model, 'about', 'torch')}; {', '.join(f'{k} {v}' for k, v in versions().items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
