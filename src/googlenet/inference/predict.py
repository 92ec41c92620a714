"""Many images through any predictor: decoding and network overlapped, in order, bounded memory."""

import itertools
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import ImageError, InputError
from googlenet.base.notebook import BarCell, table
from googlenet.calibration import temperature
from googlenet.calibration.ood import Features, Statistics, image_statistics
from googlenet.calibration.temperature import Probabilities
from googlenet.files.metadata import ModelMetadata
from googlenet.images import decode
from googlenet.images.decode import Pixels, preprocess
from googlenet.inference.sources import Photo, name_photos, read_photo

Logits = npt.NDArray[np.float32]
Source = TypeVar("Source")
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")


class Outputs(NamedTuple):
    """What a network gives for a batch, before any temperature."""

    logits: Logits  # [N, classes]
    maps: npt.NDArray[np.float32] | None = None  # [N, classes, h, w]
    features: Features | None = None  # [N, channels]: the averages that the classifier reads


class Scores(NamedTuple):
    """The network's output for one photo, and the statistics of its pixels."""

    logits: Logits  # [classes]
    figures: Statistics  # [9]
    features: Features | None = None  # [channels]


class Predictor(Protocol):
    """Whatever turns a batch of square images into a logit for each class."""

    @property
    def about(self) -> str:
        """What runs the model, in words."""

    @property
    def metadata(self) -> ModelMetadata:
        """What the model file says of the model."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How photos become the network's input."""

    def logits(self, images: Pixels) -> Logits:
        """uint8 [N, size, size, 3] -> float32 [N, classes], before any temperature."""


class ModelPredictor:
    """What our own predictors have in common: their metadata and, from `logits`, probabilities."""

    metadata: ModelMetadata

    @property
    def card(self) -> ModelMetadata:
        """The former name of `metadata`."""
        return self.metadata

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.metadata.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """How photos become the network's input."""
        return self.metadata.preprocessing

    def logits(self, images: Pixels) -> Logits:
        """uint8 [N, size, size, 3] -> float32 [N, classes], before any temperature."""
        return self.outputs(images).logits

    def outputs(self, images: Pixels) -> Outputs:
        """uint8 [N, size, size, 3] -> logits, and features and class maps where they come for nothing."""
        return Outputs(self.logits(images))

    def __call__(self, images: Pixels) -> Probabilities:
        """uint8 [N, size, size, 3] -> float32 [N, classes], rows summing to 1."""
        return temperature.probabilities(self.logits(images), self.metadata.temperature)


@dataclass(frozen=True)
class Row:
    """One line of the result: a predicted class of a file, or why there is none."""

    path: str
    rank: int | None = None
    label: str | None = None
    probability: float | None = None
    error: str | None = None
    unfamiliar: bool | None = None  # unlike the training data; None if the model cannot tell

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        label = self.error if self.label is None else self.label
        note = "unlike the training data" if self.unfamiliar else ""
        cells = (self.path, label, BarCell(self.probability), note)
        return table(("photo", "guess", "probability", ""), [cells])


def classify(
    photos: Photo | Iterable[Photo],
    predictor: Predictor,
    *,
    top: int = 5,
    batch: int = 16,
    workers: int = 2,
    skip: Container[str] = (),
) -> Iterator[Row]:
    """Classify photos, one or many, in their order.

    photos  paths of files and folders, glob patterns, `-` for an image on standard input; bytes of image
            files, open files, Pillow images, uint8 arrays [H, W], [H, W, 3] or [N, H, W, 3] in RGB, which
            the rows name by their number
    skip    photos, named as they would be in the rows, that are passed over
    Yields `top` rows a file, best first, or one row with `error`; a bad file stops nothing.
    Raises InputError for a `top` or `batch` below 1.
    """
    check_options(top=top, batch=batch)
    metadata = predictor.metadata
    wanted = (named for named in name_photos(photos) if named[0] not in skip)
    for (path, _), result in score_images(wanted, read_photo, predictor, batch=batch, workers=workers):
        if isinstance(result, ImageError):
            yield Row(path, error=str(result))
            continue
        probabilities = temperature.probabilities(result.logits, metadata.temperature)
        features = None if result.features is None else result.features[None]
        outliers = metadata.are_outliers(
            result.figures[None],
            temperature.energy_scores(result.logits[None]),
            metadata.distances(features),
        )
        outlier = None if outliers is None else bool(outliers[0])
        for rank, label in enumerate(np.argsort(-probabilities, kind="stable")[:top], start=1):
            yield Row(path, rank, predictor.classes[label], float(probabilities[label]), unfamiliar=outlier)


def check_options(*, top: int, batch: int) -> None:
    """Raise InputError for a `top` or `batch` below 1."""
    for option, value in (("--top", top), ("--batch", batch)):
        if value < 1:
            raise InputError(f"expected {option} of at least 1, got {value}")


def score_images(
    sources: Iterable[Source],
    read: Callable[[Source], decode.Source],
    predictor: Predictor,
    *,
    batch: int,
    workers: int,
) -> Iterator[tuple[Source, Scores | ImageError]]:
    """Yield each source with the network's output for it, or the ImageError that it met, in order."""

    def load(source: Source) -> tuple[Pixels, Statistics]:
        square = preprocess(read(source), predictor.preprocessing)
        return square, image_statistics(square[None])[0]

    def score(loaded: list[tuple[Pixels, Statistics]]) -> Iterator[Scores]:
        squares, figures = zip(*loaded, strict=True)
        outputs = outputs_of(predictor, np.stack(squares))
        features = itertools.repeat(None) if outputs.features is None else outputs.features
        return map(Scores, outputs.logits, figures, features)

    return map_batches(sources, load, score, batch=batch, workers=workers)


def outputs_of(predictor: Predictor, images: Pixels) -> Outputs:
    """uint8 [N, size, size, 3] -> all that a predictor gives; of a user's own that may be logits alone."""
    if isinstance(predictor, ModelPredictor):
        return predictor.outputs(images)
    return Outputs(predictor.logits(images))


def map_batches(
    sources: Iterable[Source],
    load: Callable[[Source], Loaded],
    function: Callable[[list[Loaded]], Iterable[Result]],
    *,
    batch: int,
    workers: int,
) -> Iterator[tuple[Source, Result | ImageError]]:
    """Load sources in threads while a function runs on those before them, `batch` of them at a time.

    load      prepares one source; may raise ImageError
    function  one result for each of up to `batch` loaded sources
    yields    each source with its result, or with the ImageError that it met, in order
    """

    def attempt(source: Source) -> Loaded | ImageError:
        try:
            return load(source)
        except ImageError as error:
            return error

    pairs = _prefetched(sources, attempt, workers=workers, ahead=2 * batch)
    while group := list(islice(pairs, batch)):
        good = [loaded for _, loaded in group if not isinstance(loaded, ImageError)]
        results = iter(function(good) if good else [])
        for source, loaded in group:
            yield source, loaded if isinstance(loaded, ImageError) else next(results)


def _prefetched(
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
