"""Photos as a program has them: paths, bytes, file objects, Pillow images, arrays; one or many."""

import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from googlenet.base.errors import ImageError, InputError
from googlenet.images.decode import Source
from googlenet.images.limits import MAX_FILE
from googlenet.inference.paths import expand, read

Photo = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | Any  # Any: what NumPy takes for an array
Named = tuple[str, Any]  # what a row calls a photo, and where its bytes or pixels are

_TAKEN = "a path, bytes, an open file, a Pillow image or a uint8 array [H, W] or [H, W, 3]"


def name_photos(photos: Photo | Iterable[Photo]) -> Iterator[Named]:
    """Name each photo: paths by what they expand to, others by their file's name or their number from 0.

    Raises InputError for what is none.
    """
    for number, photo in enumerate(_several(photos)):
        if isinstance(photo, str | os.PathLike):
            yield from ((path, path) for path in expand([os.fspath(photo)]))
        elif isinstance(photo, bytes | bytearray | memoryview) or hasattr(photo, "read"):
            yield str(getattr(photo, "name", None) or number), photo
        elif isinstance(photo, Image.Image):
            yield str(getattr(photo, "filename", None) or number), photo
        else:
            yield str(number), _image(photo)


def read_photo(photo: Named) -> Source:
    """The bytes of a photo's file, or a Pillow image.

    Raises ImageError.
    """
    where = photo[1]
    if isinstance(where, str):
        return read(where)
    if isinstance(where, Image.Image):
        return where
    if isinstance(where, bytes | bytearray | memoryview):
        return bytes(where)
    try:
        return bytes(where.read(MAX_FILE + 1))
    except (OSError, ValueError, TypeError) as error:  # it is closed, or gives text
        raise ImageError("unreadable", str(error)) from error


def _several(photos: Any) -> Iterable[Any]:
    """The photos one by one, if it is several."""
    alone = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
    if isinstance(photos, alone) or hasattr(photos, "read"):
        return [photos]
    if hasattr(photos, "__array__"):
        array = np.asarray(photos)
        return array if array.ndim == 4 else [array]
    if isinstance(photos, Iterable):
        return photos
    raise InputError(f"expected {_TAKEN}, or several, got {type(photos).__name__}")


def _image(photo: Any) -> Image.Image:
    if not hasattr(photo, "__array__"):
        raise InputError(f"expected {_TAKEN}, got {type(photo).__name__}")
    array = np.asarray(photo)
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        shape = ", ".join(map(str, array.shape))
        raise InputError(f"expected {_TAKEN}, got {array.dtype} [{shape}]")
    if 0 in array.shape:
        raise InputError(f"expected an array with pixels, got shape {list(array.shape)}")
    return Image.fromarray(np.ascontiguousarray(array))
