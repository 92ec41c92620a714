"""Folders of images: the index by class name, the splits, and the checks before training. No torch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from googlenet.base.errors import DataError, MissingExtraError
from googlenet.base.text import abbreviate
from googlenet.data.imagenet import translate_ids
from googlenet.data.index import Index, Indices, hash_split, short_hash, stratified_split
from googlenet.data.scan import (
    Scan,
    class_folders,
    count_loose_images,
    describe_lookalikes,
    find_lookalike,
    scan,
)
from googlenet.images.decode import png_bytes

DIGITS = "digits"
SPLITS = ("train", "val", "test")
FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
VAL_SHARE = 0.2  # of a folder that has no validation split, up to
MAX_VAL = 5000  # images, about: more are worth more in training


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


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set: class names in the order of their labels, and an index for each split."""

    name: str
    classes: tuple[str, ...]
    splits: dict[str, Index]
    has_folders: bool  # a folder for each split; else one folder of classes
    is_our_split: bool = False  # validation was split from the training photos by us
    val_share: float | None = None  # then; a model stores it, so that photos added later move no others
    moved_names: tuple[str, ...] = ()  # hashes of names that were moved to the other side, to their copies
    unsplit: Index | None = None  # the photos that were split
    skipped: tuple[tuple[str, str], ...] = ()  # path and reason of what is no photo of its own
    notes: tuple[str, ...] = ()  # what may be unintended
    glyphs: bool = False  # characters, which mirroring or cropping would change into others

    def split(self, name: str) -> Index:
        """Return one split.

        Raises DataError if there is no such split, with those there are.
        """
        if name not in self.splits:
            raise DataError(f"{self.name}: expected a split among {', '.join(self.splits)}, got {name!r}")
        return self.splits[name]


def open_data(
    source: str, *, share: float | None = None, moved: Iterable[str] = (), known: Collection[str] = ()
) -> Dataset:
    """Open a data set by the word `digits` or by its folder.

    share  of validation where it is split from the training photos; by default a fifth, of many less
    moved  hashes of names that are on the other side of that split, with their copies
    known  names of classes that are different, even if two of them look the same
    Raises DataError for a folder that cannot be trained on, or cannot be listed.
    """
    try:
        return _digits() if source == DIGITS else _open_folder(source, share, tuple(moved), known)
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
    return open_data(source, share=share, moved=map(str, moved), known=known)


def _open_folder(source: str, share: float | None, moved: tuple[str, ...], known: Collection[str]) -> Dataset:
    root = Path(source)
    if not root.is_dir():
        raise DataError(
            f"expected a folder of class folders, or the word {DIGITS!r}; there is no folder {source}"
        )
    data = _split_data(root, known) if has_splits(root) else _one_folder(root, known)
    if len(data.classes) < 2:
        raise DataError(f"{root}: expected at least two class folders, got one, {data.classes[0]!r}")
    return data if "val" in data.splits else _split_validation(data, share, moved)


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
        got = f"{loose} images outside of any; sort them into one per class" if loose else "an empty folder"
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


def remap_labels(index: Index, *, have: Sequence[str], want: Sequence[str], where: str) -> Index:
    """Number the labels of `index` by the class order of `want`, matched by name, or by ImageNet's ids.

    Raises DataError for classes that `want` lacks.
    """
    have = translate_ids(have, want)
    unknown = [name for name in have if name not in want]
    for name in unknown:
        if other := find_lookalike(name, want):
            raise DataError(
                f"{where}: expected the class names of the training data, got "
                f"{describe_lookalikes(name, other)}, which look the same; give the folders one name"
            )
    if unknown:
        raise DataError(
            f"{where}: expected only classes of the training data, got also "
            f"{abbreviate([repr(name) for name in unknown])}; known: {abbreviate(want)}"
        )
    renumbered = np.array([want.index(name) for name in have], dtype=np.int64)
    copy = index.keep(np.arange(len(index)))
    copy.labels = renumbered[index.labels]
    return copy


def drop_images(index: Index, bad: Collection[int]) -> Index:
    """Drop the bad images of a split."""
    return index.keep(np.array([i for i in range(len(index)) if i not in bad], dtype=np.int64))


def check_every_class(index: Index, classes: Sequence[str], *, where: str) -> None:
    """Check that every class has an image.

    Raises DataError naming the first that has none.
    """
    for label, count in enumerate(np.bincount(index.labels, minlength=len(classes))):
        if not count:
            raise DataError(
                f"{where}: class {classes[label]!r} has no readable image; add some, or remove the folder"
            )


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
        notes=_notes(scans["train"]),
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


def _notes(folders: Scan) -> tuple[str, ...]:
    """Notes on inner folders that may have been meant as classes."""
    notes = []
    for name, labels in sorted(folders.nested.items()):
        if len(labels) > 1 or name in folders.images:
            outer = abbreviate([repr(label) for label in sorted(labels)])
            also = " besides the class of that name" if name in folders.images else ""
            notes.append(f"{name!r} is a folder in {outer}{also}: its photos belong to the class it is in")
    return tuple(notes)


def move_images(data: Dataset, moved: Iterable[str]) -> Dataset:
    """Split the same data anew with these images, by hashes of their names, on the other side."""
    assert data.unsplit is not None
    whole = replace(data, splits={**data.splits, "train": data.unsplit})
    return _split_validation(whole, data.val_share, tuple(moved))


def _split_validation(data: Dataset, share: float | None, moved: tuple[str, ...]) -> Dataset:
    """Split validation from the training photos."""
    whole = data.splits["train"]
    share = share or min(VAL_SHARE, MAX_VAL / len(whole))
    names = [whole.name(i) for i in range(len(whole))]
    _, val = hash_split(whole.labels, names, share=share)
    in_val = np.isin(np.arange(len(whole)), val)
    if moved:
        in_val ^= np.isin([short_hash(name) for name in names], moved)
    ours = {"train": whole.keep(np.flatnonzero(~in_val)), "val": whole.keep(np.flatnonzero(in_val))}
    splits = ours | {name: index for name, index in data.splits.items() if name not in ours}
    return replace(data, splits=splits, is_our_split=True, val_share=share, moved_names=moved, unsplit=whole)


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
