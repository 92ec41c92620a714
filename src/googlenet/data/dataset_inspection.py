"""What a data set is like before training: unreadable files, unusual photos, class sizes, copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import DataError, ImageError
from googlenet.base.machine import cores
from googlenet.base.progress import Advance, no_advance
from googlenet.base.text import abbreviate, pluralize
from googlenet.data import duplicates
from googlenet.data.dataset import Dataset, check_every_class, drop_images, folder_of, move_images
from googlenet.data.image_inspection import ImageInspection
from googlenet.data.index import Index, Indices, group_split, short_hash
from googlenet.data.inspection_pool import inspect_images
from googlenet.data.scan import on_one_line

MAX_SKIPPED = 0.01  # share of unreadable photos that `--on-bad skip` leaves out
MUCH_CUT_OFF = 0.4  # of the photos' area, from which training warns: 4:3 loses 0.25, 16:9 0.44
ALIKE = 0.5  # share of photos that are most like one of their own folder, from which a note says so
IMBALANCE = 10  # largest class over smallest from which a note says so


@dataclass(frozen=True)
class Leak:
    """Photos of one split that have a copy in another."""

    split: str
    source: str
    pairs: tuple[tuple[str, str, float], ...]  # photo, its copy in `source`, similarity; 1 for the same file
    photos: int  # in `split`, readable

    @property
    def share(self) -> float:
        """Share of the split that has a copy."""
        return len(self.pairs) / max(1, self.photos)

    def describe(self) -> str:
        """Return it as a line of text."""
        return (
            f"{len(self.pairs)} of {self.photos} {self.split} photos ({100 * self.share:.1f} %) "
            f"{'has a copy' if len(self.pairs) == 1 else 'have copies'} in {self.source}"
        )


@dataclass(frozen=True)
class Pool:
    """Photos to train on and to measure by turns, with two numbers for each.

    groups  photos that share one belong together: copies, and the photos of a group of the data
    copies  photos that share one are copies
    """

    index: Index
    groups: Indices
    copies: Indices


@dataclass(frozen=True)
class DatasetInspection:
    """The inspection of every photo of some splits of a data set, one split after the other."""

    data: Dataset
    splits: tuple[str, ...]
    images: tuple[ImageInspection, ...]
    copies: duplicates.Copies
    compared: bool  # also photos that are not the same file

    @cached_property
    def parts(self) -> Indices:
        """The split of each photo, as its position in `splits`."""
        return _parts(self.data, self.splits)

    @cached_property
    def labels(self) -> Indices:
        """The class of each photo."""
        return np.concatenate([self.data.split(name).labels for name in self.splits])

    @cached_property
    def starts(self) -> Mapping[str, int]:
        """The number of the first photo of each split."""
        return {name: int(np.sum(self.parts < number)) for number, name in enumerate(self.splits)}

    def name(self, i: int) -> str:
        """A photo as split and name, which do not depend on how the folder was given."""
        index, number = self._locate(i)
        return f"{self.splits[self.parts[i]]}/{index.name(number)}"

    def _own_name(self, i: int) -> str:
        index, number = self._locate(i)
        return index.name(number)

    def path(self, i: int) -> str:
        """The path of a photo's file."""
        index, number = self._locate(i)
        return str(index.root / index.name(number))

    def _locate(self, i: int) -> tuple[Index, int]:
        split = self.splits[self.parts[i]]
        return self.data.split(split), i - self.starts[split]

    @cached_property
    def bad(self) -> dict[int, ImageError]:
        """The files that cannot be read, by number."""
        return {i: image.error for i, image in enumerate(self.images) if image.error is not None}

    @cached_property
    def warned(self) -> dict[int, str]:
        """The decoder's warnings about files that are damaged but give pixels, by number."""
        return {i: image.warning for i, image in enumerate(self.images) if image.warning is not None}

    def readable(self) -> Dataset:
        """The data without unreadable files."""
        splits = dict(self.data.splits)
        for name in self.splits:
            start, index = self.starts[name], self.data.split(name)
            splits[name] = drop_images(index, {i for i in range(len(index)) if start + i in self.bad})
        return replace(self.data, splits=splits)

    def pool(self) -> "Pool":
        """The readable photos that training may have, validation of our own split among them."""
        whole = self.data.unsplit if self.data.unsplit is not None else self.data.split("train")
        ours = ("train", "val") if self.data.is_our_split else ("train",)
        part, name_of = np.array(self.splits)[self.parts], self._own_name
        bad = {name_of(i) for i in self.bad if part[i] in ours}
        kept = [i for i in range(len(whole)) if whole.name(i) not in bad]
        index = whole.keep(np.array(kept, dtype=np.int64))
        names = [index.name(i) for i in range(len(index))]
        position = {name: i for i, name in enumerate(names)}
        copies = [[position[name_of(i)] for i in group if part[i] in ours] for group in self.copies.groups()]
        copies = [group for group in copies if group]
        joined = _joined(copies, self.data.groups, names)
        return Pool(index, _numbered(joined, len(index)), _numbered(copies, len(index)))

    def counts(self, split: str) -> npt.NDArray[np.int64]:
        """Number of readable photos of each class of a split."""
        inside = self.parts == self.splits.index(split)
        inside[list(self.bad)] = False
        return np.bincount(self.labels[inside], minlength=len(self.data.classes))

    def leaks(self) -> list[Leak]:
        """The copies across splits, of each split in an earlier one."""
        leaks = []
        for later, split in enumerate(self.splits):
            for earlier, source in enumerate(self.splits[:later]):
                similarity = self.copies.similarity[:, earlier]
                copied = np.flatnonzero((self.parts == later) & (similarity > 0)).tolist()
                nearest = self.copies.nearest[copied, earlier].tolist()
                pairs = tuple(
                    (self.path(i), self.path(j), float(similarity[i]))
                    for i, j in zip(copied, nearest, strict=True)
                )
                if pairs:
                    leaks.append(Leak(split, source, pairs, int(self.counts(split).sum())))
        return leaks

    @cached_property
    def cut_off(self) -> float:
        """Share of the photos' area that is outside of their middle squares, 0 to 1: the mean of all."""
        sides = [(image.width, image.height) for image in self.images if image.error is None and image.width]
        return float(np.mean([1 - min(pair) / max(pair) for pair in sides])) if sides else 0.0

    def contradictions(self) -> list[list[int]]:
        """Groups of copies with different classes."""
        return [group for group in self.copies.groups() if len(set(self.labels[group].tolist())) > 1]

    def notes(self) -> list[str]:
        """What may harm training, one line each."""
        notes = [*self.data.notes, *self._class_notes(), *self._folder_notes()]
        if self.warned:
            count = pluralize(len(self.warned), "photo")
            notes.append(f"{count} decoded with a warning: part of the picture may be wrong")
        if groups := self.contradictions():
            notes.append(f"{pluralize(len(groups), 'group')} of copies with different classes")
        return [*notes, *(leak.describe() for leak in self.leaks())]

    def _folder_notes(self) -> list[str]:
        """Whether photos of one inner folder are so alike that it may be one person's, and on both sides."""
        if not self.compared or self.data.groups is not None or not self.data.is_our_split:
            return []
        first = np.unique(self.copies.group)
        first = np.array([i for i in first.tolist() if i not in self.bad], dtype=np.int64)
        if not len(first):
            return []
        labeled = self.data.labels is not None
        names = [folder_of(self._own_name(i), labeled=labeled) for i in first.tolist()]
        _, folders = np.unique(np.array(names), return_inverse=True)
        vectors = np.stack([_detail(self.images[i]) for i in first.tolist()])
        share, chance = duplicates.nearest_in_same_folder(vectors, self.labels[first], folders)
        if share < ALIKE or share < 2 * chance:
            return []
        return [
            f"photos of one inner folder are alike: {100 * share:.0f} % are most like one of their own "
            f"({100 * chance:.0f} % by chance); if it is one person's, --group folder keeps it on one side"
        ]

    def _class_notes(self) -> list[str]:
        train, names = self.counts("train"), self.data.classes
        notes = []
        if (least := train[train > 0].min(initial=train.max())) * IMBALANCE <= train.max():
            notes.append(
                f"the largest class has {train.max():,} training photos, the smallest {least:,}: "
                "--balance gives rare classes more weight"
            )
        if single := [name for name, count in zip(names, train, strict=True) if count == 1]:
            notes.append(f"{_classes(single)} with one training photo")
        for split in self.splits[1:]:
            if lacking := [n for n, count in zip(names, self.counts(split), strict=True) if not count]:
                notes.append(f"{_classes(lacking)} without a photo in {split}, so not measured there")
        return notes


def inspect_dataset(
    data: Dataset,
    splits: Sequence[str],
    *,
    workers: int | None = None,
    progress: Advance = no_advance,
) -> DatasetInspection:
    """Inspect every photo of some splits, and move photos between ours so that copies are on one side.

    splits  train first
    """
    workers = workers or cores()
    indexes = [data.split(name) for name in splits]
    images = [
        image for index in indexes for image in inspect_images(index, workers=workers, progress=progress)
    ]
    inspection = _with_copies(data, splits, images)
    return _keep_copies_together(inspection) if data.is_our_split else inspection


def too_many_bad(inspection: DatasetInspection, on_bad: str) -> bool:
    """Whether unreadable files stop training.

    on_bad  `error`: any does; `skip`: more than 1 % do; `skip-all`: none
    """
    total = len(inspection.images)
    return len(inspection.bad) > {"error": 0.0, "skip": MAX_SKIPPED * total, "skip-all": total}[on_bad]


def check_bad_images(inspection: DatasetInspection, *, on_bad: str) -> list[str]:
    """List unreadable files, one line each.

    Raises DataError with all of them if they are too many.
    """
    lines = [f"  {on_one_line(inspection.path(i))}: {error}" for i, error in inspection.bad.items()]
    if not too_many_bad(inspection, on_bad):
        return lines
    count, total = len(lines), len(inspection.images)
    if on_bad == "error":
        expected = f"readable images, got {count} that are not"
    else:
        expected = (
            f"at most {100 * MAX_SKIPPED:.0f} % of the images to be unreadable, "
            f"got {count} of {total} ({100 * count / total:.1f} %)"
        )
    option = "skip" if on_bad == "error" and not too_many_bad(inspection, "skip") else "skip-all"
    raise DataError(
        f"{inspection.data.name}: expected {expected}; "
        f"repair or remove them, or train without them by --on-bad {option}:\n" + "\n".join(lines)
    )


def training_data(inspection: DatasetInspection) -> Dataset:
    """Return the data without unreadable files.

    Raises DataError if too little is left.
    """
    data = inspection.readable()
    check_every_class(data.split("train"), data.classes, where=data.name)
    if not len(data.split("val")):
        raise DataError(f"{data.name}: expected images to validate on, got none; add photos to a class")
    return data


def _parts(data: Dataset, splits: Sequence[str]) -> Indices:
    return np.repeat(np.arange(len(splits)), [len(data.split(name)) for name in splits])


def _with_copies(
    data: Dataset, splits: Sequence[str], images: Sequence[ImageInspection]
) -> DatasetInspection:
    """Find the copies among readable photos; an unreadable file is a copy of none."""
    compared = len(images) <= duplicates.MAX_COMPARED
    digests = [b"%d" % i if image.error else image.digest for i, image in enumerate(images)]
    vectors = np.stack([_detail(image) for image in images]) if compared else None
    copies = duplicates.find_copies(digests, vectors, _parts(data, splits), count=len(splits))
    return DatasetInspection(data, tuple(splits), tuple(images), copies, compared)


def _detail(image: ImageInspection) -> duplicates.Vector:
    """The description of a photo; zeros for one that has none."""
    return np.zeros(duplicates.COEFFICIENTS, np.float32) if image.vector is None else image.vector


def _keep_copies_together(inspection: DatasetInspection) -> DatasetInspection:
    """Move photos between our train and val so that no copies are on different sides."""
    whole = inspection.data.unsplit
    assert whole is not None
    names = [whole.name(i) for i in range(len(whole))]
    ours = np.flatnonzero(inspection.parts < 2).tolist()
    numbers = {inspection.name(i).split("/", 1)[1]: i for i in ours}  # in the inspection, of each name
    order = np.array([numbers[name] for name in names])
    position = {int(i): n for n, i in enumerate(order)}  # in `whole`, of each number
    groups = [[position[i] for i in group if i in position] for group in inspection.copies.groups()]
    groups = _joined(groups, inspection.data.groups, names)
    before = np.flatnonzero(inspection.parts[order] == 1)
    after = group_split(whole.labels, names, before, [group for group in groups if len(group) > 1])
    if not len(changed := np.setxor1d(before, after)):
        return inspection
    data = move_images(inspection.data, sorted(short_hash(names[i]) for i in changed))
    images = [
        inspection.images[numbers[index.name(i)]]
        for index in (data.split("train"), data.split("val"))
        for i in range(len(index))
    ]
    return _with_copies(data, inspection.splits, [*images, *inspection.images[len(images) :]])


def _joined(
    copies: list[list[int]], groups: Mapping[str, str] | None, names: Sequence[str]
) -> list[list[int]]:
    """Groups of copies, and of photos that belong together; those with a photo in common are one."""
    if groups is None:
        return copies
    numbers: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        numbers.setdefault(groups[name], []).append(number)
    pairs = [(members[0], other) for members in (*numbers.values(), *copies) for other in members]
    joined = np.arange(len(names))
    duplicates.merge_groups(joined, *np.array(pairs).T)
    order = np.argsort(joined, kind="stable")
    starts = np.flatnonzero(np.diff(joined[order])) + 1
    return [members.tolist() for members in np.split(order, starts)]


def _numbered(groups: Sequence[Sequence[int]], total: int) -> Indices:
    """A number for each of so many photos, the same for those of a group."""
    number = np.arange(total)
    for members in groups:
        number[list(members)] = members[0]
    return number


def _classes(names: Sequence[str]) -> str:
    return f"{'class' if len(names) == 1 else 'classes'} {abbreviate([repr(name) for name in names])}"
