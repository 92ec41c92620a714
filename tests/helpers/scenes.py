"""Files and folders with something wrong, made for the tests of promises about data."""

import io
import os
import socket
import struct
import zlib
from pathlib import Path

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
        "telephone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + _garbage(200), "truncated"),
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


NAMES = (
    "plain",
    "with two  spaces",
    "line\nbreak",
    "-leading",
    "--help",
    "10",
    "2",
    "\u6f22\u5b57",
    "\u0431\u0443\u0445\u0433\u0430\u043b\u0442\u0435\u0440",
    "\u05e9\u05dc\u05d5\u05dd",
    "\u202eevil",
    "cafe\u0301",
    "\U0001f469\u200d\U0001f4bb",
    'quote"comma,semicolon;',
    "=1+1",
    "<b>bold",
    "tab\there",
    "train",
    "back\\slash",
)


def tangle(root: Path) -> None:
    """Two photos, and everything that may be mistaken for more of them."""
    for number, label in enumerate(("a", "b")):
        (root / label).mkdir(parents=True)
        (root / label / f"{label}.jpg").write_bytes(encoded(photo(number)))
    (root / "a" / "to_root").symlink_to(root, target_is_directory=True)
    (root / "a" / "to_self").symlink_to(".", target_is_directory=True)
    (root / "b" / "in_a_circle.jpg").symlink_to("in_a_circle.jpg")
    (root / "b" / "to_nothing.jpg").symlink_to("nothing.jpg")
    (root / "b" / "another_name.jpg").symlink_to("b.jpg")
    os.link(root / "a" / "a.jpg", root / "b" / "hard.jpg")
    os.mkfifo(root / "b" / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(root / "b", os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{here}/socket.jpg")
        finally:
            os.close(here)
    (root / "c_is_a").symlink_to("a", target_is_directory=True)
    (root / "d_is_all").symlink_to(".", target_is_directory=True)
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.jpg").write_bytes(encoded(photo(9)))
    _deep(root / "a", "deep" * 50, 30)


def _deep(folder: Path, name: str, count: int) -> None:
    """Folders within one another, further down than a path can say, with a photo in the last."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(count):
        os.mkdir(name, dir_fd=here)
        there = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    file = os.open("far.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(file, encoded(photo(8)))
    os.close(file)
    os.close(here)


def copy_of(content: bytes, how: str) -> bytes:
    """An image file copied in a way of which its bytes tell nothing, but for `exact`."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    match how:
        case "exact":
            return content
        case "encoded":
            return encoded(image, quality=40)
        case "resized":
            return encoded(image.resize((image.width * 2 // 3, image.height * 2 // 3)), quality=85)
        case "png":
            return encoded(image.resize((image.width // 2, image.height // 2)), "PNG")
        case "turned":
            return encoded(image.rotate(90, expand=True), quality=80)
        case "upside_down":
            return encoded(image.rotate(180), quality=80)
        case _:
            return encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), quality=80)
