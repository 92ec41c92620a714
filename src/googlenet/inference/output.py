"""Rows of a prediction in the formats that people and programs read: JSON, JSON lines, CSV, Parquet."""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from googlenet.base.errors import MissingExtraError
from googlenet.inference.predict import Row

FORMATS = ("json", "jsonl", "csv", "parquet")
GROUP = 65_536  # rows of a Parquet row group


def to_json(rows: Iterable[Row]) -> str:
    """One JSON list of the rows, without empty fields."""
    return json.dumps([_fields(row) for row in rows], indent=1)


def to_jsonl(rows: Iterable[Row]) -> Iterator[str]:
    """One JSON object a line."""
    for row in rows:
        yield json.dumps(_fields(row))


def to_csv(rows: Iterable[Row]) -> Iterator[str]:
    """Comma-separated lines with a header."""
    yield ",".join(field.name for field in fields(Row))
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(vars(row).values())  # the end makes it quote breaks
        yield line.getvalue().removesuffix("\r\n")


def _fields(row: Row) -> dict[str, object]:
    return {name: value for name, value in vars(row).items() if value is not None}


def write_rows(path: Path, rows: Iterator[Row], format: str) -> None:
    """Write rows to a file in one of FORMATS.

    Raises OSError.
    """
    if format == "parquet":
        _write_parquet(path, rows)
        return
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if format == "json":
            lines = to_jsonl(rows)
            file.write("[" + next(lines, "") + "".join(f",\n{line}" for line in lines) + "]\n")
        else:
            file.writelines(line + "\n" for line in (to_csv(rows) if format == "csv" else to_jsonl(rows)))


def print_rows(rows: Iterable[Row], format: str, *, table: Callable[[Iterable[Row]], str]) -> Iterator[str]:
    """Print rows as they come; yield a line for each photo that could not be read.

    table  draws the rows for people
    """
    failed: list[str] = []
    checked = _with_failures(rows, failed)
    match format:
        case "json":
            lines: Iterable[str] = [to_json(checked)]
        case "jsonl":
            lines = to_jsonl(checked)
        case "csv":
            lines = to_csv(checked)
        case _:
            lines = [table(checked)]
    for line in lines:
        print(line, flush=True)
    yield from failed


def counted(rows: Iterable[Row], *, done: int) -> Iterator[Row]:
    """Pass rows on, and show on standard error how many photos they are of."""
    from googlenet.base.progress import progress_counter

    with progress_counter("photos", done=done) as advance:
        for row in rows:
            if row.rank in (1, None):
                advance()
            yield row


def _with_failures(rows: Iterable[Row], failed: list[str]) -> Iterator[Row]:
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


def _write_parquet(path: Path, rows: Iterator[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"path": pa.string(), "rank": pa.int32(), "label": pa.string(), "probability": pa.float32()}
    schema = pa.schema([*columns.items(), ("error", pa.string()), ("unfamiliar", pa.bool_())])
    with contextlib.closing(pq.ParquetWriter(path, schema)) as writer:
        while group := list(islice(rows, GROUP)):
            table = [{**vars(row), "path": printable(row.path)} for row in group]
            writer.write_table(pa.Table.from_pylist(table, schema))


def printable(path: str) -> str:
    """A file name as UTF-8, other bytes escaped as \\x..: Parquet holds nothing else."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
