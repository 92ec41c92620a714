"""The Open Inference Protocol (KServe v2, REST) with Triton's `classification` and `binary_tensor_data`.

From a request's bytes to images and from probabilities to a response's bytes.
Source: github.com/kserve/open-inference-protocol; Triton's protocol extensions.
"""

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from googlenet.images.decode import Pixels
from googlenet.serve.errors import HTTPError
from googlenet.serve.schemas import (
    InferenceRequest,
    InferenceResponse,
    InputTensor,
    ModelConfig,
    OutputTensor,
    RequestedOutput,
    ServedModelMetadata,
    TensorConfig,
    TensorMetadata,
    decode,
)
from googlenet.serve.service import LoadedModel

EXTENSIONS = ["classification", "binary_tensor_data", "model_configuration"]
HEADER_LENGTH = "inference-header-content-length"
PLATFORM = "googlenet"
ENCODED = "-image"  # after a model's name: the same model for image files
PROBABILITIES: Final = "probabilities"
IMAGE = "image"


@dataclass(frozen=True)
class Request:
    """Images, as files or as network inputs, and the form of the response.

    top     how many of the best classes to return as text; 0 for all probabilities
    binary  whether the output follows the JSON as bytes
    """

    id: str | None
    images: list[bytes] | Pixels
    top: int = 0
    binary: bool = False


def metadata(model: LoadedModel, encoded: bool) -> ServedModelMetadata:
    """Inputs and outputs of a model; `encoded`, whether it is to take image files."""
    datatype, shape = ("BYTES", [-1, 1]) if encoded else ("UINT8", [-1, model.size, model.size, 3])
    inputs = [TensorMetadata(IMAGE, datatype, shape)]
    outputs = [TensorMetadata(PROBABILITIES, "FP32", [-1, len(model.classes)])]
    return ServedModelMetadata(_name(model, encoded), [str(model.version)], PLATFORM, inputs, outputs)


def configuration(model: LoadedModel, encoded: bool) -> ModelConfig:
    """The same as Triton's model configuration, which its image client reads."""
    image = (
        TensorConfig(IMAGE, "TYPE_STRING", [1], "FORMAT_NONE")
        if encoded
        else TensorConfig(IMAGE, "TYPE_UINT8", [model.size, model.size, 3], "FORMAT_NHWC")
    )
    output = TensorConfig(PROBABILITIES, "TYPE_FP32", [len(model.classes)])
    return ModelConfig(_name(model, encoded), PLATFORM, PLATFORM, model.max_batch, [image], [output])


def parse(body: bytes, header_length: str | None, model: LoadedModel, encoded: bool) -> Request:
    """Read a request for a model.

    header_length  of the HTTP header of that name: where the JSON ends and the tensor's bytes begin
    encoded        whether images are expected as files, not as network inputs uint8 [N, size, size, 3]
    raises         HTTPError 400
    """
    text, rest = _split(body, header_length)
    request = decode(text, InferenceRequest)
    (tensor,) = request.inputs
    expected = "BYTES" if encoded else "UINT8"
    if tensor.datatype != expected:
        raise HTTPError(f"expected datatype {expected} for {IMAGE!r}")
    count, *dimensions = tensor.shape
    if encoded and dimensions not in ([], [1]):
        raise HTTPError("expected shape [N] or [N, 1]")
    if not encoded and dimensions != [model.size, model.size, 3]:
        raise HTTPError(f"expected shape [N, {model.size}, {model.size}, 3]")
    if not 1 <= count <= model.max_batch:
        raise HTTPError(f"expected 1 to {model.max_batch} images, got {count}")
    size_after_json = tensor.parameters.binary_data_size
    if (size_after_json or 0) != len(rest):
        raise HTTPError(
            f"expected binary_data_size {len(rest)}, which follow the JSON, got {size_after_json}"
        )
    raw = None if size_after_json is None else rest
    output = request.outputs[0] if request.outputs else RequestedOutput(PROBABILITIES)
    binary = output.parameters.binary_data
    return Request(
        request.id,
        _files(tensor, raw) if encoded else _pixels(tensor, raw),
        min(output.parameters.classification, len(model.classes)),
        request.parameters.binary_data_output if binary is UNSET else binary,
    )


def response(
    request: Request, model: LoadedModel, encoded: bool, probabilities: npt.NDArray[np.float32]
) -> tuple[InferenceResponse, bytes]:
    """The response for probabilities [N, classes]: its JSON, and the bytes that follow it, if any."""
    data: list[float | str]
    datatype: Literal["BYTES", "FP32"]
    if request.top:
        texts = [text for row in probabilities for text in _best(row, model.classes, request.top)]
        datatype, shape = "BYTES", [len(probabilities), request.top]
        raw = b"".join(struct.pack("<I", len(text)) + text for text in texts)
        data = [text.decode() for text in texts]
    else:
        datatype, shape = "FP32", list(probabilities.shape)
        raw = probabilities.astype("<f4").tobytes()
        data = [float(value) for value in probabilities.ravel()]
    tensor = OutputTensor(
        PROBABILITIES,
        datatype,
        shape,
        {"binary_data_size": len(raw)} if request.binary else UNSET,
        UNSET if request.binary else data,
    )
    identifier = UNSET if request.id is None else request.id
    content = InferenceResponse(_name(model, encoded), str(model.version), [tensor], identifier)
    return content, raw if request.binary else b""


def decode_base64(text: object) -> bytes:
    """The content of base64 text, which may be a data URL.

    Raises HTTPError 400.
    """
    try:
        if isinstance(text, str):
            return base64.b64decode(
                text.partition(",")[2] if text.startswith("data:") else text, validate=True
            )
    except (binascii.Error, ValueError):
        pass
    raise HTTPError("expected base64 text")


def _name(model: LoadedModel, encoded: bool) -> str:
    return model.name + ENCODED if encoded else model.name


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    if not header_length.isascii() or not header_length.isdigit() or len(header_length) > 12:
        raise HTTPError(f"expected a number in {HEADER_LENGTH}")
    length = int(header_length)
    if length > len(body):
        raise HTTPError(f"expected {HEADER_LENGTH} within the body of {len(body)} bytes, got {length}")
    return body[:length], body[length:]


def _files(tensor: InputTensor, raw: bytes | None) -> list[bytes]:
    """Image files of a BYTES tensor: as bytes, or in JSON as base64, which MLServer hints at."""
    if raw is not None:
        files = _elements(raw, tensor.shape[0])
    elif tensor.parameters.content_type != "base64":
        raise HTTPError("expected content_type base64 for images in JSON")
    elif tensor.data is None:
        raise HTTPError("expected data, or bytes after the JSON")
    else:
        rows = (row[0] if isinstance(row, list) and len(row) == 1 else row for row in tensor.data)
        files = [decode_base64(text) for text in rows]
    if len(files) != tensor.shape[0]:
        raise HTTPError(f"expected {tensor.shape[0]} images, got {len(files)}")
    return files


def _elements(raw: bytes, count: int) -> list[bytes]:
    """Elements of a BYTES tensor: a length of four bytes before each."""
    elements: list[bytes] = []
    start = 0
    while start < len(raw) and len(elements) <= count:
        if start + 4 > len(raw):
            raise HTTPError("expected a length before each element")
        (length,) = struct.unpack_from("<I", raw, start)
        end = start + 4 + length
        if end > len(raw):
            raise HTTPError(f"expected an element of {length} bytes, got {len(raw) - start - 4}")
        elements.append(raw[start + 4 : end])
        start = end
    return elements


def _pixels(tensor: InputTensor, raw: bytes | None) -> Pixels:
    """Network inputs of a UINT8 tensor."""
    total = int(np.prod(tensor.shape))
    if raw is not None:
        if len(raw) != total:
            raise HTTPError(f"expected {total} bytes, got {len(raw)}")
        return np.frombuffer(raw, np.uint8).reshape(tensor.shape)
    try:
        pixels = np.asarray(tensor.data)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise HTTPError("expected data of the given shape") from None
    if pixels.dtype.kind not in "iu" or pixels.size != total or pixels.min() < 0 or pixels.max() > 255:
        raise HTTPError(f"expected {total} integers from 0 to 255")
    return pixels.astype(np.uint8).reshape(tensor.shape)


def _best(row: npt.NDArray[np.float32], labels: Sequence[str], count: int) -> list[bytes]:
    order = np.argsort(-row, kind="stable")[:count]
    return [f"{row[i]:.6f}:{i}:{labels[i]}".encode("utf-8", "replace") for i in order]
