"""The fixed parts of CIFAR-10 that the claims are measured on: folders of links, the same everywhere.

Images of a class are taken in the order of a hash of their names: the first so many of the training split
to train on, the last 50 for the trainer's own looks, which choose nothing. The test split stays whole
but for a smoke test.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from googlenet.base.errors import DataError
from googlenet.data.dataset import Dataset
from googlenet.data.folder import open_data
from googlenet.data.index import Index

CLASSES = 10
LOOKS = 50  # images a class for the trainer's looks
SEEN_AGAIN = 2000  # training images, at most, whose accuracy is measured without augmentation


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of CIFAR-10, in images a class."""

    name: str
    train: int
    val: int = LOOKS
    test: int | None = None  # None: all


PARTS = {
    part.name: part
    for part in (
        Part(name="cifar10-10k", train=1000),
        Part(name="cifar10-2k", train=200),
        Part(name="cifar10-smoke", train=12, val=2, test=5),
    )
}


def prepare(name: str, source: Path, place: Path) -> Path:
    """Make the folder of a part below `place`, unless it is there.

    source  CIFAR-10 as image files: train/ and test/, each with ten class folders
    raises  DataError if that is something else, or too small
    """
    folder, part = place / name, PARTS[name]
    if folder.is_dir():
        return folder
    making = place / f"{name}.making"
    shutil.rmtree(making, ignore_errors=True)
    for split in ("train", "test"):
        for label in _classes(source / split):
            files = _in_order(label)
            if split == "test":
                _link(files[: part.test], making / "test" / label.name)
                continue
            if len(files) < part.train + part.val:
                raise DataError(
                    f"{label}: expected at least {part.train + part.val} images, got {len(files)}; "
                    "give the whole of CIFAR-10"
                )
            _link(files[: part.train], making / "train" / label.name)
            _link(files[-part.val :], making / "val" / label.name)
    making.rename(folder)
    return folder


def opened(folder: Path) -> Dataset:
    """Open a part."""
    return open_data(str(folder))


def seen_again(data: Dataset) -> Index:
    """The fixed training images on which a model is measured without augmentation, of all classes alike."""
    return evenly(data.split("train"), SEEN_AGAIN)


def evenly(index: Index, most: int) -> Index:
    """At most so many images of an index, evenly spaced: a part lists as many of each class in turn."""
    count = min(most, len(index))
    return index.keep(np.arange(count, dtype=np.int64) * len(index) // count)


def _classes(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if len(found) != CLASSES:
        raise DataError(
            f"expected CIFAR-10 with {CLASSES} class folders in {folder}, got {len(found)}; "
            "give the folder that holds train/ and test/ to --data"
        )
    return found


def _in_order(label: Path) -> list[Path]:
    """Files of a class by a hash of class and name, so that the order of the file names decides nothing."""
    files = [path for path in label.iterdir() if path.is_file() and not path.name.startswith(".")]
    return sorted(files, key=lambda path: hashlib.sha256(f"{label.name}/{path.stem}".encode()).digest())


def _link(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).symlink_to(file.resolve())
