"""Training runs for the tests of promises: a tiny data set, real processes, and what they left."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.painting import COLORS, paint

HERE = Path(__file__).parent
TINY = ("--size", "96", "--batch", "8", "--epochs", "2")  # 2 x 9 steps
STEPS = 18


def tiny(root: Path, *, each: int = 24, val: int = 4) -> Path:
    """A data set of three classes of generated JPEG files, split."""
    for number, (name, color) in enumerate(COLORS.items()):
        for i in range(each):
            paint(root / "train" / name / f"{i}.jpg", color, seed=100 * number + i)
        for i in range(val):
            paint(root / "val" / name / f"v{i}.jpg", color, seed=1000 + 100 * number + i)
    return root


def command(*words: str | Path, fault: Sequence[str] = ()) -> list[str]:
    """The command line of a process: the program, or the program with a fault (see `faulty`)."""
    program = (
        [sys.executable, str(HERE / "faulty.py"), *fault, "--"]
        if fault
        else [sys.executable, "-m", "googlenet"]
    )
    return [*program, *map(str, words)]


def run(
    *words: str | Path, fault: Sequence[str] = (), timeout: float = 240, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run to the end on one thread."""
    settings: dict[str, object] = {
        "capture_output": True,
        "text": True,
        "timeout": timeout,
        "env": environment(),
    }
    return subprocess.run(command(*words, fault=fault), **{**settings, **options})  # type: ignore[call-overload]


def start(*words: str | Path, fault: Sequence[str] = (), **options: object) -> subprocess.Popen[str]:
    """Start in a process group of its own."""
    settings: dict[str, object] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "start_new_session": True,
        "env": environment(),
    }
    return subprocess.Popen(command(*words, fault=fault), **{**settings, **options})  # type: ignore[call-overload]


def environment() -> dict[str, str]:
    """One thread: the same bits on every machine of a kind, whatever else it does."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def model_hash(folder: Path) -> str:
    """SHA-256 of the finished model file, header included."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def events(folder: Path, kind: str) -> list[dict[str, object]]:
    """What a run's log says of a kind."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def tree(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, time and content of everything in a folder, to see that nothing was touched."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
    return found
