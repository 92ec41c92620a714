"""Worker processes: order, death, signals, and their end with the program."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import psutil
import pytest

from googlenet.base import worker_pool
from googlenet.base.worker_pool import NONE, Results, Worker, set_item

FATAL = 3


def square(request: int) -> int:
    set_item(10 * request)
    if request == FATAL:
        os._exit(7)
    return request**2


def nothing() -> None:
    pass


def fail() -> None:
    os._exit(1)


@contextmanager
def working(function: Any = square, initializer: Any = nothing) -> Iterator[tuple[Worker, Results]]:
    results: Results = SimpleQueue()
    worker = Worker(function, results, initializer=initializer)
    try:
        yield worker, results
    finally:
        worker.kill()
        assert not worker.process.is_alive()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_results_come_in_order_and_a_death_is_told_with_its_item(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(worker_pool, "START_METHOD", method)
    with working() as (worker, results):
        for request in (5, 1):
            worker.submit(request)
        assert [results.get(timeout=60)[1] for _ in range(2)] == [25, 1]
        for request in (FATAL, 9):
            worker.submit(request)
        assert results.get(timeout=60) == (worker, None)
        assert worker.item.value == 10 * FATAL
        worker.process.join(timeout=5)
        assert worker.process.exitcode == 7
        worker.submit(1)  # to nobody


def test_a_worker_that_cannot_begin_is_at_no_item() -> None:
    with working(initializer=fail) as (worker, results):
        assert results.get(timeout=60) == (worker, None)
        assert worker.item.value == NONE


def test_signals_for_the_whole_group_are_left_to_the_parent() -> None:
    with working() as (worker, results):
        worker.submit(1)
        results.get(timeout=60)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker.process.pid or 0, number)
        worker.submit(2)
        assert results.get(timeout=60)[1] == 4


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), 9)"])
def test_workers_end_with_the_program(method: str, end: str) -> None:
    """Also one that forgets them, and one that is killed."""
    program = f"""
import os
from queue import SimpleQueue
from googlenet.base import worker_pool
square, nothing = abs, os.getpid
worker_pool.START_METHOD = {method!r}
results = SimpleQueue()
workers = [worker_pool.Worker(square, results, initializer=nothing) for _ in range(2)]
for worker in workers:
    worker.submit(1)
    results.get(timeout=60)
print(*(worker.process.pid for worker in workers), flush=True)
{end}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    alive = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    assert not psutil.wait_procs(alive, timeout=5)[1]
