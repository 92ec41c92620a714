"""What a file may cost in memory and time, known from its header before a pixel is decoded.

A few kilobytes can describe an image of gigabytes. What one image needs at most, beside the bytes of its
file, is estimated from its size, its mode and the habits of its decoder; above MAX_BYTES it is refused, or
decoded at a fraction of its size if it is a JPEG or HEIF file.
"""

import re

from PIL import Image, PngImagePlugin, TiffImagePlugin

from googlenet.base.errors import ImageError
from googlenet.images import heif

MAX_BYTES = 256 << 20  # for one image while it is decoded, as estimated
MAX_PIXELS = 178_956_970  # Pillow's own limit for a decompression bomb
MAX_FILE = 256 << 20  # bytes of a file
MAX_SCANS = 500  # of a progressive JPEG file; 10 are usual
MAX_SCANNED = 700_000_000  # pixels in all scans, each of which goes over the whole image
MAX_PIECES = 20_000  # segments before the pixels of a JPEG file: each costs Python some microseconds
MAX_JUNK = 1 << 16  # bytes between the segments of a JPEG file

DIVIDED = ("JPEG", "MPO", "HEIF")  # may be decoded at a half, a quarter or an eighth

_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TILE_WIDTH, _TILE_HEIGHT, _STRIP_ROWS = 322, 323, 278
_SAMPLES, _BITS = 277, 258


def check_file(form: str, data: bytes) -> int:
    """Check what Pillow would go through piece by piece.

    returns  bytes that the decoder keeps beside the pixels until it has read the whole file
    raises   ImageError
    """
    if len(data) > MAX_FILE:
        raise ImageError("size", f"{len(data)} bytes are more than {MAX_FILE}")
    return _buffered(data) if form == "JPEG" else 0


def fraction(image: Image.Image, *, buffered: int, turned: bool) -> int:
    """By what a JPEG or HEIF image must be divided for its memory to suffice: 1, 2, 4 or 8."""
    part = 1
    if image.format not in DIVIDED or (
        image.format == "HEIF" and image.mode == "RGBA"
    ):  # colors need their alpha
        return 1
    while part < 8 and not _small(image):
        if _need(image, turned=turned, part=part) + buffered <= MAX_BYTES:
            break
        part *= 2
    return part


def check_size(image: Image.Image, *, buffered: int, turned: bool) -> None:
    """Raise ImageError if an opened image would need too much memory in any way.

    buffered  as `check_file` found
    turned    whether it may have to be turned upright
    """
    if _small(image) and not buffered:
        return
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError("size", f"{width}x{height} is more than {MAX_PIXELS} pixels")
    part = fraction(image, buffered=buffered, turned=turned)
    need = _need(image, turned=turned, part=part) + buffered
    if need > MAX_BYTES:
        raise ImageError(
            "size",
            f"{width}x{height} in {image.format} would need {need / 1e6:.0f} MB to decode, "
            f"more than {MAX_BYTES / 1e6:.0f} MB; make it smaller",
        )


def _small(image: Image.Image) -> bool:
    """Whether there is nothing to reckon: most photos."""
    return image.width * image.height < 1 << 20 and image.format != "TIFF"


def _need(image: Image.Image, *, turned: bool, part: int) -> int:
    """Bytes at the worst moment: the decoder's own, the image as stored, turned, as RGB."""
    stored = 1 if image.mode in ("1", "L", "P") else 2 if image.mode.startswith("I;16") else 4
    converted = 4 if image.mode != "RGB" or "transparency" in image.info else 0
    each = max(stored * (1 + turned) + converted, 7)  # 7: RGB, of which an array is made
    if image.format == "HEIF":
        whole = heif.bytes_per_pixel(image) + (4 + converted) / part**2
        return int(whole * image.width * image.height)
    if image.format == "AVIF":  # its planes, the frame as bytes; at worst 10 bits, unreduced colors and alpha
        each = 15
    if image.format == "WEBP":  # two canvases of an animation, the frame as bytes, the decoder's own
        each = max(8 + each, 20)
    if (
        isinstance(image, PngImagePlugin.PngImageFile)
        and image.tile
        and str(image.tile[0].args).endswith(";16B")
    ):  # twice as much to unpack
        each = each * 3 // 2
    return each * image.width * image.height // part**2 + _block(image)


def _block(image: Image.Image) -> int:
    """Bytes of the strip or tile of a TIFF file that is unpacked at once."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    tags = image.tag_v2
    sample = max(4, int(tags.get(_SAMPLES, 1)) * max(tags.get(_BITS, (8,))) // 8)
    wide, high = tags.get(_TILE_WIDTH), tags.get(_TILE_HEIGHT)
    if wide is None or high is None:
        wide, high = image.width, min(int(tags.get(_STRIP_ROWS, image.height)), image.height)
    block: int = wide * high * sample
    return block


def _buffered(data: bytes) -> int:
    """Bytes of coefficients that libjpeg keeps of an image in several scans, however small it is decoded."""
    at, junk, frame = 2, 0, b""
    for _ in range(MAX_PIECES):
        found = _MARKER.match(data, at) or _MARKER.search(data, at)
        junk += (found.start() if found else len(data)) - at
        if junk > MAX_JUNK:
            break
        if found is None:
            return 0  # cut short or worse: the decoder will say so
        marker, at = data[found.start() + 1], found.end()
        if marker in _ALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if marker == 0xDA:
            return _coefficients(frame, data[at + 2 : at + 3], data, at)
        if marker in _FRAMES:
            frame = bytes([marker]) + data[at + 2 : at + length]
        at += max(length, 2)
    raise ImageError("damaged", "too much before the pixels of the JPEG file")


def _coefficients(frame: bytes, in_scan: bytes, data: bytes, at: int) -> int:
    components = [(frame[i + 1] >> 4, frame[i + 1] & 15) for i in range(7, len(frame) - 2, 3)]
    progressive = frame[:1] in (b"\xc2", b"\xc6", b"\xca", b"\xce")
    if not components or not (progressive or in_scan < bytes([len(components)])):
        return 0
    height, width = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
    scans = 1 + data.count(b"\xff\xda", at)
    if scans > MAX_SCANS or scans * width * height > MAX_SCANNED:
        raise ImageError("size", f"{scans} scans over {width}x{height} pixels are more than any camera makes")
    most = max(h for h, _ in components) * max(v for _, v in components)
    return 2 * width * height * sum(h * v for h, v in components) // max(most, 1)
