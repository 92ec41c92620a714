"""Explanations: what each part of a photo adds to the logit of a class. No torch for class maps."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError
from googlenet.calibration import temperature
from googlenet.images.boxes import Box, seen_box
from googlenet.images.decode import Pixels, decode_opened, open_image, png_bytes, preprocess
from googlenet.images.heatmaps import HeatMap, Panel, contact_sheet, overlay
from googlenet.inference.predict import Predictor

CAM = "cam"
LEGEND = {  # of each method: what color means
    CAM: "none, to the greatest share of the logit",
    "gradcam": "none, to the greatest weighted activation",
    "integrated-gradients": "none, to the greatest share of the logit",
    "occlusion": "none, to the greatest fall of the logit",
}
LOGITS = "logits"  # the layer of the classes
OCCLUDED = 0.2  # side of the patch that occlusion covers, as a share of the square's
_LARGEST = 1600  # pixels of a photo's longer side that are kept to be shown


class Attribution(Protocol):
    """A method of explanation: heat [h, w] of a class over one square uint8 [1, size, size, 3]."""

    def __call__(self, square: Pixels, label: int) -> HeatMap:
        """The heat of one class."""


@dataclass(frozen=True)
class ClassExplanation:
    """One class of a photo, and what each part of the network's input adds to it.

    heat  float32 [h, w] over the square; the mean of a class map is the logit
    """

    label: str
    probability: float
    heat: HeatMap


@dataclass(frozen=True)
class Explanation:
    """A photo, the box of it that the network saw, and its classes: as asked for, or the most probable."""

    photo: Image.Image  # upright
    box: Box  # in pixels of `photo`
    reasons: tuple[ClassExplanation, ...]

    def picture(self, number: int = 0) -> Image.Image:
        """The heat of one class over the whole photo."""
        return overlay(self.photo, self.reasons[number].heat, self.box)

    def panels(self, name: str = "") -> list[Panel]:
        """The photo and a picture of each class, as a row of a sheet."""
        return [Panel(self.photo, name)] + [
            Panel(self.photo, f"{reason.label} {reason.probability:.1%}", reason.heat, self.box)
            for reason in self.reasons
        ]

    def _repr_png_(self) -> bytes:
        """Show it in a notebook."""
        return png_bytes(np.asarray(contact_sheet([self.panels()])))


def explain(
    data: bytes,
    predictor: Predictor,
    *,
    classes: Sequence[str] = (),
    top: int = 1,
    attribution: Attribution | None = None,
) -> Explanation:
    """Explain a photo.

    data         the bytes of an image file
    classes      names of the classes to explain; by default the `top` most probable
    attribution  another method than the exact class map, as `attribution.method` gives it
    raises       ImageError; InputError for a class that the model does not know; ModelFileError for a
                 model without class maps
    """
    numbers = [class_number(name, predictor.classes) for name in classes]
    photo, box, square = photo_and_input(data, predictor.preprocessing)
    logits = predictor.logits(square)[0]
    probabilities = temperature.probabilities(logits, predictor.metadata.temperature)
    labels = numbers or [int(label) for label in np.argsort(-probabilities, kind="stable")[:top]]
    method = attribution or _class_map(predictor, square)
    return Explanation(
        photo,
        box,
        tuple(
            ClassExplanation(predictor.classes[i], float(probabilities[i]), method(square, i)) for i in labels
        ),
    )


def class_number(name: str, classes: Sequence[str]) -> int:
    """The number of a class.

    Raises InputError with the names that are closest.
    """
    if name in classes:
        return list(classes).index(name)
    folded = {label.casefold(): label for label in reversed(classes)}
    close = [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.4)]
    near = f"closest: {', '.join(close)}" if close else f"as {', '.join(classes[:5])}"
    raise InputError(f"expected one of the {len(classes)} classes of the model, got {name!r}; {near}")


def _class_map(predictor: Predictor, square: Pixels) -> Attribution:
    """The exact class maps of one square."""
    if not hasattr(predictor, "class_maps"):
        raise InputError("expected a model with class maps, got one without; give --method occlusion")
    maps = predictor.class_maps(square)[0]
    return lambda square, label: maps[label]


def occlusion(predictor: Predictor, *, parts: int = 14, batch: int = 16) -> Attribution:
    """How far a logit falls when a patch turns grey (Zeiler and Fergus 2014): for any model, also exported.

    parts    positions of the patch across and down, evenly spaced
    batch    occluded images in a batch
    """

    def attribution(square: Pixels, label: int) -> HeatMap:
        size = square.shape[1]
        patch = max(2, round(OCCLUDED * size))
        starts = np.round(np.linspace(0, size - patch, parts)).astype(int)
        grey = np.round(np.multiply(predictor.preprocessing.mean, 255)).astype(np.uint8)
        positions = [(y, x) for y in starts for x in starts]
        plain = predictor.logits(square)[0, label]
        heat, times = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
        for first in range(0, len(positions), batch):
            some = positions[first : first + batch]
            occluded = np.repeat(square, len(some), axis=0)
            for image, (y, x) in zip(occluded, some, strict=True):
                image[y : y + patch, x : x + patch] = grey
            for logit, (y, x) in zip(predictor.logits(occluded)[:, label], some, strict=True):
                heat[y : y + patch, x : x + patch] += plain - logit
                times[y : y + patch, x : x + patch] += 1
        return heat / times

    return attribution


def photo_and_input(data: bytes, preprocessing: Preprocessing) -> tuple[Image.Image, Box, Pixels]:
    """The upright photo, the box of it that the network sees, and the network's input [1, size, size, 3].

    The photo, and the box with it, are scaled down to a size for display.

    Raises ImageError.
    """
    photo = decode_opened(open_image(data))
    box = seen_box(photo.width, photo.height, preprocessing)
    square = preprocess(data, preprocessing)
    scale = min(1.0, _LARGEST / max(photo.size))
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in photo.size)
        box = tuple(side * scale for side in box)  # type: ignore[assignment]
        photo = photo.resize((size[0], size[1]), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return photo, box, np.stack([square])
