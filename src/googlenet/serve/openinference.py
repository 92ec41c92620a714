"""The Open Inference Protocol (KServe v2, REST) with Triton's `classification` and `binary_tensor_data`.

Bytes to a request, results to bytes; nothing here knows of HTTP or of models' insides.
Source: github.com/kserve/open-inference-protocol; Triton's protocol extensions.
"""

import base64
import binascii
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.images.decode import Pixels

EXTENSIONS = ("classification", "binary_tensor_data", "model_configuration")
HEADER_LENGTH = "inference-header-content-length"
PROBABILITIES = "probabilities"
IMAGE = "image"
MAX_ID = 1000  # characters


class BadRequest(Exception):
    """A request that cannot be followed; the text is for the client."""


@dataclass(frozen=True)
class Output:
    """How the probabilities are wanted: raw or as so many classes, as JSON or as bytes."""

    classes: int = 0
    binary: bool = False


@dataclass(frozen=True)
class Request:
    """What is asked: images, encoded or as squares, and how the answer is to look."""

    id: str | None
    images: list[bytes] | Pixels
    output: Output


def metadata(name: str, *, versions: Sequence[str], size: int, classes: int, encoded: bool) -> dict[str, Any]:
    """What a model takes and gives."""
    taken = (
        {"name": IMAGE, "datatype": "BYTES", "shape": [-1, 1]}
        if encoded
        else {"name": IMAGE, "datatype": "UINT8", "shape": [-1, size, size, 3]}
    )
    return {
        "name": name,
        "versions": list(versions),
        "platform": "googlenet",
        "inputs": [taken],
        "outputs": [{"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, classes]}],
    }


def configuration(name: str, *, size: int, classes: int, encoded: bool, batch: int) -> dict[str, Any]:
    """The same as Triton's model configuration, which its image client reads."""
    taken: dict[str, Any] = (
        {"name": IMAGE, "data_type": "TYPE_STRING", "format": "FORMAT_NONE", "dims": [1]}
        if encoded
        else {"name": IMAGE, "data_type": "TYPE_UINT8", "format": "FORMAT_NHWC", "dims": [size, size, 3]}
    )
    given = {"name": PROBABILITIES, "data_type": "TYPE_FP32", "dims": [classes]}
    return {
        "name": name,
        "platform": "googlenet",
        "backend": "googlenet",
        "max_batch_size": batch,
        "input": [taken],
        "output": [given],
    }


def parse(
    body: bytes, header_length: str | None, *, size: int, classes: int, encoded: bool, batch: int
) -> Request:
    """Read a request.

    header_length  of the HTTP header of that name: where the JSON ends and the tensors' bytes begin
    encoded        whether images are expected as files, not as squares uint8 [N, size, size, 3]
    batch          images at most
    raises         BadRequest
    """
    text, rest = _divided(body, header_length)
    said = read_json(text)
    if not isinstance(said, dict):
        raise BadRequest("expected a JSON object")
    name = said.get("id")
    if name is not None and (not isinstance(name, str) or len(name) > MAX_ID):
        raise BadRequest(f"expected an id of at most {MAX_ID} characters")
    inputs = said.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequest(f"expected one input, {IMAGE!r}")
    given = inputs[0]
    if given.get("name") != IMAGE:
        raise BadRequest(f"expected the input {IMAGE!r}")
    wanted = "BYTES" if encoded else "UINT8"
    if given.get("datatype") != wanted:
        raise BadRequest(f"expected datatype {wanted} for {IMAGE!r}")
    shape = _shape(given.get("shape"))
    if encoded:
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
            raise BadRequest("expected shape [N] or [N, 1]")
    elif shape[1:] != [size, size, 3] or len(shape) != 4:
        raise BadRequest(f"expected shape [N, {size}, {size}, 3]")
    if not 1 <= shape[0] <= batch:
        raise BadRequest(f"expected 1 to {batch} images, got {shape[0]}")
    parameters = _parameters(given)
    raw = _binary(parameters, rest)
    output = _output(said, classes=classes)
    if encoded:
        files = _elements(raw, shape[0]) if raw is not None else _texts(given.get("data"), parameters)
        if len(files) != shape[0]:
            raise BadRequest(f"expected {shape[0]} images, got {len(files)}")
        return Request(name, files, output)
    return Request(name, _squares(raw, given.get("data"), shape), output)


def response(
    request: Request,
    probabilities: npt.NDArray[np.float32],
    labels: Sequence[str],
    *,
    model: str,
    version: str,
) -> tuple[bytes, int | None]:
    """Write a response for probabilities [N, classes].

    returns  the body, and where its JSON ends if bytes follow
    """
    wanted = request.output
    tensor: dict[str, Any] = {"name": PROBABILITIES}
    if wanted.classes:
        rows = [_classified(row, labels, wanted.classes) for row in probabilities]
        flat = [text for row in rows for text in row]
        tensor |= {"datatype": "BYTES", "shape": [len(rows), wanted.classes]}
        raw = b"".join(struct.pack("<I", len(text)) + text for text in flat)
        data: list[Any] = [text.decode() for text in flat]
    else:
        tensor |= {"datatype": "FP32", "shape": list(probabilities.shape)}
        raw = probabilities.astype("<f4").tobytes()
        data = [float(value) for value in probabilities.ravel()]
    said: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": [tensor]}
    if request.id is not None:
        said["id"] = request.id
    if not wanted.binary:
        tensor["data"] = data
        return json.dumps(said).encode(), None
    tensor["parameters"] = {"binary_data_size": len(raw)}
    text = json.dumps(said).encode()
    return text + raw, len(text)


def read_json(text: bytes) -> Any:
    """Parse JSON from outside.

    Raises BadRequest.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest("expected JSON") from None


def decoded(text: object) -> bytes:
    """The content of base64 text.

    Raises BadRequest.
    """
    if not isinstance(text, str):
        raise BadRequest("expected base64 text")
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("expected base64 text") from None


def _divided(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    if not header_length.isascii() or not header_length.isdigit() or len(header_length) > 12:
        raise BadRequest(f"expected a number in {HEADER_LENGTH}")
    length = int(header_length)
    if length > len(body):
        raise BadRequest(f"{HEADER_LENGTH} is beyond the body")
    return body[:length], body[length:]


def _parameters(said: dict[str, Any]) -> dict[str, Any]:
    found = said.get("parameters", {})
    if not isinstance(found, dict):
        raise BadRequest("expected parameters as an object")
    return found


def _shape(found: object) -> list[int]:
    if not isinstance(found, list) or not all(
        type(length) is int and 0 <= length < 2**31 for length in found
    ):
        raise BadRequest("expected a shape of whole numbers")
    if not found:
        raise BadRequest("expected a shape with a batch")
    return found


def _binary(parameters: dict[str, Any], rest: bytes) -> bytes | None:
    """The bytes of the only input; None if its data are in the JSON."""
    length = parameters.get("binary_data_size")
    if length is None:
        if rest:
            raise BadRequest("expected binary_data_size for the bytes behind the JSON")
        return None
    if type(length) is not int or length != len(rest):
        raise BadRequest("expected binary_data_size to be what follows the JSON")
    return rest


def _output(said: dict[str, Any], *, classes: int) -> Output:
    binary = _parameters(said).get("binary_data_output", False)
    outputs = said.get("outputs", [{"name": PROBABILITIES}])
    if outputs == []:
        outputs = [{"name": PROBABILITIES}]
    if not isinstance(outputs, list) or len(outputs) != 1 or not isinstance(outputs[0], dict):
        raise BadRequest(f"expected one output, {PROBABILITIES!r}")
    if outputs[0].get("name") != PROBABILITIES:
        raise BadRequest(f"expected the output {PROBABILITIES!r}")
    parameters = _parameters(outputs[0])
    count = parameters.get("classification", 0)
    binary = parameters.get("binary_data", binary)
    if type(count) is not int or count < 0 or type(binary) is not bool:
        raise BadRequest("expected classification as a number, binary_data as true or false")
    return Output(min(count, classes), binary)


def _elements(raw: bytes, count: int) -> list[bytes]:
    """Elements of a BYTES tensor: a length of four bytes before each."""
    found: list[bytes] = []
    at = 0
    while at < len(raw) and len(found) <= count:
        if at + 4 > len(raw):
            raise BadRequest("expected a length before each element")
        (length,) = struct.unpack_from("<I", raw, at)
        if at + 4 + length > len(raw):
            raise BadRequest("an element is longer than the bytes")
        found.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _texts(data: object, parameters: dict[str, Any]) -> list[bytes]:
    """Images in JSON: base64, as MLServer's hint `content_type: base64` says."""
    if parameters.get("content_type", "base64") != "base64":
        raise BadRequest("expected content_type base64 for images in JSON")
    rows = data if isinstance(data, list) else None
    if rows is None:
        raise BadRequest("expected data, or bytes behind the JSON")
    flat = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
    return [decoded(text) for text in flat]


def _squares(raw: bytes | None, data: object, shape: list[int]) -> Pixels:
    total = int(np.prod(shape))
    if raw is not None:
        if len(raw) != total:
            raise BadRequest(f"expected {total} bytes, got {len(raw)}")
        return np.frombuffer(raw, np.uint8).reshape(shape)
    try:
        found = np.asarray(data)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise BadRequest("expected data of the shape that is given") from None
    if found.dtype.kind not in "iu" or found.size != total or found.min() < 0 or found.max() > 255:
        raise BadRequest(f"expected {total} whole numbers from 0 to 255")
    return found.astype(np.uint8).reshape(shape)


def _classified(row: npt.NDArray[np.float32], labels: Sequence[str], count: int) -> list[bytes]:
    order = np.argsort(-row, kind="stable")[:count]
    return [f"{row[i]:.6f}:{i}:{labels[i]}".encode("utf-8", "replace") for i in order]
