"""The files of a folder that are not taken for photos, by kind: so nothing is passed over in silence."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from googlenet.base.errors import ImageError
from googlenet.base.text import abbreviate, indent, pluralize
from googlenet.images.formats import SUFFIXES, detect_format

PEEKS = 20  # files of a suffix that are looked into; when none of these is a photo, no more are
_BYTES = 512  # of such a file
_LISTED = 10  # names in a message

_RAW = "a camera's raw photo: export it as JPEG"
_PHOTOS = {  # suffixes of photos that no decoder here reads
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"), _RAW),
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".j2c"), "a JPEG 2000 image: convert it to PNG or JPEG"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "a Netpbm image: convert it to PNG"),
    ".jxl": "a JPEG XL image: convert it to PNG or JPEG",
}
_VIDEOS = frozenset(
    {".mov", ".mp4", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".3gp", ".wmv", ".mpg", ".mpeg"}
)
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "System Volume Information", "$RECYCLE.BIN"})


@dataclass
class Leftovers:
    """What some folders hold beside photos that can be read; paths as the folders were given."""

    photos: list[tuple[str, str]] = field(default_factory=list)  # what looks like a photo, and what it is
    videos: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # files of each suffix
    system: int = 0  # what systems leave behind: hidden files, .DS_Store, Thumbs.db

    def lines(self) -> list[str]:
        """What people are told: nothing where there is nothing, else one line each kind."""
        found = []
        if self.photos:
            count = pluralize(len(self.photos), "file")
            names = indent([f"{path}: {what}" for path, what in self.photos], most=_LISTED)
            found.append("\n".join([f"{count} not read, though by name or content a photo:", *names]))
        if self.videos:
            count = pluralize(len(self.videos), "video")
            found.append("\n".join([f"{count} not taken:", *indent(self.videos, most=_LISTED)]))
        if self.others:
            kinds = [
                f"{count:,} {suffix or 'without a suffix'}" for suffix, count in self.others.most_common()
            ]
            total = self.others.total()
            found.append(f"{pluralize(total, 'other file')} not taken, by suffix: {abbreviate(kinds)}")
        if self.system:
            found.append(f"{pluralize(self.system, 'hidden or system file')} not taken")
        return found

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON types, all of it."""
        return {
            "photos": [{"path": path, "reason": what} for path, what in self.photos],
            "videos": self.videos,
            "others": dict(self.others),
            "system": self.system,
        }


def find_leftovers(folders: Iterable[Path]) -> Leftovers:
    """Go through folders and those inside, links excepted, for files that are not taken for photos."""
    found, misses = Leftovers(), Counter[str]()
    for folder in folders:
        for path in _files(folder, found):
            suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122  (a path object a file takes long)
            if suffix in SUFFIXES:
                continue
            if suffix in _PHOTOS:
                found.photos.append((path, _PHOTOS[suffix]))
            elif suffix in _VIDEOS:
                found.videos.append(path)
            elif misses[suffix] < PEEKS and (form := _peek(path)) is not None:
                found.photos.append((path, f"{form} by its first bytes: give its name the suffix"))
            else:
                misses[suffix] += 1
                found.others[suffix] += 1
    return found


def is_system_file(name: str) -> bool:
    """Whether a system left a file of that name behind, or hides it."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def _files(folder: Path, found: Leftovers) -> Iterator[str]:
    """The regular files inside, sorted by folder; what systems leave behind is counted."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:  # whoever lists the photos says so
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name in SYSTEM_FOLDERS or entry.name.startswith("."):
                    found.system += 1
                else:
                    waiting.append(entry.path)
            elif is_system_file(entry.name):
                found.system += 1
            elif entry.is_file(follow_symlinks=False):
                yield entry.path


def _peek(path: str) -> str | None:
    """The format of a photo by its first bytes; None if it is no photo, or cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return detect_format(file.read(_BYTES))
    except (OSError, ImageError):
        return None
