"""Files and folders with something wrong, made for the tests of promises about data."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

Pixels = np.ndarray


def photo(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """A picture with the statistics of a photo: its waves are weaker the faster they are."""
    random = np.random.default_rng(seed)
    width, height = size
    fast = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width)[None] * width)
    waves = np.fft.fft2(random.normal(size=(3, height, width))) / np.maximum(fast, 1) ** 1.2
    found = np.fft.ifft2(waves).real
    found[1:] = 0.7 * found[0] + 0.3 * found[1:]
    found = (found - found.mean((1, 2), keepdims=True)) / found.std((1, 2), keepdims=True)
    return Image.fromarray((128 + 50 * found).clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy())


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    """An image as a file of that format."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _chunk(kind: bytes, content: bytes, *, wrong: int = 0) -> bytes:
    check = zlib.crc32(kind + content) ^ wrong
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _png(width: int, height: int, content: bytes, *, wrong: int = 0) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", content, wrong=wrong) + _chunk(b"IEND", b"")


def _with(data: bytes, start: int, content: bytes) -> bytes:
    return data[:start] + content + data[start + len(content) :]


def _scan(jpeg: bytes) -> int:
    """Where the pixels of a JPEG file begin."""
    place = jpeg.index(b"\xff\xda")
    return place + 2 + struct.unpack(">H", jpeg[place + 2 : place + 4])[0]


def _garbage(count: int) -> bytes:
    return np.random.default_rng(7).integers(1, 255, count, dtype=np.uint8).tobytes()


def corrupt() -> dict[str, tuple[bytes, str]]:
    """Files that are no whole image: name -> content and the code that it must be given.

    `warning` for those that give pixels, of which part is wrong.
    """
    picture = photo(1)
    jpeg, progressive = encoded(picture, quality=90), encoded(picture, quality=90, progressive=True)
    own = encoded(picture, quality=90, optimize=True)  # with tables of its own
    png, gif, webp = encoded(picture, "PNG"), encoded(picture, "GIF"), encoded(picture, "WEBP")
    bmp, tiff = encoded(picture, "BMP"), encoded(picture, "TIFF", compression="tiff_lzw")
    scan, grey = _scan(jpeg), zlib.compress(bytes(201 * 150))
    half = len(jpeg) // 2
    return {
        "empty.jpg": (b"", "empty"),
        "empty.png": (b"", "empty"),
        "text.jpg": (b"this is no picture\n" * 20, "format"),
        "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "format"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "format"),
        "zeros.jpg": (bytes(4096), "format"),
        "noise.jpg": (_garbage(4096), "format"),
        "document.jpg": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", "format"),
        "archive.png": (b"PK\x03\x04" + _garbage(200), "format"),
        "film.jpg": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + _garbage(200), "format"),
        "telephone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + _garbage(200), "format"),
        "layers.jpg": (b"8BPS\0\x01" + bytes(400), "format"),
        "stars.jpg": (b"SIMPLE  =                    T".ljust(2880), "format"),
        "print.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "format"),
        "netpbm.png": (encoded(picture, "PPM"), "format"),
        "two_bytes.jpg": (jpeg[:2], "format"),
        "start.jpg": (jpeg[:4], "truncated"),
        "head.jpg": (jpeg[:200], "truncated"),
        "no_pixels.jpg": (jpeg[:scan], "truncated"),
        "a_tenth.jpg": (jpeg[: len(jpeg) // 10], "truncated"),
        "half.jpg": (jpeg[:half], "truncated"),
        "nearly.jpg": (jpeg[:-300], "truncated"),
        "half_progressive.jpg": (progressive[: len(progressive) // 2], "truncated"),
        "no_end.jpg": (jpeg[:-2], "truncated"),
        "cut_and_ended.jpg": (jpeg[:half] + b"\xff\xd9", "warning"),
        "garbage.jpg": (_with(jpeg, half, _garbage(500)), "warning"),
        "hole.jpg": (_with(jpeg, half, bytes(len(jpeg) // 4)), "warning"),
        "no_tables.jpg": (own.replace(b"\xff\xc4", b"\xff\xec"), "warning"),
        "no_side.jpg": (jpeg.replace(struct.pack(">HH", 150, 200), struct.pack(">HH", 150, 0), 1), "damaged"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "signature.png": (png[:8], "truncated"),
        "wrong_sum.png": (_png(200, 150, grey, wrong=1), "damaged"),
        "wrong_head.png": (_with(png, 29, b"\0\0\0\0"), "damaged"),
        "no_stream.png": (_png(200, 150, _garbage(900)), "damaged"),
        "short_stream.png": (_png(200, 150, zlib.compress(bytes(2000))), "truncated"),
        "bomb.png": (_png(30_000, 30_000, zlib.compress(bytes(1000))), "size"),
        "half.gif": (gif[: len(gif) // 2], "truncated"),
        "head.gif": (gif[:13], "truncated"),
        "half.webp": (webp[: len(webp) // 2], "truncated"),
        "garbage.webp": (_with(webp, 30, _garbage(len(webp) - 40)), "damaged"),
        "half.bmp": (bmp[: len(bmp) // 2], "truncated"),
        "bomb.bmp": (_with(bmp, 18, struct.pack("<ii", 60_000, 60_000)), "size"),
        "half.tiff": (tiff[: len(tiff) // 2], "truncated"),
        "head.tiff": (b"II*\0\x08\0\0\0", "truncated"),
    }
