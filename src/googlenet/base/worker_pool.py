"""Worker processes that compute one function, request by request, and may die without harm to the others.

`concurrent.futures` and `multiprocessing.Pool` do not tell which request a process died of.
"""

import atexit
import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from threading import Thread
from typing import Any

# A fork has everything imported already: 20 ms, where a new interpreter that needs torch takes 2 s and more.
START_METHOD = "fork" if sys.platform == "linux" else "spawn"
NONE = -1  # the item of a worker that has not begun
_PR_SET_PDEATHSIG = 1  # Linux: the signal that a process gets when its parent ends
Results = SimpleQueue[tuple["Worker", Any]]  # None when the worker has died
_current_item: Any = None  # in a worker: the number that it shares with its parent


def set_item(item: int) -> None:
    """Record which item this worker is at, in case it does not come back; elsewhere do nothing."""
    if _current_item is not None:
        _current_item.value = item


class Worker:
    """A process that answers requests in their order, and ends with the process that started it."""

    def __init__(
        self,
        function: Callable[[int], Any],
        results: Results,
        *,
        name: str = "worker",
        initializer: Callable[[], None],
    ) -> None:
        """Start the process.

        function     computes the result of a request; not None
        results      gets (this worker, result) for each request, and (this worker, None) when it has died
        initializer  is called in the process before the first request
        Raises OSError.
        """
        context = multiprocessing.get_context(START_METHOD)
        self.pending: deque[int] = deque()  # requests whose results were not taken from `results` yet
        self.item = context.RawValue(
            ctypes.c_int64, NONE
        )  # its value is what the function gave to `set_item`
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, self.item, function, initializer)
        self.process = context.Process(target=_serve, args=arguments, name=name, daemon=True)  # type: ignore[attr-defined]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads that the fork does not have
            self.process.start()
        theirs.close()
        atexit.register(self.kill)  # or multiprocessing waits for it: it ignores SIGTERM
        self._receiver = Thread(target=self._receive, args=(results,), daemon=True)
        self._receiver.start()

    def submit(self, request: int) -> None:
        """Add a request to those that the process works through."""
        self.pending.append(request)
        with suppress(OSError):  # it has died, which `results` says
            self._pipe.send(request)

    def kill(self) -> None:
        """End the process at once."""
        atexit.unregister(self.kill)
        self.process.kill()
        self.process.join(timeout=5)  # one that waits for a disk ends only after it
        self._receiver.join(timeout=1)
        self._pipe.close()

    def _receive(self, results: Results) -> None:
        """Take results off the pipe, so that the process can go on before they are needed."""
        with suppress(EOFError, OSError):
            while True:
                results.put((self, self._pipe.recv()))
        results.put((self, None))


def _serve(pipe: Any, item: Any, function: Callable[[int], Any], initializer: Callable[[], None]) -> None:
    """Answer requests until the pipe is closed.

    A signal may reach the whole process group: the parent decides, workers go on until then.
    """
    global _current_item
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":  # a fork holds both ends of its pipe, and never sees it closed
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if (parent := multiprocessing.parent_process()) and os.getppid() != parent.pid:
            return
    _current_item = item
    initializer()
    computed: SimpleQueue[Any] = SimpleQueue()
    Thread(target=_send_all, args=(pipe, computed), daemon=True).start()
    with suppress(EOFError, ConnectionResetError):
        while True:
            computed.put(function(pipe.recv()))


def _send_all(pipe: Any, computed: "SimpleQueue[Any]") -> None:
    """Send results while the next ones are computed; `send` takes an older protocol, which copies more."""
    with suppress(BrokenPipeError, ConnectionResetError):
        while True:
            pipe.send_bytes(ForkingPickler.dumps(computed.get(), protocol=5))
