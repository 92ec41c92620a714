"""A data set whose labels stand in a table beside or above its photos."""

from pathlib import Path

import numpy as np

from googlenet.base.errors import DataError
from googlenet.base.text import abbreviate
from googlenet.data.dataset import Dataset, remap_labels
from googlenet.data.index import Index
from googlenet.data.table import LabeledFiles, Labels, find_metadata, read_labels

SPLITS = ("train", "val", "test")


def open_labeled(root: Path, table: Labels) -> Dataset:
    """The photos of a folder that a table names, in the splits that it gives; else all to train on.

    Raises DataError, MissingExtraError: see `read_labels`; DataError for a split column without `train`, or
    labels that training lacks.
    """
    found = read_labels(root, table)
    if not found.splits:
        classes, index = to_index(root, found)
        splits = {"train": index}
    else:
        classes, splits = _split(root, found, table.file)
        found.notes += _on_both_sides(found, table)
    return Dataset(
        name=str(root),
        classes=classes,
        splits=splits,
        has_folders=bool(found.splits),
        notes=tuple(found.notes),
        labels=table,
        groups=dict(zip(found.paths, found.groups, strict=True)) if found.groups else None,
        grouped_by=table.group,
    )


def open_metadata_splits(root: Path, folders: dict[str, Path]) -> Dataset:
    """Split folders each with a `metadata.csv` of its own, as Hugging Face's `imagefolder` has them."""
    found, notes = {}, list[str]()
    for split, folder in folders.items():
        if (table := find_metadata(folder)) is None:
            raise DataError(f"{folder}: expected class folders or a metadata.csv as train has, got neither")
        files = read_labels(folder, Labels(file=str(table)))
        found[split] = to_index(folder, files)
        notes += files.notes
    classes = found["train"][0]
    return Dataset(
        name=str(root),
        classes=classes,
        splits={
            split: remap_labels(index, have=have, want=classes, where=str(index.root))
            for split, (have, index) in found.items()
        },
        has_folders=True,
        notes=tuple(notes),
    )


def to_index(root: Path, found: LabeledFiles) -> tuple[tuple[str, ...], Index]:
    """Class names, sorted, and the index in the order of the paths: that of the rows does not matter."""
    classes = tuple(sorted(set(found.labels)))
    number = {name: i for i, name in enumerate(classes)}
    rows = sorted(zip(found.paths, found.labels, strict=True))
    return classes, Index([path for path, _ in rows], [number[label] for _, label in rows], root=root)


def _on_both_sides(found: LabeledFiles, table: Labels) -> list[str]:
    """A note if the table's own splits have photos of one group on both sides."""
    sides: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for split, group in zip(found.splits, found.groups, strict=bool(found.groups)):
        sides[split].add(group)
    both = sorted(sides["train"] & (sides["val"] | sides["test"]))
    if not both:
        return []
    names = abbreviate([repr(name) for name in both])
    return [f"{table.file}: {len(both)} of {table.group!r} in train and in another split: {names}"]


def _split(root: Path, found: LabeledFiles, table: str) -> tuple[tuple[str, ...], dict[str, Index]]:
    have, whole = to_index(root, found)
    split_of = dict(zip(found.paths, found.splits, strict=True))
    words = np.array([split_of[whole.name(i)] for i in range(len(whole))])
    parts = {split: whole.keep(np.flatnonzero(words == split)) for split in SPLITS if split in words}
    if "train" not in parts:
        raise DataError(f"{table}: expected rows of the split train, got only {' and '.join(parts)}")
    classes = tuple(have[i] for i in np.unique(parts["train"].labels))
    for split, index in parts.items():
        there = np.unique(index.labels)
        names = [have[i] for i in there]
        index.labels = np.searchsorted(there, index.labels)
        parts[split] = remap_labels(index, have=names, want=classes, where=f"{table}, split {split}")
    return classes, parts
