"""Photos for the report: mistakes with their class maps, and examples of each class. No torch."""

import base64
import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import ImageError, ModelFileError
from googlenet.calibration import temperature
from googlenet.data.index import Index
from googlenet.evaluation.label_errors import Suspect
from googlenet.evaluation.scoring import SplitScores
from googlenet.files.metadata import ModelMetadata
from googlenet.images.boxes import mean_color, seen_box
from googlenet.images.decode import Pixels, decode_box, open_image, preprocess, upright_size
from googlenet.images.heatmaps import HeatMap, overlay
from googlenet.inference.predict import Predictor

MAX_MISTAKES = 24
MAX_EXAMPLES = 4  # correct photos of a class, and as many wrong ones
MAX_CLASSES = 60  # with more, no examples are shown: the page would be too large to open
MAX_SUSPECTS = 48
THUMBNAIL = 160  # pixels

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GalleryPhoto:
    """A photo of the split with its prediction.

    picture    the network's crop as a data URL; empty if the photo can no longer be read
    for_guess  the same with the class map of the prediction; empty without class maps
    for_truth  the same with the class map of the true class
    """

    name: str
    truth: str
    guess: str
    probability: float
    picture: str = ""
    for_guess: str = ""
    for_truth: str = ""


@dataclass(frozen=True)
class ClassExamples:
    """Photos of a class, correct and wrong, each most confident first."""

    label: str
    right: tuple[GalleryPhoto, ...]
    wrong: tuple[GalleryPhoto, ...]


@dataclass(frozen=True)
class SuspectPhotos:
    """Photos whose labels are probably wrong: how many there are, and some, the most suspect first."""

    count: int
    shown: tuple[GalleryPhoto, ...]


class Gallery:
    """The photos of an evaluated split."""

    def __init__(
        self, scored: SplitScores, index: Index, card: ModelMetadata, predictor: Predictor | None = None
    ) -> None:
        """Take the scores of a split; the class maps are those of `predictor`, if it has any."""
        self._scored, self._index, self._card = scored, index, card
        probabilities = temperature.probabilities(scored.logits, card.temperature)
        self._labels: Rows = index.labels[scored.numbers]
        self._guesses = probabilities.argmax(axis=1)
        self._confidence = probabilities.max(axis=1)
        self._maps = getattr(predictor, "class_maps", None)

    def mistakes(self) -> tuple[GalleryPhoto, ...]:
        """The wrong predictions with the highest confidence."""
        return self._photos(self._guesses != self._labels, MAX_MISTAKES, with_maps=True)

    def suspects(self, found: Sequence[Suspect]) -> "SuspectPhotos":
        """Photos whose labels are probably wrong, the first of many with pictures."""
        row = {number: i for i, number in enumerate(self._scored.numbers.tolist())}
        shown = [self._photo(row[each.number], with_maps=False) for each in found[:MAX_SUSPECTS]]
        return SuspectPhotos(len(found), tuple(shown))

    def examples(self) -> list[ClassExamples]:
        """Photos of each class; none if there are too many classes."""
        if len(self._card.classes) > MAX_CLASSES:
            return []
        correct = self._guesses == self._labels
        return [
            ClassExamples(
                label,
                self._photos((self._labels == number) & correct, MAX_EXAMPLES),
                self._photos((self._labels == number) & ~correct, MAX_EXAMPLES),
            )
            for number, label in enumerate(self._card.classes)
        ]

    def _photos(
        self, chosen: npt.NDArray[np.bool_], count: int, *, with_maps: bool = False
    ) -> tuple[GalleryPhoto, ...]:
        """Up to `count` of the chosen photos, those with the highest confidence first."""
        rows = np.flatnonzero(chosen)
        rows = rows[np.argsort(-self._confidence[rows], kind="stable")][:count]
        return tuple(self._photo(row, with_maps) for row in rows.tolist())

    def _photo(self, row: int, with_maps: bool) -> GalleryPhoto:
        number, truth, guess = (int(a[row]) for a in (self._scored.numbers, self._labels, self._guesses))
        classes, preprocessing = self._card.classes, self._card.preprocessing
        name, confidence = self._index.name(number), float(self._confidence[row])
        photo = GalleryPhoto(name, classes[truth], classes[guess], confidence)
        with contextlib.suppress(ImageError, ModelFileError):  # the latter: a network without class maps
            data = self._index.read(number)
            square = center_crop(data, preprocessing)
            photo = replace(photo, picture=data_url(square))
            if with_maps and self._maps is not None:
                maps: Sequence[HeatMap] = self._maps(preprocess(data, preprocessing)[None])[0]
                urls = [data_url(overlay(square, maps[label])) for label in (guess, truth)]
                photo = replace(photo, for_guess=urls[0], for_truth=urls[1])
        return photo


def center_crop(data: bytes, preprocessing: Preprocessing) -> Image.Image:
    """The part of a photo that the network sees, at the size of a thumbnail.

    Raises ImageError.
    """
    opened = open_image(data)
    box = seen_box(*upright_size(opened), preprocessing)
    return decode_box(opened, box, THUMBNAIL, fill=mean_color(preprocessing))


def data_url(image: Image.Image) -> str:
    """An image as the data URL of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnail_urls(images: Pixels) -> list[str]:
    """Images uint8 [N, size, size, 3] as data URLs, small ones enlarged without smoothing."""
    factor = max(1, THUMBNAIL // images.shape[1])
    return [data_url(Image.fromarray(image.repeat(factor, 0).repeat(factor, 1))) for image in images]
