"""From the bytes of an image file to the square of pixels that the network sees.

One decoder and one resize serve training, evaluation, prediction and explanation: an upright RGB
image, cut by a box and resized in a single antialiased step. JPEG and HEIF files are decoded at a half, a
quarter or an eighth of their size where the cut allows it, which saves most of the work or of the memory.
"""

import importlib.util
import io
import logging
import math
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from googlenet.architecture.dialects import Interpolation, Preprocessing
from googlenet.base.errors import ImageError
from googlenet.images import heif, png
from googlenet.images.boxes import WHITE, Box, Color, mean_color, seen_box
from googlenet.images.color import bands, scale_key, to_rgb
from googlenet.images.formats import detect_format, is_truncated
from googlenet.images.limits import DIVIDED, MAX_FILE, check_file, check_size, fraction

Pixels = npt.NDArray[np.uint8]
Source = bytes | Image.Image  # the content of a file, or what somebody else opened

# Naming the plugins loads them here, in one thread; Pillow would load all forty at the first failure.
PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
RESAMPLING: dict[Interpolation, Image.Resampling] = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}

_TURNS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}  # swap width and height
# What Pillow knows of a file, where an orientation may stand.
_ORIENTATIONS = ("exif", "xmp", "Raw profile type exif", "XML:com.adobe.xmp")


@dataclass(frozen=True)
class OpenedImage:
    """An image file whose header was read and found to cost a bounded amount."""

    image: Image.Image  # as stored, pixels not decoded yet
    form: str
    data: bytes
    buffered: int  # bytes that the decoder keeps beside the pixels

    @cached_property
    def orientation(self) -> int:
        """How the camera was held, 1 to 8; 1 where the format's decoder has turned the image already."""
        if self.form in ("TIFF", "HEIF"):
            return 1
        if self.form == "PNG":  # may say it after the pixels
            self.load()
        if not any(key in self.image.info for key in _ORIENTATIONS):
            return 1
        try:
            with _QUIETLY:
                orientation = int(self.image.getexif().get(ExifTags.Base.Orientation, 1))
        except Exception:  # a damaged EXIF block says nothing about the pixels
            return 1
        return orientation if orientation in _TURNS else 1

    @cached_property
    def may_turn(self) -> bool:
        """Whether it may have to be turned, as far as that can be known without decoding it."""
        match self.form:
            case "PNG":
                return any(mark.encode() in self.data for mark in (*_ORIENTATIONS, "eXIf"))
            case "TIFF":
                return bool(self.image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
            case _:
                return self.orientation != 1

    def load(self) -> Image.Image:
        """Decode the pixels.

        Raises ImageError.
        """
        with _reading(self.form, self.data):
            self.image.load()
        return self.image


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises ImageError with the code `unreadable`, or `size` for a file that is too large.
    """
    try:
        status = path.stat()
        size = status.st_size if stat.S_ISREG(status.st_mode) else MAX_FILE  # a device may never end
        if size > MAX_FILE:
            raise ImageError("size", f"{size} bytes are more than {MAX_FILE}")
        with path.open("rb") as file:
            return file.read(size + 1)
    except OSError as error:
        raise ImageError("unreadable", (error.strerror or str(error)).lower()) from error


def open_image(data: Source) -> OpenedImage:
    """Recognize an image by its first bytes and read its header; the pixels come later.

    A Pillow image is taken as it is: whoever opened it has decided that it may be decoded.
    Raises ImageError for an empty file, a format that is not allowed, or one that would cost too much.
    """
    if isinstance(data, Image.Image):
        return OpenedImage(data, data.format if data.format in ("TIFF", "PNG") else "", b"", 0)
    form = detect_format(data)
    buffered = check_file(form, data)
    data = png.checked(data) if form == "PNG" else data
    with _reading(form, data):
        file = io.BytesIO(data)
        # not registered with Pillow, where others may have put a reader of their own
        image = heif.HeifImageFile(file) if form == "HEIF" else Image.open(file, formats=(form,))
        scale_key(image)
        opened = OpenedImage(image, form, data, buffered)
        check_size(image, buffered=buffered, turned=opened.may_turn)
        return opened


def upright_size(opened: OpenedImage) -> tuple[int, int]:
    """Width and height in pixels once the camera's orientation is applied.

    Raises ImageError.
    """
    sideways = opened.orientation in _SIDEWAYS  # before the size: it may decode
    width, height = opened.image.size
    return (height, width) if sideways else (width, height)


def decode_box(
    opened: OpenedImage,
    box: Box,
    size: int,
    *,
    resample: int = Image.Resampling.BICUBIC,
    fill: Color = WHITE,
) -> Image.Image:
    """Decode an opened image and resize a box of it to `size` x `size` pixels.

    opened   as `open_image` gave it
    box      in pixels of the upright image
    fill     of what of the box is outside of the image
    returns  an RGB image: upright, in the colors of `googlenet.images.color`, first frame
    raises   ImageError if the file is truncated or damaged
    """
    full_width, full_height = upright_size(opened)
    left, top, right, bottom = box
    # The smallest scale that still has a pixel for each output pixel.
    upright = decode_opened(opened, scale=min(right - left, bottom - top) / size)
    x, y = upright.width / full_width, upright.height / full_height
    scaled = (left * x, top * y, right * x, bottom * y)
    return resize_box(upright, scaled, size, resample=resample, fill=fill)


def resize_box(
    upright: Image.Image, box: Box, size: int, *, resample: int, fill: Color = WHITE
) -> Image.Image:
    """Resize a box of a decoded image to `size` x `size` pixels in one antialiased step.

    fill  of what of the box is outside of the image
    """
    left, top, right, bottom = box
    inside = (max(left, 0), max(top, 0), min(right, upright.width), min(bottom, upright.height))
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        return Image.new("RGB", (size, size), fill)
    x, y = size / (right - left), size / (bottom - top)
    starts = round((inside[0] - left) * x), round((inside[1] - top) * y)
    ends = round((inside[2] - left) * x), round((inside[3] - top) * y)
    target = tuple(max(1, end - start) for start, end in zip(starts, ends, strict=True))
    part = upright.resize((target[0], target[1]), Image.Resampling(resample), box=inside, reducing_gap=3.0)
    if part.size == (size, size):
        return part
    square = Image.new("RGB", (size, size), fill)
    square.paste(part, (min(starts[0], size - 1), min(starts[1], size - 1)))
    return square


def decode(data: bytes) -> Pixels:
    """Turn an image file's bytes into its pixels.

    returns  uint8 [H, W, 3], RGB, 0..255, upright; a JPEG or HEIF file that is too large for MAX_BYTES of
             memory comes at a half, a quarter or an eighth of its size
    raises   ImageError
    """
    upright = decode_opened(open_image(data))
    pixels = np.empty((upright.height, upright.width, 3), dtype=np.uint8)
    for box in bands(upright):  # at once, Pillow would copy all of it twice
        pixels[box[1] : box[3]] = np.asarray(upright.crop(box))
    return pixels


def decode_opened(opened: OpenedImage, *, scale: float = 1.0) -> Image.Image:
    """Pixels of an opened image: upright, RGB, first frame.

    scale    a JPEG or HEIF file may be decoded at a half, a quarter or an eighth, down to a pixel for `scale`
    raises   ImageError if the file is truncated or damaged
    """
    _draft(opened, scale)
    turn = _TURNS.get(opened.orientation)
    image = opened.load()
    if turn is None and image.mode == "RGB" and "transparency" not in image.info:
        return image
    with _reading(opened.form, opened.data):
        return to_rgb(image if turn is None else image.transpose(turn))


def strict_warning(opened: OpenedImage) -> str | None:
    """The warning of libjpeg for a JPEG file that decodes but is damaged, which Pillow hides; else None.

    Needs the extra `fast`; None without it and for other formats.
    """
    data = opened.data
    if opened.form != "JPEG" or importlib.util.find_spec("simplejpeg") is None:
        return None
    import simplejpeg

    try:
        colors = simplejpeg.decode_jpeg_header(data, strict=False)[2]
        space = "CMYK" if colors in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(data, space, min_factor=8, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        return str(error)
    except KeyError:  # a color space that it does not know
        pass
    return None


def preprocess(data: Source, preprocessing: Preprocessing) -> Pixels:
    """Turn an image file's bytes, or a Pillow image, into what the network sees, up to normalization.

    returns  uint8 [size, size, 3], RGB, 0..255
    raises   ImageError
    """
    opened = open_image(data)
    box, resample = seen_box(*upright_size(opened), preprocessing), RESAMPLING[preprocessing.interpolation]
    fill = mean_color(preprocessing)
    return np.asarray(decode_box(opened, box, preprocessing.size, resample=resample, fill=fill))


def png_bytes(pixels: Pixels) -> bytes:
    """Encode uint8 [H, W] or [H, W, 3] as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _draft(opened: OpenedImage, scale: float) -> None:
    """Have a JPEG or HEIF file decoded at a fraction: where few pixels are wanted, or memory would not do."""
    if opened.form not in DIVIDED:
        return
    image = opened.image
    least = fraction(image, buffered=opened.buffered, turned=opened.may_turn)
    scale = max(scale, least)
    if scale >= 2:
        whole = math.floor if least > 1 else math.ceil  # a fraction that memory asks for is not rounded off
        wide, high = (max(1, whole(side / scale)) for side in image.size)
        image.draft("RGB", (wide, high))


@contextmanager
def _reading(form: str, data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises on hostile bytes into an ImageError."""
    try:
        with _QUIETLY:
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("size", "more pixels than Pillow's limit for decompression bombs") from error
    except MemoryError as error:
        raise ImageError("size", "not enough memory to decode it") from error
    except UnidentifiedImageError as error:
        code = "truncated" if is_truncated(form, data) else "damaged"
        raise ImageError(code, f"the header of the {form} file cannot be read") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        truncated = isinstance(error, EOFError) or "truncated" in reason.lower() or is_truncated(form, data)
        raise ImageError("truncated" if truncated else "damaged", reason) from error


class _Quietly:
    """Ignore what Pillow warns of, from any number of threads: Python's own way restores in any order."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints what it logs

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


_QUIETLY = _Quietly()
