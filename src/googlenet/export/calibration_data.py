"""Real images to calibrate int8 on and to prove an export by. No torch."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import DataError, GoogLeNetError, ImageError, InputError, TrainingError
from googlenet.base.progress import echo
from googlenet.data.folder import remap_labels, reopen_data
from googlenet.data.index import Index
from googlenet.files import runfolder
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels, preprocess, read_bytes
from googlenet.inference.paths import expand

CALIBRATION = 300  # images, as NNCF's own default
VALIDATION = 2000  # images at most that the proof looks at

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Real images as the network sees them: to calibrate on, and to prove on, with labels if known."""

    what: str
    calibration: Pixels
    validation: Pixels
    labels: Labels | None = None


def gather(source: Path, card: ModelMetadata, calibrate: str | None, *, needed: bool) -> Samples:
    """Find images to calibrate and prove on: those that were given, the run's own, or noise.

    raises  InputError if they are needed and there are none
    """
    where = calibrate or _data_of_run(source)
    if where is not None:
        try:
            return _from_data(where, card)
        except GoogLeNetError as error:
            if calibrate is not None and not Path(where).exists():
                raise
            echo(f"no labels to prove it by: {error}")
        if calibrate is not None:
            return _from_files(where, card)
    if needed:
        raise InputError(
            f"expected --calibrate DATA for int8: the training data of {source} is not there; "
            "a few hundred photos of the kind that it will see are enough"
        )
    size = card.preprocessing.size
    noise = np.random.default_rng(0).integers(0, 256, (64, size, size, 3), dtype=np.uint8)
    return Samples("64 images of noise: no data was given", noise[:0], noise)


def _data_of_run(source: Path) -> str | None:
    try:
        return str(runfolder.read_config(source)["data"]) if source.is_dir() else None
    except (TrainingError, KeyError):
        return None


def _from_data(where: str, card: ModelMetadata) -> Samples:
    data = reopen_data(where, card.data)
    val = remap_labels(data.split("val"), have=data.classes, want=card.classes, where=where)
    calibration, _ = _squares(data.split("train"), card, CALIBRATION)
    validation, labels = _squares(val, card, VALIDATION)
    if not len(calibration) or not len(validation):
        raise DataError(f"{where}: expected readable images, got none")
    name = f"{len(calibration)} training and {len(validation)} validation images of {where}"
    return Samples(name, calibration, validation, labels)


def _squares(index: Index, card: ModelMetadata, most: int) -> tuple[Pixels, Labels]:
    """Up to `most` images of a split, evenly spread over it, as the network sees them."""
    images, labels = [], []
    for i in np.unique(np.linspace(0, len(index) - 1, min(most, len(index))).astype(int)):
        with contextlib.suppress(ImageError):
            images.append(preprocess(index.read(int(i)), card.preprocessing))
            labels.append(int(index.labels[i]))
    return _stacked(images, card), np.array(labels, dtype=np.int64)


def _from_files(where: str, card: ModelMetadata) -> Samples:
    images = []
    paths = list(expand([where]))
    for i in np.unique(np.linspace(0, len(paths) - 1, CALIBRATION).astype(int)):
        with contextlib.suppress(ImageError):
            images.append(preprocess(read_bytes(Path(paths[i])), card.preprocessing))
    if not images:
        raise InputError(f"expected images to calibrate on in {where}, got none")
    return Samples(f"{len(images)} unlabeled images of {where}", _stacked(images, card), _stacked([], card))


def _stacked(images: list[Pixels], card: ModelMetadata) -> Pixels:
    size = card.preprocessing.size
    return np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8)
