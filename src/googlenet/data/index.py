"""The images of one split: paths, labels, a fingerprint of the content, and how to split them further."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import ImageError
from googlenet.images.decode import read_bytes

Indices = npt.NDArray[np.int64]


class Index:
    """The paths and labels of the images of one split.

    Paths are kept as one byte string with offsets: worker processes share it, where a list of
    Python strings would be copied page by page as their reference counts change.
    """

    def __init__(self, paths: Sequence[str], labels: Sequence[int] | Indices, *, root: Path) -> None:
        """Store `paths`, relative to `root`, and their class numbers."""
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
    """SHA-256 over the paths, labels and sizes in bytes of a split."""
    digest = hashlib.sha256()
    for i in range(len(index)):
        line = f"{index.name(i)}\0{index.labels[i]}\0{size_of(index, i)}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def hash_split(labels: Indices, names: Sequence[str], *, share: float) -> tuple[Indices, Indices]:
    """Split by a hash of each name alone: (the rest, about `share`), so that new photos move no others.

    Each class of two and more has at least one image on either side.
    """
    order = np.array([int(_sha256(name)[:13], 16) / 16**13 for name in names])
    chosen = order < share
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1 and chosen[members].all():
            chosen[members[order[members].argmax()]] = False
        elif len(members) > 1 and not chosen[members].any():
            chosen[members[order[members].argmin()]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def group_split(
    labels: Indices, names: Sequence[str], val: Indices, groups: Sequence[Sequence[int]]
) -> Indices:
    """Change a split so that the photos of each group are on one side: the new numbers in validation.

    A group goes where its first name is; one larger than half of validation goes to training. Each class
    of two groups and more has one on either side where that is possible.
    """
    in_val = np.isin(np.arange(len(labels)), val)
    group = np.arange(len(labels))
    for members in groups:
        group[list(members)] = members[0]
        first = min(members, key=lambda i: names[i])
        in_val[list(members)] = in_val[first] and len(members) <= len(val) / 2
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if in_val[own].all():
            in_val[group == group[own[-1]]] = False
        elif not in_val[own].any():
            _move_smallest_group(in_val, group, labels, own, names)
    return np.flatnonzero(in_val)


def split_groups(labels: Indices, groups: Sequence[str], *, share: float) -> Indices:
    """The numbers in validation of a split by a hash of each photo's group, so that none is on both sides.

    A class of several groups has one on either side where no other class loses its last by that.
    """
    names, member = np.unique(np.array(groups), return_inverse=True)
    order = np.array([int(_sha256(name)[:13], 16) / 16**13 for name in names.tolist()])
    chosen = order < share
    for label in np.unique(labels):
        own = np.unique(member[labels == label])
        if len(own) > 1 and chosen[own].all():
            chosen[own[order[own].argmax()]] = False
        elif len(own) > 1 and not chosen[own].any():
            for number in own[np.argsort(order[own], kind="stable")]:
                after = chosen.copy()
                after[number] = True
                if set(labels[~after[member]]) >= set(labels[~chosen[member]]):
                    chosen = after
                    break
    return np.flatnonzero(chosen[member])


def _move_smallest_group(
    in_val: npt.NDArray[np.bool_], group: Indices, labels: Indices, members: Indices, names: Sequence[str]
) -> None:
    """Move the smallest group of a class to validation that leaves no class without training photos."""
    numbers = set(group[members].tolist())
    for number in sorted(numbers, key=lambda n: ((group == n).sum(), short_hash(names[n]))):
        after = in_val | (group == number)
        if set(labels[~after]) >= set(labels[~in_val]):
            in_val[:] = after
            return


def inverse_frequency_weights(labels: Indices, *, classes: int, power: float) -> npt.NDArray[np.float64]:
    """A weight for each class, proportional to its count to the power of -`power`; 1 for the mean image."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    weights = np.maximum(counts, 1) ** -power
    weights /= weights[labels].mean()
    return weights


def content_sample(index: Index, *, most: int = 64) -> list[str]:
    """A small sample of a split's content: the smallest hashes over name and size in bytes."""
    return sorted(_sha256(f"{index.name(i)}\0{size_of(index, i)}") for i in range(len(index)))[:most]


def stratified_split(
    labels: Indices, names: Sequence[str], *, share: float, seed: int = 0
) -> tuple[Indices, Indices]:
    """Split each class exactly: (the rest, `share` of it, at least one of two), by a hash of the names."""
    keys = [_sha256(f"{seed}\0{name}") for name in names]
    chosen: list[int] = []
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label).tolist(), key=keys.__getitem__)
        count = max(1, round(share * len(members))) if len(members) > 1 else 0
        chosen += members[:count]
    part = np.array(sorted(chosen), dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels)), part), part


def short_hash(name: str) -> str:
    """64 bits of a name's SHA-256, in hexadecimal."""
    return _sha256(name)[:16]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def size_of(index: Index, i: int) -> int:
    """Size in bytes of image file `i`."""
    path = index.root / index.name(i)
    try:
        return path.stat().st_size if path.exists() else len(index.read(i))
    except ImageError as error:
        raise ImageError(error.code, f"{error.reason}: {path}") from error
