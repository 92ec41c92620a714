"""What the verbs share: their names, what they need installed, progress, and how they report failures."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from googlenet.base.errors import MissingExtraError

STARTED = time.monotonic()  # the clock of `train --minutes`

VERBS = (  # in the order of the help
    "train",
    "evaluate",
    "predict",
    "export",
    "serve",
    "explain",
    "visualize",
    "dream",
    "top-activating",
    "check",
    "report",
    "info",
    "cost",
    "convert",
)

Model = Annotated[Positional[Path], arg(metavar="MODEL")]
Layer = Annotated[Positional[str], arg(metavar="LAYER[:CHANNEL]")]
Verb = Callable[..., Callable[[], int]]


def load_verb(name: str) -> Verb:
    """Import one verb; parsing a command line with it gives the call, which `cli.main` then makes."""
    function_name = name.replace("-", "_")
    module = "serving" if name == "serve" else f"verbs.{function_name}"
    function = getattr(import_module(f"googlenet.cli.{module}"), function_name)

    @functools.wraps(function)
    def bind(*args: object, **kwargs: object) -> Callable[[], int]:
        return functools.partial(function, *args, **kwargs)

    return bind


def need(*packages: str, extra: str) -> None:
    """Check, before any work is done, that packages of an extra are installed.

    Raises MissingExtraError.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f"this needs {', '.join(missing)}, not installed here: pip install 'googlenet[{extra}]'"
        )


@contextlib.contextmanager
def progress_bars() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Give a function that starts a progress bar and returns what advances it."""
    from googlenet.base.progress import progress_bar

    with contextlib.ExitStack() as stack:
        yield lambda name, total: stack.enter_context(progress_bar(name, total)).advance


def report_failures(failures: Iterable[str]) -> int:
    """Print a line for each photo that failed; the exit status is 2 if there is one, else 0."""
    status = 0
    for failure in failures:
        print(f"googlenet: {failure}", file=sys.stderr)
        status = 2
    return status
