"""Files from the network into the user's cache: resumed, verified, and whole or not there at all.

pooch would do most of it, but it does not resume, and it brings requests and platformdirs.
"""

import http.client
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from googlenet.base.errors import DownloadError, GoogLeNetError, WriteError
from googlenet.base.machine import CACHE, user_cache
from googlenet.base.progress import Advance, Progress, echo, no_progress
from googlenet.files.atomic import atomic_write
from googlenet.files.checksum import file_digest

MIRROR = "GOOGLENET_MIRROR"
TRIES = 4  # connections cut in one download before we give up; the part is kept
TIMEOUT = 30.0  # seconds without a byte

_CHUNK = 1 << 18
_MEGABYTE = 1_000_000


class Digest(NamedTuple):
    """What a file's content must hash to: the algorithm, and the first hexadecimal digits of it."""

    algorithm: str
    digits: str

    def matches(self, path: Path) -> bool:
        """Whether a file has this digest."""
        return file_digest(path, self.algorithm).startswith(self.digits)


def cache_folder() -> Path:
    """Where downloads are kept: weights/ in the user's cache."""
    return user_cache() / "weights"


def fetch(
    url: str,
    *,
    name: str,
    digest: Digest | None = None,
    check: Callable[[Path], object] = lambda path: None,
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Return a file from the cache, downloading it first if need be; GOOGLENET_MIRROR replaces its host.

    name     the file's name, in the cache and under the mirror
    digest   what its content must be; where nobody published one, the first download's is recorded
             beside the file, said, and expected from then on
    check    raises a GoogLeNetError for a content that is of no use, which is then not kept
    cache    the folder to keep it in, by default `cache_folder()`
    raises   DownloadError if it cannot be had, or its content is another: then nothing of it is kept;
             WriteError if the cache cannot be written
    """
    from filelock import FileLock  # takes 70 ms to import

    target = (cache or cache_folder()) / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{name}.lock")):  # wait while another process downloads it
            expected = digest or _recorded(target)
            if target.is_file() and expected is not None and not expected.matches(target):
                echo(f"{target} was damaged since its download; downloading it again")
                target.unlink()
            if not target.is_file():
                _download(url, target, expected, check, progress)
            if expected is None:
                _record(target)
            return target
    except OSError as error:
        raise WriteError(f"{target}: {error.strerror or error}; set {CACHE} to another folder") from error


def _download(
    url: str,
    target: Path,
    expected: Digest | None,
    check: Callable[[Path], object],
    progress: Progress,
) -> None:
    if mirror := os.environ.get(MIRROR):
        url = f"{mirror.rstrip('/')}/{target.name}"
    echo(f"downloading {url} to {target}")
    part = target.with_name(f"{target.name}.part")
    _complete(url, part, target, progress)
    if expected is not None and not expected.matches(part):
        found = file_digest(part, expected.algorithm)
        _remove(part)
        note = _record_path(target)
        source = f" (noted in {note} at the first download)" if note.is_file() else ""
        raise DownloadError(
            f"{url}: {expected.algorithm} mismatch, expected {expected.digits}{source}, got {found}: "
            "the file is damaged or was replaced; nothing was kept"
        )
    try:
        check(part)
    except GoogLeNetError:
        _remove(part)
        raise
    part.replace(target)
    _remove(part)


def _complete(url: str, part: Path, target: Path, progress: Progress) -> None:
    """Go on with `part` until it is whole, over a few connections if they break off."""
    problem, show = "", _Megabytes(progress, target.name)
    for _ in range(TRIES):
        try:
            return _transfer(url, part, show.update)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise _unavailable(url, target, f"HTTP {error.code} {error.reason}") from error
            _remove(part)  # it is no part of what is there now
            problem = f"HTTP {error.code} {error.reason}"
        except urllib.error.URLError as error:
            raise _unavailable(url, target, str(error.reason)) from error
        except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
        except ValueError as error:  # no URL at all
            raise _unavailable(url, target, str(error)) from error
    raise _unavailable(url, target, f"{problem}; the next try goes on from there")


def _transfer(url: str, part: Path, show: Callable[[int, int], None]) -> None:
    """Fetch what is missing of `part` over one connection.

    The server's own mark of the content, its ETag or date, lies beside the part: without it, or where
    it has changed, the download begins again. Raises ConnectionError if it breaks off.
    """
    mark = _mark_path(part)
    done = part.stat().st_size if part.exists() and mark.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "googlenet"})
    if done:
        request.add_header("Range", f"bytes={done}-")
        request.add_header("If-Range", mark.read_text())
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            done = 0
            mark.unlink(missing_ok=True)
        total = done + int(response.headers.get("Content-Length", 0))
        with part.open("ab" if done else "wb") as file:
            if identity := response.headers.get("ETag") or response.headers.get("Last-Modified"):
                mark.write_text(identity)
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                show(done, total)
    if done < total:
        raise ConnectionError(f"the connection was cut after {done:,} of {total:,} bytes")


class _Megabytes:
    """A display that counts whole megabytes, over all connections of one download."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name, self._shown = progress, name, 0
        self._advance: Advance | None = None

    def update(self, done: int, total: int) -> None:
        """Show bytes so far, of bytes in all."""
        if self._advance is None:
            self._advance = self._progress(f"{self._name}, MB", total // _MEGABYTE)
        self._advance(max(0, done // _MEGABYTE - self._shown))  # a restart begins again at 0
        self._shown = done // _MEGABYTE


def _unavailable(url: str, target: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"cannot download {url} ({' '.join(reason.split())}); download it elsewhere and give its path "
        f"instead (--weights PATH), copy it to {target}, or name a mirror's folder in {MIRROR}"
    )


def _record(target: Path) -> None:
    """Write down and show the SHA-256 of a file for which its publisher gave none."""
    found = file_digest(target)
    atomic_write(_record_path(target), f"{found}  {target.name}\n".encode())
    echo(f"{target.name}: sha256 {found}, noted for later; its publisher gave none to compare with")


def _recorded(target: Path) -> Digest | None:
    record = _record_path(target)
    if not record.is_file():
        return None
    found = re.match(r"[0-9a-f]{64}\b", record.read_text(errors="replace"))
    if found is None:
        raise DownloadError(f"{record}: expected a SHA-256 of 64 digits, got something else; remove it")
    return Digest("sha256", found.group())


def _mark_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.mark")


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _remove(part: Path) -> None:
    for leftover in (part, _mark_path(part)):
        leftover.unlink(missing_ok=True)
