"""Which photo is in which fold, and the table of it, which is the labels of every run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import MOST_MEMBERS
from googlenet.base.errors import DataError, InputError
from googlenet.data.dataset_inspection import Pool
from googlenet.data.index import Index, Indices
from googlenet.data.table import Labels
from googlenet.files.atomic import atomic_write


@dataclass(frozen=True, kw_only=True)
class Folds:
    """The photos of a cross-validation and the fold of each, counted from 1.

    groups  a number that photos share which are never on two sides
    copies  a number that copies of one photo share
    """

    index: Index  # named from the folder of the data
    classes: tuple[str, ...]
    fold: Indices
    groups: Indices
    copies: Indices
    count: int


def assign_folds(pool: Pool, classes: Sequence[str], *, count: int, root: Path, seed: int) -> Folds:
    """Distribute photos over folds of about the same size, each with its share of every class.

    pool    photos somewhere inside `root`, from which they will be named; those of a group are in one fold
    raises  DataError if a class has fewer photos than folds, groups counting as one, or for names that no
            table holds; InputError for too many folds
    """
    if not 2 <= count <= MOST_MEMBERS:
        raise InputError(f"expected --folds from 2 to {MOST_MEMBERS}, got {count}")
    index, groups = pool.index, pool.groups
    alone = len(np.unique(groups)) == len(groups)
    for label, name in enumerate(classes):
        apart = len(np.unique(groups[index.labels == label]))
        if apart < count:
            raise DataError(
                f"{root}: expected at least {count} photos{' or groups of them' * (not alone)} of each class "
                f"with --folds {count}, got {apart} of {name!r}; add some, or take fewer folds"
            )
    above = index.root.relative_to(root)
    names = [(above / index.name(i)).as_posix() for i in range(len(index))]
    for text in (*classes, *names):
        if text != text.strip() or "\\" in text:
            raise DataError(
                f"{root}: expected names without \\ and without blanks at their ends with --folds, got "
                f"{text!r}; rename it"
            )
    fold = 1 + _distribute(index.labels, groups, classes=len(classes), count=count, seed=seed)
    for label, name in enumerate(classes):
        if len(np.unique(fold[index.labels == label])) < 2:
            raise DataError(
                f"{root}: expected photos of class {name!r} in several folds, got all in one: its groups are "
                "those of other classes; take fewer folds"
            )
    return Folds(
        index=Index(names, index.labels, root=root),
        classes=tuple(classes),
        fold=fold,
        groups=groups,
        copies=pool.copies,
        count=count,
    )


def _distribute(labels: Indices, groups: Indices, *, classes: int, count: int, seed: int) -> Indices:
    """A fold from 0 on for each photo: the largest groups first, each where its class has the fewest photos.

    Of folds that are level the one with the fewest photos, then in turn, is taken.
    """
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    photos = np.split(np.argsort(member, kind="stable"), np.cumsum(sizes)[:-1])
    have: npt.NDArray[np.int64] = np.zeros((count, classes), dtype=np.int64)
    fold = np.zeros(len(labels), dtype=np.int64)
    for number in order.tolist():
        own = labels[photos[number]]
        most = int(np.bincount(own).argmax())
        chosen = min(range(count), key=lambda n: (have[n, most], have[n].sum(), n))
        np.add.at(have[chosen], own, 1)
        fold[photos[number]] = chosen
    return fold


def write_table(path: Path, folds: Folds) -> None:
    """Write a row a photo: path, label, fold, group, and for each run whether it trains on it.

    As JSON lines, which hold any name. Raises WriteError.
    """
    lines = []
    for i in range(len(folds.index)):
        row = {
            "path": folds.index.name(i),
            "label": folds.classes[folds.index.labels[i]],
            "fold": int(folds.fold[i]),
            "group": str(folds.groups[i]),
            "copies": int(folds.copies[i]),
        }
        row |= {_split(n): "val" if folds.fold[i] == n else "train" for n in range(1, folds.count + 1)}
        lines.append(json.dumps(row) + "\n")
    atomic_write(path, "".join(lines).encode())


def read_table(path: Path, root: Path) -> Folds:
    """The folds of a table that `write_table` wrote, of photos that are in `root` now.

    Raises DataError if it is not there or another.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        classes = tuple(sorted({row["label"] for row in rows}))
        number = {name: i for i, name in enumerate(classes)}
        index = Index([row["path"] for row in rows], [number[row["label"]] for row in rows], root=root)
        return Folds(
            index=index,
            classes=classes,
            fold=np.array([row["fold"] for row in rows], dtype=np.int64),
            groups=np.array([int(row["group"]) for row in rows], dtype=np.int64),
            copies=np.array([row["copies"] for row in rows], dtype=np.int64),
            count=max(row["fold"] for row in rows),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: expected the table of a cross-validation's folds, got {why}") from error


def labels_of_fold(path: Path, number: int) -> Labels:
    """The labels of the run that is measured on a fold."""
    return Labels(file=str(path.absolute()), columns=("path", "label", _split(number)), group="group")


def labels_of_all(path: Path) -> Labels:
    """The labels of all photos."""
    return Labels(file=str(path.absolute()), columns=("path", "label"), group="group")


def _split(number: int) -> str:
    return f"split-{number}"
