"""Several training processes for the tests of promises: started by torchrun or by hand, watched, hurt.

As a program it is `faulty.py` with faults of its own: `torchrun … several.py FAULT [ARGUMENT …] -- train …`.
"""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from helpers import faulty, runs

BOUND = 30.0  # seconds that a process may outlive another by
UNDER = ("--standalone", "--nproc-per-node")
AT = re.compile(r"rank (\d+), process (\d+): step (\d+) done")


def torchrun(
    *words: str | Path, processes: int = 2, restarts: int = 0, fault: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start training processes under torchrun, with a fault if one is given."""
    program = [str(runs.HERE / "several.py"), *fault, "--"] if fault else ["-m", "googlenet"]
    launcher = [sys.executable, "-m", "torch.distributed.run", *UNDER, str(processes)]
    return _open([*launcher, "--max-restarts", str(restarts), *program, *map(str, words)], {})


def by_hand(*words: str | Path, fault: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Start two training processes that nobody watches over."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    command = [sys.executable, str(runs.HERE / "several.py"), *fault, "--", *map(str, words)]
    return [_open(command, {**meeting, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")]


def alone(*words: str | Path, fault: Sequence[str]) -> subprocess.Popen[str]:
    """Start one training process, with a fault."""
    return _open([sys.executable, str(runs.HERE / "several.py"), *fault, "--", *map(str, words)], {})


def _open(command: list[str], extra: dict[str, str]) -> subprocess.Popen[str]:
    path = [str(runs.HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**runs.environment(), "LOGLEVEL": "ERROR", "PYTHONPATH": os.pathsep.join(path), **extra},
    )


def finished(process: subprocess.Popen[str], *, timeout: float = 600) -> str:
    """Wait for a process that has to end well; what it said."""
    said, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, said
    return said


def at_step(
    process: subprocess.Popen[str], step: int, *, rank: int = 0, said: list[str] | None = None
) -> int:
    """Wait until a watched process has done a step; its number. What was said until then goes into `said`."""
    assert process.stdout is not None
    said = [] if said is None else said
    for line in process.stdout:
        said.append(line)
        for who, pid, done in told(line):
            if (who, done) == (rank, step):
                return pid
    raise AssertionError("".join(said))


def told(said: str) -> list[tuple[int, int, int]]:
    """Rank, process id and step of every step that watched processes told of."""
    return [(int(rank), int(pid), int(step)) for rank, pid, step in AT.findall(said)]


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """A process and all below it."""
    mine = psutil.Process(process.pid)
    return [mine, *mine.children(recursive=True)]


def gone(processes: list[psutil.Process], *, since: float) -> float:
    """Seconds from `since` until all these processes have ended; they are killed should they not."""
    _, alive = psutil.wait_procs(processes, timeout=BOUND + 10)
    taken = time.monotonic() - since
    for process in alive:
        process.kill()
    assert not alive, f"left behind: {alive}"
    return taken


def losses(folder: Path) -> dict[int, dict[str, float]]:
    """The four losses of every step, as logged."""
    named = ("total", "main", "aux1", "aux2")
    return {int(e["step"]): {name: e[name] for name in named} for e in runs.events(folder, "train")}  # type: ignore[call-overload,misc]


def trace(folder: Path) -> dict[int, dict[int, tuple[int, str]]]:
    """By step and row of the batch: the number of the photo that was trained on, and its pixels' hash."""
    found: dict[int, dict[int, tuple[int, str]]] = {}
    for path in folder.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            step, rows = json.loads(line)
            for row, number, pixels in rows:
                assert row not in found.setdefault(step, {}), f"step {step}: row {row} taken twice"
                found[step][row] = (number, pixels)
    return found


@faulty.fault
def watched(*also: str) -> None:
    """Save after every step and tell of it; `also` names further faults: NAME=VALUE."""
    from googlenet.training import loop

    loop.SAVE_EVERY = -1.0
    rank = os.environ.get("RANK", "0")

    def tell(count: int, run: Any, *rest: object) -> None:
        os.write(1, f"rank {rank}, process {os.getpid()}: step {run.step} done\n".encode())

    faulty.after("googlenet.training.loop", "_observe", tell)
    for name, value in (each.split("=") for each in also):
        FURTHER[name](value)


def stop_after(step: str) -> None:
    """Let the last process be asked to stop in the middle of a step."""

    def ask(count: int, run: Any, *rest: object) -> None:
        if run.step + 1 == int(step) and run.team.rank == run.team.size - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    faulty.before("googlenet.training.loop", "_step", ask)


def die_after(step: str) -> None:
    """Kill the last process of a first start before the step after this one."""

    def die(count: int, run: Any, *rest: object) -> None:
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
        if first and run.step == int(step) and run.team.rank == run.team.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    faulty.before("googlenet.training.loop", "_step", die)


def patience(seconds: str) -> None:
    """Wait less long for a process that does not answer."""
    from datetime import timedelta

    from googlenet.training import distributed

    distributed.PATIENCE = distributed.STEP = timedelta(seconds=float(seconds))


def traced(folder: str) -> None:
    """Write down which photos a process trained on, as pixels."""

    def note(count: int, run: Any, batch: Any) -> None:
        rows = [
            (row, int(batch.numbers[row]), hashlib.sha256(image.numpy().tobytes()).hexdigest())
            for row, image in zip(batch.rows, batch.images, strict=True)
        ]
        with (Path(folder) / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps((run.step, rows)) + "\n")

    faulty.before("googlenet.training.loop", "_step", note)


def double(_: str) -> None:
    """Compute in float64, in which rounding is too small to turn a comparison round."""
    import torch

    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]


FURTHER = {
    "stop-after": stop_after,
    "die-after": die_after,
    "patience": patience,
    "traced": traced,
    "double": double,
}

if __name__ == "__main__":
    faulty.main()
