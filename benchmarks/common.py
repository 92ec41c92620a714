"""What the benchmarks share: work done in turns, ratios within a round, and the machine in a line."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from googlenet.machine import cores
from googlenet.version import versions

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")


@dataclass(frozen=True)
class Taken:
    """One run of a whole process."""

    seconds: float
    megabytes: float  # the most memory that it held


def process(command: Sequence[str | Path]) -> Taken:
    """Run a command to its end."""
    started = time.perf_counter()
    child = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{command[0]} failed: {said.decode()[-500:]}")
    return Taken(time.perf_counter() - started, used.ru_maxrss / 1024)


def in_turns(works: dict[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in each round, one after another: a machine that drifts is fair to all."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():  # the first time is for caches
        work()
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(work())
    return taken


def table(taken: dict[str, list[float]], *, count: int, unit: str) -> str:
    """A line each: speed, and how many times that of the first, median (least to most) over the rounds."""
    first = next(iter(taken.values()))
    lines = []
    for name, times in taken.items():
        ratios = [base / mine for base, mine in zip(first, times, strict=True)]
        lines.append(
            f"{name:44} {count / statistics.median(times):8.1f} {unit}   "
            f"{statistics.median(ratios):5.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    return "\n".join(lines)


def machine() -> str:
    """Processor, cores, versions and commit."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    able = [
        name
        for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
        if name in flags
    ]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{platform.machine()} {' '.join(able)}, {cores()} cores; {known}; commit {commit or 'unknown'}"
