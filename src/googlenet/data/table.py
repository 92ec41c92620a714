"""Labels in a table: CSV, TSV, JSON lines or Parquet, a row a photo, for photos in a folder of any shape.

Competitions, labeling tools and Hugging Face's `imagefolder` (its `metadata.csv`) give labels so.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from googlenet.base.errors import DataError, InputError, MissingExtraError
from googlenet.base.text import abbreviate, pluralize
from googlenet.data.files import FilesInFolder
from googlenet.data.scan import describe_lookalikes, lookalike_key

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet")
FILE_COLUMNS = (
    "file_name", "filename", "file", "path", "filepath", "file_path", "image", "image_path", "image_name",
    "image_id", "img", "photo", "name", "id",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "labels", "class", "class_name", "category", "target", "species", "breed", "label_name", "tag",
    "y",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "subset", "set", "partition")
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
FOLDER = "folder"  # in place of a column of groups: the folders inside
_RANK, _PREDICTED = "rank", ("path", "label", "probability")  # `predict` wrote it: the first guess counts
_DELIMITERS = ",;\t|"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Where labels stand: a table, and its columns where they have names of their own."""

    file: str
    columns: tuple[str, ...] = ()  # of the file, of the label, and perhaps of the split
    group: str | None = None  # column; photos of a value are on one side of a split of ours


@dataclass
class LabeledFiles:
    """The photos that a table names, in its order; paths relative to the folder."""

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)  # of each photo; empty if the table has no such column
    groups: list[str] = field(default_factory=list)  # likewise
    notes: list[str] = field(default_factory=list)


def labels_at(file: Path | None, columns: str | None = None, group: str | None = None) -> Labels | None:
    """A table by the options of the command line; None without one.

    columns  names with commas between them
    group    a column, or `folder`, which is none
    Raises InputError for columns without a table.
    """
    group = None if group == FOLDER else group
    if file is None:
        for option, value in (("--columns", columns), (f"--group {group}", group)):
            if value is not None:
                raise InputError(f"expected --labels FILE with {option}, got none")
        return None
    names = tuple(name.strip() for name in columns.split(",")) if columns is not None else ()
    return Labels(file=str(file.absolute()), columns=names, group=group)


def read_labels(root: Path, table: Labels) -> LabeledFiles:
    """Read a table and find its photos in a folder.

    Raises DataError for a table that cannot be read, lacks the columns, gives a photo two labels, has labels
    that only look different, or names no photo that is there; MissingExtraError for Parquet without pyarrow.
    """
    path = Path(table.file)
    names, rows = _read(path)
    columns = _Columns(path, names, table)
    files, found, seen = FilesInFolder(root), LabeledFiles(), dict[str, tuple[str, int]]()
    count: Counter[str] = Counter()
    missing: list[str] = []
    for number, row in enumerate(rows, start=2):
        file, label = columns.file(row), columns.label(row)
        if columns.is_later_guess(row):
            continue
        if not file or not label:
            count["blank"] += 1
            continue
        if (name := files.find(file, where=f"{path}, row {number}")) is None:
            missing.append(file)
            continue
        if name in seen:
            _check_same(path, name, seen[name], (label, number))
            count["again"] += 1
            continue
        seen[name] = label, number
        found.paths.append(name)
        found.labels.append(label)
        found.splits += columns.split(row, number)
        found.groups += [group or name for group in columns.group(row)]  # by itself, if it has none
    if not found.paths:
        example = f", as {missing[0]!r}" if missing else ""
        raise DataError(f"{path}: expected files that are in {root}, got none{example}")
    _check_labels(path, found.labels)
    found.notes = [*_notes(path, count, missing), *files.notes(path, len(found.paths))]
    return found


def column_names(table: Labels) -> list[str]:
    """The names of a table's columns.

    Raises DataError, MissingExtraError: see `read_labels`.
    """
    return _read(Path(table.file))[0]


def find_metadata(root: Path) -> Path | None:
    """The table that Hugging Face's `imagefolder` would use for a folder."""
    names = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
    return next((root / name for name in names if (root / name).is_file()), None)


class _Columns:
    """Which columns hold what."""

    def __init__(self, path: Path, names: Sequence[str], table: Labels) -> None:
        self._path, self._names = path, list(names)
        chosen = table.columns
        if chosen and not 2 <= len(chosen) <= 3:
            raise DataError(
                f"expected --columns FILE,LABEL or FILE,LABEL,SPLIT, got {', '.join(map(repr, chosen))}"
            )
        self._file = self._named(chosen[0]) if chosen else self._usual("the file", FILE_COLUMNS)
        self._label = self._named(chosen[1]) if chosen else self._usual("the label", LABEL_COLUMNS)
        self._split = self._named(chosen[2]) if len(chosen) > 2 else None
        if not chosen:
            self._split = self._find(SPLIT_COLUMNS)
        self._group = self._named(table.group) if table.group else None
        self._rank = self._find((_RANK,)) if {_RANK, *_PREDICTED} <= set(names) else None

    def _find(self, usual: Iterable[str]) -> int | None:
        lower = [name.strip().lower() for name in self._names]
        return next((lower.index(name) for name in usual if name in lower), None)

    def _usual(self, what: str, usual: Iterable[str]) -> int:
        if (found := self._find(usual)) is None:
            raise DataError(
                f"{self._path}: expected a column with {what}, got {self._there()}; "
                "name two of them, as --columns FILE,LABEL"
            )
        return found

    def _named(self, name: str) -> int:
        if name not in self._names:
            raise DataError(f"{self._path}: expected a column {name!r}, got {self._there()}")
        return self._names.index(name)

    def _there(self) -> str:
        return f"the columns {abbreviate([repr(name) for name in self._names], most=20)}"

    def file(self, row: Sequence[str]) -> str:
        return row[self._file].strip() if self._file < len(row) else ""

    def label(self, row: Sequence[str]) -> str:
        return row[self._label].strip() if self._label < len(row) else ""

    def is_later_guess(self, row: Sequence[str]) -> bool:
        return self._rank is not None and self._rank < len(row) and row[self._rank] not in ("", "1")

    def split(self, row: Sequence[str], number: int) -> list[str]:
        if self._split is None:
            return []
        word = row[self._split].strip() if self._split < len(row) else ""
        if word.lower() not in SPLIT_WORDS:
            raise DataError(
                f"{self._path}, row {number}: expected a split among train, val and test, got {word!r}"
            )
        return [SPLIT_WORDS[word.lower()]]

    def group(self, row: Sequence[str]) -> list[str]:
        return [] if self._group is None else [row[self._group].strip() if self._group < len(row) else ""]


def _read(path: Path) -> tuple[list[str], Iterator[Sequence[str]]]:
    """The names of the columns, and the rows as text."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: expected a table with a name in {', '.join(SUFFIXES)}")
    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    if not text.strip(b"\xef\xbb\xbf \t\r\n"):
        raise DataError(f"{path}: expected a table, got an empty file")
    try:
        lines = text.decode("utf-16" if text.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, got byte {error.start} of another encoding") from error
    return _read_json(path, lines) if path.suffix.lower() in (".jsonl", ".ndjson") else _read_csv(path, lines)


def _read_csv(path: Path, text: str) -> tuple[list[str], Iterator[Sequence[str]]]:
    first = text.lstrip().split("\n", 1)[0]
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    delimiter = max(_DELIMITERS, key=lambda mark: (first.count(mark), mark == usual))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [name.strip() for name in next((row for row in rows if row), [])]
    except csv.Error as error:
        raise DataError(f"{path}: is no table: {error}") from error
    if not names:
        raise DataError(f"{path}: expected a table, got an empty file")
    return names, (row for row in _checked(path, rows) if row)


def _checked(path: Path, rows: Any) -> Iterator[Sequence[str]]:
    try:
        yield from rows
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: is no table: {error}") from error


def _read_json(path: Path, text: str) -> tuple[list[str], Iterator[Sequence[str]]]:
    objects = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: expected a JSON object, got {line[:60]!r}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: expected a JSON object, got {line[:60]!r}")
        objects.append(row)
    names = list(dict.fromkeys(name for row in objects for name in row))
    return names, ([_as_text(row.get(name)) for name in names] for row in objects)


def _read_parquet(path: Path) -> tuple[list[str], Iterator[Sequence[str]]]:
    if find_spec("pyarrow") is None:
        raise MissingExtraError("--labels of Parquet needs pyarrow: pip install 'googlenet[parquet]'")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is no Parquet file: {str(error).splitlines()[0]}") from error
    kinds = ("string", "large_string", "integer", "floating", "boolean", "dictionary")
    plain = [getattr(pa.types, f"is_{kind}") for kind in kinds]
    names = [field.name for field in schema if any(is_kind(field.type) for is_kind in plain)]

    def rows() -> Iterator[Sequence[str]]:
        try:
            for batch in file.iter_batches(columns=names):  # without pictures, which may be gigabytes
                columns = [map(_as_text, column.to_pylist()) for column in batch.columns]
                yield from map(list, zip(*columns, strict=True))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error

    return names, rows()


def _as_text(value: object) -> str:
    """A cell as it would stand in CSV; a whole number has no fraction, whatever it was stored as."""
    if value is None or value != value:  # NaN: pandas' blank
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _check_same(path: Path, name: str, first: tuple[str, int], again: tuple[str, int]) -> None:
    if first[0] != again[0]:
        raise DataError(
            f"{path}: expected one label a photo, got for {name} {first[0]!r} in row {first[1]} and "
            f"{again[0]!r} in row {again[1]}"
        )


def _check_labels(path: Path, labels: Iterable[str]) -> None:
    """Refuse two labels that look the same: they would silently be two classes."""
    seen: dict[str, str] = {}
    for name in sorted(set(labels)):
        if (other := seen.setdefault(lookalike_key(name), name)) != name:
            raise DataError(
                f"{path}: expected labels with names of their own, got {describe_lookalikes(other, name)}, "
                "which look the same; write them alike"
            )


def _notes(path: Path, count: Counter[str], missing: Sequence[str]) -> Iterator[str]:
    if missing:
        names = abbreviate([repr(name) for name in missing])
        yield f"{path}: {pluralize(len(missing), 'row')} left out whose file is not there: {names}"
    if count["blank"]:
        yield f"{path}: {pluralize(count['blank'], 'row')} left out without a file or a label"
    if count["again"]:
        yield f"{path}: {pluralize(count['again'], 'row')} left out that say the same of a photo again"
