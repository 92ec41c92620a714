"""A model's accuracy on photos with fifteen corruptions, in five severities each. No torch."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import ImageError
from googlenet.base.progress import Progress, echo, no_progress
from googlenet.data.splits import choose_split
from googlenet.data.table import Labels
from googlenet.evaluation.scoring import batched_outputs, check_not_empty
from googlenet.images.corruptions import KINDS, SEVERITIES, corrupt
from googlenet.images.decode import Pixels, preprocess
from googlenet.inference.predict import Predictor, map_batches


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Top-1 accuracy on the same photos, whole and damaged; fractions in 0..1."""

    part: str  # which images were measured, in words
    samples: int
    whole: float
    damaged: dict[str, tuple[float, ...]]  # of each kind, at severities 1 to 5
    mean: float  # of all kinds and severities
    pixels: str  # SHA-256 of every square that was measured: the same wherever it was measured
    unreadable: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)


def assess(
    classifier: Predictor,
    source: str,
    *,
    split: str | None = None,
    labels: Labels | None = None,
    workers: int = 2,
    progress: Progress = no_progress,
) -> Robustness:
    """Measure a model on every photo of a split, whole and damaged.

    labels  a table of labels; by default they are the names of the class folders
    split   as for `splits.choose_split`
    raises  DataError for classes that the model does not know, or no readable image
    """
    part, index = choose_split(source, classifier.metadata, split, labels=labels)
    advance = progress(f"{part}, damaged in {len(KINDS) * len(SEVERITIES)} ways", len(index))

    def load(number: int) -> Pixels:
        return damaged(preprocess(index.read(number), classifier.preprocessing), name=index.name(number))

    def guess(photos: list[Pixels]) -> Iterator[tuple[npt.NDArray[np.int64], bytes]]:
        for squares in photos:
            guesses = batched_outputs(classifier, squares)[0].argmax(axis=1)
            yield guesses, hashlib.sha256(squares.tobytes()).digest()

    digest, right = hashlib.sha256(), []
    for number, result in map_batches(range(len(index)), load, guess, batch=1, workers=workers):
        advance(1)
        if isinstance(result, ImageError):
            echo(f"left out: {index.name(number)}: {result}")
            continue
        guesses, of_pixels = result
        digest.update(of_pixels)
        right.append(guesses == index.labels[number])
    check_not_empty(np.arange(len(right)), index)
    whole, *shares = np.mean(right, axis=0).tolist()
    return Robustness(
        part=part,
        samples=len(right),
        whole=whole,
        damaged={
            kind: tuple(shares[i * len(SEVERITIES) : (i + 1) * len(SEVERITIES)])
            for i, kind in enumerate(KINDS)
        },
        mean=float(np.mean(shares)),
        pixels=digest.hexdigest(),
        unreadable=len(index) - len(right),
    )


def damaged(square: Pixels, *, name: str) -> Pixels:
    """A square, uint8 [size, size, 3], as it is and then in every way: uint8 [76, size, size, 3]."""
    ways = [(kind, severity) for kind in KINDS for severity in SEVERITIES]
    return np.stack([square, *(corrupt(square, *way, name=name) for way in ways)])
