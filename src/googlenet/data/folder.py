"""Folders of images: the index by class name, the splits, and the checks before training. No torch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from googlenet.base.errors import DataError, MissingExtraError
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
VAL_MOST = 5000  # images, about: more would be missed in training and tell little more
_LISTED = 5  # class names in a message before it only counts


class Digits(Index):
    """The 1,797 handwritten digits that scikit-learn carries, as PNG files in memory."""

    def __init__(self, paths: Sequence[str], labels: Sequence[int] | Indices, files: list[bytes]) -> None:
        """Keep the encoded images beside their names."""
        super().__init__(paths, labels, root=Path(DIGITS))
        self._files = files

    def read(self, i: int) -> bytes:
        """Content of image `i`, a PNG file."""
        return self._files[i]

    def keep(self, chosen: Indices) -> "Digits":
        """Keep only these images, in this order."""
        return Digits(
            [self.name(int(i)) for i in chosen],
            self.labels[chosen],
            [self._files[int(i)] for i in chosen],
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set: class names in the order of their labels, and an index for each split."""

    name: str
    classes: tuple[str, ...]
    splits: dict[str, Index]
    has_folders: bool  # False: one folder of classes, cut into splits by us
    is_our_split: bool = False  # validation was taken from the training photos by us
    val_share: float | None = None  # of them, then; a model keeps it, so that later photos change nothing
    moved_names: tuple[
        str, ...
    ] = ()  # names, hashed, that went to the other side of the cut to be with a copy
    unsplit: Index | None = None  # the photos that were cut
    not_taken: tuple[tuple[str, str], ...] = ()  # what is no photo of its own in the folder: path, reason
    notes: tuple[str, ...] = ()  # what may not be meant so
    glyphs: bool = False  # written signs that fill the image: a mirror image or a part is another sign

    def split(self, name: str) -> Index:
        """Return one split.

        Raises DataError if there is no such split, with those there are.
        """
        if name not in self.splits:
            raise DataError(f"{self.name}: expected a split among {', '.join(self.splits)}, got {name!r}")
        return self.splits[name]


def open_data(source: str, *, share: float | None = None, moved: Iterable[str] = ()) -> Dataset:
    """Open a data set by the word `digits` or by its folder.

    share  of the photos that validation is cut from, where it has to be; by default a fifth, of many less
    moved  names, hashed, that are on the other side of the cut: with their copies
    Raises DataError for a folder that cannot be trained on, or not be listed.
    """
    try:
        return _digits() if source == DIGITS else _open_folder(source, share, tuple(moved))
    except OSError as error:
        raise DataError(f"{source}: cannot be listed: {error.strerror or error}") from error


def reopen_data(source: str, record: Mapping[str, Any]) -> Dataset:
    """Open a data set with the cut that a run or a model was trained with, by what it recorded of it.

    Raises what `open_data` raises, and DataError for a record that cannot be right.
    """
    share, moved = record.get("share"), record.get("moved", [])
    right = share is None or (isinstance(share, float) and 0 < share < 1)
    if not right or not isinstance(moved, list | tuple):
        raise DataError(f"{source}: expected a share from 0 to 1 and a list of what was moved, got {share!r}")
    return open_data(source, share=share, moved=map(str, moved))


def _open_folder(source: str, share: float | None, moved: tuple[str, ...]) -> Dataset:
    root = Path(source)
    if not root.is_dir():
        raise DataError(
            f"expected a folder of class folders, or the word {DIGITS!r}; there is no folder {source}"
        )
    data = _split_data(root) if has_splits(root) else _one_folder(root)
    _need_two(root, data.classes)
    return data if "val" in data.splits else _cut(data, share, moved)


def has_splits(root: Path) -> bool:
    """Whether a folder holds a train folder of class folders, rather than class folders.

    A class may itself be called `train`: a split holds folders, a class holds images.
    """
    train = _split_folder(root, "train")
    return train is not None and bool(class_folders(train))


def open_class_folders(root: Path, *, allow_empty: bool = False) -> tuple[tuple[str, ...], Index]:
    """List the images of a folder of class folders: class names, sorted, and the index.

    Raises DataError if it has no class folder, or (unless allowed) a class folder without images.
    """
    found = list_class_folders(root, allow_empty=allow_empty)
    return tuple(found.images), index_of(found)


def list_class_folders(root: Path, *, allow_empty: bool = False) -> Scan:
    """Walk a folder of class folders, and refuse what `folder` refuses."""
    found = scan(root)
    if not found.images:
        beside = count_loose_images(root)
        raise DataError(
            f"{root}: expected class folders with images in them, got "
            + (
                f"{beside} images beside one another; sort them into a folder for each class"
                if beside
                else "an empty folder"
            )
        )
    for name, images in found.images.items():
        if not images and not allow_empty:
            raise DataError(f"{root}: class {name!r} has no image; add some, or remove the folder")
    if not any(found.images.values()):
        raise DataError(f"{root}: expected class folders with images in them, got only empty folders")
    return found


def index_of(found: Scan) -> Index:
    """The index of what a walk found."""
    paths = [path for images in found.images.values() for path in images]
    counts = [len(images) for images in found.images.values()]
    return Index(paths, np.repeat(np.arange(len(counts)), counts), root=found.root)


def remap_labels(index: Index, *, have: Sequence[str], want: Sequence[str], where: str) -> Index:
    """Number the labels of `index` by the class order of `want`, matched by name.

    Raises DataError for classes that `want` lacks.
    """
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
            f"{_some(list(map(repr, unknown)))}; known: {_some(want)}"
        )
    place = np.array([want.index(name) for name in have], dtype=np.int64)
    copy = index.keep(np.arange(len(index)))
    copy.labels = place[index.labels]
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


def _split_data(root: Path) -> Dataset:
    folders = {split: found for split in SPLITS if (found := _split_folder(root, split))}
    if "test" in folders and not class_folders(folders["test"]):
        del folders["test"]  # photos without labels, as competitions hand out
    scans = {split: list_class_folders(path, allow_empty=split != "train") for split, path in folders.items()}
    classes = tuple(scans["train"].images)
    return Dataset(
        name=str(root),
        classes=classes,
        splits={
            split: remap_labels(
                index_of(found), have=tuple(found.images), want=classes, where=str(found.root)
            )
            for split, found in scans.items()
        },
        has_folders=True,
        not_taken=tuple(
            (f"{found.root.name}/{path}", why) for found in scans.values() for path, why in found.not_taken
        ),
        notes=_notes(scans["train"]),
    )


def _one_folder(root: Path) -> Dataset:
    found = list_class_folders(root)
    return Dataset(
        name=str(root),
        classes=tuple(found.images),
        splits={"train": index_of(found)},
        has_folders=False,
        not_taken=tuple(found.not_taken),
        notes=_notes(found),
    )


def _notes(found: Scan) -> tuple[str, ...]:
    """Inner folders that one may have taken for classes."""
    notes = []
    for name, within in sorted(found.nested.items()):
        if len(within) > 1 or name in found.images:
            where = _some([repr(label) for label in sorted(within)])
            also = " besides the class of that name" if name in found.images else ""
            notes.append(f"{name!r} is a folder in {where}{also}: its photos count for the class it lies in")
    return tuple(notes)


def split_again(data: Dataset, moved: Iterable[str]) -> Dataset:
    """The same data with other photos, named by hashes, on the other side of the cut."""
    assert data.unsplit is not None
    return _cut(replace(data, splits={**data.splits, "train": data.unsplit}), data.val_share, tuple(moved))


def _cut(data: Dataset, share: float | None, moved: tuple[str, ...]) -> Dataset:
    """Cut validation from the training photos."""
    whole = data.splits["train"]
    share = share or min(VAL_SHARE, VAL_MOST / len(whole))
    names = [whole.name(i) for i in range(len(whole))]
    _, held = hash_split(whole.labels, names, share=share)
    chosen = np.isin(np.arange(len(whole)), held)
    if moved:
        chosen ^= np.isin([short_hash(name) for name in names], moved)
    cut = {"train": whole.keep(np.flatnonzero(~chosen)), "val": whole.keep(np.flatnonzero(chosen))}
    splits = {**cut, **{name: index for name, index in data.splits.items() if name not in cut}}
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
    found = [root / name for name in FOLDERS[split] if (root / name).is_dir()]
    if len(found) > 1:
        raise DataError(f"{root}: expected one {split} folder, got {' and '.join(p.name for p in found)}")
    return found[0] if found else None


def _need_two(root: Path, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise DataError(f"{root}: expected at least two class folders, got one, {classes[0]!r}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
