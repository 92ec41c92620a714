"""Images to calibrate int8 on and to verify an export with. No torch."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import DataError, GoogLeNetError, ImageError, InputError
from googlenet.base.progress import echo
from googlenet.data.folder import remap_labels, reopen_data
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels, preprocess, read_bytes
from googlenet.inference.paths import expand

CALIBRATION = 300  # images at most, NNCF's own default
VALIDATION = 2000  # images at most
NOISE = 64  # images


@dataclass(frozen=True)
class Samples:
    """Images as the network sees them, uint8 [N, size, size, 3], and the labels of the second part."""

    description: str
    calibration: Pixels
    validation: Pixels
    labels: npt.NDArray[np.int64] | None = None


def collect_samples(card: ModelMetadata, *, calibrate: str | None, training_data: str | None) -> Samples:
    """Read images to calibrate and verify on: those of `calibrate`, else of the training data, else noise.

    calibrate      a data set, or any images: these are calibrated and verified on without labels
    training_data  split as the model records it
    raises         InputError or DataError if `calibrate` gives no images
    """
    if source := calibrate or training_data:
        try:
            return _read_dataset(source, card)
        except GoogLeNetError as error:
            if calibrate and not Path(calibrate).exists():
                raise
            echo(f"no labels, so accuracy was not compared: {error}")
    if calibrate:
        return _read_files(calibrate, card)
    size = card.preprocessing.size
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, size, size, 3), dtype=np.uint8)
    return Samples(f"{NOISE} images of noise: no data was given", noise[:0], noise)


def _read_dataset(source: str, card: ModelMetadata) -> Samples:
    data = reopen_data(source, card.data)
    train = data.split("train")
    val = remap_labels(data.split("val"), have=data.classes, want=card.classes, where=source)
    calibration, _ = read_evenly(train.read, len(train), CALIBRATION, card.preprocessing)
    validation, numbers = read_evenly(val.read, len(val), VALIDATION, card.preprocessing)
    if not len(calibration) or not len(validation):
        raise DataError(f"{source}: expected readable images, got none")
    description = f"{len(calibration)} training and {len(validation)} validation images of {source}"
    return Samples(description, calibration, validation, val.labels[numbers])


def _read_files(source: str, card: ModelMetadata) -> Samples:
    paths = list(expand([source]))
    images, _ = read_evenly(lambda i: read_bytes(Path(paths[i])), len(paths), CALIBRATION, card.preprocessing)
    if not len(images):
        raise InputError(f"expected images to calibrate on in {source}, got none")
    return Samples(f"{len(images)} unlabeled images of {source}", images, images[:0])


def read_evenly(
    read: Callable[[int], bytes], count: int, most: int, preprocessing: Preprocessing
) -> tuple[Pixels, list[int]]:
    """Preprocess up to `most` of `count` images, evenly spaced, but for unreadable ones.

    returns  uint8 [N, size, size, 3] and the N numbers of these images
    """
    images, numbers = [], []
    for i in np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)).tolist():
        with contextlib.suppress(ImageError):
            images.append(preprocess(read(i), preprocessing))
            numbers.append(i)
    size = preprocessing.size
    return np.array(images, dtype=np.uint8).reshape(-1, size, size, 3), numbers
