"""What a model took each photo of a split for: a row a photo, for people to sort and programs to read."""

import contextlib
import csv
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from googlenet.base.errors import ImageError, InputError, WriteError
from googlenet.calibration.temperature import Probabilities
from googlenet.data.index import Index, Indices
from googlenet.files.atomic import atomic_replace
from googlenet.files.output_paths import check_output_path
from googlenet.inference.output import need_format, printable

SUFFIXES = (".csv", ".jsonl", ".parquet")
GROUP = 1000  # rows of a Parquet row group
LEAST = 1e-12  # a probability, for a loss that is finite


@dataclass(frozen=True)
class PhotoScores:
    """The probabilities of each photo that could be read, and the errors of the others."""

    index: Index
    classes: tuple[str, ...]
    numbers: Indices  # [N], in the index
    probabilities: Probabilities  # [N, classes], as they were measured
    bad: dict[int, ImageError]

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row a photo, in the order of the index.

        path, label, guess, probability of the guess, loss in nats, probabilities by class; or path, label
        and error.
        """
        at = dict(zip(self.numbers.tolist(), self.probabilities, strict=True))
        for number in range(len(self.index)):
            label = int(self.index.labels[number])
            row: dict[str, Any] = {
                "path": str(self.index.root / self.index.name(number)),
                "label": self.classes[label],
            }
            if number in self.bad:
                yield {**row, "error": str(self.bad[number])}
                continue
            shares = at[number]
            guess = int(shares.argmax())
            row |= {"guess": self.classes[guess], "probability": float(shares[guess])}
            row["loss"] = float(-np.log(max(float(shares[label]), LEAST)))
            yield {**row, "probabilities": dict(zip(self.classes, map(float, shares), strict=True))}

    def write(self, out: Path) -> None:
        """Write the rows as CSV (a column `p:CLASS` a class), JSON lines or Parquet, by the suffix of `out`.

        Raises WriteError.
        """
        try:
            with atomic_replace(out) as temporary:
                if out.suffix == ".jsonl":
                    with temporary.open("w", encoding="utf-8", errors="surrogateescape") as file:
                        file.writelines(json.dumps(row) + "\n" for row in self.rows())
                elif out.suffix == ".csv":
                    self._write_csv(temporary)
                else:
                    self._write_parquet(temporary)
        except OSError as error:
            raise WriteError(f"{out}: could not write it: {error.strerror or error}") from error

    def _columns(self) -> list[str]:
        return ["path", "label", "guess", "probability", "loss", "error", *(f"p:{c}" for c in self.classes)]

    def _flat(self) -> Iterator[dict[str, Any]]:
        for row in self.rows():
            shares = row.pop("probabilities", {})
            yield {**row, **{f"p:{name}": share for name, share in shares.items()}}

    def _write_csv(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.DictWriter(file, self._columns())
            writer.writeheader()
            writer.writerows(self._flat())

    def _write_parquet(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        text = dict.fromkeys(("path", "label", "guess", "error"), pa.string())
        names = {name: printable(name) for name in self._columns()}
        schema = pa.schema([(shown, text.get(name, pa.float32())) for name, shown in names.items()])
        rows = self._flat()
        with contextlib.closing(pq.ParquetWriter(path, schema)) as writer:
            while group := list(itertools.islice(rows, GROUP)):
                table = [
                    {names[k]: printable(v) if k in text else v for k, v in row.items()} for row in group
                ]
                writer.write_table(pa.Table.from_pylist(table, schema))


def check_out(out: Path, *, force: bool) -> None:
    """Check, before anything is measured, that a file of rows can be written there.

    Raises InputError for another suffix, MissingExtraError for Parquet without pyarrow, and what
    `check_output_path` raises.
    """
    if out.suffix not in SUFFIXES:
        raise InputError(f"expected --out with a name in {', '.join(SUFFIXES)}, got {out}")
    need_format(out.suffix.removeprefix("."))
    check_output_path(out, force=force)
