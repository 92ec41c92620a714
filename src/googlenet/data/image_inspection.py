"""Inspect one image file: can it be read, what is unusual, and by what copies are found. No torch."""

import hashlib
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from googlenet.base.errors import ImageError
from googlenet.data.duplicates import SIDE, Vector, content_vector
from googlenet.images.boxes import Box
from googlenet.images.decode import Pixels, decode_opened, open_image, strict_warning, upright_size

HUGE = 50_000_000  # pixels: decoding takes a second
_PADDED_LEFT, _PADDED_ABOVE = {2, 3, 6, 7}, {3, 4, 7, 8}  # EXIF orientations
_MAX_GREY = 12  # difference between the channels of a grey photo, from the rounding of JPEG


class ImageInspection(NamedTuple):
    """The inspection of one file; of an unreadable one only digest and error have a meaning."""

    digest: bytes  # of the content
    error: ImageError | None = None
    warning: str | None = None  # of a decoder that gave pixels nevertheless
    width: int = 0  # pixels, upright
    height: int = 0
    turned: bool = False  # by its EXIF orientation
    grey: bool = False
    vector: Vector | None = None  # None for photos that are compared as files only

    @property
    def tiny(self) -> bool:
        """Whether a side is too short to be compared, or to be seen."""
        return self.error is None and min(self.width, self.height) < SIDE

    @property
    def huge(self) -> bool:
        """Whether decoding it takes long."""
        return self.width * self.height > HUGE


def inspect_image(data: bytes) -> ImageInspection:
    """Decode an image file to its last byte, as small as its format allows, and describe it."""
    digest = hashlib.sha256(data).digest()
    try:
        return _inspect(data, digest)
    except ImageError as error:
        return ImageInspection(digest, error=error)


def unreadable(error: ImageError) -> ImageInspection:
    """The inspection of a file that gave no bytes."""
    return ImageInspection(bytes(32), error=error)


def _inspect(data: bytes, digest: bytes) -> ImageInspection:
    opened = open_image(data)
    width, height = upright_size(opened)
    pixels = decode_opened(opened, scale=min(width, height) / SIDE)
    orientation = opened.orientation
    box = _without_padding(pixels.size, (width, height), orientation)
    small = np.asarray(pixels.resize((SIDE, SIDE), Image.Resampling.BOX, box=box, reducing_gap=2.0))
    grey = small @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return ImageInspection(
        digest,
        warning=strict_warning(opened),
        width=width,
        height=height,
        turned=orientation != 1,
        grey=_is_grey(small),
        vector=content_vector(grey) if min(width, height) >= SIDE else None,
    )


def _without_padding(decoded: tuple[int, int], full: tuple[int, int], orientation: int) -> Box:
    """The part of a JPEG image decoded at an eighth of its size that is not padding.

    The last block's padding is at the right and lower edge of the file, which EXIF orientation may move.
    """
    part = 2 ** round(math.log2(max(1.0, full[0] / decoded[0])))
    wide, high = (min(side / part, have) for side, have in zip(full, decoded, strict=True))
    left = decoded[0] - wide if orientation in _PADDED_LEFT else 0.0
    top = decoded[1] - high if orientation in _PADDED_ABOVE else 0.0
    return left, top, left + wide, top + high


def _is_grey(pixels: Pixels) -> bool:
    red, green, blue = pixels.astype(np.int16).transpose(2, 0, 1)
    return bool(np.abs(red - green).max() < _MAX_GREY and np.abs(blue - green).max() < _MAX_GREY)
