"""A SHA-256 that stands in the file that it is of, and files read no further than they go. No torch."""

import hashlib
import os
import re
from pathlib import Path

from googlenet.base.errors import ModelFileError

MAX_BYTES = (
    1 << 32
)  # of a file; the largest network, `dense`, has 230 MB, its training state three times that
UNSEALED = "0" * 64  # in the place of the digits, before they are known and while they are checked
_SEAL = re.compile(rb'\{\s*\\?"sha256\\?": \\?"([0-9a-f]{64})\\?"')  # JSON, or JSON inside a JSON string


def read_bounded(path: Path, *, most: int = MAX_BYTES) -> bytes:
    """Read a plain file of at most so many bytes.

    Raises ModelFileError.
    """
    try:
        if not path.is_file():  # a pipe would wait for ever, a device has no end
            raise ModelFileError(f"{path}: expected a plain file, got none")
        with path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > most:
                raise ModelFileError(f"{path}: expected at most {most:,} bytes, got {size:,}")
            return file.read()
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error


def embed_checksum(content: bytes) -> bytes:
    """Put the SHA-256 of a content, whose seal is zeros, into its place."""
    place = _SEAL.search(content)
    assert place is not None and place[1] == UNSEALED.encode()
    digits = hashlib.sha256(content).hexdigest().encode()
    return content[: place.start(1)] + digits + content[place.end(1) :]


def verify_checksum(content: bytes, path: Path, *, cure: str = "copy it again") -> None:
    """Compare a content with the SHA-256 that stands in it, before anything else is made of it.

    Raises ModelFileError if there is none, or it is another.
    """
    place = _SEAL.search(content)
    if place is None:
        raise ModelFileError(
            f"{path}: not a model file of googlenet, or damaged: expected its SHA-256 in it, found none "
            f"in {len(content):,} bytes"
        )
    view = memoryview(content)  # no second copy of the file
    found = hashlib.sha256(view[: place.start(1)])
    found.update(UNSEALED.encode())
    found.update(view[place.end(1) :])
    if found.hexdigest().encode() != place[1]:
        raise ModelFileError(
            f"{path}: sha256 mismatch, expected {place[1][:12].decode()}…, got {found.hexdigest()[:12]}…: "
            f"the file was altered or damaged; {cure}"
        )


def one_line(error: BaseException) -> str:
    """What an error of another library says, cut to one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
