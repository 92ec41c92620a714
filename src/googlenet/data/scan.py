"""A folder of class folders as it lies on the disk: each photo once, what was passed over, and why.

Links may go in circles, a name may be no photo but a pipe, a path may be longer than the system takes:
the walk ends all the same, and says what it left out. Nothing is opened but folders.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from googlenet.base.errors import DataError
from googlenet.images.formats import SUFFIXES

_TOO_LONG = "a longer path than the system takes"


@dataclass
class Scan:
    """What lies in a folder of class folders; paths are relative to it, sorted."""

    root: Path
    images: dict[str, list[str]] = field(default_factory=dict)  # of each class
    not_taken: list[tuple[str, str]] = field(
        default_factory=list
    )  # what is no photo of its own: path, reason
    nested: dict[str, set[str]] = field(default_factory=dict)  # the classes that hold a folder of that name


def scan(root: Path) -> Scan:
    """Walk a folder of class folders.

    Raises DataError for two class names that look the same, OSError for a folder that cannot be listed.
    """
    names = class_folders(root)
    _refuse_twins(root, names)
    found, seen = Scan(root), _Seen()
    for above in (root.resolve(), *root.resolve().parents):
        seen.name(above.stat(), ".")
    # Real folders and files first: a link to one of them is the same again.
    for name in sorted(names, key=lambda name: ((root / name).is_symlink(), name)):
        if (known := seen.name((root / name).stat(), name)) != name:
            found.not_taken.append((name, _again(known)))
        else:
            found.images[name] = []
    links = [link for name in found.images for link in _walk(found, name, seen)]
    for path, label in links:
        _take(found, (root / path).stat(), path, label, seen)
    found.images = {name: sorted(found.images[name]) for name in names if name in found.images}
    found.not_taken.sort()
    return found


class _Seen:
    """Files and folders by their place on the disk, which is the same for all their names."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], str] = {}

    def name(self, status: os.stat_result, name: str) -> str:
        """The first name under which it was met."""
        if not status.st_ino:  # a system that does not number its files
            return name
        return self._names.setdefault((status.st_dev, status.st_ino), name)


def class_folders(root: Path) -> list[str]:
    """Names of the folders in a folder, sorted, but for hidden ones; links to folders count."""
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())


def count_loose_images(root: Path) -> int:
    """Count the image files that lie in a folder itself."""
    with os.scandir(root) as entries:
        return sum(
            1 for entry in entries if _named_as_image(entry.name) and entry.name[0] != "." and entry.is_file()
        )


def find_lookalike(name: str, others: Sequence[str]) -> str | None:
    """Find a name among others that only looks different: composed in another way, or in another case."""
    same = _look_of(name)
    return next((other for other in others if other != name and _look_of(other) == same), None)


def describe_lookalikes(name: str, other: str) -> str:
    """Write two names that look alike so that the difference shows."""
    alike = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    return f"{name!a} and {other!a}" if alike else f"{name!r} and {other!r}"


def on_one_line(name: str) -> str:
    """A name as it can be shown: line breaks, changes of direction and the like as escapes."""
    return name if name.isprintable() else repr(name)[1:-1]


def _walk(found: Scan, label: str, seen: _Seen) -> Iterator[tuple[str, str]]:
    """Enter the files of a class, of its inner folders too; return links to files, with the class."""
    waiting = [label]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(found.root / folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            found.not_taken.append((folder, _TOO_LONG))
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.name[0] == ".":
                continue
            if entry.is_dir(follow_symlinks=False):
                found.nested.setdefault(entry.name, set()).add(label)
                waiting.append(path)
            elif (status := _status(found, entry, path)) is None:
                continue
            elif entry.is_symlink():
                yield path, label
            else:
                _take(found, status, path, label, seen)


def _status(found: Scan, entry: os.DirEntry[str], path: str) -> os.stat_result | None:
    """What a name leads to; None, with a note, if nowhere."""
    try:
        return entry.stat()
    except OSError as error:
        if not entry.is_symlink() and error.errno != errno.ENAMETOOLONG:
            raise
        found.not_taken.append((path, "a link that leads nowhere" if entry.is_symlink() else _TOO_LONG))
        return None


def _take(found: Scan, status: os.stat_result, path: str, label: str, seen: _Seen) -> None:
    """Take a file into its class, or note why not; what has no image's name is passed over in silence."""
    if stat.S_ISDIR(status.st_mode):
        found.not_taken.append((path, "a link to a folder: links are followed to files and to whole classes"))
    elif not stat.S_ISREG(status.st_mode):
        found.not_taken.append((path, "no file but a pipe, socket or device"))
    elif _named_as_image(path):
        if (known := seen.name(status, path)) == path:
            found.images[label].append(path)
        else:
            found.not_taken.append((path, _again(known)))


def _again(known: str) -> str:
    return "a link to the folder itself" if known == "." else f"the same on the disk as {known}"


def _named_as_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in SUFFIXES  # noqa: PTH122  (a path object a file takes long)


def _look_of(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()


def _refuse_twins(root: Path, names: Sequence[str]) -> None:
    """Two folders whose names only look different would silently be two classes."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_look_of(name), name)
        if other != name:
            raise DataError(
                f"{root}: expected class folders with names of their own, got "
                f"{describe_lookalikes(other, name)}, which look the same; merge them"
            )
