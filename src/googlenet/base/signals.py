"""Ctrl-C and termination signals, collected so that work ends at a point that it chooses."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from googlenet.base.machine import is_distributed
from googlenet.base.progress import echo

STOPPING: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
if sys.platform == "win32":
    STOPPING += (signal.SIGBREAK,)  # Ctrl-Break, and what a service is sent before it is ended


@contextmanager
def collected_signals() -> Iterator[list[int]]:
    """Collect the numbers of the signals that ask to stop; a second one stops at once.

    Not one of several processes: torchrun passes on what a cluster may have sent to all of them already,
    and itself ends what takes too long. In another thread than the main one nothing is collected.
    """
    numbers: list[int] = []

    def collect(number: int, frame: object) -> None:
        numbers.append(number)
        if is_distributed():
            return echo("stopping after this step")
        for each, handler in before.items():
            signal.signal(each, handler)
        echo("stopping after this step; once more to stop at once, without saving")

    if threading.current_thread() is not threading.main_thread():
        yield numbers
        return
    before: dict[int, Any] = {number: signal.signal(number, collect) for number in STOPPING}
    try:
        yield numbers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
