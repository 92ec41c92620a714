"""The chunks of a PNG file before Pillow sees them: pixels by their checksums, texts and profiles taken out.

Pillow leaves the checksums of pixels unread, and refuses a file for a text or a color profile of more than a
megabyte, though neither has to do with the picture. Only what tells how the camera was held is kept of them.
"""

import re
import struct
import zlib
from collections.abc import Iterator

from googlenet.base.errors import ImageError

MAX_CHUNKS = 20_000  # before the end: each costs Python some microseconds
MAX_TEXT = 1 << 20  # bytes of a text, unpacked, that Pillow reads
MAX_SEARCHED = 64 << 20  # bytes of a longer one that are searched for an orientation

_SIGNATURE = 8  # bytes
_TAKEN_OUT = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
_KEPT = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # texts that may have an orientation
_LONGEST_KEYWORD = 80  # bytes, with its end
_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)[1-8]')
_OVERLAP = 64  # bytes: an orientation may lie across two pieces


def checked(data: bytes) -> bytes:
    """The same file without its color profile and its texts, but for an orientation.

    Raises ImageError for a wrong checksum of pixels, or more than MAX_CHUNKS chunks.
    """
    whole, rest, changed = memoryview(data), _SIGNATURE, False
    kept: list[bytes | memoryview] = [whole[:_SIGNATURE]]
    texts = set(_KEPT)
    for start, end, name in _chunks(data):
        rest = end
        if name == b"IDAT":
            _check_sum(data, start, end)
        if name not in _TAKEN_OUT:
            kept.append(whole[start:end])
            continue
        changed = True
        keyword = data[start + 8 : min(end - 4, start + 8 + _LONGEST_KEYWORD)].partition(b"\0")[0]
        if name != b"iCCP" and keyword in texts:  # of each the first, or unpacking them would never end
            texts.remove(keyword)
            if text := _orientation(name, data[start + 8 : end - 4]):
                kept.append(text)
    return b"".join([*kept, whole[rest:]]) if changed else data


def _chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and name of each whole chunk before the last; the decoder will see what is cut short."""
    at = _SIGNATURE
    for _ in range(MAX_CHUNKS):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data) or name == b"IEND":
            return
        yield at, end, name
        at = end
    raise ImageError("damaged", f"more than {MAX_CHUNKS} chunks in the PNG file")


def _check_sum(data: bytes, start: int, end: int) -> None:
    found = zlib.crc32(memoryview(data)[start + 4 : end - 4])
    if found != int.from_bytes(data[end - 4 : end], "big"):
        raise ImageError("damaged", f"the PNG chunk at byte {start} fails its checksum")


def _orientation(name: bytes, content: bytes) -> bytes | None:
    """A chunk that has what this text tells of the camera's orientation; None if it tells nothing."""
    keyword, _, value = content.partition(b"\0")
    try:
        first = next(pieces := _pieces(name, value), b"")
        if len(first) < MAX_TEXT:
            return _chunk(name, content)
        found = _ORIENTATION.search(first)
        for piece in pieces:
            found = found or _ORIENTATION.search(first[-_OVERLAP:] + piece)
            first = piece
    except zlib.error:  # a damaged text says nothing about the pixels
        return None
    return _chunk(b"iTXt", keyword + b"\0\0\0\0\0" + found[0] + b'"') if found else None


def _pieces(name: bytes, value: bytes) -> Iterator[bytes]:
    """What follows the keyword of a text, unpacked where it is packed, MAX_TEXT bytes at a time."""
    if name == b"iTXt":
        packed, value = value[:1] == b"\1", value[2:].split(b"\0", 2)[-1]
    else:
        packed, value = name == b"zTXt", value[1:] if name == b"zTXt" else value
    if not packed:
        yield from (value[at : at + MAX_TEXT] for at in range(0, min(len(value), MAX_SEARCHED), MAX_TEXT))
        return
    unpack = zlib.decompressobj()
    for _ in range(MAX_SEARCHED // MAX_TEXT):
        if not (piece := unpack.decompress(value, MAX_TEXT)):
            return
        yield piece
        value = unpack.unconsumed_tail


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
