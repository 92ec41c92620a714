"""Writing files so that readers see the old content or the whole new one, also after a power cut."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from googlenet.base.errors import WriteError
from googlenet.base.platform import fsync, process_exists

_SPARE = 1.2  # free space asked for before writing, as a multiple of the file


def atomic_write(path: Path, content: bytes) -> None:
    """Replace a file's content at once: a temporary file, synced, renamed, and the folder synced.

    Raises WriteError with the numbers if there is no room, or if something else stands at `path`; then
    what was there before is untouched.
    """
    try:
        _check_free_space(path, len(content))
        try:
            _write(path, content)
        except OSError:  # a disk behind a network may fail once
            _write(path, content)
    except OSError as error:
        free = ""
        with contextlib.suppress(OSError):
            free = f" ({shutil.disk_usage(path.parent).free:,} bytes are free)"
        raise WriteError(
            f"{path}: could not write {len(content):,} bytes: {error.strerror or error}{free}"
        ) from error


def _write(path: Path, content: bytes) -> None:
    with atomic_replace(path) as temporary:
        temporary.unlink(missing_ok=True)  # of an earlier process with our number
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def check_regular_file(path: Path) -> None:
    """Raise WriteError if something else than a file stands at `path`."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise WriteError(f"{path}: expected a plain file or nothing there, got something else")


@contextlib.contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; at the end it takes the place of `path` at once.

    If anything fails, what was there before is untouched. Raises WriteError if something else than a
    file stands at `path`, OSError.
    """
    check_regular_file(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        fsync(temporary)
        temporary.replace(path)
        fsync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def remove_stale_temporaries(folder: Path, *, alive: Callable[[int], bool] = process_exists) -> None:
    """Remove temporary files of writers that have ended; one of our own number is an earlier process's."""
    for temporary in folder.glob(".*.tmp"):
        pid = temporary.name.split(".")[-2]
        if pid.isdigit() and (int(pid) == os.getpid() or not alive(int(pid))):
            temporary.unlink(missing_ok=True)


def _check_free_space(path: Path, length: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < _SPARE * length:
        raise WriteError(
            f"{path}: expected {int(_SPARE * length):,} bytes free, got {free:,}; free some space"
        )
