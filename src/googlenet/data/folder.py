"""Folders of images: the index by class name, the splits, and the checks before training. No torch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from googlenet.base.errors import DataError, MissingExtraError
from googlenet.base.text import abbreviate, pluralize
from googlenet.data.dataset import Dataset, by_folder, remap_labels, split_validation
from googlenet.data.index import Index, Indices, stratified_split
from googlenet.data.labeled import SPLITS, open_labeled, open_metadata_splits, to_index
from googlenet.data.scan import (
    Scan,
    class_folders,
    count_images,
    count_loose_images,
    scan,
)
from googlenet.data.table import FOLDER, Labels, column_names, find_metadata, read_labels
from googlenet.images.decode import png_bytes

DIGITS = "digits"
FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
SPLIT_LIKE = {
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "test",
    "testing",
    "unlabeled",
    "unlabelled",
}


class Digits(Index):
    """The 1,797 handwritten digits that scikit-learn carries, as PNG files in memory."""

    def __init__(self, paths: Sequence[str], labels: Sequence[int] | Indices, files: list[bytes]) -> None:
        """Store the encoded images with their names."""
        super().__init__(paths, labels, root=Path(DIGITS))
        self._files = files

    def read(self, i: int) -> bytes:
        """Content of image `i`, a PNG file."""
        return self._files[i]

    def keep(self, chosen: Indices) -> "Digits":
        """Keep only these images, in this order."""
        numbers = chosen.tolist()
        names, files = [self.name(i) for i in numbers], [self._files[i] for i in numbers]
        return Digits(names, self.labels[chosen], files)


def open_data(
    source: str,
    *,
    labels: Labels | None = None,
    group: str | None = None,
    share: float | None = None,
    moved: Iterable[str] = (),
    known: Collection[str] = (),
) -> Dataset:
    """Open a data set by the word `digits` or by its folder.

    labels a table of labels; by default they are the names of the class folders
    group  `folder`: photos of a folder inside those of the classes are on one side of a split of ours
    share  of validation where it is split from the training photos; by default a fifth, of many less
    moved  hashes of names that are on the other side of that split, with their copies
    known  names of classes that are different, even if two of them look the same
    Raises DataError for a folder that cannot be trained on, or cannot be listed.
    """
    try:
        return _open(source, labels, group, share, tuple(moved), known)
    except OSError as error:
        raise DataError(f"{source}: cannot be listed: {error.strerror or error}") from error


def reopen_data(source: str, record: Mapping[str, Any], *, known: Collection[str] = ()) -> Dataset:
    """Open a data set with the split that a run or a model was trained with, from its record of it.

    Raises what `open_data` raises, and DataError for an invalid record.
    """
    share, moved = record.get("share"), record.get("moved", [])
    valid = share is None or (isinstance(share, float) and 0 < share < 1)
    if not valid or not isinstance(moved, list | tuple):
        raise DataError(f"{source}: expected a share from 0 to 1 and a list of moved photos, got {share!r}")
    try:
        labels = msgspec.convert(record.get("labels"), Labels | None, from_attributes=True)
    except msgspec.ValidationError as error:
        raise DataError(f"{source}: expected a table of labels in the record: {error}") from error
    group = record.get("group")
    if group not in (None, FOLDER) and labels is not None and str(group) in column_names(labels):
        labels = replace(labels, group=str(group))  # a model knows its column, and no table
    folder = FOLDER if group == FOLDER else None
    try:
        data = _open(source, labels, folder, share, tuple(map(str, moved)), known, again=True)
    except OSError as error:
        raise DataError(f"{source}: cannot be listed: {error.strerror or error}") from error
    if data.is_our_split and group is not None and data.grouped_by != group:
        raise DataError(
            f"{source}: expected --labels with the column {group!r}, which kept the model's training photos "
            "and the others apart, got none"
        )
    return data


def _open(
    source: str,
    labels: Labels | None,
    group: str | None,
    share: float | None,
    moved: tuple[str, ...],
    known: Collection[str],
    *,
    again: bool = False,
) -> Dataset:
    """Open a data set; `again` for a model that was split by a group, which other data need not have."""
    if source == DIGITS and labels is None:
        return _digits()
    root = Path(source)
    if not root.is_dir():
        raise DataError(
            f"expected a folder of class folders, or the word {DIGITS!r}; there is no folder {source}"
        )
    data = _as_it_is(root, labels, known)
    if len(data.classes) < 2:
        what = "class folders" if data.labels is None else "labels"
        raise DataError(f"{root}: expected at least two {what}, got one, {data.classes[0]!r}")
    if "val" in data.splits:
        if group == FOLDER and not again:
            raise DataError(f"{root}: expected data without a validation split with --group folder, got one")
        return data
    return split_validation(by_folder(data, needed=not again) if group == FOLDER else data, share, moved)


def _as_it_is(root: Path, labels: Labels | None, known: Collection[str]) -> Dataset:
    """The data set by the table, by split folders, by class folders, or by a `metadata.csv`."""
    if labels is not None:
        return open_labeled(root, labels)
    if has_splits(root):
        return _split_data(root, known)
    if not class_folders(root) and (table := find_metadata(root)):
        return open_labeled(root, Labels(file=str(table)))
    train = _split_folder(root, "train")
    if train is not None and find_metadata(train):
        folders = {split: folder for split in SPLITS if (folder := _split_folder(root, split))}
        return open_metadata_splits(root, folders)
    return _one_folder(root, known)


def open_whole(
    root: Path, labels: Labels | None, *, known: Collection[str] = ()
) -> tuple[tuple[str, ...], Index] | None:
    """All photos of a folder, to be measured: class names, sorted, and the index. None if it has splits.

    Raises what `open_data` raises.
    """
    if labels is None and not class_folders(root) and (table := find_metadata(root)):
        labels = Labels(file=str(table))
    if labels is not None:
        found = read_labels(root, labels)
        return None if found.splits else to_index(root, found)
    train = _split_folder(root, "train")
    if has_splits(root) or (train is not None and find_metadata(train)):
        return None
    return open_class_folders(root, allow_empty=True, known=known)


def has_splits(root: Path) -> bool:
    """Whether a folder holds a train folder of class folders, rather than class folders.

    A class may itself be called `train`: a split holds folders, a class holds images.
    """
    train = _split_folder(root, "train")
    return train is not None and bool(class_folders(train))


def open_class_folders(
    root: Path, *, allow_empty: bool = False, known: Collection[str] = ()
) -> tuple[tuple[str, ...], Index]:
    """List the images of a folder of class folders: class names, sorted, and the index.

    Raises DataError if it has no class folder, or (unless allowed) a class folder without images.
    """
    folders = _scan_classes(root, allow_empty=allow_empty, known=known)
    return tuple(folders.images), _to_index(folders)


def _scan_classes(root: Path, *, allow_empty: bool = False, known: Collection[str] = ()) -> Scan:
    folders = scan(root, known=known)
    if not folders.images:
        loose = count_loose_images(root)
        got = (
            f"{loose} images outside of any; sort them into one per class, or give --labels TABLE"
            if loose
            else "an empty folder"
        )
        raise DataError(f"{root}: expected class folders with images in them, got {got}")
    for name, images in folders.images.items():
        if not images and not allow_empty:
            raise DataError(f"{root}: class {name!r} has no image; add some, or remove the folder")
    if not any(folders.images.values()):
        raise DataError(f"{root}: expected class folders with images in them, got only empty folders")
    return folders


def _to_index(folders: Scan) -> Index:
    paths = [path for images in folders.images.values() for path in images]
    counts = [len(images) for images in folders.images.values()]
    return Index(paths, np.repeat(np.arange(len(counts)), counts), root=folders.root)


def _split_data(root: Path, known: Collection[str]) -> Dataset:
    folders = {split: folder for split in SPLITS if (folder := _split_folder(root, split))}
    if "test" in folders and not class_folders(folders["test"]):
        del folders["test"]  # photos without labels, as in competitions
    scans = {
        split: _scan_classes(path, allow_empty=split != "train", known=known)
        for split, path in folders.items()
    }
    classes = tuple(scans["train"].images)
    return Dataset(
        name=str(root),
        classes=classes,
        splits={
            split: remap_labels(_to_index(each), have=tuple(each.images), want=classes, where=str(each.root))
            for split, each in scans.items()
        },
        has_folders=True,
        skipped=tuple(
            (f"{each.root.name}/{path}", why) for each in scans.values() for path, why in each.skipped
        ),
        notes=(*_unused(root, folders.values()), *_notes(scans["train"])),
    )


def _one_folder(root: Path, known: Collection[str]) -> Dataset:
    folders = _scan_classes(root, known=known)
    return Dataset(
        name=str(root),
        classes=tuple(folders.images),
        splits={"train": _to_index(folders)},
        has_folders=False,
        skipped=tuple(folders.skipped),
        notes=_notes(folders),
    )


def _unused(root: Path, used: Collection[Path]) -> list[str]:
    """Notes on folders beside the splits whose photos nobody will see."""
    beside = [name for name in class_folders(root) if root / name not in used]
    counts = {name: count for name in beside if (count := count_images(root / name))}
    if not counts:
        return []
    names = abbreviate([repr(name) for name in counts])
    return [
        f"{pluralize(sum(counts.values()), 'photo')} not used, in {names} beside the split folders: if these "
        "are classes, give the folder 'train' another name"
    ]


def _notes(folders: Scan) -> tuple[str, ...]:
    """Notes on photos outside of classes, and on folders that may have been meant otherwise."""
    notes = []
    if loose := count_loose_images(folders.root):
        notes.append(f"{pluralize(loose, 'photo')} not used: in {folders.root} itself, so in no class")
    if folders.root.name not in FOLDERS["train"]:
        for name in folders.images:
            if name.lower() in SPLIT_LIKE:
                notes.append(
                    f"{name!r} is taken for a class; if it is a split or has no labels, move it elsewhere"
                )
    for name, labels in sorted(folders.nested.items()):
        if len(labels) > 1 or name in folders.images:
            outer = abbreviate([repr(label) for label in sorted(labels)])
            also = " besides the class of that name" if name in folders.images else ""
            notes.append(f"{name!r} is a folder in {outer}{also}: its photos belong to the class it is in")
    return tuple(notes)


def _digits() -> Dataset:
    """60 % train, 20 % val, 20 % test, stratified, always the same."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("digits come with scikit-learn: pip install 'googlenet[train]'") from error
    bunch = load_digits()
    files = [png_bytes((image * (255 / 16)).round().astype(np.uint8)) for image in bunch.images]
    labels = bunch.target.astype(np.int64)
    names = [f"{label}/{i:04d}.png" for i, label in enumerate(labels)]
    everything = Digits(names, labels, files)
    rest, test = stratified_split(labels, names, share=0.2)
    train, val = stratified_split(labels[rest], [names[i] for i in rest], share=0.25, seed=1)
    return Dataset(
        name=DIGITS,
        classes=tuple("0123456789"),
        splits={
            "train": everything.keep(rest[train]),
            "val": everything.keep(rest[val]),
            "test": everything.keep(test),
        },
        has_folders=True,
        glyphs=True,
    )


def _split_folder(root: Path, split: str) -> Path | None:
    folders = [root / name for name in FOLDERS[split] if (root / name).is_dir()]
    if len(folders) > 1:
        raise DataError(f"{root}: expected one {split} folder, got {' and '.join(p.name for p in folders)}")
    return folders[0] if folders else None
