"""Which decoder a file is given to, by its first bytes and nothing else.

A decoder is a way into the process: only those for what photos come in are ever entered, and each only
for files that begin as its own do, whatever they are called.
"""

from typing import Literal

from googlenet.base.errors import ImageError
from googlenet.images import heif

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "BMP",
    "GIF",
    "TIFF",
    "HEIF",
    "AVIF",
)  # JPEG includes the MPO of 3-D cameras
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".heic", ".heif", ".hif", ".heics", ".heifs", ".avif", ".avifs"}
)

_BEGINNINGS = (  # format, offset, bytes
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WEBP", 8, b"WEBP"),
    ("GIF", 0, b"GIF87a"),
    ("GIF", 0, b"GIF89a"),
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
    ("TIFF", 0, b"II+\0"),
    ("TIFF", 0, b"MM\0+"),
    ("BMP", 0, b"BM"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_BRANDS = 64  # of a file, looked at
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}  # bytes: two letters alone would be any text

_OTHERS = (  # what it seems to be, offset, bytes; the first that fits
    ("a Canon raw photo", 8, b"CR\2"),
    ("a PDF document", 0, b"%PDF"),
    ("a PostScript file", 0, b"%!PS"),
    ("a PostScript file", 0, b"\xc5\xd0\xd3\xc6"),
    ("a Photoshop file", 0, b"8BPS"),
    ("a QuickTime video", 4, b"ftypqt"),
    ("a Canon raw photo", 4, b"ftypcrx"),
    ("a video or photo in an MP4 container", 4, b"ftyp"),
    ("a JPEG 2000 image", 4, b"jP  "),
    ("a JPEG 2000 image", 0, b"\xff\x4f\xff\x51"),
    ("a JPEG XL image", 4, b"JXL "),
    ("a JPEG XL image", 0, b"\xff\x0a"),
    ("an icon", 0, b"\0\0\1\0"),
    ("a cursor", 0, b"\0\0\2\0"),
    ("an icon of macOS", 0, b"icns"),
    ("a FITS file", 0, b"SIMPLE"),
    ("a DDS texture", 0, b"DDS "),
    ("a QOI image", 0, b"qoif"),
    ("an OpenEXR image", 0, b"v/1\1"),
    ("an HDF5 file", 0, b"\x89HDF"),
    ("a ZIP archive or a document", 0, b"PK\3\4"),
    ("a gzip archive", 0, b"\x1f\x8b"),
    ("a sound or a video in a RIFF container", 0, b"RIFF"),
    ("an SGI image", 0, b"\1\xda"),
    ("a Sun raster", 0, b"\x59\xa6\x6a\x95"),
    ("a Windows metafile", 0, b"\xd7\xcd\xc6\x9a"),
    ("a Windows metafile", 0, b"\1\0\0\0"),
    ("a PCX image", 0, b"\x0a\5\1"),
    ("a JPEG without its beginning", 6, b"JFIF"),
    ("a pointer of Git LFS; fetch the file with `git lfs pull`", 0, b"version https://git-lfs"),
    *((f"a Netpbm image ({form})", 0, b"P%d%c" % (form, end)) for form in range(1, 8) for end in b" \n\t\r"),
)


def detect_format(data: bytes) -> str:
    """Name the format of an image file, one of FORMATS.

    Raises ImageError for an empty file, and for another format, saying what it seems to be.
    """
    if not data:
        raise ImageError("empty", "the file has no content")
    for form, offset, beginning in _BEGINNINGS:
        if data.startswith(beginning, offset) and _is(form, data):
            return form
    if (inside := _in_container(data)) is not None:
        if inside == "HEIF" and not heif.INSTALLED:
            raise ImageError("format", "this is a HEIC photo, which needs pi-heif: pip install pi-heif")
        return inside
    raise ImageError("format", f"expected {', '.join(FORMATS)}; this seems to be {_seems(data)}")


def is_truncated(form: str, data: bytes) -> bool:
    """Tell whether a file that cannot be decoded lacks its end."""
    match form:
        case "JPEG":
            return data.find(b"\xff\xd9", max(0, data.rfind(b"\xff\xda"))) < 0
        case "PNG":
            return b"IEND" not in data
        case "GIF":
            return not data.rstrip(b"\0").endswith(b";")
        case "WEBP":
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case "BMP":
            return len(data) < 54 or int.from_bytes(data[2:6], "little") > len(data)
        case "HEIF" | "AVIF":
            return _ends_within_a_box(data)
        case _:
            return _without_directory(data)


def _without_directory(data: bytes) -> bool:
    """Tell whether the directory of a TIFF file, which often stands last, reaches beyond the end."""
    order: Literal["little", "big"] = "little" if data.startswith(b"II") else "big"
    at = int.from_bytes(data[4:8], order)
    entries = int.from_bytes(data[at : at + 2], order)
    return len(data) < 8 or at + 2 + 12 * entries + 4 > len(data)


def _in_container(data: bytes) -> str | None:
    """The format of an image in an ISO base media file, by the brands that it says it conforms to."""
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * _BRANDS)
    major, others = data[8:12], {data[at : at + 4] for at in range(16, end, 4)}
    if major in (b"mif1", b"msf1", b"miaf"):  # any kind of image, with its own brand among the others
        return "AVIF" if others & _AVIF_BRANDS else "HEIF" if others & _HEIF_BRANDS else None
    return "AVIF" if major in _AVIF_BRANDS else "HEIF" if major in _HEIF_BRANDS else None


def _ends_within_a_box(data: bytes) -> bool:
    """Tell whether the last box of an ISO base media file reaches beyond the end."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length == 1:  # it stands behind the name, in 64 bits
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if length < 8:  # 0: to the end of the file; else damaged
            return False
        at += length
    return at != len(data)


def _is(form: str, data: bytes) -> bool:
    if form == "BMP":
        return len(data) < 18 or int.from_bytes(data[14:18], "little") in _BMP_HEADERS
    if form == "WEBP":
        return data.startswith(b"RIFF")
    return not (form == "TIFF" and data.startswith(b"CR\2", 8))


def _seems(data: bytes) -> str:
    for name, offset, beginning in _OTHERS:
        if data.startswith(beginning, offset):
            return name
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.lower().startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page"
    if b"<svg" in start:
        return "an SVG drawing"
    if not start.strip(b"\0"):
        return "nothing but zeros or blanks"
    whole = start.decode("utf-8", "ignore").encode()
    if len(whole) > len(start) - 4 and all(byte >= 32 or byte in b"\t\r\n\f\x1b" for byte in whole):
        return "text"
    return f"something else (it begins with {data[:8].hex(' ')})"
