"""Progress on standard error: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from googlenet.base.machine import rank

PLAIN_EVERY = 20.0  # seconds between plain lines
SHOWN_EVERY = 0.2  # seconds between counts on a terminal

console = Console(stderr=True, highlight=False, soft_wrap=True)


def echo(text: str) -> None:
    """Print one line to standard error; of several processes only the first does."""
    if rank() == 0:
        console.print(text, markup=False)


class ProgressBar:
    """Something that counts; `note` is shown beside the count."""

    def __init__(self, name: str, total: int, done: int, progress: Progress | None) -> None:
        """Count from `done` to `total`, on a live display or in plain lines."""
        self._name, self._total, self._done, self._first = name, total, done, done
        self._progress = progress
        self._task = progress.add_task(name, total=total, completed=done, note="") if progress else None
        self._began = self._spoke = time.monotonic()

    def expect(self, total: int) -> None:
        """Count to another total."""
        self._total = total
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=total)

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Count on."""
        self._done += count
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=count, note=note)
        elif time.monotonic() - self._spoke > PLAIN_EVERY:
            self._spoke = time.monotonic()
            pace = (self._spoke - self._began) / max(1, self._done - self._first)
            left = round(pace * (self._total - self._done))
            echo(f"{self._name} {self._done}/{self._total}, {left} s left  {note}".rstrip())


@contextmanager
def progress_bar(name: str, total: int, *, done: int = 0) -> Iterator[ProgressBar]:
    """Show the progress of a piece of work while it lasts."""
    if not console.is_terminal or rank() > 0:
        yield ProgressBar(name, total, done, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as live:
        yield ProgressBar(name, total, done, live)


@contextmanager
def progress_counter(name: str, *, done: int = 0) -> Iterator[Callable[[], None]]:
    """Count things whose number is not known beforehand; give what is called for each."""
    began = spoke = time.monotonic()
    count = 0

    def line() -> str:
        pace = count / max(1e-9, time.monotonic() - began)
        return f"{done + count:,} {name}, {pace:.0f} a second"

    def one_more() -> None:
        nonlocal count, spoke
        count += 1
        if time.monotonic() - spoke > (SHOWN_EVERY if console.is_terminal else PLAIN_EVERY):
            spoke = time.monotonic()
            console.print(line(), end="\r" if console.is_terminal else "\n", markup=False)

    yield one_more
    console.print(line(), markup=False)
