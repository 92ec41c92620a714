"""The command line as on a system that is not POSIX: `python elsewhere.py train …`.

What Windows lacks is taken away from our own code, in this process and in those that it starts by `spawn`:
other packages find their own way there.
"""

import builtins
import os
import signal
import sys
from typing import Any

MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
SIGNALS = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGQUIT", "SIGPIPE")
FUNCTIONS = (
    "fork",
    "getuid",
    "geteuid",
    "getpgid",
    "killpg",
    "mkfifo",
    "sched_getaffinity",
    "uname",
    "chown",
)


class _Lacking:
    """A module without some of its names."""

    def __init__(self, module: Any, names: tuple[str, ...]) -> None:
        self._module, self._names = module, names

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r} here")
        return getattr(self._module, name)


def take_away() -> None:
    """Take from our own modules what only POSIX has."""
    plain = builtins.__import__
    lacking = {"os": _Lacking(os, FUNCTIONS), "signal": _Lacking(signal, SIGNALS)}

    def limited(name: str, globals: Any = None, *rest: Any, **named: Any) -> Any:
        ours = str((globals or {}).get("__name__", "")).startswith("googlenet")
        if ours and name in MODULES:
            raise ImportError(f"no module named {name!r} here")
        found = plain(name, globals, *rest, **named)
        return lacking.get(name, found) if ours else found

    builtins.__import__ = limited  # type: ignore[assignment]


take_away()  # when it is imported, which `spawn` does in each process that it starts

if __name__ == "__main__":
    from googlenet.base import worker_pool

    worker_pool.START_METHOD = "spawn"
    from googlenet.cli import main

    sys.exit(main.main(sys.argv[1:]))
