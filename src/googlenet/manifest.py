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
ENGINES = ("openvino", "onnx")
PRECISIONS = ("float32", "int8")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An exported model: its card, what runs it, its files, and the parity that was measured."""

    card: Card
    engine: str  # one of ENGINES
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
        write_bytes(folder / MANIFEST, json.dumps(fields, indent=1).encode())


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
        if fields.pop("format") != FORMAT:
            raise ModelFileError(f"{path}: written by another release; export the model again")
        card = Card.from_header(fields.pop("card"), path)
        found = Manifest(card=card, **fields)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{path}: not the manifest of an exported model: {error}") from error
    if found.engine not in ENGINES or found.precision not in PRECISIONS or not isinstance(found.files, dict):
        raise ModelFileError(f"{path}: expected one of {', '.join(ENGINES)}, got {found.engine!r}")
    for name, digest in found.files.items():
        _check(folder, name, digest)
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(folder: Path, name: str, expected: str) -> None:
    if Path(name).name != name:
        raise ModelFileError(f"{folder / MANIFEST}: expected the names of files beside it, got {name!r}")
    try:
        found = digest(folder / name)
    except OSError as error:
        raise ModelFileError(f"{folder / name}: {error.strerror or error}; export the model again") from error
    if found != expected:
        raise ModelFileError(
            f"{folder / name}: sha256 mismatch, expected {str(expected)[:12]}…, got {found[:12]}…: the file "
            "was altered or damaged; export the model again"
        )
