"""Faults of a training run, and what is noted down of one: see `faulty`."""

import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.faulty import after, before, fault


def _die() -> None:
    """As `kill -9` does to a process and all that it started."""
    os.killpg(0, signal.SIGKILL)


def _say(text: str) -> None:
    os.write(2, f"{text}\n".encode())


def _save_every(seconds: str) -> None:
    from googlenet.training import loop

    loop.SAVE_EVERY = float(seconds)


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


@fault
def kill_in_step(step: str, every: str, photos: str = "") -> None:
    """Kill in the middle of a step: the weights have moved, their average has not."""
    _save_every(every)
    if photos:
        note_photos(photos)

    def kill(count: int, average: object, number: int, *, steps: int) -> None:
        if number + 1 == int(step):
            _die()

    before("googlenet.training.optim", "EmaWeights.update", kill)


@fault
def note_photos(path: str) -> None:
    """Write each step, the numbers of its photos and a checksum of the pixels of each one."""

    def note(count: int, run: Any, batch: Any) -> None:
        sums = [zlib.crc32(image.numpy().tobytes()) for image in batch.images]
        with Path(path).open("a") as file:
            file.write(json.dumps({"step": run.step, "photos": batch.numbers.tolist(), "sums": sums}) + "\n")

    before("googlenet.training.loop", "_step", note)


@fault
def note_resources(path: str, every: str) -> None:
    """Write memory, open files and threads before each step."""
    import psutil

    _save_every(every)
    me = psutil.Process()

    def note(count: int, run: Any, batch: Any) -> None:
        with me.oneshot():
            seen = {"rss": me.memory_info().rss, "files": me.num_fds(), "threads": me.num_threads()}
        with Path(path).open("a") as file:
            file.write(json.dumps(seen) + "\n")

    before("googlenet.training.loop", "_step", note)


@fault
def tell_steps(at: str, rest: str) -> None:
    """Say each step on standard error before it; in step `at`, rest for so many seconds."""

    def tell(count: int, run: Any, batch: Any) -> None:
        _say(f"step {run.step + 1}")
        if run.step + 1 == int(at):
            end = time.monotonic() + float(rest)
            while time.monotonic() < end:
                time.sleep(0.05)  # a signal that comes just before a long sleep is seen only after it

    before("googlenet.training.loop", "_step", tell)


@fault
def slow_validation(seconds: str) -> None:
    """Say when validation begins; take so long for each of its batches."""

    def rest(count: int, *args: Any) -> None:
        _say(f"validation {count}")
        time.sleep(float(seconds))

    before("googlenet.inference.torch_classifier", "Classifier.outputs", rest)


class _Half:
    """A file of which only the first half is written before the end comes."""

    def __init__(self, descriptor: int, mode: str) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> "_Half":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def write(self, content: bytes) -> None:
        os.write(self._descriptor, content[: len(content) // 2])
        _die()


@fault
def kill_in_save(point: str, number: str) -> None:
    """Kill at a point of the `number`-th save of a state; one is saved after every step."""
    _save_every("0")
    armed = False

    def arm(count: int, path: Path, *args: Any) -> None:
        nonlocal armed
        armed = count == int(number)

    def kill(count: int, *args: Any, **kwargs: Any) -> None:
        if armed:
            _die()

    def half(opening: Any) -> Any:
        return lambda *args, **options: (_Half if armed else opening)(*args, **options)

    def pruned(count: int, path: Path, **kwargs: Any) -> None:
        if armed and path.name.startswith("step-"):
            _die()

    def before_states(count: int, path: Path, *args: Any) -> None:
        arm(count, path)
        if point == "before":
            kill(count)

    before("googlenet.training.state", "modelfile.write", before_states)
    match point:
        case "writing":
            _replace(os, "fdopen", half)
        case "sync":
            before("os", "fsync", kill)
        case "rename":
            before("pathlib", "Path.replace", kill)
        case "folder":
            before(
                "googlenet.files.atomic", "fsync", lambda count, path: kill(count) if path.is_dir() else None
            )
        case "prune":
            before("pathlib", "Path.unlink", pruned)


@fault
def note_calls(path: str) -> None:
    """Write every call by which a file is made, synced, renamed or removed, in order."""
    _save_every("0")

    def note(*words: str) -> None:
        with Path(path).open("a") as file:
            file.write(json.dumps(words) + "\n")

    def name(descriptor: int) -> str:
        return Path(f"/proc/self/fd/{descriptor}").readlink().name

    before("os", "fsync", lambda count, descriptor: note("sync", name(descriptor)))
    after("os", "replace", lambda count, old, new: note("rename", Path(old).name, Path(new).name))
    after("os", "unlink", lambda count, gone, **kwargs: note("remove", Path(gone).name))


@fault
def not_finite(what: str, step: str) -> None:
    """Make an image of a step, or a number of a gradient, not a number; save after every step."""
    from googlenet.training import loop

    _save_every("0")
    count = 0

    def poisoned(plain: Callable[..., Any]) -> Callable[..., Any]:
        def give(*args: Any) -> Any:
            nonlocal count
            count += 1
            images = plain(*args)
            if count == int(step):
                images[3] = float("nan")
            return images

        return give

    def poison(calls: int, net: Any) -> None:
        if calls == int(step):
            next(net.parameters()).grad[2, 1] = float("inf")

    if what == "image":
        _replace(loop, "network_input", poisoned)
    else:
        before("googlenet.training.loop", "finite_gradients", poison)


@fault
def worker(what: str, which: str, photo: str, patience: str) -> None:
    """Kill or hang a loader process at one of its photos, counted from its first."""
    from multiprocessing import current_process

    from googlenet.training import loader

    loader.STUCK = float(patience)

    def strike(count: int, number: int) -> None:
        if count == int(photo) and current_process().name == f"worker {which}":
            _say(f"worker {os.getpid()} {what}")
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            while True:
                signal.pause()

    after("googlenet.training.loader", "set_item", strike)


@fault
def disk(command: str, step: str, again: str, last: str) -> None:
    """Run a shell command before a step, and another before a later one; save after every step."""
    import subprocess

    _save_every("0")

    def change(count: int, run: Any, batch: Any) -> None:
        for line, at in ((command, step), (again, last)):
            if run.step + 1 == int(at) and line:
                subprocess.run(line, shell=True, check=True)

    before("googlenet.training.loop", "_step", change)


@fault
def file_limit(size: str, step: str, last: str) -> None:
    """Let no file grow beyond a size from one step to another; save after every step."""
    import resource

    _save_every("0")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def change(count: int, run: Any, batch: Any) -> None:
        limit = int(size) if int(step) <= run.step + 1 < int(last) else hard
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    before("googlenet.training.loop", "_step", change)


@fault
def other_versions(package: str, version: str, step: str = "") -> None:
    """Say that a package is of another version; if asked, kill in the middle of a step."""
    from googlenet.training import reproducibility

    if step:
        kill_in_step(step, "0")

    _replace(reproducibility, "versions", lambda plain: lambda: {**plain(), package: version})


if __name__ == "__main__":
    sys.exit("run it by faulty.py")
