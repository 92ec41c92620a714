"""The files of a folder of class folders: each photo once, what was skipped, and why.

Links may be circular, a name may be that of a pipe, a path may be longer than the system accepts: the
walk still ends, and lists what it skipped. Only folders are opened.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from googlenet.base.errors import DataError
from googlenet.images.formats import SUFFIXES
from googlenet.images.leftovers import SYSTEM_FOLDERS

_TOO_LONG = "a longer path than the system accepts"


@dataclass
class Scan:
    """The files in a folder of class folders; paths are relative to it, sorted."""

    root: Path
    images: dict[str, list[str]] = field(default_factory=dict)  # of each class
    skipped: list[tuple[str, str]] = field(default_factory=list)  # path and reason
    nested: dict[str, set[str]] = field(default_factory=dict)  # name of an inner folder -> classes with one


def scan(root: Path, *, known: Collection[str] = ()) -> Scan:
    """Walk a folder of class folders.

    known  names that are different classes, even if two of them look the same
    Raises DataError for two class names that look the same, OSError for a folder that cannot be listed.
    """
    names = class_folders(root)
    _check_lookalikes(root, [name for name in names if name not in known])
    result, seen = Scan(root), _Seen()
    for folder in (root.resolve(), *root.resolve().parents):
        seen.name(folder.stat(), ".")
    # Real folders and files first: a link to one of them is the same again.
    for name in sorted(names, key=lambda name: ((root / name).is_symlink(), name)):
        if (known := seen.name((root / name).stat(), name)) != name:
            result.skipped.append((name, _duplicate(known)))
        else:
            result.images[name] = []
    links = [link for name in result.images for link in _walk(result, name, seen)]
    for path, label in links:
        _add(result, (root / path).stat(), path, label, seen)
    result.images = {name: sorted(result.images[name]) for name in names if name in result.images}
    result.skipped.sort()
    return result


class _Seen:
    """Files and folders by device and inode, which are the same for all their names."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], str] = {}

    def name(self, status: os.stat_result, name: str) -> str:
        """The first name under which it was seen."""
        if not status.st_ino:  # a system that does not number its files
            return name
        return self._names.setdefault((status.st_dev, status.st_ino), name)


def class_folders(root: Path) -> list[str]:
    """Names of the folders in a folder, sorted, but for a system's own; links to folders count."""
    with os.scandir(root) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name[0] != "." and entry.name not in SYSTEM_FOLDERS and entry.is_dir()
        )


def count_loose_images(root: Path) -> int:
    """Count the image files that lie in a folder itself."""
    with os.scandir(root) as entries:
        return sum(
            1
            for entry in entries
            if _has_image_suffix(entry.name) and entry.name[0] != "." and entry.is_file()
        )


def count_images(folder: Path) -> int:
    """Count the image files in a folder and those inside, links to folders excepted."""
    return sum(
        _has_image_suffix(name) and name[0] != "." for _, _, names in os.walk(folder) for name in names
    )


def find_lookalike(name: str, others: Sequence[str]) -> str | None:
    """Find a name among others that only looks different: composed in another way, or in another case."""
    key = lookalike_key(name)
    return next((other for other in others if other != name and lookalike_key(other) == key), None)


def describe_lookalikes(name: str, other: str) -> str:
    """Write two names that look alike so that the difference shows."""
    same = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    return f"{name!a} and {other!a}" if same else f"{name!r} and {other!r}"


def on_one_line(name: str) -> str:
    """A printable name: line breaks, changes of writing direction and the like as escapes."""
    return name if name.isprintable() else repr(name)[1:-1]


def _walk(result: Scan, label: str, seen: _Seen) -> Iterator[tuple[str, str]]:
    """Add the files of a class, of its inner folders too; yield links to files, with the class."""
    waiting = [label]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(result.root / folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            result.skipped.append((folder, _TOO_LONG))
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.name[0] == ".":
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name in SYSTEM_FOLDERS:
                    continue
                result.nested.setdefault(entry.name, set()).add(label)
                waiting.append(path)
            elif (status := _status(result, entry, path)) is None:
                continue
            elif entry.is_symlink():
                yield path, label
            else:
                _add(result, status, path, label, seen)


def _status(result: Scan, entry: os.DirEntry[str], path: str) -> os.stat_result | None:
    """The status of an entry or of what it links to; None if it cannot be read, which is recorded."""
    try:
        return entry.stat()
    except OSError as error:
        if not entry.is_symlink() and error.errno != errno.ENAMETOOLONG:
            raise
        result.skipped.append((path, "a broken link" if entry.is_symlink() else _TOO_LONG))
        return None


def _add(result: Scan, status: os.stat_result, path: str, label: str, seen: _Seen) -> None:
    """Add a file to its class, or record why not; files without an image's suffix are ignored."""
    if stat.S_ISDIR(status.st_mode):
        result.skipped.append((path, "a link to a folder: links are followed to files and to whole classes"))
    elif not stat.S_ISREG(status.st_mode):
        result.skipped.append((path, "no file but a pipe, socket or device"))
    elif _has_image_suffix(path):
        if (known := seen.name(status, path)) == path:
            result.images[label].append(path)
        else:
            result.skipped.append((path, _duplicate(known)))


def _duplicate(known: str) -> str:
    return "a link to the folder itself" if known == "." else f"the same file or folder as {known}"


def _has_image_suffix(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in SUFFIXES  # noqa: PTH122  (a path object a file takes long)


def lookalike_key(name: str) -> str:
    """What names have in common that only look different."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()


def _check_lookalikes(root: Path, names: Sequence[str]) -> None:
    """Refuse two folders whose names look the same: they would silently be two classes."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(lookalike_key(name), name)
        if other != name:
            raise DataError(
                f"{root}: expected class folders with names of their own, got "
                f"{describe_lookalikes(other, name)}, which look the same; merge them"
            )
