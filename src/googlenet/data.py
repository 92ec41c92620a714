"""Folders of images: the index by class name, the splits, and the checks before training. No torch."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from googlenet.errors import DataError, ImageError, MissingExtraError
from googlenet.formats import SUFFIXES
from googlenet.image import png_bytes, verify
from googlenet.index import Index, Indices, by_name, stratified

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
class Data:
    """A data set: class names in the order of their labels, and an index for each split."""

    name: str
    classes: tuple[str, ...]
    splits: dict[str, Index]
    has_folders: bool  # False: one folder of classes, cut into splits by us
    cut: bool = False  # validation was taken from the training photos by us
    share: float | None = None  # of them, then; a model keeps it, so that later photos change nothing
    glyphs: bool = False  # written signs that fill the image: a mirror image or a part is another sign

    def split(self, name: str) -> Index:
        """Return one split.

        Raises DataError if there is no such split, with those there are.
        """
        if name not in self.splits:
            raise DataError(f"{self.name}: expected a split among {', '.join(self.splits)}, got {name!r}")
        return self.splits[name]


def open_data(source: str, *, share: float | None = None) -> Data:
    """Open a data set by the word `digits` or by its folder.

    share  of the photos that validation is cut from, where it has to be; by default a fifth, of many less
    Raises DataError for a folder that cannot be trained on, or not be listed.
    """
    try:
        return _digits() if source == DIGITS else _open_folder(source, share)
    except OSError as error:
        raise DataError(f"{source}: cannot be listed: {error.strerror or error}") from error


def _open_folder(source: str, share: float | None) -> Data:
    root = Path(source)
    if not root.is_dir():
        raise DataError(
            f"expected a folder of class folders, or the word {DIGITS!r}; there is no folder {source}"
        )
    return _split_data(root, share) if has_splits(root) else _cut_data(root, share)


def has_splits(root: Path) -> bool:
    """Whether a folder holds a train folder of class folders, rather than class folders.

    A class may itself be called `train`: a split holds folders, a class holds images.
    """
    train = _split_folder(root, "train")
    return train is not None and bool(_class_folders(train))


def folder(root: Path, *, allow_empty: bool = False) -> tuple[tuple[str, ...], Index]:
    """List the images of a folder of class folders: class names, sorted, and the index.

    Raises DataError if it has no class folder, or (unless allowed) a class folder without images.
    """
    names = _class_folders(root)
    if not names:
        loose = sum(1 for _ in _images(root))
        raise DataError(
            f"{root}: expected class folders with images in them, got "
            + (
                f"{loose} images beside one another; sort them into a folder for each class"
                if loose
                else "an empty folder"
            )
        )
    _refuse_twins(root, names)
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        images = [str(path.relative_to(root)) for path in _images(root / name)]
        if not images and not allow_empty:
            raise DataError(f"{root}: class {name!r} has no image; add some, or remove the folder")
        paths += images
        labels += [label] * len(images)
    if not paths:
        raise DataError(f"{root}: expected class folders with images in them, got only empty folders")
    return tuple(names), Index(paths, labels, root=root)


def relabel(index: Index, *, have: Sequence[str], want: Sequence[str], where: str) -> Index:
    """Number the labels of `index` by the class order of `want`, matched by name.

    Raises DataError for classes that `want` lacks.
    """
    unknown = [name for name in have if name not in want]
    if unknown:
        raise DataError(
            f"{where}: expected only classes of the training data, got also "
            f"{', '.join(map(repr, unknown))}; known: {_some(want)}"
        )
    place = np.array([want.index(name) for name in have], dtype=np.int64)
    copy = index.keep(np.arange(len(index)))
    copy.labels = place[index.labels]
    return copy


def find_bad(
    index: Index, *, workers: int, progress: Callable[[int], None] = lambda count: None
) -> dict[int, ImageError]:
    """Decode every image to its last byte; return those that fail, by number."""

    def check(i: int) -> ImageError | None:
        try:
            verify(index.read(i))
        except ImageError as error:
            return error
        return None

    bad = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for i, error in enumerate(pool.map(check, range(len(index)), chunksize=16)):
            if error is not None:
                bad[i] = error
            progress(1)
    return bad


def without(index: Index, bad: dict[int, ImageError]) -> Index:
    """Drop the bad images of a split."""
    return index.keep(np.array([i for i in range(len(index)) if i not in bad], dtype=np.int64))


def need_every_class(index: Index, classes: Sequence[str], *, where: str) -> None:
    """Check that every class has an image.

    Raises DataError naming the first that has none.
    """
    for label, count in enumerate(np.bincount(index.labels, minlength=len(classes))):
        if not count:
            raise DataError(
                f"{where}: class {classes[label]!r} has no readable image; add some, or remove the folder"
            )


def _split_data(root: Path, share: float | None) -> Data:
    folders = {split: found for split in SPLITS if (found := _split_folder(root, split))}
    if "test" in folders and not _class_folders(folders["test"]):
        del folders["test"]  # photos without labels, as competitions hand out
    classes, train = folder(folders["train"])
    _need_two(root, classes)
    splits = {"train": train}
    for name, path in folders.items():
        if name != "train":
            have, index = folder(path, allow_empty=True)
            splits[name] = relabel(index, have=have, want=classes, where=str(path))
    if "val" in splits:
        return Data(name=str(root), classes=classes, splits=splits, has_folders=True)
    share = share or _share(train)
    splits = {**splits, **_cut(train, share=share)}
    return Data(name=str(root), classes=classes, splits=splits, has_folders=True, cut=True, share=share)


def _cut_data(root: Path, share: float | None) -> Data:
    classes, index = folder(root)
    _need_two(root, classes)
    share = share or _share(index)
    splits = _cut(index, share=share)
    return Data(name=str(root), classes=classes, splits=splits, has_folders=False, cut=True, share=share)


def _share(index: Index) -> float:
    return min(VAL_SHARE, VAL_MOST / len(index))


def _cut(index: Index, *, share: float) -> dict[str, Index]:
    rest, held = by_name(index.labels, [index.name(i) for i in range(len(index))], share=share)
    return {"train": index.keep(rest), "val": index.keep(held)}


def _digits() -> Data:
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
    rest, test = stratified(labels, names, share=0.2)
    train, val = stratified(labels[rest], [names[i] for i in rest], share=0.25, seed=1)
    return Data(
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


def _class_folders(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(folder: Path) -> Iterator[Path]:
    """Image files below a folder, sorted; hidden ones and links to folders are passed over."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _images(path)
        elif path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def _refuse_twins(root: Path, names: Sequence[str]) -> None:
    """Two folders whose names only look different would silently be two classes."""
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if twin != name:
            raise DataError(
                f"{root}: class folders {twin!r} and {name!r} have the same name in two spellings; merge them"
            )


def _need_two(root: Path, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise DataError(f"{root}: expected at least two class folders, got one, {classes[0]!r}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
