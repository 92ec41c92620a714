"""From the bytes of an image file to the square of pixels that the network sees.

One decoder and one resize serve training, evaluation, prediction and explanation: an upright RGB
image, cut by a box and resized in a single antialiased step. JPEG files are decoded at a half, a
quarter or an eighth of their size where the cut allows it, which saves most of the work.
"""

import importlib.util
import io
import math
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from googlenet.dialects import Interpolation, Preprocessing
from googlenet.errors import ImageError

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, right, bottom, in upright pixels

# Only what photos come in: every further decoder is one more way into the process.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # JPEG includes the MPO of 3-D cameras
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
)
# Naming the plugins loads them here, in one thread; Pillow would load all forty at the first failure.
PLUGINS = (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
MAX_PIXELS = 178_956_970  # Pillow's own limit for a decompression bomb

RESAMPLING: dict[Interpolation, Image.Resampling] = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}

_SIDEWAYS = {5, 6, 7, 8}  # EXIF orientations that swap width and height


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises ImageError with the code `unreadable`.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError("unreadable", (error.strerror or str(error)).lower()) from error


def open_image(data: bytes) -> Image.Image:
    """Recognise an image by its first bytes and read its header; the pixels come later.

    Raises ImageError for an empty file, a format that is not allowed, or too many pixels.
    """
    if not data:
        raise ImageError("empty", "the file has no content")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images, which are refused below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError("format", f"not one of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise ImageError("size", f"more than {MAX_PIXELS} pixels") from error
    except Exception as error:  # whatever a decoder raises on hostile bytes
        raise ImageError("damaged", str(error)) from error
    if image.width * image.height > MAX_PIXELS:
        raise ImageError("size", f"{image.width}x{image.height} is more than {MAX_PIXELS} pixels")
    return image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height in pixels once the camera's orientation is applied."""
    width, height = image.size
    return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


def cut(image: Image.Image, box: Box, size: int, *, resample: int = Image.Resampling.BICUBIC) -> Image.Image:
    """Decode an opened image and resize a box of it to `size` x `size` pixels.

    image    as `open_image` gave it
    box      in pixels of the upright image
    returns  an RGB image: upright, alpha over white, first frame, 16 bits scaled to 8
    raises   ImageError if the file is truncated or damaged
    """
    full_width, full_height = upright_size(image)
    left, top, right, bottom = box
    # The smallest scale that still has a pixel for each output pixel.
    scale = min(right - left, bottom - top) / size
    if scale >= 2 and image.format in ("JPEG", "MPO"):
        image.draft("RGB", (math.ceil(image.width / scale), math.ceil(image.height / scale)))
    upright = decode_opened(image)
    x, y = upright.width / full_width, upright.height / full_height
    return resize_box(upright, (left * x, top * y, right * x, bottom * y), size, resample=resample)


def resize_box(upright: Image.Image, box: Box, size: int, *, resample: int) -> Image.Image:
    """Resize a box of a decoded image to `size` x `size` pixels in one antialiased step."""
    left, top, right, bottom = box
    inside = (left, top, min(right, upright.width), min(bottom, upright.height))  # but for rounding
    return upright.resize((size, size), Image.Resampling(resample), box=inside, reducing_gap=3.0)


def decode(data: bytes) -> Pixels:
    """Turn an image file's bytes into all its pixels.

    returns  uint8 [H, W, 3], RGB, 0..255, upright
    raises   ImageError
    """
    return np.asarray(decode_opened(open_image(data)))


def strict_warning(data: bytes) -> str | None:
    """What libjpeg says of a JPEG file that decodes but is damaged; None if nothing.

    Pillow hides those warnings: rubbish among the pixels, a second half in grey. Needs the extra `fast`;
    without it, and for other formats, nothing is said.
    """
    if importlib.util.find_spec("simplejpeg") is None or not data.startswith(b"\xff\xd8\xff"):
        return None
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, strict=True)  # an eighth: as strict
    except ValueError as error:
        return str(error)
    return None


def decode_opened(image: Image.Image) -> Image.Image:
    """Pixels of an opened image: upright, RGB, alpha over white, first frame, 16 bits scaled to 8.

    Raises ImageError if the file is truncated or damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation = _orientation(image)
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image) if orientation != 1 else image)
    except ImageError:
        raise
    except Exception as error:
        truncated = "truncated" in str(error) or isinstance(error, EOFError)
        raise ImageError("truncated" if truncated else "damaged", str(error)) from error


def centre_box(width: int, height: int, *, crop: float, warp: bool = False) -> Box:
    """The centred square whose side is `crop` times the shorter side.

    With `warp`, the centred rectangle that is `crop` times as wide and as high as the image.
    """
    wide, high = (width, height) if warp else (min(width, height),) * 2
    left, top = (width - crop * wide) / 2, (height - crop * high) / 2
    return left, top, left + crop * wide, top + crop * high


def preprocess(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """Turn an image file's bytes into what the network sees, up to normalisation.

    returns  uint8 [size, size, 3], RGB, 0..255
    raises   ImageError
    """
    image = open_image(data)
    box = centre_box(*upright_size(image), crop=preprocessing.crop, warp=preprocessing.warp)
    return np.asarray(cut(image, box, preprocessing.size, resample=RESAMPLING[preprocessing.interpolation]))


def verify(data: bytes) -> tuple[int, int]:
    """Decode an image file to its last byte, as small as the format allows.

    returns  width and height in pixels, upright
    raises   ImageError
    """
    image = open_image(data)
    size = upright_size(image)
    image.draft("RGB", (1, 1))
    decode_opened(image)
    return size


def png_bytes(pixels: Pixels) -> bytes:
    """Encode uint8 [H, W] or [H, W, 3] as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow turns these itself, and says their size turned
        return 1
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 or 32 bits of grey: Pillow's own conversion clips at 255
        grey = np.asarray(image).astype(np.float64).clip(0, 65_535)
        image = Image.fromarray((grey / 257).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")
