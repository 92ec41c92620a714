"""Image files as a command line names them: files, folders, glob patterns, standard input."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from googlenet.base.errors import ImageError
from googlenet.images.decode import read_bytes
from googlenet.images.formats import SUFFIXES
from googlenet.images.limits import MAX_FILE

STDIN = "-"


def expand(paths: Iterable[str]) -> Iterator[str]:
    """Name the image files meant by files, folders and glob patterns, folders in sorted order.

    What does not exist is passed on, so that it is reported in its place.
    """
    for text in paths:
        # os.path, unlike Path, takes a folder that may not be entered for a file that is not there
        if text == STDIN or os.path.isfile(text):  # noqa: PTH113
            yield text
        elif os.path.isdir(text):  # noqa: PTH112
            yield from _images_inside(Path(text)) or [text]
        else:
            matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  (keeps the user's spelling)
            yield from expand(matches) if matches else [text]


def read(path: str) -> bytes:
    """The bytes of a file that `expand` named, or of an image on standard input.

    Raises ImageError.
    """
    if path == STDIN:
        return sys.stdin.buffer.read(MAX_FILE + 1)
    if os.path.isdir(path):  # noqa: PTH112
        raise ImageError("unreadable", "the folder holds no image file")
    return read_bytes(Path(path))


def _images_inside(folder: Path) -> list[str]:
    return [
        str(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
