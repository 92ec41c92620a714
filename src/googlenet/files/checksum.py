"""SHA-256 of files, JSON that carries its own, and reading within a limit. No torch."""

import hashlib
import re
from pathlib import Path

from googlenet.base.errors import ModelFileError

MAX_BYTES = 1 << 32  # of a file; the largest network has 230 MB, its training state three times that
CURE = "copy it again"
PLACEHOLDER = "0" * 64  # for the digits of an embedded checksum, before they are known and while checked
_EMBEDDED = re.compile(rb'\{\s*\\?"sha256\\?": \\?"([0-9a-f]{64})\\?"')  # JSON, or JSON in a JSON string


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def check_digest(path: Path, expected: str, found: str, *, cure: str = CURE) -> None:
    """Raise ModelFileError if two SHA-256 differ."""
    if found != expected:
        raise ModelFileError(
            f"{path}: sha256 mismatch, expected {expected[:12]}…, got {found[:12]}…: the file was altered "
            f"or damaged; {cure}"
        )


def check_size(path: Path, *, limit: int = MAX_BYTES, cure: str = CURE) -> None:
    """Check that a path is a plain file of at most `limit` bytes.

    Raises ModelFileError.
    """
    try:
        if not path.is_file():  # a pipe would wait for ever, a device has no end
            raise ModelFileError(f"{path}: expected a plain file, got none; {cure}")
        if (size := path.stat().st_size) > limit:
            raise ModelFileError(f"{path}: expected at most {limit:,} bytes, got {size:,}; {cure}")
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}; {cure}") from error


def read_bounded(path: Path, *, limit: int = MAX_BYTES, cure: str = CURE) -> bytes:
    """Read a plain file of at most `limit` bytes.

    Raises ModelFileError.
    """
    check_size(path, limit=limit, cure=cure)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}; {cure}") from error


def embed_checksum(content: bytes) -> bytes:
    """Replace the placeholder in a content by the SHA-256 of the content with the placeholder."""
    match = _EMBEDDED.search(content)
    assert match is not None and match[1] == PLACEHOLDER.encode()
    digits = hashlib.sha256(content).hexdigest().encode()
    return content[: match.start(1)] + digits + content[match.end(1) :]


def verify_checksum(content: bytes, path: Path, *, cure: str = CURE) -> None:
    """Verify an embedded checksum, before anything else is made of the content.

    Raises ModelFileError if there is none, or it does not match.
    """
    match = _EMBEDDED.search(content)
    if match is None:
        raise ModelFileError(
            f"{path}: not a file of googlenet, or damaged: expected its SHA-256 in it, found none "
            f"in {len(content):,} bytes"
        )
    view = memoryview(content)  # no second copy of the file
    digest = hashlib.sha256(view[: match.start(1)])
    digest.update(PLACEHOLDER.encode())
    digest.update(view[match.end(1) :])
    check_digest(path, match[1].decode(), digest.hexdigest(), cure=cure)
