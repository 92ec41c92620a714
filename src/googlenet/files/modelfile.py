"""Files that describe themselves: named arrays and a header, sealed by a SHA-256.

The container is safetensors: no pickle, nothing in it can execute. Its metadata holds one JSON text
whose first field is the SHA-256 of the whole file, computed with those 64 digits read as zeros; so a
flipped bit anywhere, in the header too, is noticed before anything is made of the bytes. No torch here.
"""

import contextlib
import json
import math
import numbers
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from googlenet.architecture.dialects import Preprocessing, dialect
from googlenet.architecture.table1 import check_size
from googlenet.base.errors import InputError, ModelFileError, WriteError
from googlenet.base.text import abbreviate
from googlenet.calibration.ood import OutlierDetector, Statistics
from googlenet.files.checksum import UNSEALED, embed_checksum, one_line, read_bounded, verify_checksum

Arrays = dict[str, npt.NDArray[Any]]

MODEL_NAME = "model.safetensors"
FORMAT = 1
_KEY = "googlenet"
_MAX_HEADER = 100_000_000  # bytes; safetensors' own limit
_SPARE = 1.2  # free space asked for before writing, as a multiple of the file


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """What a model file says of itself, besides its weights."""

    classes: tuple[str, ...]
    dialect: str
    preprocessing: Preprocessing
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    temperature: float = 1.0  # that the logits are divided by
    energy_threshold: float | None = None  # a photo of more energy is unlike the training data
    familiar: OutlierDetector | None = None  # what photos like the training data look like

    def __post_init__(self) -> None:
        """Refuse what no model can say of itself: ValueError with what was expected."""
        if not self.classes or not all(isinstance(name, str) for name in self.classes):
            raise ValueError(f"expected names of classes, got {str(self.classes)[:60]}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("expected each class once, got a name twice")
        for name in ("recipe", "data", "metrics", "versions"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(f"expected {name} as an object, got {getattr(self, name)!r}")
        if not _number(self.temperature) or not 0 < self.temperature < math.inf:
            raise ValueError(f"expected a temperature above 0, got {self.temperature!r}")
        border = self.energy_threshold
        if border is not None and not (_number(border) and math.isfinite(border)):
            raise ValueError(f"expected a finite energy_threshold, got {border!r}")

    def are_outliers(
        self, figures: Statistics, energies: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.bool_] | None:
        """Which photos are unlike the training data, by their pixels or by their logits.

        figures, energies  [N, 9] and [N]
        returns            [N], or None if the model cannot tell
        """
        marks = [self.familiar.is_outlier(figures)] if self.familiar else []
        if self.energy_threshold is not None:
            marks.append(energies > self.energy_threshold)
        return np.logical_or.reduce(marks) if marks else None

    def as_header(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_header(cls, header: dict[str, Any], path: Path) -> "ModelMetadata":
        """Rebuild a card.

        Raises ModelFileError if a field is missing, unknown or of the wrong kind.
        """
        fields = dict(header)
        check_format(fields.pop("format", None), FORMAT, path, fields.get("versions"))
        try:
            if extra := [name for name in fields if name not in cls.__dataclass_fields__]:
                raise ValueError(f"fields that this release does not know: {abbreviate(extra)}")
            pixels = dict(fields["preprocessing"])
            triples = {name: tuple(map(float, pixels[name])) for name in ("mean", "std")}
            fields["preprocessing"] = Preprocessing(**{**pixels, **triples})
            fields["classes"] = tuple(_strings(fields["classes"]))
            if fields.get("familiar") is not None:
                fields["familiar"] = OutlierDetector.from_fields(fields["familiar"])
            check_size(fields["preprocessing"].size, stem=dialect(fields["dialect"]).stem)
            return cls(**fields)
        except InputError as error:  # an architecture that is none, or an input that is too small for it
            raise ModelFileError(
                f"{path}: {error}; update googlenet if it was written by a newer one"
            ) from error
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ModelFileError(f"{path}: its header is not that of a model: {one_line(error)}") from error


def check_format(found: object, expected: int, path: Path, versions: object) -> None:
    """Raise ModelFileError for a file of another format than this release reads, and say whose it is."""
    if type(found) is int and found == expected:
        return
    if type(found) is int and found > expected:
        writer = versions.get("googlenet", "newer") if isinstance(versions, dict) else "newer"
        why = f"it was written by a newer release of googlenet ({str(writer)[:20]}): update googlenet"
    else:
        why = "it was written by another release, or is a training state"
    raise ModelFileError(f"{path}: expected format {expected} of a model, got {found!r}; {why}")


def _strings(values: object) -> list[str] | tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"expected a list of names, got {str(values)[:60]}")
    return values


def _number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


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
            f"expected a run folder, a {MODEL_NAME} or (to predict, evaluate, "
            "explain, report or serve) an exported folder, got "
            + (
                f"{path}, which holds no {MODEL_NAME}: did its training finish?"
                if path.is_dir()
                else f"{path}, which does not exist"
            )
        )
    return found


def read_metadata(path: Path) -> ModelMetadata:
    """Read what a model file says of itself, after checking all of it.

    Raises ModelFileError if it is not a model file of ours, or was altered.
    """
    return ModelMetadata.from_header(read(path)[1], path)


def read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read a sealed file: its arrays and its header.

    Raises ModelFileError if it cannot be read, is not ours, or its SHA-256 does not match.
    """
    content = read_bounded(path)
    verify_checksum(content, path)
    header = _header(content, path)
    header.pop("sha256", None)
    try:
        return dict(sorted(safetensors.numpy.load(content).items())), header
    except Exception as error:  # whatever it raises on a file that was sealed all the same
        raise ModelFileError(f"{path}: not a safetensors file: {one_line(error)}") from error


def describe_mismatch(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> str | None:
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
    return "; ".join(f"{kind} {abbreviate(names)}" for kind, names in wrong.items() if names) or None


def shapes(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each array or tensor."""
    return {name: tuple(array.shape) for name, array in arrays.items()}


def to_bytes(arrays: Arrays, header: dict[str, Any]) -> bytes:
    """Put arrays and a header into a sealed file's bytes; the same input gives the same bytes."""
    text = json.dumps({"sha256": UNSEALED, **header}, ensure_ascii=True)
    contiguous = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    return embed_checksum(safetensors.numpy.save(contiguous, metadata={_KEY: text}))


def write(path: Path, arrays: Arrays, header: dict[str, Any]) -> None:
    """Write a sealed file; readers see the old one or the whole new one, also after a power cut.

    Raises WriteError if it cannot be written; what was there before is untouched.
    """
    atomic_write(path, to_bytes(arrays, header))


def atomic_write(path: Path, content: bytes) -> None:
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
    with atomic_replace(path) as temporary:
        temporary.unlink(missing_ok=True)  # of a former process with our number
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def check_regular_file(path: Path) -> None:
    """Raise WriteError if something else than a file stands at `path`."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise WriteError(f"{path}: expected a plain file or nothing there, got something else")


@contextlib.contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; at the end it takes the place of `path` at once.

    If anything fails, what was there before is untouched. Raises WriteError if something else than a
    file stands at `path`, OSError.
    """
    check_regular_file(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def fsync_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_stale_temporaries(folder: Path, *, alive: Callable[[int], bool]) -> None:
    """Remove temporary files left by writers that are no longer alive."""
    for temporary in folder.glob(".*.tmp"):
        pid = temporary.name.split(".")[-2]
        if pid.isdigit() and not alive(int(pid)):
            temporary.unlink(missing_ok=True)


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
