"""Progress on standard error: a bar on a terminal, plain lines elsewhere."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from googlenet.base.machine import rank

if TYPE_CHECKING:  # rich takes 40 ms to import
    import rich.console
    import rich.progress

PLAIN_EVERY = 20.0  # seconds between plain lines
SHOWN_EVERY = 0.2  # seconds between counts on a terminal

Advance = Callable[[int], None]
"""Called with how many more are done."""

Progress = Callable[[str, int], Advance]
"""Called with the name and the total of some work; returns what advances its display."""


def no_advance(count: int) -> None:
    """Show no progress."""


def no_progress(name: str, total: int) -> Advance:
    """Show no progress."""
    return no_advance


@functools.cache
def console() -> "rich.console.Console":
    """The terminal or file behind standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def echo(text: str) -> None:
    """Print one line to standard error; of several processes only the first does."""
    if rank() == 0:
        console().print(text, markup=False)


class ProgressBar:
    """A counter on display; `note` is shown beside the count."""

    def __init__(self, name: str, total: int, done: int, display: "rich.progress.Progress | None") -> None:
        """Count from `done` to `total`, on a live display or in plain lines."""
        self._name, self._total, self._done, self._first = name, total, done, done
        self._display = display
        self._task = display.add_task(name, total=total, completed=done, note="") if display else None
        self._began = self._printed = time.monotonic()

    def expect(self, total: int) -> None:
        """Count to another total."""
        self._total = total
        if self._display is not None and self._task is not None:
            self._display.update(self._task, total=total)

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Count on."""
        self._done += count
        if self._display is not None and self._task is not None:
            self._display.update(self._task, advance=count, note=note)
        elif time.monotonic() - self._printed > PLAIN_EVERY:
            self._printed = time.monotonic()
            pace = (self._printed - self._began) / max(1, self._done - self._first)
            left = round(pace * (self._total - self._done))
            echo(f"{self._name} {self._done}/{self._total}, {left} s left  {note}".rstrip())


@contextmanager
def progress_bar(name: str, total: int, *, done: int = 0) -> Iterator[ProgressBar]:
    """Show the progress of a piece of work while it lasts."""
    if not console().is_terminal or rank() > 0:
        yield ProgressBar(name, total, done, None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console(), transient=True) as display:
        yield ProgressBar(name, total, done, display)


@contextmanager
def progress_counter(name: str, *, done: int = 0) -> Iterator[Callable[[], None]]:
    """Count things whose total is not known beforehand; yields what is called for each."""
    began = printed = time.monotonic()
    count = 0

    def line() -> str:
        pace = count / max(1e-9, time.monotonic() - began)
        return f"{done + count:,} {name}, {pace:.0f} a second"

    def count_one() -> None:
        nonlocal count, printed
        count += 1
        if time.monotonic() - printed > (SHOWN_EVERY if console().is_terminal else PLAIN_EVERY):
            printed = time.monotonic()
            console().print(line(), end="\r" if console().is_terminal else "\n", markup=False)

    yield count_one
    console().print(line(), markup=False)
