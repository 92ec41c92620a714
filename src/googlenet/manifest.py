"""What an exported folder says of itself: `manifest.json`, with a SHA-256 of every other file. No torch."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from googlenet.errors import ModelFileError
from googlenet.modelfile import Card, write_bytes

MANIFEST = "manifest.json"
FORMAT = 1
FILES = {
    "openvino": ("model.xml", "model.bin"),
    "onnx": ("model.onnx",),
}  # of each engine; the first is opened
PRECISIONS = ("float32", "int8")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An exported model: its card, what runs it, its files, and the parity that was measured."""

    card: Card
    engine: str  # a key of FILES
    precision: str  # of the weights, one of PRECISIONS
    maps: bool  # class maps are the second output
    merged: bool  # sibling 1x1 convolutions are one
    source: str  # SHA-256 of the weights that were exported
    files: dict[str, str]  # name -> SHA-256
    parity: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it beside the files that it names.

        Raises WriteError.
        """
        fields = {"format": FORMAT, **asdict(self), "card": self.card.as_header()}
        text = json.dumps({**fields, "sha256": _seal(fields)}, indent=1)
        write_bytes(folder / MANIFEST, text.encode())


def is_exported(path: Path) -> bool:
    """Whether a path is an exported folder."""
    return (path / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest and check every file that it names.

    Raises ModelFileError for a folder that was not exported whole, or was altered since.
    """
    path = folder / MANIFEST
    try:
        fields = json.loads(path.read_bytes())
        seal = fields.pop("sha256")
        if _seal(fields) != seal:
            raise ModelFileError(f"{path}: sha256 mismatch: altered or damaged; export the model again")
        if fields.pop("format") != FORMAT:
            raise ModelFileError(f"{path}: written by another release; export the model again")
        card = Card.from_header(fields.pop("card"), path)
        found = Manifest(card=card, **fields)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{path}: not the manifest of an exported model: {error}") from error
    if set(found.files) != set(FILES.get(found.engine, ())) or found.precision not in PRECISIONS:
        raise ModelFileError(
            f"{path}: expected the files of an engine among {', '.join(FILES)}, got those of {found.engine!r}"
        )
    for name, digest in found.files.items():
        _check(folder, name, digest)
    return found


def _seal(fields: dict[str, Any]) -> str:
    """SHA-256 of everything else that a manifest says."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(folder: Path, name: str, expected: str) -> None:
    try:
        found = digest(folder / name)
    except OSError as error:
        raise ModelFileError(f"{folder / name}: {error.strerror or error}; export the model again") from error
    if found != expected:
        raise ModelFileError(
            f"{folder / name}: sha256 mismatch, expected {str(expected)[:12]}…, got {found[:12]}…: the file "
            "was altered or damaged; export the model again"
        )
