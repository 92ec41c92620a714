"""Pictures for the page of a run: mistakes and examples with their class maps. No torch."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import ImageError, ModelFileError
from googlenet.calibration import temperature
from googlenet.calibration.temperature import Probabilities
from googlenet.data.index import Index
from googlenet.evaluation.scoring import SplitScores
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels, center_box, decode_box, open_image, preprocess, upright_size
from googlenet.images.heatmaps import HeatMap, overlay
from googlenet.inference.predict import Predictor

WORST = 24  # mistakes shown
EACH = 4  # photos of a class that it was right about, and that it was wrong about
CLASSES = 60  # of more, no examples are shown: the page would be too large to open
THUMBNAIL = 160  # pixels

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Photo:
    """A photo of the split, as the network saw it, and what was said of it.

    picture   a data URL; empty if the photo cannot be read any more
    for_guess the same with what speaks for the guess; empty without class maps
    for_truth with what speaks for the class that it is
    """

    name: str
    truth: str
    guess: str
    probability: float
    picture: str
    for_guess: str = ""
    for_truth: str = ""


@dataclass(frozen=True)
class Examples:
    """Photos of a class: most surely right first, and most surely wrong first."""

    label: str
    right: tuple[Photo, ...]
    wrong: tuple[Photo, ...]


class Gallery:
    """The photos of a split that was scored."""

    def __init__(
        self, scored: SplitScores, index: Index, card: ModelMetadata, predictor: Predictor | None = None
    ) -> None:
        """Look at a split; the class maps are those of `predictor`, if it has any."""
        self._scored, self._index, self._card = scored, index, card
        self._shares: Probabilities = temperature.probabilities(scored.logits, card.temperature)
        self._labels: Numbers = index.labels[scored.numbers]
        self._guesses = self._shares.argmax(axis=1)
        self._sure = self._shares.max(axis=1)
        self._maps = getattr(predictor, "class_maps", None)

    def mistakes(self) -> list[Photo]:
        """The photos that the model was most sure of and wrong about."""
        wrong = np.flatnonzero(self._guesses != self._labels)
        return [self._photo(i, mapped=True) for i in self._surest(wrong)[:WORST]]

    def examples(self) -> list[Examples]:
        """Photos of each class; none if there are too many classes."""
        if len(self._card.classes) > CLASSES:
            return []
        found = []
        for number, label in enumerate(self._card.classes):
            own = self._labels == number
            right = self._surest(np.flatnonzero(own & (self._guesses == number)))[:EACH]
            wrong = self._surest(np.flatnonzero(own & (self._guesses != number)))[:EACH]
            shown = [tuple(self._photo(i, mapped=False) for i in some) for some in (right, wrong)]
            found.append(Examples(label, *shown))
        return found

    def _surest(self, rows: Numbers) -> list[int]:
        return [int(i) for i in rows[np.argsort(-self._sure[rows], kind="stable")]]

    def _photo(self, i: int, *, mapped: bool) -> Photo:
        number, truth, guess = int(self._scored.numbers[i]), int(self._labels[i]), int(self._guesses[i])
        said = (
            self._index.name(number),
            self._card.classes[truth],
            self._card.classes[guess],
            float(self._sure[i]),
        )
        try:
            data = self._index.read(number)
            square = seen_square(data, self._card.preprocessing)
            if not mapped or self._maps is None:
                return Photo(*said, jpeg_url(square))
            maps: Sequence[HeatMap] = self._maps(preprocess(data, self._card.preprocessing)[None])[0]
        except ImageError:
            return Photo(*said, "")
        except ModelFileError:  # a network that ends in dense layers
            return Photo(*said, jpeg_url(square))
        heat = [jpeg_url(overlay(square, maps[label])) for label in (guess, truth)]
        return Photo(*said, jpeg_url(square), *heat)


def seen_square(data: bytes, taken: Preprocessing) -> Image.Image:
    """What the network saw of a photo, as large as it is shown.

    Raises ImageError.
    """
    opened = open_image(data)
    return decode_box(opened, center_box(*upright_size(opened), crop=taken.crop, warp=taken.warp), THUMBNAIL)


def jpeg_url(image: Image.Image) -> str:
    """A picture as a data URL."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def tiles(images: Pixels) -> list[str]:
    """Images uint8 [N, size, size, 3] as data URLs, small ones enlarged without smoothing."""
    factor = max(1, THUMBNAIL // images.shape[1])
    return [jpeg_url(Image.fromarray(image.repeat(factor, 0).repeat(factor, 1))) for image in images]
