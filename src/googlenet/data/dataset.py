"""A data set: class names, an index for each split, and what can be done with them. No torch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from googlenet.base.errors import DataError
from googlenet.base.text import abbreviate
from googlenet.data.imagenet import translate_ids
from googlenet.data.index import Index, hash_split, short_hash, split_groups
from googlenet.data.scan import describe_lookalikes, find_lookalike
from googlenet.data.table import FOLDER, Labels

VAL_SHARE = 0.2  # of a folder that has no validation split, up to
MAX_VAL = 5000  # images, about: more are worth more in training


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
    groups: Mapping[str, str] | None = None  # by name; then photos of a group are on one side of our split
    grouped_by: str | None = None  # what they are: `folder`, or a column of the table
    skipped: tuple[tuple[str, str], ...] = ()  # path and reason of what is no photo of its own
    notes: tuple[str, ...] = ()  # what may be unintended
    labels: Labels | None = None  # the table that they are from; None for the folders' names
    glyphs: bool = False  # characters, which mirroring or cropping would change into others

    def split(self, name: str) -> Index:
        """Return one split.

        Raises DataError if there is no such split, with those there are.
        """
        if name not in self.splits:
            raise DataError(f"{self.name}: expected a split among {', '.join(self.splits)}, got {name!r}")
        return self.splits[name]


def folder_of(name: str, *, labeled: bool) -> str:
    """The group of a photo by where it is: its folder inside that of its class; by itself if there is none.

    name     of the photo in its index
    labeled  by a table, so that the outermost folder is no class
    """
    inner = name.split("/")[0 if labeled else 1 : -1]
    return "/".join(inner) or name


def by_folder(data: Dataset, *, needed: bool) -> Dataset:
    """The same data with the inner folders as groups.

    Raises DataError if there is none though it is needed.
    """
    train = data.split("train")
    names = [train.name(i) for i in range(len(train))]
    groups = {name: folder_of(name, labeled=data.labels is not None) for name in names}
    if needed and len(set(groups.values())) in (1, len(names)):
        raise DataError(
            f"{data.name}: expected folders inside the class folders with --group folder, as cat/tom/1.jpg, "
            "got none"
        )
    return replace(data, groups=groups, grouped_by=FOLDER)


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


def move_images(data: Dataset, moved: Iterable[str]) -> Dataset:
    """Split the same data anew with these images, by hashes of their names, on the other side."""
    assert data.unsplit is not None
    whole = replace(data, splits={**data.splits, "train": data.unsplit})
    return split_validation(whole, data.val_share, tuple(moved))


def split_validation(data: Dataset, share: float | None, moved: tuple[str, ...]) -> Dataset:
    """Split validation from the training photos.

    share  of them; by default a fifth, of many less
    moved  hashes of names that are on the other side
    """
    whole = data.splits["train"]
    share = share or min(VAL_SHARE, MAX_VAL / len(whole))
    names = [whole.name(i) for i in range(len(whole))]
    if data.groups is None:
        _, val = hash_split(whole.labels, names, share=share)
    else:
        val = split_groups(whole.labels, [data.groups[name] for name in names], share=share)
    in_val = np.isin(np.arange(len(whole)), val)
    if moved:
        in_val ^= np.isin([short_hash(name) for name in names], moved)
    ours = {"train": whole.keep(np.flatnonzero(~in_val)), "val": whole.keep(np.flatnonzero(in_val))}
    splits = ours | {name: index for name, index in data.splits.items() if name not in ours}
    return replace(data, splits=splits, is_our_split=True, val_share=share, moved_names=moved, unsplit=whole)
