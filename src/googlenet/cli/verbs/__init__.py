"""The verbs: a module each, with a function of the same name that parses, calls the library and prints."""

import functools
import time
from collections.abc import Callable
from importlib import import_module

STARTED = time.monotonic()  # the clock of `train --minutes`

VERBS = (
    "train evaluate predict export serve explain visualize dream top-activating check report relabel info "
    "cost convert"
).split()  # in the order of the help

__all__ = sorted(verb.replace("-", "_") for verb in VERBS)

Verb = Callable[..., Callable[[], int]]


def load_verb(name: str) -> Verb:
    """Import a verb; its arguments, once parsed, give the call that `cli.main` then makes."""
    function_name = name.replace("-", "_")
    function = getattr(import_module(f"googlenet.cli.verbs.{function_name}"), function_name)

    @functools.wraps(function)
    def bind(*args: object, **kwargs: object) -> Callable[[], int]:
        return functools.partial(function, *args, **kwargs)

    return bind
