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
        self._names: dict[str, str] = {}  # path by its last part, with and without suffix
        for path in self._paths:
            name = path.rsplit("/", 1)[-1]
            for short in {name, name.rsplit(".", 1)[0]}:
                self._names[short] = path if short not in self._names else _SEVERAL
        self._above = [f"{root.resolve().as_posix().rstrip('/')}/", f"{root.as_posix().rstrip('/')}/"]
        self._elsewhere: str | None = None  # the first of what was cut off paths of another machine

    def find(self, text: str, *, where: str) -> str | None:
        """The path within the folder of the file that a cell names; None if there is none.

        As it stands, or without its beginning, which may be of another machine; else the only file of that
        name, with or without its suffix.
        Raises DataError for a name of several files, which are in `where`.
        """
        path = text.replace("\\", "/").removeprefix("./")
        if path in self._paths:
            return path
        for above in self._above:
            if path.startswith(above) and path.removeprefix(above) in self._paths:
                return path.removeprefix(above)
        parts = PurePosixPath(path).parts
        if ".." in parts:
            return None
        if not path.startswith("/") and (self._root / path).is_file():  # it has no photo's suffix
            return path
        for start in range(1, len(parts)):
            if (rest := "/".join(parts[start:])) in self._paths:
                self._elsewhere = self._elsewhere or path.removesuffix(rest)
                return rest
        found = self._names.get(parts[-1]) if parts else None
        if found == _SEVERAL:
            raise DataError(f"{where}: expected a path, got {text!r}, which is the name of several files")
        return found

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
