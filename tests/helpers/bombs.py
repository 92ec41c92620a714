"""Image files far larger inside than out: `python bombs.py FILE WAY` decodes one and says its cost."""

import json
import re
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from helpers.pictures import chunk, encoded, tiff

COLOR = (9, 200, 77)


def plain(mode: str, wide: int, high: int, form: str, **options: object) -> bytes:
    """One color."""
    decode = Image.new(mode, (wide, high), COLOR + (128,) * (mode == "RGBA") if len(mode) > 2 else 0)
    return encoded(decode, form, **options)


def png(wide: int, high: int, *, depth: int = 8, color: int = 2, extra: bytes = b"") -> bytes:
    """Zeros, compressed as far as it goes, without ever holding them."""
    row = bytes(1 + (wide * {0: 1, 2: 3, 4: 2, 6: 4}[color] * depth + 7) // 8)
    many = max(1, min(high, (1 << 20) // len(row)))
    pack = zlib.compressobj(9)
    parts = [pack.compress(row * many) for _ in range(high // many)]
    parts += [pack.compress(row * (high % many)), pack.flush()]
    header = struct.pack(">IIBBBBB", wide, high, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", b"".join(parts)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG file whose last scan comes again and again."""
    data = encoded(Image.new("RGB", (side, side), COLOR), "JPEG", progressive=True)
    last = data[[found.start() for found in re.finditer(b"\xff\xda", data)][-1] : -2]
    return data[:-2] + last * scans + data[-2:]


def jpeg_of(size: tuple[int, int]) -> bytes:
    """A small JPEG file that says it is larger."""
    data = encoded(Image.new("RGB", (16, 16), COLOR), "JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", size[1], size[0]) + data[at + 9 :]


def declared(form: str, wide: int, high: int, *, real: tuple[int, int] = (64, 64)) -> bytes:
    """A HEIF or AVIF file that says it is of another size."""
    data = encoded(Image.new("RGB", real, COLOR), form, quality=50)
    assert data.count(b"ispe") == 1
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", wide, high) + data[at + 8 :]


def huge_tile() -> bytes:
    """A TIFF file of one pixel in a tile of a gigabyte."""
    content = zlib.compress(bytes(1 << 20))
    tags = {262: 2, 322: 32_752, 323: 32_752, 259: 8}
    return tiff(content, (1, 1), order="<", bits=(8, 8, 8), tags=tags)


def quarrelsome_exif() -> bytes:
    """A JPEG file whose EXIF block has 5,000 entries that all name the same 60 KB."""
    entries = b"".join(struct.pack("<HHII", 40_000 + i, 7, 60_000, 8) for i in range(5000))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 5000) + entries + bytes(4)
    segment = b"Exif\0\0" + block[:65_000]
    data = encoded(Image.new("RGB", (16, 16), COLOR), "JPEG")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


REFUSED: dict[str, Callable[[], bytes]] = {
    "png 30000x30000": lambda: png(30_000, 30_000, depth=1, color=0),
    "png 12000x12000": lambda: png(12_000, 12_000),
    "png of 16 bits 6500x6500": lambda: png(6500, 6500, depth=16),
    "webp 16383x16383": lambda: plain("RGB", 16_383, 16_383, "WEBP", lossless=True, method=0),
    "webp 6000x6000": lambda: plain("RGB", 6000, 6000, "WEBP", lossless=True, method=0),
    "gif 65535x65535": lambda: b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2\x44\1\0;",
    "tiff 8000x8000": lambda: plain("RGB", 8000, 8000, "TIFF", compression="tiff_adobe_deflate"),
    "tiff in a huge tile": huge_tile,
    "jpeg 65500x65500": lambda: jpeg_of((65_500, 65_500)),
    "jpeg of 99 scans": lambda: many_scans(8000, 89),
    "jpeg of 10000 scans": lambda: many_scans(64, 10_000),
    "jpeg of junk": lambda: b"\xff\xd8\xff" + bytes(20_000_000),
    "jpeg of fill bytes": lambda: b"\xff\xd8" + b"\xff" * 20_000_000,
    "jpeg of a million segments": lambda: b"\xff\xd8" + b"\xff\xe5\0\2" * 1_000_000,
    "heif 16000x16000": lambda: declared("HEIF", 16_000, 16_000),
    "avif 16000x16000": lambda: declared("AVIF", 16_000, 16_000),
    "heif of another size than it says": lambda: declared("HEIF", 64, 64, real=(4000, 4000)),
    "png of a million chunks": lambda: png(8, 8, extra=chunk(b"teSt", b"") * 1_000_000),
}
BOUNDED: dict[str, Callable[[], bytes]] = {
    "png 1x65000": lambda: png(1, 65_000),
    "png 65000x1": lambda: png(65_000, 1),
    "png 1x1": lambda: png(1, 1),
    "jpeg 1x65000": lambda: plain("RGB", 1, 65_000, "JPEG"),
    "jpeg 65000x1": lambda: plain("RGB", 65_000, 1, "JPEG"),
    "gif 1x65000": lambda: plain("P", 1, 65_000, "GIF"),
    "bmp 65000x1": lambda: plain("RGB", 65_000, 1, "BMP"),
    "jpeg 13300x13300": lambda: plain("RGB", 13_300, 13_300, "JPEG"),
    "jpeg with entries over entries": quarrelsome_exif,
}
LARGEST: dict[str, Callable[[], bytes]] = {  # about as large as is let through
    "png": lambda: png(6150, 6150),
    "png of 16 bits": lambda: png(5000, 5000, depth=16),
    "png with alpha": lambda: png(5700, 5700, color=6),
    "png to turn": lambda: png(5700, 5700, extra=chunk(b"eXIf", turned())),
    "jpeg": lambda: plain("RGB", 6100, 6100, "JPEG"),
    "progressive jpeg": lambda: plain("RGB", 8300, 8300, "JPEG", progressive=True),
    "progressive jpeg, 4:4:4": lambda: plain("RGB", 6400, 6400, "JPEG", progressive=True, subsampling=0),
    "webp": lambda: plain("RGB", 3600, 3600, "WEBP", lossless=True, method=0),
    "webp with alpha": lambda: plain("RGBA", 3500, 3500, "WEBP", lossless=True, method=0),
    "gif": lambda: plain("P", 6100, 6100, "GIF"),
    "tiff": lambda: plain("RGB", 4900, 4900, "TIFF", compression="tiff_adobe_deflate"),
    "tiff of floats": lambda: plain("F", 5700, 5700, "TIFF", compression="tiff_adobe_deflate"),
    "bmp": lambda: plain("RGB", 6150, 6150, "BMP"),
    # 48 megapixels, as phones have
    "heif": lambda: plain("RGB", 8064, 6048, "HEIF", chroma=420, matrix_coefficients=6, quality=50),
    "heif, 4:4:4": lambda: plain("RGB", 4800, 4800, "HEIF", quality=50),
    "avif": lambda: plain("RGB", 4200, 4200, "AVIF", speed=10),
}
ALL = {**REFUSED, **BOUNDED, **{f"largest {name}": make for name, make in LARGEST.items()}}


def turned() -> bytes:
    """An EXIF block that says that the camera lay on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes().removeprefix(b"Exif\0\0")


def main() -> None:
    """Decode a file under a limit of address space; say size or error, seconds of processor, memory."""
    path, way = sys.argv[1:]
    from googlenet.architecture.dialects import Preprocessing
    from googlenet.base.errors import ImageError
    from googlenet.images import decode

    data = Path(path).read_bytes()
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 700_000_000,) * 2)
    before, begun = _most(), time.process_time()
    try:
        pixels = decode.decode(data) if way == "decode" else decode.preprocess(data, Preprocessing(size=224))
        said = list(pixels.shape)
    except ImageError as error:
        said = [error.code, error.reason]
    taken = time.process_time() - begun
    print(json.dumps({"said": said, "seconds": taken, "bytes": _most() - before}))


def _most() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
