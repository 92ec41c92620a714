"""From whatever colors a file stores to 8-bit RGB, by one rule for each mode.

| stored | becomes |
|---|---|
| bilevel, grey, palette | the same grey or palette color |
| 16-bit grey | 0 to 65535 (12-bit: to 4095) scaled to 0 to 255 and rounded |
| 32-bit integer grey | 0 to 65535, or to the highest value if that is more, scaled; below 0 is black |
| floating-point grey | 0 to 1 scaled; 0 to 255 as it is if some value is above 1; above 255, as integers |
| any kind of transparency | laid over white |
| CMYK | (255 - ink)(255 - black) / 255; in JPEG files the inks are stored inverted, as Adobe does |
| YCbCr, YCCK | by the equations of JFIF (ITU-R BT.601, full range) |
| CIE L*a*b* | by way of the D50 profile connection space to sRGB |

Embedded color profiles are not applied. Of 16-bit RGB the higher byte is kept.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, PngImagePlugin

BAND = 1 << 20  # pixels converted at a time, which bounds what a conversion needs beside its result

_BITS_PER_SAMPLE = 258  # tag of a TIFF file

Greys = npt.NDArray[np.generic]


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image to RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    convert = _conversion(image)
    boxes = bands(image)
    if len(boxes) == 1:
        return convert(image)
    rgb = Image.new("RGB", image.size)
    for box in boxes:
        rgb.paste(convert(image.crop(box)), box)
    return rgb


def bands(image: Image.Image) -> list[tuple[int, int, int, int]]:
    """Boxes of about BAND pixels that cover an image from top to bottom."""
    rows = max(1, BAND // image.width)
    tops = range(0, image.height, rows)
    return [(0, top, image.width, min(top + rows, image.height)) for top in tops]


def scale_key(image: Image.Image) -> None:
    """Scale the one transparent color of a PNG file as Pillow scales its pixels, before they are loaded."""
    key = image.info.get("transparency")
    if not isinstance(image, PngImagePlugin.PngImageFile) or image.mode not in ("L", "RGB") or not image.tile:
        return
    stored = str(image.tile[0].args)  # "L;2", "L;4", "RGB;16B", …
    if key is not None and ";" in stored:
        bits = int(stored.split(";")[1].rstrip("B"))
        scaled = [k >> (bits - 8) if bits > 8 else k * 255 // ((1 << bits) - 1) for k in np.atleast_1d(key)]
        image.info["transparency"] = tuple(scaled) if image.mode == "RGB" else scaled[0]


def _conversion(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    if image.mode.startswith("I;16"):
        return _sixteen_bits(image)
    if image.mode in ("I", "F"):
        scale = _scale(image)
        return lambda band: _grey(np.asarray(band), scale)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _over_white
    if image.mode == "LAB":
        return _from_lab()
    return lambda band: band.convert("RGB")


def _sixteen_bits(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    bits = int(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0])
    values = np.arange(1 << 16)
    table = np.rint(values * (255 / ((1 << bits) - 1))).clip(0, 255).astype(np.uint8)
    if "transparency" in image.info:
        table[int(image.info["transparency"])] = 255
    return lambda band: Image.fromarray(table[np.asarray(band)]).convert("RGB")


def _from_lab() -> Callable[[Image.Image], Image.Image]:
    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    # the optimized way is a coarse table: up to 23 levels off in saturated colors
    exact = ImageCms.buildTransform(lab, rgb, "LAB", "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
    return exact.apply


def _over_white(band: Image.Image) -> Image.Image:
    if band.mode == "La":  # Pillow has no way straight from here
        band = band.convert("LA")
    band = band.convert("RGBA")
    white = Image.new("RGB", band.size, (255, 255, 255))
    white.paste(band, mask=band)
    return white


def _grey(values: Greys, scale: float) -> Image.Image:
    grey = values.astype(np.float32)
    grey *= scale
    np.nan_to_num(grey, copy=False, posinf=255.0, neginf=0.0)
    np.rint(grey.clip(0, 255, out=grey), out=grey)
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _scale(image: Image.Image) -> float:
    highest = float(image.getextrema()[1])  # type: ignore[arg-type]
    if image.mode == "F" and not highest > 255:  # or not a number at all
        return 1.0 if highest > 1 else 255.0
    return 255 / max(65_535.0, highest)
