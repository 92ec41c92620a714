"""The files that a table means, whatever way it names them: they may be on another machine's disk there."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from googlenet.base.errors import DataError
from googlenet.base.text import pluralize
from googlenet.images.formats import SUFFIXES
from googlenet.images.leftovers import SYSTEM_FOLDERS, is_system_file

_SEVERAL = ""  # in place of a path, where a name is that of several files


class FilesInFolder:
    """The photos in a folder and those inside, found by what a table calls them."""

    def __init__(self, root: Path) -> None:
        """List the folder, links to folders excepted."""
        self._root = root
        self._paths = dict.fromkeys(_walk(root))
        self._short: dict[str, str] = {}  # path by its name, and by both without the suffix
        for path in self._paths:
            name = path.rsplit("/", 1)[-1]
            for short in {name, name.rsplit(".", 1)[0], path.rsplit(".", 1)[0]}:
                self._short[short] = path if short not in self._short else _SEVERAL
        self._above = [f"{root.resolve().as_posix().rstrip('/')}/", f"{root.as_posix().rstrip('/')}/"]
        self._elsewhere: str | None = None  # what is cut off paths of another machine

    def find(self, text: str, *, where: str) -> str | None:
        """The path within the folder of the file that a cell names; None if there is none.

        As it stands, or without a beginning that may be of another machine and is the same for all; else,
        where no folder is named, the only file of that name. The suffix may be missing.
        Raises DataError for a name of several files, which are in `where`.
        """
        path = PurePosixPath(text.replace("\\", "/")).as_posix()
        for above in self._above:
            path = path.removeprefix(above)
        parts = path.split("/")
        if ".." in parts:
            return None
        if path in self._paths or self._is_file(path):
            return path
        for start in range(1, len(parts)):
            rest = "/".join(parts[start:])
            before = path.removesuffix(rest)
            if rest in self._paths and self._elsewhere in (None, before):
                self._elsewhere = before
                return rest
        found = self._short.get(path)
        if found == _SEVERAL:
            raise DataError(f"{where}: expected a path, got {text!r}, which is the name of several files")
        return found

    def _is_file(self, path: str) -> bool:
        """Whether a file without a photo's suffix is there; never one outside of the folder."""
        inside = not path.startswith("/") and path[1:2] != ":"
        try:
            return inside and (self._root / path).is_file()
        except (OSError, ValueError):  # too long a name, or none at all
            return False

    def notes(self, table: Path, used: int) -> Iterator[str]:
        """What people should know of the files, a line each."""
        if self._elsewhere:
            yield f"{table}: {self._elsewhere} is not here, so paths count from behind it"
        if (left := len(self._paths) - used) > 0:
            yield f"{pluralize(left, 'photo')} in {self._root} not used: without a row in {table.name}"


def _walk(root: Path) -> Iterator[str]:
    for folder, inside, names in os.walk(root):
        inside[:] = sorted(name for name in inside if name[0] != "." and name not in SYSTEM_FOLDERS)
        start = Path(folder).relative_to(root).as_posix()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in SUFFIXES and not is_system_file(name):  # noqa: PTH122
                yield name if start == "." else f"{start}/{name}"
