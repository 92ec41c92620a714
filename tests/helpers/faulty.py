"""The command line with a fault: `python faulty.py FAULT [ARGUMENT …] -- train …`.

Faults are put in from outside, so that the program itself has no code for them.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any

FAULTS: dict[str, Callable[..., None]] = {}


def fault(function: Callable[..., None]) -> Callable[..., None]:
    """Let a function be named on the command line; its arguments arrive as text."""
    FAULTS[function.__name__.replace("_", "-")] = function
    return function


def before(module: str, name: str, action: Callable[..., None]) -> None:
    """Call `action(count, *args, **kwargs)` before each call of a function; `count` is from 1."""
    _around(module, name, action, after=False)


def after(module: str, name: str, action: Callable[..., None]) -> None:
    """Call `action(count, *args, **kwargs)` after each call of a function; `count` is from 1."""
    _around(module, name, action, after=True)


def _around(module: str, name: str, action: Callable[..., None], *, after: bool) -> None:
    owner: Any = importlib.import_module(module)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    plain, count = getattr(owner, name), 0

    def changed(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if not after:
            action(count, *args, **kwargs)
        result = plain(*args, **kwargs)
        if after:
            action(count, *args, **kwargs)
        return result

    setattr(owner, name, changed)


@fault
def white_calibration() -> None:
    """Give int8 nothing but white images to take its ranges from; the comparison has the real ones."""
    from googlenet.export import writers

    plain = writers._quantize
    writers._quantize = lambda network, images: plain(network, [image * 0 + 255 for image in images])


@fault
def offline() -> None:
    """Let every attempt to open a connection end the process."""
    import socket

    def refuse(*call: Any, **options: Any) -> None:
        raise SystemExit("a connection was tried")

    socket.socket.connect = refuse  # type: ignore[method-assign]


def main() -> None:
    """Put the fault in, then run the program."""
    from helpers import training_faults  # noqa: F401  (names its faults)

    end = sys.argv.index("--")
    name, *arguments = sys.argv[1:end]
    sys.argv = ["googlenet", *sys.argv[end + 1 :]]
    FAULTS[name](*arguments)
    from googlenet.cli.main import run

    run()


if __name__ == "__main__":  # as a module of its own name, which the modules of faults import
    importlib.import_module("helpers.faulty").main()
