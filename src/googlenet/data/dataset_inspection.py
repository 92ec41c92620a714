"""What a data set is like before anything is trained on it: bad files, odd photos, classes, copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import DataError, ImageError
from googlenet.base.machine import cores
from googlenet.base.progress import Advance, no_advance
from googlenet.data import duplicates
from googlenet.data.folder import Dataset, check_every_class, drop_images, split_again
from googlenet.data.image_inspection import ImageInspection
from googlenet.data.index import Indices, group_split, short_hash
from googlenet.data.inspection_pool import inspect_images
from googlenet.data.scan import on_one_line

MOST_SKIPPED = 0.01  # of the photos: more that cannot be read are no accident
UNEVEN = 10  # times as many photos in one class as in another
_LISTED = 5  # class names in a message before it only counts


@dataclass(frozen=True)
class Leak:
    """Photos of one split that have a copy in another."""

    split: str
    source: str
    pairs: tuple[tuple[str, str, float], ...]  # photo, its copy in `source`, how alike; 1 for the same file
    photos: int  # in `split`, readable

    @property
    def share(self) -> float:
        """How much of the split is known beforehand."""
        return len(self.pairs) / max(1, self.photos)


@dataclass(frozen=True)
class DatasetInspection:
    """A look at every photo of some splits of a data set, one split after the other."""

    data: Dataset
    splits: tuple[str, ...]
    images: tuple[ImageInspection, ...]
    copies: duplicates.Copies
    compared: bool  # also with photos that are not the same file

    @cached_property
    def parts(self) -> Indices:
        """The split of each photo, as its place in `splits`."""
        return np.repeat(np.arange(len(self.splits)), [len(self.data.split(name)) for name in self.splits])

    @cached_property
    def labels(self) -> Indices:
        """The class of each photo."""
        return np.concatenate([self.data.split(name).labels for name in self.splits])

    @cached_property
    def starts(self) -> Mapping[str, int]:
        """Where each split begins."""
        ends = np.cumsum([0, *(len(self.data.split(name)) for name in self.splits)])
        return dict(zip(self.splits, ends.tolist(), strict=False))

    def name(self, i: int) -> str:
        """A photo as split and name: the folder may be given in another way next time."""
        split = self.splits[self.parts[i]]
        return f"{split}/{self.data.split(split).name(i - self.starts[split])}"

    def path(self, i: int) -> str:
        """A photo as the file that it is."""
        index = self.data.split(self.splits[self.parts[i]])
        return str(index.root / index.name(i - self.starts[self.splits[self.parts[i]]]))

    @cached_property
    def bad(self) -> dict[int, ImageError]:
        """The files that cannot be read, by number."""
        return {i: look.error for i, look in enumerate(self.images) if look.error is not None}

    @cached_property
    def warned(self) -> dict[int, str]:
        """What was said of files that are damaged, but give pixels."""
        return {i: look.warning for i, look in enumerate(self.images) if look.warning is not None}

    def readable(self) -> Dataset:
        """The data without bad files."""
        splits = dict(self.data.splits)
        for name in self.splits:
            start, index = self.starts[name], self.data.split(name)
            splits[name] = drop_images(index, {i for i in range(len(index)) if start + i in self.bad})
        return replace(self.data, splits=splits)

    def counts(self, split: str) -> npt.NDArray[np.int64]:
        """Readable photos of each class of a split."""
        here = self.parts == self.splits.index(split)
        here[list(self.bad)] = False
        return np.bincount(self.labels[here], minlength=len(self.data.classes))

    def leaks(self) -> list[Leak]:
        """The copies across splits, of each split in an earlier one."""
        found = []
        for later, split in enumerate(self.splits):
            for earlier, source in enumerate(self.splits[:later]):
                alike = self.copies.alike[:, earlier]
                known = np.flatnonzero((self.parts == later) & (alike > 0))
                nearest = self.copies.nearest[known, earlier]
                pairs = [
                    (self.path(i), self.path(j), float(alike[i]))
                    for i, j in zip(known.tolist(), nearest.tolist(), strict=True)
                ]
                found.append(Leak(split, source, tuple(pairs), int(self.counts(split).sum())))
        return [leak for leak in found if leak.pairs]

    def contradictions(self) -> list[list[int]]:
        """Groups of copies of several classes."""
        return [group for group in self.copies.groups() if len(set(self.labels[group].tolist())) > 1]

    def notes(self) -> list[str]:
        """What may spoil a training, a line each."""
        return [
            *self.data.notes,
            *self._class_notes(),
            *self._photo_notes(),
            *map(bad_image_lines, self.leaks()),
        ]

    def _class_notes(self) -> list[str]:
        train, names = self.counts("train"), self.data.classes
        notes = []
        if (least := train[train > 0].min(initial=train.max())) * UNEVEN <= train.max():
            notes.append(
                f"the largest class has {train.max():,} training photos, the smallest {least:,}: "
                "--balance makes rare classes count"
            )
        if single := [name for name, count in zip(names, train, strict=True) if count == 1]:
            notes.append(f"{_classes(single)} with one training photo")
        for split in self.splits[1:]:
            if lacking := [n for n, count in zip(names, self.counts(split), strict=True) if not count]:
                notes.append(f"{_classes(lacking)} without a photo in {split}, where nothing tells of them")
        return notes

    def _photo_notes(self) -> list[str]:
        notes = []
        if self.warned:
            notes.append(
                f"{_photos(len(self.warned))} decoded with a warning: part of the picture may be wrong"
            )
        if twice := self.contradictions():
            notes.append(f"{pluralize(len(twice), 'group')} of copies with different classes")
        return notes


def inspect_dataset(
    data: Dataset,
    splits: Sequence[str],
    *,
    workers: int | None = None,
    progress: Advance = no_advance,
) -> DatasetInspection:
    """Look at every photo of some splits, and cut validation anew if that divides copies.

    splits  train first
    """
    seen = [
        one
        for name in splits
        for one in inspect_images(data.split(name), workers=workers or cores(), progress=progress)
    ]
    found = _survey(data, splits, seen)
    return _together(found) if data.is_our_split else found


def bad_image_lines(leak: Leak) -> str:
    """A leak in a line."""
    return (
        f"{len(leak.pairs)} of {leak.photos} {leak.split} photos ({100 * leak.share:.1f} %) "
        f"{'has a copy' if len(leak.pairs) == 1 else 'have copies'} in {leak.source}"
    )


def too_many_bad(found: DatasetInspection, on_bad: str) -> bool:
    """Whether bad files stop a training: any, with `skip` more than MOST_SKIPPED, with `skip-all` none."""
    most = {"error": 0.0, "skip": MOST_SKIPPED * len(found.images), "skip-all": len(found.images)}
    return len(found.bad) > most[on_bad]


def check_bad_images(found: DatasetInspection, *, on_bad: str) -> list[str]:
    """List bad files, a line each.

    Raises DataError naming all of them if they are too many.
    """
    named = [f"  {on_one_line(found.path(i))}: {error}" for i, error in found.bad.items()]
    if not too_many_bad(found, on_bad):
        return named
    got, of = len(named), len(found.images)
    if on_bad == "error":
        expected = f"readable images, got {got} that are not"
        go_on = "skip" if got <= MOST_SKIPPED * of else "skip-all"
    else:
        expected = (
            f"at most {100 * MOST_SKIPPED:.0f} % of the images to be unreadable, "
            f"got {got} of {of} ({100 * got / of:.1f} %)"
        )
        go_on = "skip-all"
    raise DataError(
        f"{found.data.name}: expected {expected}; "
        f"repair or remove them, or train without them by --on-bad {go_on}:\n" + "\n".join(named)
    )


def training_data(found: DatasetInspection) -> Dataset:
    """The data without bad files.

    Raises DataError if too little is left.
    """
    data = found.readable()
    check_every_class(data.split("train"), data.classes, where=data.name)
    if not len(data.split("val")):
        raise DataError(f"{data.name}: expected images to validate on, got none; add photos to a class")
    return data


def _survey(data: Dataset, splits: Sequence[str], seen: Sequence[ImageInspection]) -> DatasetInspection:
    parts = np.repeat(np.arange(len(splits)), [len(data.split(name)) for name in splits])
    compared = len(seen) <= duplicates.MOST
    copies = _copies(seen, parts, len(splits), compared=compared)
    return DatasetInspection(data, tuple(splits), tuple(seen), copies, compared)


def _copies(
    found: Sequence[ImageInspection], parts: Indices, count: int, *, compared: bool
) -> duplicates.Copies:
    """Copies among readable photos; a bad file is like no other."""
    digests = [b"%d" % i if look.error else look.digest for i, look in enumerate(found)]
    plain = np.zeros(duplicates.WAVES, dtype=np.float32)
    vectors = (
        np.stack([plain if look.vector is None else look.vector for look in found]) if compared else None
    )
    return duplicates.find_copies(digests, vectors, parts, count=count)


def _together(found: DatasetInspection) -> DatasetInspection:
    """Bring copies to one side of a cut of ours."""
    data, whole = found.data, found.data.unsplit
    assert whole is not None
    names = [whole.name(i) for i in range(len(whole))]
    place = {found.name(i).split("/", 1)[1]: i for i in np.flatnonzero(found.parts < 2).tolist()}
    order = np.array([place[name] for name in names])
    number = {int(i): n for n, i in enumerate(order)}
    groups = [[number[i] for i in group if i in number] for group in found.copies.groups()]
    held = np.flatnonzero(found.parts[order] == 1)
    after = group_split(whole.labels, names, held, [group for group in groups if len(group) > 1])
    if not len(changed := np.setxor1d(held, after)):
        return found
    data = split_again(data, sorted(short_hash(names[i]) for i in changed))
    looks = [
        found.images[place[index.name(i)]]
        for index in (data.split("train"), data.split("val"))
        for i in range(len(index))
    ]
    return _survey(data, found.splits, [*looks, *found.images[len(looks) :]])


def _photos(count: int) -> str:
    return pluralize(count, "photo")


def pluralize(count: int, name: str) -> str:
    """A count with its noun."""
    return f"{count:,} {name}" + ("" if count == 1 else "s")


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_LISTED])) + ", …" * (len(names) > _LISTED)
    return f"{'class' if len(names) == 1 else 'classes'} {shown}"
