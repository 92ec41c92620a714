"""Files that describe themselves: named arrays and a header, each with its SHA-256.

The container is safetensors: no pickle, nothing in it can execute. Under the key `googlenet` of its
metadata is one JSON text, which begins with two SHA-256: of the tensors (their names in sorted order, types,
shapes and bytes), and of the rest of the JSON. A flipped bit in either is noticed, while tools may add
metadata or order the tensors anew. Format 1 had a SHA-256 of the whole file there. No torch here.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from googlenet.base.errors import ModelFileError, one_line
from googlenet.base.text import abbreviate
from googlenet.files.atomic import atomic_write
from googlenet.files.checksum import check_digest, check_size, read_bounded, verify_checksum
from googlenet.files.metadata import ModelMetadata

Arrays = dict[str, npt.NDArray[Any]]

MODEL_NAME = "model.safetensors"
_KEY = "googlenet"
_CHECKSUMS = '{"sha256": {"tensors": "%s", "header": "%s"}, '  # what the JSON text begins with
_CHECKSUMS_FOUND = re.compile(re.escape(_CHECKSUMS) % (("([0-9a-f]{64})",) * 2))
_FORMAT_1 = '{"sha256": "'


def model_path(path: Path) -> Path:
    """Find the model file of a run folder, or return the file itself.

    Raises ModelFileError if there is none.
    """
    try:
        file = path / MODEL_NAME if path.is_dir() else path
        exists = file.is_file()
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error
    if not exists:
        raise ModelFileError(
            f"expected a run folder, a {MODEL_NAME} or (to predict, evaluate, "
            "explain, report or serve) an exported folder, got "
            + (
                f"{path}, which holds no {MODEL_NAME}: did its training finish?"
                if path.is_dir()
                else f"{path}, which does not exist"
            )
        )
    return file


def is_ours(path: Path) -> bool:
    """Whether a file is safetensors with our header, whole or not."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return _KEY in (file.metadata() or {})
    except Exception:  # whatever it raises on other files
        return False


def read_metadata(path: Path) -> ModelMetadata:
    """Read what a model file says of itself, after checking all of it.

    Raises ModelFileError if it is not a model file of ours, or was altered.
    """
    return ModelMetadata.from_header(read(path)[1], path)


def read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read a file's arrays, in the order of their names, and its header.

    Raises ModelFileError if it cannot be read, is not ours, or a SHA-256 does not match.
    """
    check_size(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())} if text else {}
    except Exception as error:  # whatever it raises on damaged bytes
        raise ModelFileError(
            f"{path}: not a model file, or damaged: expected safetensors: {one_line(error)}"
        ) from error
    if text is None:
        raise ModelFileError(f"{path}: not a model file of googlenet: safetensors without its header")
    if text.startswith(_FORMAT_1):
        verify_checksum(read_bounded(path), path)
    else:
        text = _verify(text, arrays, path)
    try:
        header = json.loads(text)
        header.pop("sha256", None)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(
            f"{path}: not a model file of googlenet: its header is no JSON object"
        ) from error
    return arrays, header


def _verify(text: str, arrays: Arrays, path: Path) -> str:
    """Verify both checksums; returns the JSON without them."""
    match = _CHECKSUMS_FOUND.match(text)
    if match is None:
        raise ModelFileError(
            f"{path}: not a model file of googlenet, or damaged: expected its SHA-256 in it, found none"
        )
    header = "{" + text[match.end() :]
    check_digest(path, match[2], hashlib.sha256(header.encode()).hexdigest())
    check_digest(path, match[1], _tensors_sha256(arrays))
    return header


def _tensors_sha256(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode() + b"\n")
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def describe_mismatch(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> str | None:
    """Describe how named arrays differ from those expected: the first missing, unexpected and misshapen ones.

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
    return "; ".join(f"{what} {abbreviate(names)}" for what, names in wrong.items() if names) or None


def shapes(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each array or tensor."""
    return {name: tuple(array.shape) for name, array in arrays.items()}


def to_bytes(arrays: Arrays, header: dict[str, Any]) -> bytes:
    """Put arrays and a header into a file's bytes; the same input gives the same bytes."""
    contiguous = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    text = json.dumps(header, ensure_ascii=True)
    checksums = _CHECKSUMS % (_tensors_sha256(contiguous), hashlib.sha256(text.encode()).hexdigest())
    return safetensors.numpy.save(contiguous, metadata={_KEY: checksums + text.removeprefix("{")})


def write(path: Path, arrays: Arrays, header: dict[str, Any]) -> None:
    """Write arrays and a header; readers see the old file or the whole new one, also after a power cut.

    Raises WriteError if it cannot be written; what was there before is untouched.
    """
    atomic_write(path, to_bytes(arrays, header))
