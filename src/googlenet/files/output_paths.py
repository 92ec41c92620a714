"""Where results go: what stands there is replaced only if it is a plain file, and that was asked for."""

import os
import stat
from pathlib import Path

from googlenet.base.errors import InputError

FOLDER = "a folder"
_FILE = "a file"
_KINDS = {
    stat.S_IFREG: _FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_output_path(out: Path, *, force: bool | None = None) -> None:
    """Check, before any work is done for it, that a result may be written to `out`.

    force   whether a plain file may be replaced; None if the verb has no --force, as it makes a folder
    raises  InputError if something else is there, or the folder that it would be in cannot be written
    """
    try:
        found = path_kind(out)
        inside = out.parent.is_dir()
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror or error}; choose another") from error
    if found is not None and not (force and found == _FILE):
        cure = (
            "--force replaces it"
            if found == _FILE and force is not None
            else "choose another name or remove it"
        )
        raise InputError(f"expected nothing at --out {out}, got {found}; {cure}")
    if not inside:
        raise InputError(f"expected --out in a folder that exists, got {out}")
    check_writable(out.parent)


def check_png_path(out: Path, *, force: bool) -> None:
    """Check that `out` has a PNG file's name and may be written, as `check_output_path` does.

    Raises InputError.
    """
    if out.suffix.lower() not in (".png", ""):
        raise InputError(f"expected --out with a name that ends in .png, got {out}")
    check_output_path(out, force=force)


def path_kind(path: Path) -> str | None:
    """What stands at a path, in words, links not followed; None for nothing.

    Raises OSError if that cannot be known.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def check_writable(folder: Path) -> None:
    """Check that files can be made in a folder, or in the nearest one above it that exists.

    Raises InputError.
    """
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(f"expected --out in a folder, got {nearest}, which is none; choose another")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(
            f"{nearest}: expected a folder that can be written, got one that cannot; choose another --out"
        )
