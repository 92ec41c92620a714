"""A file of each format that Pillow would open and we refuse, as its own decoder would accept it."""

import struct

import numpy as np
from PIL import Image

from helpers.pictures import encoded, flat, picture

_RGB = picture(flat(3), "RGB")
_WRITTEN = {  # by Pillow
    "BLP": _RGB.quantize(256),
    "DDS": _RGB,
    "DIB": _RGB,
    "EPS": _RGB,
    "ICNS": _RGB.resize((64, 64)),
    "ICO": _RGB.resize((64, 64)),
    "JPEG2000": _RGB,
    "MSP": _RGB.convert("1"),
    "PCX": _RGB,
    "PPM": _RGB,
    "QOI": _RGB,
    "SGI": _RGB,
    "SPIDER": _RGB.convert("F"),
    "TGA": _RGB,
    "XBM": _RGB.convert("1"),
}
_BEGINNINGS = {
    "BUFR": b"BUFR\0\0\0\4",
    "CUR": b"\0\0\2\0\1\0" + bytes(22),
    "DCX": struct.pack("<II", 0x3ADE68B1, 12) + bytes(8),
    "FITS": b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
    "FLI": struct.pack("<IHHHHH", 200, 0xAF11, 1, 8, 8, 8) + bytes(200),
    "FTEX": b"FTEX" + bytes(60),
    "GBR": struct.pack(">IIIII", 28, 2, 8, 8, 1) + b"GIMP" + bytes(80),
    "GRIB": b"GRIB\0\0\0\1",
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(32),
    "IM": b"Image type: RGB image\r\nName: x\r\nImage size (x*y): 8*8\r\n".ljust(511, b"\0")
    + b"\x1a"
    + bytes(192),
    "IMT": b"*" + b"width 8\n*height 8\n\x0c" + bytes(64),
    "IPTC": b"\x1c\x03\x3c\0\2\1\0" + bytes(64),
    "MCIDAS": b"\0\0\0\0\0\0\0\4" + bytes(248),
    "MPEG": b"\0\0\1\xb3\x01\x00\x10" + bytes(32),
    "PCD": bytes(2048) + b"PCD_" + bytes(4096),
    "PIXAR": b"\200\350\0\0" + bytes(1024),
    "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(64),
    "SUN": struct.pack(">IIIIIIII", 0x59A66A95, 8, 8, 24, 192, 1, 0, 0) + bytes(192),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + bytes(16) + b"\1\0\t\0" + bytes(32),
    "XPM": b'/* XPM */\nstatic char *x[] = {"1 1 1 1","a c #000000","a"};',
    "XVTHUMB": b"P7 332\n#XVVERSION\n8 8 255\n" + bytes(64),
}


def names() -> list[str]:
    """What Pillow opens beside those for photos."""
    Image.init()
    return sorted(set(Image.OPEN) - {"JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF"})


def stranger(name: str) -> bytes:
    """A file of that format."""
    if name in _WRITTEN:
        return encoded(_WRITTEN[name], name)
    return _BEGINNINGS[name]


OUTSIDE = {  # what people have under a photo's name
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "text": b"the photo is on the other disk\n",
    "an SVG drawing": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "a PDF document": b"%PDF-1.7\n",
    "a ZIP archive": b"PK\3\4" + bytes(30),
    "a video": b"\0\0\0\x18ftypisom" + bytes(30),
    "a QuickTime video": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "nothing but zeros": bytes(4096),
    "something else": bytes(np.random.default_rng(0).integers(128, 256, 64).astype(np.uint8)),
    "a Canon raw photo": b"II*\0\x10\0\0\0CR\2\0" + bytes(64),
    "a JPEG without its beginning": b"\0\x10\0\0\0\0JFIF\0" + bytes(64),
    "a sound or a video": b"RIFF\x24\0\0\0WAVEfmt " + bytes(32),
}
