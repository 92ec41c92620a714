"""What an exported folder says of itself: `manifest.json`, with a SHA-256 of every other file. No torch.

Its own SHA-256 is embedded in it, unlike a model file's: nobody but an export writes it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from googlenet.base.errors import ModelFileError, one_line
from googlenet.base.text import abbreviate
from googlenet.files.atomic import atomic_write
from googlenet.files.checksum import (
    PLACEHOLDER,
    check_digest,
    check_size,
    embed_checksum,
    file_digest,
    read_bounded,
    verify_checksum,
)
from googlenet.files.graphfile import check_graph
from googlenet.files.metadata import ModelMetadata, check_format
from googlenet.files.parity import Parity

MANIFEST = "manifest.json"
FORMAT = 1
MAX_MANIFEST = 16_000_000  # bytes: names of a hundred thousand classes
CURE = "export the model again"
Engine = Literal["openvino", "onnx"]
InputKind = Literal["uint8-nhwc", "float-nchw"]
FILES: dict[Engine, tuple[str, ...]] = {
    "openvino": ("model.xml", "model.bin"),
    "onnx": ("model.onnx",),
}  # of each engine; the first is opened


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An exported model: its metadata, what runs it, its files, and the parity that was measured."""

    card: ModelMetadata
    engine: Engine
    precision: Literal["float32", "int8"]  # of the weights
    maps: bool  # class maps are the second output
    features: bool = False  # the averages that the classifier reads are the last output
    input: InputKind = "uint8-nhwc"  # both RGB from 0 to 255, normalized inside
    source: str  # SHA-256 of the weights that were exported
    files: dict[str, str]  # name -> SHA-256
    parity: Parity | None = None  # None until it was measured

    def as_fields(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        parity = self.parity.as_fields() if self.parity else {}
        return {**msgspec.to_builtins(self), "parity": parity}

    def write(self, folder: Path) -> None:
        """Write it beside the files that it names.

        Raises WriteError.
        """
        fields = {"format": FORMAT, **self.as_fields(), "card": self.card.as_header()}
        text = json.dumps({"sha256": PLACEHOLDER, **fields}, indent=1)
        atomic_write(folder / MANIFEST, embed_checksum(text.encode()))


def is_exported(path: Path) -> bool:
    """Whether a path is an exported folder."""
    return (path / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest and check every file that it names: its SHA-256, and that an engine may open it.

    Raises ModelFileError for a folder that was not exported whole, or was altered since, or refers to
    anything outside of it.
    """
    path = folder / MANIFEST
    _check_no_link(path)
    content = read_bounded(path, limit=MAX_MANIFEST, cure=CURE)
    verify_checksum(content, path, cure=CURE)
    manifest = _parse(content, path)
    for name, digest in manifest.files.items():
        _check(folder / name, digest)
    check_graph([folder / name for name in FILES[manifest.engine]])
    return manifest


def _parse(content: bytes, path: Path) -> Manifest:
    """Build the manifest from a content whose checksum matches; who alters it may embed another."""
    try:
        fields = json.loads(content)
        check_format(fields.pop("format", None), FORMAT, path, fields["card"]["versions"])
        card = ModelMetadata.from_header(fields.pop("card"), path)
        parity = Parity.from_fields(fields.pop("parity", {}))
        found = msgspec.convert({**fields, "card": card, "parity": parity}, Manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: not the manifest of an exported model: {one_line(error)}") from error
    if set(found.files) != set(FILES[found.engine]):
        raise ModelFileError(
            f"{path}: expected {' and '.join(FILES[found.engine])}, got {abbreviate(list(found.files))}"
        )
    return found


def _check_no_link(path: Path) -> None:
    if path.is_symlink():
        raise ModelFileError(
            f"{path}: expected a plain file in an exported folder, got a link; copy the file itself"
        )


def _check(path: Path, expected: str) -> None:
    _check_no_link(path)
    check_size(path, cure=CURE)
    try:
        found = file_digest(path)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}; {CURE}") from error
    check_digest(path, str(expected), found, cure=CURE)
