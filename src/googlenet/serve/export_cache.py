"""Models to serve as exported folders; run folders and model files are exported once, into the user's cache.

What a server has open is never deleted: it holds a lock file `DIGEST.NUMBER.lock` beside each export that it
uses, which the system releases when the process ends, however it ends.
"""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock, Timeout

from googlenet.base.errors import InputError, MissingExtraError, ModelFileError
from googlenet.base.machine import user_cache
from googlenet.base.progress import echo
from googlenet.files.checksum import file_digest
from googlenet.files.manifest import is_exported
from googlenet.files.modelfile import model_path

DEFAULT_NAME = "googlenet"  # of a single model
KEEP = 8  # exports in the user's cache, besides those in use
DIGEST = 32  # hexadecimal digits that name an export


@dataclass(frozen=True)
class ExportedFolder:
    """An exported folder; one in the cache stays there until `close`."""

    path: Path
    lock: FileLock | None = None

    def close(self) -> None:
        """Let the cache delete it."""
        if self.lock is not None:
            _release(self.lock)


Source = Callable[[], ExportedFolder]


def model_sources(models: Sequence[str]) -> dict[str, Source]:
    """For each model of [NAME=]MODEL, by name, what gives its exported folder, now and on every reload.

    Raises InputError for names that cannot be in a URL, or are not unique.
    """
    if not models:
        raise InputError("expected MODEL, an exported folder or a run folder")
    sources: dict[str, Source] = {}
    for text in models:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = (DEFAULT_NAME if len(models) == 1 else Path(text).resolve().name), text
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise InputError(
                f"expected a name of letters, digits, . _ and - before =, got {name!r} for {path}"
            )
        if name.endswith("-image"):
            raise InputError(f"expected a name that does not end in -image, got {name}: {name} takes files")
        if name in sources:
            raise InputError(f"expected each name once, got {name} twice; give names as NAME=MODEL")
        sources[name] = functools.partial(open_export, Path(path))
    return sources


def open_export(model: Path) -> ExportedFolder:
    """The exported folder of a model: itself, or one made of it in the user's cache, locked.

    Raises ModelFileError if there is no model, or it cannot be exported; MissingExtraError without torch.
    """
    if is_exported(model):
        return ExportedFolder(model)
    digest = file_digest(model_path(model))[:DIGEST]
    try:
        cache = user_cache() / "exports"
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache / f"{digest}.{uuid.uuid4().hex}.lock", timeout=0, thread_local=False)
        with _cache_lock(cache):
            lock.acquire()
    except (OSError, RuntimeError) as error:
        raise ModelFileError(
            f"{model}: nowhere to keep an export of it ({error}): googlenet export {model} --out FOLDER"
        ) from None
    folder = cache / digest
    try:
        if is_exported(folder):
            with contextlib.suppress(OSError):
                os.utime(folder)  # the cache keeps the most recently used
        else:
            _export(model, folder)
            prune(cache)
    except BaseException:
        _release(lock)
        raise
    return ExportedFolder(folder, lock)


def prune(cache: Path) -> None:
    """Delete exports that no process has open, except the KEEP most recently used."""
    with contextlib.suppress(OSError), _cache_lock(cache):
        folders = sorted(filter(Path.is_dir, cache.iterdir()), key=lambda path: path.stat().st_mtime)
        unused = [folder for folder in folders if not _in_use(folder)]
        for folder in unused[:-KEEP]:
            shutil.rmtree(folder, ignore_errors=True)


def _cache_lock(cache: Path) -> FileLock:
    """Held for a moment, so that no export is opened while the unused are deleted."""
    return FileLock(cache / "cache.lock", timeout=30)


def _in_use(folder: Path) -> bool:
    digest = folder.name.strip(".")[:DIGEST]  # an export being written is .DIGEST.RANDOM.tmp
    for path in folder.parent.glob(f"{digest}.*.lock"):
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return True
        _release(lock)  # of a process that was killed
    return False


def _release(lock: FileLock) -> None:
    lock.release()
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)


def _export(model: Path, folder: Path) -> None:
    """Export a model in a process of its own, which has torch."""
    if find_spec("torch") is None:
        raise MissingExtraError(
            f"{model} must be exported first, which needs torch, not installed here: pip install "
            "'googlenet[train]', or make an export of it where torch is: googlenet export"
        )
    echo(f"exporting {model} once, into {folder}")
    command = [
        sys.executable,
        "-m",
        "googlenet",
        "export",
        str(model),
        "--to",
        "openvino",
        "--out",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and not is_exported(folder):  # another process may have made it meanwhile
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ModelFileError(f"{model} cannot be exported: {reason.removeprefix('googlenet: ')}")
