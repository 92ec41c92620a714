"""Many image files through any predictor: decoding and network overlapped, in order, bounded memory."""

import csv
import glob
import io
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import ImageError, InputError
from googlenet.base.notebook import BarCell, table
from googlenet.calibration import temperature
from googlenet.calibration.ood import Statistics, image_statistics
from googlenet.files.modelfile import ModelMetadata
from googlenet.images.decode import Pixels, preprocess, read_bytes
from googlenet.images.formats import SUFFIXES
from googlenet.images.limits import MAX_FILE

Logits = npt.NDArray[np.float32]
Source = TypeVar("Source")
Loaded = TypeVar("Loaded")
Answer = TypeVar("Answer")

STDIN = "-"


class Scores(NamedTuple):
    """What is seen of a photo."""

    logits: Logits  # [classes]
    figures: Statistics  # [9], of its pixels


class Predictor(Protocol):
    """Whatever turns a batch of cut-out squares into a logit for each class."""

    @property
    def card(self) -> ModelMetadata:
        """What the model says of itself."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How to cut the squares."""

    def logits(self, images: Pixels) -> Logits:
        """uint8 [N, size, size, 3] -> float32 [N, classes], before any temperature."""


@dataclass(frozen=True)
class Row:
    """One line of the result: a guess about a file, or why there is none."""

    path: str
    rank: int | None = None
    label: str | None = None
    probability: float | None = None
    error: str | None = None
    unfamiliar: bool | None = None  # unlike the training data; None if the model cannot tell

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return shown([self])


def shown(rows: Iterable[Row]) -> str:
    """Rows as an HTML table, for a notebook."""
    cells = [
        (
            row.path,
            row.error if row.label is None else row.label,
            BarCell(row.probability),
            "unlike the training data" if row.unfamiliar else "",
        )
        for row in rows
    ]
    return table(("photo", "guess", "probability", ""), cells)


def classify(
    paths: Iterable[str],
    predictor: Predictor,
    *,
    top: int = 5,
    batch: int = 16,
    workers: int = 2,
    skip: Container[str] = (),
) -> Iterator[Row]:
    """Classify files, folders, glob patterns, and `-` for an image on standard input.

    Photos in `skip`, named as they would be in the rows, are passed over.
    Yields `top` rows a file, best first, or one row with `error`; a bad file stops nothing.
    Raises InputError for a `top` or `batch` below 1.
    """
    check(top=top, batch=batch)
    card = predictor.card
    wanted = (path for path in expand(paths) if path not in skip)
    for path, result in stream(wanted, read, predictor, batch=batch, workers=workers):
        if isinstance(result, ImageError):
            yield Row(path, error=str(result))
            continue
        shares = temperature.probabilities(result.logits, card.temperature)
        marks = card.are_outliers(result.figures[None], temperature.energy_scores(result.logits[None]))
        strange = None if marks is None else bool(marks[0])
        for rank, label in enumerate(np.argsort(-shares, kind="stable")[:top], start=1):
            yield Row(path, rank, predictor.classes[label], float(shares[label]), unfamiliar=strange)


def check(*, top: int, batch: int) -> None:
    """Raise InputError for a `top` or `batch` below 1."""
    for option, value in (("--top", top), ("--batch", batch)):
        if value < 1:
            raise InputError(f"expected {option} of at least 1, got {value}")


def stream(
    sources: Iterable[Source],
    read: Callable[[Source], bytes],
    predictor: Predictor,
    *,
    batch: int,
    workers: int,
) -> Iterator[tuple[Source, Scores | ImageError]]:
    """Give each source what is seen of it, or the ImageError that it met, in order."""

    def load(source: Source) -> tuple[Pixels, Statistics]:
        square = preprocess(read(source), predictor.preprocessing)
        return square, image_statistics(square[None])[0]

    def answer(loaded: list[tuple[Pixels, Statistics]]) -> Iterator[Scores]:
        squares, looks = zip(*loaded, strict=True)
        return map(Scores, predictor.logits(np.stack(squares)), looks)

    return overlapped(sources, load, answer, batch=batch, workers=workers)


def overlapped(
    sources: Iterable[Source],
    load: Callable[[Source], Loaded],
    answer: Callable[[list[Loaded]], Iterable[Answer]],
    *,
    batch: int,
    workers: int,
) -> Iterator[tuple[Source, Answer | ImageError]]:
    """Load sources in threads while those before them are answered, `batch` of them at a time.

    load     what a predictor needs of a source; may raise ImageError
    answer   one answer for each of up to `batch` that were loaded
    yields   each source with its answer, or with the ImageError that it met, in order
    """

    def attempt(source: Source) -> Loaded | ImageError:
        try:
            return load(source)
        except ImageError as error:
            return error

    for group in _batched(_ahead(sources, attempt, workers=workers, ahead=2 * batch), batch):
        good = [loaded for _, loaded in group if not isinstance(loaded, ImageError)]
        answers = iter(answer(good) if good else [])
        for source, loaded in group:
            yield source, loaded if isinstance(loaded, ImageError) else next(answers)


def expand(paths: Iterable[str]) -> Iterator[str]:
    """Name the image files meant by files, folders and glob patterns, folders in sorted order.

    What does not exist is passed on, so that it is reported in its place.
    """
    for text in paths:
        # os.path, unlike Path, takes a folder that may not be entered for a file that is not there
        if text == STDIN or os.path.isfile(text):  # noqa: PTH113
            yield text
        elif os.path.isdir(text):  # noqa: PTH112
            yield from (found := _inside(Path(text)))
            if not found:
                yield text
        else:
            matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  (keeps the user's spelling)
            yield from expand(matches) if matches else [text]


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
        csv.writer(line, lineterminator="\r\n").writerow(  # also what makes it quote line breaks
            ["" if value is None else value for value in asdict(row).values()]
        )
        yield line.getvalue().removesuffix("\r\n")


def _fields(row: Row) -> dict[str, object]:
    return {name: value for name, value in asdict(row).items() if value is not None}


def _inside(folder: Path) -> list[str]:
    return [
        str(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def read(path: str) -> bytes:
    """The bytes of a file that `expand` named, or of an image on standard input.

    Raises ImageError.
    """
    if path == STDIN:
        return sys.stdin.buffer.read(MAX_FILE + 1)
    if os.path.isdir(path):  # noqa: PTH112
        raise ImageError("unreadable", "the folder holds no image file")
    return read_bytes(Path(path))


def _ahead(
    sources: Iterable[Source],
    load: Callable[[Source], Loaded],
    *,
    workers: int,
    ahead: int,
) -> Iterator[tuple[Source, Loaded]]:
    """Load sources in threads, at most `ahead` of them before they are asked for."""
    waiting: deque[tuple[Source, Future[Loaded]]] = deque()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for source in sources:
            waiting.append((source, pool.submit(load, source)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


Item = TypeVar("Item")


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
