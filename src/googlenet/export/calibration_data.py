"""Photos to calibrate int8 on, and others to verify an export with. No torch."""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import GoogLeNetError, ImageError, InputError
from googlenet.base.progress import echo
from googlenet.data.folder import reopen_data
from googlenet.data.splits import choose_split
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels, preprocess, read_bytes
from googlenet.inference.paths import expand

CALIBRATION = 300  # photos at most, NNCF's own default
VERIFICATION = 2000  # photos at most
ENOUGH = 100  # photos to calibrate on; with fewer the ranges of the activations are guesses
FEWEST = 20  # photos to calibrate on and to verify with, unless asked for
NOISE = 64  # images

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Photos as the network sees them, uint8 [N, size, size, 3]; none of them is in both parts.

    labels  [N] of the second part, if they are known
    """

    source: str
    calibration: Pixels
    verification: Pixels
    labels: Labels | None = None


def collect_samples(
    card: ModelMetadata,
    *,
    calibrate: str | None,
    training_data: str | None,
    labels: Any = None,
    int8: bool = True,
) -> Samples:
    """Read photos to calibrate and verify on: those of `calibrate`, else of the training data, else noise.

    calibrate      a data set, or any photos: every second one calibrates, up to `CALIBRATION`
    training_data  split as the model records it: training photos calibrate, validation photos verify
    labels         the record of its table of labels
    int8           leave photos for calibration; without it all of `calibrate` verify
    raises         InputError or DataError if `calibrate` gives no images
    """
    if source := calibrate or training_data:
        try:
            return _read_dataset(source, card, None if calibrate else labels, int8=int8)
        except GoogLeNetError as error:
            if calibrate and not Path(calibrate).exists():
                raise
            echo(f"the guesses will be compared, not their accuracy: no labels to be had ({error})")
    if calibrate:
        return _read_files(calibrate, card, int8=int8)
    size = card.preprocessing.size
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, size, size, 3), dtype=np.uint8)
    return Samples("noise: no data was given", noise[:0], noise)


def check_calibration(samples: Samples, *, few: bool) -> None:
    """Say if there are few photos to calibrate int8 on.

    few     so few were asked for
    raises  InputError below `FEWEST`
    """
    least = min(len(samples.calibration), len(samples.verification))
    if least < (1 if few else FEWEST):
        raise InputError(
            f"expected at least {FEWEST} different photos to calibrate int8 on and {FEWEST} others to verify "
            f"it with, got {len(samples.calibration)} and {len(samples.verification)}; give --calibrate more "
            "photos like those it will classify, or --accept-loss if it must be"
        )
    if len(samples.calibration) < ENOUGH:
        echo(
            f"warning: {len(samples.calibration)} photos calibrate int8; {ENOUGH} and more give safer ranges"
        )


def _read_dataset(source: str, card: ModelMetadata, labels: Any, *, int8: bool) -> Samples:
    """Labeled photos: training photos calibrate where there is a split, else every second photo."""
    data = reopen_data(source, {**card.data, "labels": labels}, known=card.classes)
    train = data.split("train")
    _, measured = choose_split(source, card, None, labels=data.labels)
    if len(measured) > len(data.split("val")):  # a folder that the model was not trained on
        calibration, rest = _halves(len(measured)) if int8 else ([], range(len(measured)))
        train = measured.keep(np.array(calibration, np.int64))
        measured = measured.keep(np.array(rest, np.int64))
    pixels = card.preprocessing
    squares, _ = read_evenly(train.read, len(train) if int8 else 0, CALIBRATION, pixels)
    verification, numbers = read_evenly(measured.read, len(measured), VERIFICATION, pixels)
    return _found(source, squares, verification, measured.labels[numbers])


def _read_files(source: str, card: ModelMetadata, *, int8: bool) -> Samples:
    paths = list(expand([source]))
    calibration, rest = _halves(len(paths)) if int8 else ([], range(len(paths)))

    def reader(numbers: "list[int] | range") -> Callable[[int], bytes]:
        return lambda i: read_bytes(Path(paths[numbers[i]]))

    pixels = card.preprocessing
    squares, _ = read_evenly(reader(calibration), len(calibration), CALIBRATION, pixels)
    verification, _ = read_evenly(reader(rest), len(rest), VERIFICATION, pixels)
    return _found(source, squares, verification, None)


def _halves(count: int) -> tuple[list[int], list[int]]:
    """Numbers of photos that calibrate, evenly spaced, and of the others."""
    calibration = evenly(count, min(CALIBRATION, (count + 1) // 2))
    return calibration, sorted(set(range(count)) - set(calibration))


def _found(source: str, calibration: Pixels, verification: Pixels, labels: Labels | None) -> Samples:
    """The photos of both parts, each once."""
    if not len(calibration) and not len(verification):
        raise InputError(f"expected images in {source}, got none that can be read")
    seen: set[bytes] = set()
    first, second = (_distinct(part, seen) for part in (calibration, verification))
    return Samples(
        source, calibration[first], verification[second], None if labels is None else labels[second]
    )


def _distinct(squares: Pixels, seen: set[bytes]) -> list[int]:
    """Numbers of the squares that were not seen yet, which are now."""
    kept = []
    for number, square in enumerate(squares):
        if (digest := hashlib.sha256(square.tobytes()).digest()) not in seen:
            seen.add(digest)
            kept.append(number)
    return kept


def read_evenly(
    read: Callable[[int], bytes], count: int, most: int, preprocessing: Preprocessing
) -> tuple[Pixels, list[int]]:
    """Preprocess up to `most` of `count` photos, evenly spaced, but for unreadable ones.

    returns  uint8 [N, size, size, 3] and the N numbers of these photos
    """
    squares, numbers = [], []
    for i in evenly(count, most):
        with contextlib.suppress(ImageError):
            squares.append(preprocess(read(i), preprocessing))
            numbers.append(i)
    size = preprocessing.size
    return np.array(squares, dtype=np.uint8).reshape(-1, size, size, 3), numbers


def evenly(count: int, most: int) -> list[int]:
    """Up to `most` of the numbers below `count`, evenly spaced."""
    spaced: list[int] = np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)).tolist()
    return spaced
