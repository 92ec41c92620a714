"""Predictions on their way into a file: kept as they come, so that an interrupted run can be resumed.

Each photo's rows go into a journal beside the file, a JSON list a line; at the end the journal becomes
the file that was asked for, at once. So readers see the old file or the whole new one.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from googlenet.base.errors import InputError, WriteError
from googlenet.files.atomic import atomic_replace, check_regular_file
from googlenet.inference.output import write_rows
from googlenet.inference.predict import Row


@dataclass
class Journal:
    """The rows so far of one prediction."""

    path: Path
    done: set[str]  # photos that were read, whose rows are all there
    failed: set[str]  # those that once could not be read; a resumed run tries them again

    def keep(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass rows on, each photo's kept once it is whole.

        Raises WriteError if the disk is full.
        """
        for _, group in groupby(rows, key=lambda row: row.path):
            photo = list(group)
            line = json.dumps([vars(row) for row in photo]) + "\n"
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(line)
            except OSError as error:
                raise WriteError(
                    f"{self.path}: {error.strerror or error}; --resume goes on from there"
                ) from error
            yield from photo

    def rows(self) -> Iterator[Row]:
        """Read the rows back; those of a photo that was tried again are its last, where it first stood."""
        retried = self._last_lines() if self.failed else {}
        with self.path.open("rb") as file, self.path.open("rb") as again:
            for line in islice(file, 1, None):
                rows = _parse(line)
                if (photo := rows[0].path) in self.failed:
                    if photo not in retried:  # given before
                        continue
                    again.seek(retried.pop(photo))
                    rows = _parse(again.readline())
                yield from rows

    def _last_lines(self) -> dict[str, int]:
        """Where the last line of each photo that once failed begins, in bytes."""
        offsets = {}
        with self.path.open("rb") as file:
            offset = len(file.readline())
            for line in file:
                if (photo := _parse(line)[0].path) in self.failed:
                    offsets[photo] = offset
                offset += len(line)
        return offsets

    def finish(self, out: Path, format: str) -> None:
        """Turn the journal into the file that was asked for, and remove it.

        Raises WriteError; the journal is then still there.
        """
        try:
            with atomic_replace(out) as temporary:
                write_rows(temporary, self.rows(), format)
            self.path.unlink()
        except OSError as error:
            raise WriteError(f"{out}: could not write it: {error.strerror or error}") from error


def open_journal(out: Path, *, resume: bool, about: dict[str, object]) -> Journal:
    """Begin a journal for a file, or resume the one that an interrupted run left.

    about   what the rows depend on: the model and the options
    raises  InputError if there is one and `resume` is not asked for, or it is of another model or options
    """
    path = out.with_name(f".{out.name}.journal")
    header = json.dumps(about) + "\n"
    try:
        check_regular_file(path)
        if path.exists() and not resume:
            raise InputError(f"{path} is what an interrupted run left: go on with --resume, or remove it")
        if path.exists() and (journal := _resume_journal(path, header)):
            return journal
        path.write_text(header, encoding="utf-8")
    except OSError as error:
        raise WriteError(f"{path}: {error.strerror or error}; choose another --out") from error
    return Journal(path, set(), set())


def _resume_journal(path: Path, header: str) -> Journal | None:
    """Read a journal line by line, and remove a last line that is incomplete: its photo is done again.

    None if not even the first line is whole. Raises InputError if it is of another run, or damaged.
    """
    journal = Journal(path, set(), set())
    with path.open("rb") as file:
        first = file.readline()
        if not first.endswith(b"\n"):
            return None
        if first != header.encode():
            raise InputError(f"{path} is of another model, other photos or options; remove it to begin again")
        length = len(first)
        for line in file:
            if not line.endswith(b"\n"):
                break
            length += len(line)
            try:
                row = _parse(line)[0]
            except (ValueError, LookupError, TypeError) as error:
                raise InputError(f"{path} is damaged: {error}; remove it to begin again") from error
            (journal.done if row.error is None else journal.failed).add(row.path)
    os.truncate(path, length)
    return journal


def _parse(line: bytes) -> list[Row]:
    """The rows of one photo, from its line of a journal."""
    return [Row(**fields) for fields in json.loads(line)]
