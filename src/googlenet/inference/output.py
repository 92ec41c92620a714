"""Predictions on their way into a file: kept as they come, so that an interrupted run can go on.

Each photo's rows go into a journal beside the file, a JSON list a line; at the end the journal becomes
the file that was asked for, at once. So what stands there is either old or whole.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby, islice
from pathlib import Path

from googlenet.base.errors import InputError, MissingExtraError, WriteError
from googlenet.files.atomic import atomic_replace, check_regular_file
from googlenet.inference.predict import Row, to_csv, to_json, to_jsonl

FORMATS = ("json", "jsonl", "csv", "parquet")
GROUP = 65_536  # rows of a Parquet row group


@dataclass
class Journal:
    """The rows so far of one prediction."""

    path: Path
    done: set[str]  # photos that were read, whose rows are all there
    failed: set[str]  # those that once could not be read; a run that goes on tries them again

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
        last = self._last() if self.failed else {}
        with self.path.open("rb") as file, self.path.open("rb") as again:
            for line in islice(file, 1, None):
                rows = _parse(line)
                if (photo := rows[0].path) in self.failed:
                    if photo not in last:  # told before
                        continue
                    again.seek(last.pop(photo))
                    rows = _parse(again.readline())
                yield from rows

    def _last(self) -> dict[str, int]:
        """Where the last line of each photo that once failed begins, in bytes."""
        found = {}
        with self.path.open("rb") as file:
            place = len(file.readline())
            for line in file:
                if (photo := _parse(line)[0].path) in self.failed:
                    found[photo] = place
                place += len(line)
        return found

    def finish(self, out: Path, format: str) -> None:
        """Turn the journal into the file that was asked for, and remove it.

        Raises WriteError; the journal is then still there.
        """
        try:
            with atomic_replace(out) as temporary:
                if format == "parquet":
                    _write_parquet(temporary, self.rows())
                else:
                    _write_text(temporary, self.rows(), format)
            self.path.unlink()
        except OSError as error:
            raise WriteError(f"{out}: could not write it: {error.strerror or error}") from error


def open_journal(out: Path, *, resume: bool, about: dict[str, object]) -> Journal:
    """Begin a journal for a file, or go on with the one that an interrupted run left.

    about   what the rows depend on: the model and the options
    raises  InputError if there is one and `resume` is not asked for, or it is of another model or options
    """
    path = out.with_name(f".{out.name}.journal")
    header = json.dumps(about) + "\n"
    try:
        check_regular_file(path)
        if path.exists() and not resume:
            raise InputError(f"{path} is what an interrupted run left: go on with --resume, or remove it")
        if path.exists() and (journal := _go_on(path, header)):
            return journal
        path.write_text(header, encoding="utf-8")
    except OSError as error:
        raise WriteError(f"{path}: {error.strerror or error}; choose another --out") from error
    return Journal(path, set(), set())


def _go_on(path: Path, header: str) -> Journal | None:
    """Read a journal line by line, and cut off a last line that was cut short: it is done again.

    None if not even the first line is whole. Raises InputError if it is of another run, or damaged.
    """
    journal = Journal(path, set(), set())
    with path.open("rb") as file:
        first = file.readline()
        if not first.endswith(b"\n"):
            return None
        if first != header.encode():
            raise InputError(f"{path} is of another model, other photos or options; remove it to begin again")
        whole = len(first)
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                row = _parse(line)[0]
            except (ValueError, LookupError, TypeError) as error:
                raise InputError(f"{path} is damaged: {error}; remove it to begin again") from error
            (journal.done if row.error is None else journal.failed).add(row.path)
    os.truncate(path, whole)
    return journal


def _parse(line: bytes) -> list[Row]:
    """The rows of one photo, from its line of a journal."""
    return [Row(**fields) for fields in json.loads(line)]


def print_rows(rows: Iterable[Row], format: str, *, table: Callable[[Iterable[Row]], str]) -> Iterator[str]:
    """Print rows as they come; yield what could not be read, with the reason.

    table  draws the rows for people
    """
    failed: list[str] = []
    watched = _watched(rows, failed)
    match format:
        case "json":
            lines: Iterable[str] = [to_json(watched)]
        case "jsonl":
            lines = to_jsonl(watched)
        case "csv":
            lines = to_csv(watched)
        case _:
            lines = [table(watched)]
    for line in lines:
        print(line, flush=True)
    yield from failed


@contextlib.contextmanager
def counted(rows: Iterator[Row], *, done: int) -> Iterator[Iterator[Row]]:
    """Show on standard error how many photos have passed."""
    from googlenet.base.progress import progress_counter

    with progress_counter("photos", done=done) as shown:

        def passing() -> Iterator[Row]:
            for row in rows:
                if row.rank in (1, None):
                    shown()
                yield row

        yield passing()


def _watched(rows: Iterable[Row], failed: list[str]) -> Iterator[Row]:
    for row in rows:
        if row.error is not None:
            failed.append(f"{row.path}: {row.error}")
        yield row


def need_format(format: str) -> None:
    """Check that a format can be written here.

    Raises MissingExtraError.
    """
    if format == "parquet" and find_spec("pyarrow") is None:
        raise MissingExtraError(
            "--format parquet needs pyarrow, not installed here: pip install 'googlenet[parquet]'"
        )


def _write_text(path: Path, rows: Iterator[Row], format: str) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if format == "json":
            lines = to_jsonl(rows)
            file.write("[" + next(lines, "") + "".join(f",\n{line}" for line in lines) + "]\n")
        else:
            file.writelines(line + "\n" for line in (to_csv(rows) if format == "csv" else to_jsonl(rows)))


def _write_parquet(path: Path, rows: Iterator[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"path": pa.string(), "rank": pa.int32(), "label": pa.string(), "probability": pa.float32()}
    schema = pa.schema([*columns.items(), ("error", pa.string()), ("unfamiliar", pa.bool_())])
    with contextlib.closing(pq.ParquetWriter(path, schema)) as writer:
        while group := list(islice(rows, GROUP)):
            table = [{**vars(row), "path": _readable(row.path)} for row in group]
            writer.write_table(pa.Table.from_pylist(table, schema))


def _readable(path: str) -> str:
    """A file name as UTF-8, what is none of it as \\x..: Parquet holds nothing else."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
