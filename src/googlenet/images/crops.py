"""The crops of a photo that the paper averages over (section 7), cut from one decoding of it.

The shorter side is resized to 256, 288, 320 and 352 pixels; of each, the left, center and right square
is taken, of a portrait photo the top, center and bottom one; of each square, the four corners and the
center at 224 pixels, and the whole square resized to 224; each of these also mirrored: 4 x 3 x 6 x 2
= 144. For a model of another input size, all numbers change in proportion.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image

from googlenet.architecture.dialects import Preprocessing
from googlenet.architecture.table1 import PAPER_SIZE
from googlenet.base.errors import ImageError, InputError
from googlenet.images.boxes import mean_color, seen_box, whole_box
from googlenet.images.decode import RESAMPLING, Pixels, decode_opened, open_image, preprocess, resize_box
from googlenet.images.limits import MAX_BYTES

SCALES = (256, 288, 320, 352)
SQUARES = ("left/top", "center", "right/bottom")  # along the longer side
CORNERS = ("top left", "top right", "bottom left", "bottom right")
CENTER = "center"
WHOLE = "whole square"
POSITIONS = (*CORNERS, CENTER, WHOLE)


@dataclass(frozen=True)
class View:
    """One of the paper's crops."""

    scale: int  # pixels of the shorter side, for a network of 224
    square: str  # one of SQUARES
    position: str  # one of POSITIONS, in the square
    mirror: bool

    @property
    def name(self) -> str:
        """The crop in words, as in `256 center, top left, mirrored`."""
        return f"{self.scale} {self.square}, {self.position}{', mirrored' * self.mirror}"


VIEWS_144 = tuple(View(*choice) for choice in product(SCALES, SQUARES, POSITIONS, (False, True)))
VIEWS_10 = tuple(  # Krizhevsky's ten
    view for view in VIEWS_144 if view.scale == SCALES[0] and view.square == CENTER and view.position != WHOLE
)


@dataclass(frozen=True)
class Crops:
    """Which crops of a photo are averaged; None stands for the one that `Preprocessing` describes."""

    name: str  # as on the command line
    count: int
    views: tuple[View | None, ...] = ()  # empty for a greedy choice that was not made yet


ONE = Crops("1", 1, (None,))
TEN = Crops("10", len(VIEWS_10), VIEWS_10)
ALL = Crops("144", len(VIEWS_144), VIEWS_144)


def parse_crops(text: str) -> Crops:
    """Read what `--crops` says: 1, 10, 144 or greedy:N with N from 1 to 144.

    Raises InputError for anything else.
    """
    for crops in (ONE, TEN, ALL):
        if text == crops.name:
            return crops
    number = re.fullmatch(r"greedy:([1-9][0-9]{0,2})", text)
    if number is None or int(number[1]) > ALL.count:
        raise InputError(
            f"expected --crops 1, 10, 144 or greedy:N with N from 1 to {ALL.count}, got {text!r}"
        )
    return Crops(text, int(number[1]))


def crop_all(
    data: bytes, preprocessings: Iterable[Preprocessing], views: Sequence[View | None]
) -> dict[Preprocessing, Pixels]:
    """Crop an image file's views for each preprocessing, decoding it once.

    Where only the model's own crop is asked for, JPEG files are decoded at a fraction of their size,
    as everywhere else; the same crop among others can then differ by a grey level.

    returns  for each preprocessing, uint8 [views, size, size, 3], RGB, 0..255
    raises   ImageError
    """
    if set(views) == {None}:
        return {each: np.stack([preprocess(data, each)] * len(views)) for each in preprocessings}
    upright = decode_opened(open_image(data))
    return {each: crop_views(upright, each, views) for each in preprocessings}


def crop_views(upright: Image.Image, preprocessing: Preprocessing, views: Sequence[View | None]) -> Pixels:
    """Crop views from a decoded image.

    The paper's keep the proportions of the photo. For a model that was trained on stretched or padded photos
    the photo is made a square first, as the publisher of one did for ten crops; then its left, center and
    right square are the same. Of the preprocessing they take the size and the interpolation besides.

    returns  uint8 [views, size, size, 3], RGB, 0..255
    raises   ImageError with the code `size` for a sliver that would become too large an image
    """
    size = preprocessing.size
    resample, fill = RESAMPLING[preprocessing.interpolation], mean_color(preprocessing)
    crops = np.empty((len(views), size, size, 3), dtype=np.uint8)
    for number, view in enumerate(views):
        if view is None:
            box = seen_box(*upright.size, preprocessing)
            crops[number] = np.asarray(resize_box(upright, box, size, resample=resample, fill=fill))
    for scale in dict.fromkeys(view.scale for view in views if view is not None):
        side = round(scale * size / PAPER_SIZE)
        if preprocessing.fit == "squash":
            picture = upright.resize((side, side), resample)
        elif preprocessing.fit == "pad":
            picture = resize_box(upright, whole_box(*upright.size, "pad"), side, resample=resample, fill=fill)
        else:
            picture = _resize_shorter_side(upright, side, resample=resample)
        done: dict[tuple[str, str], Pixels] = {}  # each is also wanted mirrored
        for number, view in enumerate(views):
            if view is not None and view.scale == scale:
                part = (view.square, view.position)
                if part not in done:
                    done[part] = _crop(picture, *part, size=size, resample=resample)
                crops[number] = done[part][:, ::-1] if view.mirror else done[part]
    return crops


def _resize_shorter_side(upright: Image.Image, length: int, *, resample: Image.Resampling) -> Image.Image:
    shorter, longer = sorted(upright.size)
    other = round(longer * length / shorter)
    if 4 * length * other > MAX_BYTES:
        raise ImageError(
            "size",
            f"{upright.width}x{upright.height} is too narrow for crops: with the shorter side resized to "
            f"{length} it would need more than {MAX_BYTES / 1e6:.0f} MB",
        )
    portrait = upright.height > upright.width
    return upright.resize((length, other) if portrait else (other, length), resample)


def _crop(
    picture: Image.Image, square: str, position: str, *, size: int, resample: Image.Resampling
) -> Pixels:
    """A position in a square of a resized photo, uint8 [size, size, 3]."""
    side = min(picture.size)
    left, top = ((length - side) * SQUARES.index(square) // 2 for length in picture.size)
    if position == WHOLE:
        whole = picture.crop((left, top, left + side, top + side))
        return np.asarray(whole.resize((size, size), resample))
    gap = side - size
    left += gap // 2 if position == CENTER else gap * position.endswith("right")
    top += gap // 2 if position == CENTER else gap * position.startswith("bottom")
    return np.asarray(picture.crop((left, top, left + size, top + size)))
