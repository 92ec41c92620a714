"""What the verbs share: how they are registered, what they need, how they show progress."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeVar

from tyro.conf import Positional, arg

from googlenet.base.errors import MissingExtraError
from googlenet.base.progress import Progress, progress_bar

Commands = dict[str, Callable[..., Callable[[], int]]]
Model = Annotated[Positional[Path], arg(metavar="MODEL")]
Verb = TypeVar("Verb", bound=Callable[..., int])


def registering(commands: Commands) -> Callable[[Verb], Verb]:
    """Give a decorator that registers verbs: parsing gives the call, which `cli.main` then makes."""

    def verb(function: Verb) -> Verb:
        @functools.wraps(function)
        def bind(*args: object, **kwargs: object) -> Callable[[], int]:
            return functools.partial(function, *args, **kwargs)

        commands[function.__name__.replace("_", "-")] = bind
        return function

    return verb


def need(*packages: str, extra: str) -> None:
    """Refuse a verb whose part of the package was not installed, before anything is done."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f"this needs {', '.join(missing)}, not installed here: pip install 'googlenet[{extra}]'"
        )


@contextlib.contextmanager
def counting() -> Iterator[Progress]:
    """Give the library a way to show how far it is."""
    with contextlib.ExitStack() as stack:
        yield lambda name, total: stack.enter_context(progress_bar(name, total)).advance
