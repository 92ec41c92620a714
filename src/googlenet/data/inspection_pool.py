"""Looks at many files, in processes of their own: a file that kills a decoder kills nothing else.

Each process is a fresh interpreter that reads paths on its standard input and writes looks on its standard
output. It ends when its input does, so that none is left behind however this one ends.
"""

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from googlenet.base.errors import ImageError
from googlenet.base.progress import Advance, no_advance
from googlenet.data.image_inspection import ImageInspection, inspect_image, pack, unpack, unreadable
from googlenet.data.index import Index
from googlenet.images.decode import read_bytes

FEW = 100  # files that are looked at faster than a process starts
AT_ONCE = 16  # files given to a process at a time
_LENGTH = struct.Struct("<I")
_PROGRAM = "from googlenet.data.inspection_pool import serve; serve()"


def inspect_images(index: Index, *, workers: int, progress: Advance = no_advance) -> list[ImageInspection]:
    """Look at every image of an index, in its order."""
    if type(index) is not Index or len(index) < FEW or not sys.executable:  # in memory, or few
        return [_counted(inspect_one(index, i), progress) for i in range(len(index))]
    paths = [os.fsencode(index.root / index.name(i)) for i in range(len(index))]
    chunks = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    crew: SimpleQueue[_Process] = SimpleQueue()
    started = [_Process() for _ in range(min(workers, len(chunks)))]
    for process in started:
        crew.put(process)

    def work(chunk: Sequence[bytes]) -> list[ImageInspection]:
        process = crew.get()
        try:
            found = process.looks(chunk)
        finally:
            crew.put(process)
        progress(len(chunk))
        return found

    pool = ThreadPoolExecutor(len(started))
    try:
        return [one for found in pool.map(work, chunks) for one in found]
    finally:
        pool.shutdown(cancel_futures=True)
        for process in started:
            process.end()


def inspect_one(index: Index, i: int) -> ImageInspection:
    """Look at one image of an index, in this process."""
    try:
        return inspect_image(index.read(i))
    except ImageError as error:
        return unreadable(error)


def worker_main() -> None:
    """What the other processes do: a look for each path, until there is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches all processes; the one that asks decides
    source, result = sys.stdin.buffer, sys.stdout.buffer
    result.write(b"!")
    result.flush()
    while head := source.read(_LENGTH.size):
        path = Path(os.fsdecode(source.read(*_LENGTH.unpack(head))))
        try:
            found = inspect_image(read_bytes(path))
        except ImageError as error:
            found = unreadable(error)
        result.write(pack(found))
        result.flush()


class _Process:
    """A process that looks at files; another takes its place if a file kills it."""

    def __init__(self) -> None:
        self._child = _start()
        self._suspect: bytes | None = None  # the file that the last one ended with

    def looks(self, paths: Sequence[bytes]) -> list[ImageInspection]:
        """Look at files, in their order."""
        found: list[ImageInspection] = []
        while len(found) < len(paths):
            found += self._until_killed(paths[len(found) :])
        return found

    def _until_killed(self, paths: Sequence[bytes]) -> Iterator[ImageInspection]:
        """Look at files up to the one that kills the process."""
        assert self._child.stdin is not None and self._child.stdout is not None
        done = 0
        try:
            self._child.stdin.write(b"".join(_LENGTH.pack(len(path)) + path for path in paths))
            self._child.stdin.flush()
            for _ in paths:
                one = unpack(self._child.stdout.read)
                done += 1
                yield one
        except (EOFError, OSError):
            self.end()
            self._child = _start()
            if self._suspect == paths[done]:  # twice: it was no accident
                yield unreadable(ImageError("damaged", "it ends the program that decodes it"))
            self._suspect = paths[done]

    def end(self) -> None:
        """Close its input, upon which it ends."""
        with self._child:
            if self._child.poll() is None:
                self._child.terminate()


def _start() -> subprocess.Popen[bytes]:
    """Start a process, and wait until it says that it is there.

    Raises OSError.
    """
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    where = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **one_thread, **where},
    )
    assert child.stdout is not None
    if not child.stdout.read(1):
        child.wait()
        raise OSError(f"{sys.executable} cannot be started again, to look at photos")
    return child


def _counted(found: ImageInspection, progress: Advance) -> ImageInspection:
    progress(1)
    return found
