"""Files that describe themselves: named arrays and a header, sealed by a SHA-256.

The container is safetensors: no pickle, nothing in it can execute. Its metadata holds one JSON text
whose first field is the SHA-256 of the whole file, computed with those 64 digits read as zeros; so a
flipped bit anywhere, in the header too, is noticed before a number is used. No torch here.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from googlenet.dialects import Interpolation, Preprocessing
from googlenet.errors import ModelFileError, WriteError
from googlenet.familiar import Familiar

Arrays = dict[str, npt.NDArray[Any]]

MODEL_NAME = "model.safetensors"
FORMAT = 1
_KEY = "googlenet"
_ZEROS = "0" * 64
_MAX_HEADER = 100_000_000  # bytes; safetensors' own limit
_LISTED = 3  # names of each kind in a message
_SPARE = 1.2  # free space asked for before writing, as a multiple of the file


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model file says of itself, besides its weights."""

    classes: tuple[str, ...]
    dialect: str
    preprocessing: Preprocessing
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    temperature: float = 1.0  # that the logits are divided by
    familiar: Familiar | None = None  # what photos like the training data look like

    def as_header(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_header(cls, header: dict[str, Any], path: Path) -> "Card":
        """Rebuild a card.

        Raises ModelFileError if a field is missing, unknown or of the wrong kind.
        """
        fields = dict(header)
        if fields.pop("format", None) != FORMAT:
            raise ModelFileError(
                f"{path}: expected a model file of format {FORMAT}, got {header.get('format')!r}; "
                "it was written by another release, or is a training state"
            )
        try:
            pixels = fields["preprocessing"]
            triples = {name: tuple(map(float, pixels[name])) for name in ("mean", "std")}
            fields["preprocessing"] = _checked(Preprocessing(**{**pixels, **triples}))
            fields["classes"] = tuple(map(str, fields["classes"]))
            if not 0 < fields.get("temperature", 1.0) < math.inf:
                raise ValueError(f"expected a temperature above 0, got {fields['temperature']!r}")
            fields.pop("energy_threshold", None)  # of a release that judged strangeness by logits
            if fields.get("familiar") is not None:
                fields["familiar"] = Familiar.from_fields(fields["familiar"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path}: its header is not that of a model: {error}") from error


def model_path(path: Path) -> Path:
    """Find the model file of a run folder, or return the file itself.

    Raises ModelFileError if there is none.
    """
    try:
        found = path / MODEL_NAME if path.is_dir() else path
        there = found.is_file()
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error
    if not there:
        raise ModelFileError(
            f"expected a run folder, a {MODEL_NAME} or (to predict or evaluate) an exported folder, got "
            + (
                f"{path}, which holds no {MODEL_NAME}: did its training finish?"
                if path.is_dir()
                else f"{path}, which does not exist"
            )
        )
    return found


def read_card(path: Path) -> Card:
    """Read what a model file says of itself, after checking all of it.

    Raises ModelFileError if it is not a model file of ours, or was altered.
    """
    return Card.from_header(read(path)[1], path)


def read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read a sealed file: its arrays and its header.

    Raises ModelFileError if it cannot be read, is not ours, or its SHA-256 does not match.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error
    header = _header(content, path)
    seal = header.pop("sha256", None)
    if not isinstance(seal, str) or len(seal) != 64:
        raise ModelFileError(f"{path}: not a file of googlenet: its header carries no SHA-256")
    found = hashlib.sha256(content.replace(_sealed(seal), _sealed(_ZEROS), 1)).hexdigest()
    if found != seal:
        raise ModelFileError(
            f"{path}: sha256 mismatch, expected {seal[:12]}…, got {found[:12]}…: the file was altered "
            "or damaged; copy it again"
        )
    try:
        return safetensors.numpy.load(content), header
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path}: not a safetensors file: {error}") from error


def mismatch(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> str | None:
    """Say how named arrays differ from those expected: the first missing, unexpected and misshapen ones.

    Both give the shape of each name; None if they are the same.
    """
    wrong = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "misshapen": [
            f"{name} {list(found[name])} for {list(shape)}"
            for name, shape in expected.items()
            if name in found and found[name] != shape
        ],
    }
    return "; ".join(f"{kind} {_first(names)}" for kind, names in wrong.items() if names) or None


def shapes(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each array or tensor."""
    return {name: tuple(array.shape) for name, array in arrays.items()}


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def pack(arrays: Arrays, header: dict[str, Any]) -> bytes:
    """Put arrays and a header into a sealed file's bytes; the same input gives the same bytes."""
    text = json.dumps({"sha256": _ZEROS, **header}, ensure_ascii=True)
    contiguous = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    content = safetensors.numpy.save(contiguous, metadata={_KEY: text})
    seal = hashlib.sha256(content).hexdigest()
    return content.replace(_sealed(_ZEROS), _sealed(seal), 1)


def write(path: Path, arrays: Arrays, header: dict[str, Any]) -> None:
    """Write a sealed file; readers see the old one or the whole new one, also after a power cut.

    Raises WriteError if it cannot be written; what was there before is untouched.
    """
    write_bytes(path, pack(arrays, header))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content at once: a temporary file, synced, renamed, and the folder synced.

    Raises WriteError with the numbers if there is no room, or if something else stands at `path`.
    """
    try:
        _need_room(path, len(content))
        try:
            _replace(path, content)
        except OSError:  # a disk behind a network may fail once
            _replace(path, content)
    except OSError as error:
        raise WriteError(
            f"{path}: could not write {len(content):,} bytes: {error.strerror or error}{_free(path)}"
        ) from error


def _replace(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.unlink(missing_ok=True)  # of a former process with our number
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def need_plain(path: Path) -> None:
    """Raise WriteError if something else than a file stands at `path`."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise WriteError(f"{path}: expected a plain file or nothing there, got something else")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; at the end it takes the place of `path` at once.

    If anything fails, what was there before is untouched. Raises WriteError if something else than a
    file stands at `path`, OSError.
    """
    need_plain(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_stale(folder: Path, *, alive: Callable[[int], bool]) -> None:
    """Remove temporary files left by writers that are no longer alive."""
    for temporary in folder.glob(".*.tmp"):
        pid = temporary.name.split(".")[-2]
        if pid.isdigit() and not alive(int(pid)):
            temporary.unlink(missing_ok=True)


def _checked(pixels: Preprocessing) -> Preprocessing:
    """Return it if `image` can follow it; ValueError for words that it does not know."""
    if pixels.interpolation not in (known := get_args(Interpolation)):
        raise ValueError(f"expected interpolation {' or '.join(known)}, got {pixels.interpolation!r}")
    if not isinstance(pixels.warp, bool):
        raise ValueError(f"expected warp true or false, got {pixels.warp!r}")
    return pixels


def _need_room(path: Path, length: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < _SPARE * length:
        raise WriteError(
            f"{path}: expected {int(_SPARE * length):,} bytes free, got {free:,}; free some space"
        )


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        return f" ({shutil.disk_usage(path.parent).free:,} bytes are free)"
    return ""


def _sealed(digits: str) -> bytes:
    """The place of the seal as it stands in the file: JSON inside a JSON string."""
    return rf"{{\"sha256\": \"{digits}\"".encode()


def _header(content: bytes, path: Path) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= length <= min(_MAX_HEADER, len(content) - 8):
        raise ModelFileError(
            f"{path}: not a model file: expected safetensors, got {len(content):,} other bytes"
        )
    try:
        outer = json.loads(content[8 : 8 + length])
        header = json.loads(outer["__metadata__"][_KEY])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a model file of googlenet: its header cannot be read") from error
    if not isinstance(header, dict):
        raise ModelFileError(f"{path}: not a model file of googlenet: its header is no object")
    return header
