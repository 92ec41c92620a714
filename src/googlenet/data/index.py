"""The images of one split: where they are, their labels, a name for their content, and how to cut it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import ImageError
from googlenet.images.decode import read_bytes

Indices = npt.NDArray[np.int64]


class Index:
    """The images of one split: where they are and their labels.

    Paths are kept as one byte string with offsets: worker processes share it, where a list of
    Python strings would be copied page by page as their reference counts change.
    """

    def __init__(self, paths: Sequence[str], labels: Sequence[int] | Indices, *, root: Path) -> None:
        """Keep `paths`, relative to `root`, and their class numbers."""
        encoded = [path.encode("utf-8", "surrogateescape") for path in paths]
        self.root = root
        self.labels = np.asarray(labels, dtype=np.int64)
        self._blob = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([len(path) for path in encoded], dtype=np.int64)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def name(self, i: int) -> str:
        """Path of image `i`, relative to the root."""
        start = self._ends[i - 1] if i else 0
        return bytes(self._blob[start : self._ends[i]]).decode("utf-8", "surrogateescape")

    def read(self, i: int) -> bytes:
        """Content of image file `i`.

        Raises ImageError if it cannot be read.
        """
        return read_bytes(self.root / self.name(i))

    def keep(self, chosen: Indices) -> "Index":
        """Keep only these images, in this order."""
        return Index([self.name(int(i)) for i in chosen], self.labels[chosen], root=self.root)


def fingerprint(index: Index) -> str:
    """Name the content of a split: SHA-256 over paths, labels and sizes in bytes."""
    digest = hashlib.sha256()
    for i in range(len(index)):
        line = f"{index.name(i)}\0{index.labels[i]}\0{size_of(index, i)}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def hash_split(labels: Indices, names: Sequence[str], *, share: float) -> tuple[Indices, Indices]:
    """Split by a hash of each name alone: (the rest, about `share`), so that new photos move no others.

    Each class of two and more keeps one image at least on either side.
    """
    order = np.array([int(_key(name)[:13], 16) / 16**13 for name in names])
    held = order < share
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1 and held[members].all():
            held[members[order[members].argmax()]] = False
        elif len(members) > 1 and not held[members].any():
            held[members[order[members].argmin()]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def group_split(
    labels: Indices, names: Sequence[str], held: Indices, groups: Sequence[Sequence[int]]
) -> Indices:
    """Change a split by name so that the photos of each group are on one side: the numbers that are held.

    A group goes where the first of its names would; a large one, more than half of what is held, stays
    with the rest. Each class of two groups and more keeps one on either side where that can be.
    """
    side = np.isin(np.arange(len(labels)), held)
    unit = np.arange(len(labels))
    for members in groups:
        unit[list(members)] = members[0]
        first = min(members, key=lambda i: names[i])
        side[list(members)] = side[first] and len(members) <= len(held) / 2
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        if side[mine].all():
            side[unit == unit[mine[-1]]] = False
        elif not side[mine].any():
            _hold_one(side, unit, labels, mine, names)
    return np.flatnonzero(side)


def _hold_one(
    side: npt.NDArray[np.bool_], unit: Indices, labels: Indices, mine: Indices, names: Sequence[str]
) -> None:
    """Hold the smallest group of a class, if that takes the last photo of no class from the rest."""
    for chosen in sorted(set(unit[mine].tolist()), key=lambda u: ((unit == u).sum(), short_hash(names[u]))):
        after = side | (unit == chosen)
        if set(labels[~after]) >= set(labels[~side]):
            side[:] = after
            return


def inverse_frequency_weights(labels: Indices, *, classes: int, power: float) -> npt.NDArray[np.float64]:
    """A weight for each class, proportional to its count to the power of -`power`; 1 for the mean image."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    weights = np.maximum(counts, 1) ** -power
    weights /= weights[labels].mean()
    return weights


def content_sample(index: Index, *, most: int = 64) -> list[str]:
    """A small sample of a split's content: the smallest hashes over name and size in bytes."""
    return sorted(_key(f"{index.name(i)}\0{size_of(index, i)}") for i in range(len(index)))[:most]


def stratified_split(
    labels: Indices, names: Sequence[str], *, share: float, seed: int = 0
) -> tuple[Indices, Indices]:
    """Split each class exactly: (the rest, `share` of it, at least one of two), by a hash of the names."""
    keys = [_key(f"{seed}\0{name}") for name in names]
    taken: list[int] = []
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label).tolist(), key=keys.__getitem__)
        count = max(1, round(share * len(members))) if len(members) > 1 else 0
        taken += members[:count]
    held = np.array(sorted(taken), dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels)), held), held


def short_hash(name: str) -> str:
    """A short name for a name, of which nothing can be told."""
    return _key(name)[:16]


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def size_of(index: Index, i: int) -> int:
    """Size in bytes of image file `i`."""
    path = index.root / index.name(i)
    try:
        return path.stat().st_size if path.exists() else len(index.read(i))
    except ImageError as error:
        raise ImageError(error.code, f"{error.reason}: {path}") from error
