"""Bodies of requests and responses: each struct validates what comes in and is its schema in /openapi.json.

Fields that a struct does not name are ignored; numbers are strict: neither 1.0 nor true is an integer.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from googlenet.serve.errors import HTTPError

Body = TypeVar("Body")
Count = Annotated[int, Meta(ge=0)]
Dimension = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Probabilities = dict[str, Probability]
MAX_REASON = 200  # characters of a decoder's message, which may quote the request
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # Windows' editors write it


def decode(body: bytes, schema: type[Body]) -> Body:
    """Read a JSON body.

    Raises HTTPError 400 for anything that the schema does not allow.
    """
    try:
        return msgspec.json.decode(body.removeprefix(BYTE_ORDER_MARK), type=schema)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise HTTPError(f"expected JSON as /openapi.json describes it: {printable(error)}") from None


class JSONResponse(Response, Generic[Body]):
    """A response with a JSON body; the type stands in the return annotation of its handler."""

    media_type = "application/json"

    def __init__(self, body: Body, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Encode the body."""
        super().__init__(msgspec.json.encode(body), status, headers)


def printable(error: Exception) -> str:
    """An error's message without control characters, of a bounded length."""
    return "".join(c for c in str(error) if c.isprintable())[:MAX_REASON]


class Error(Struct, frozen=True):
    error: str
    code: Annotated[str, Meta(description="short and stable")]


class Live(Struct, frozen=True):
    live: bool


class Ready(Struct, frozen=True):
    ready: bool


class Score(Struct, frozen=True):
    label: str
    score: Probability


class HuggingFaceParameters(Struct, frozen=True):
    top_k: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    function_to_apply: Literal["softmax"] | None = None


class HuggingFaceRequest(Struct, frozen=True):
    inputs: Annotated[str, Meta(description="an image file as base64")]
    parameters: HuggingFaceParameters | None = None


class ServedModel(Struct, frozen=True):
    name: str
    version: Count
    sha256: str
    engine: str
    size: Annotated[int, Meta(ge=0, description="pixels of a side of the network's input")]
    classes: list[str] | UnsetType = UNSET


class ServerInfo(Struct, frozen=True):
    models: list[ServedModel]
    most_bytes: Annotated[int, Meta(ge=0, description="of a request's body")]
    version: str


class ExplainedClass(Struct, frozen=True):
    label: str
    probability: Probability
    map: (
        Annotated[list[list[float]], Meta(description="what each part of the input adds to the logit")]
        | UnsetType
    ) = UNSET


class ImageSize(Struct, frozen=True):
    width: Count
    height: Count


class Explanation(Struct, frozen=True):
    predictions: list[ExplainedClass]
    unfamiliar: Annotated[
        bool | None,
        Meta(description="out of distribution; null if the model has no out-of-distribution detector"),
    ]
    photo: ImageSize
    box: Annotated[
        tuple[float, float, float, float],
        Meta(description="edges of the part that the network saw: left, top, right, bottom"),
    ]
    square: Annotated[str, Meta(description="the network's input as a PNG file, in a data URL")]
    seconds: dict[str, float]
    model: ServedModel


# The Open Inference Protocol, and Triton's model configuration


class ServerMetadata(Struct, frozen=True):
    name: str
    version: str
    extensions: list[str]


class ModelReady(Struct, frozen=True):
    name: str
    ready: bool


class TensorMetadata(Struct, frozen=True):
    name: str
    datatype: str
    shape: list[int]


class ServedModelMetadata(Struct, frozen=True):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class TensorConfig(Struct, frozen=True):
    name: str
    data_type: str
    dims: list[int]
    format: str | UnsetType = UNSET


class ModelConfig(Struct, frozen=True):
    name: str
    platform: str
    backend: str
    max_batch_size: Count
    input: list[TensorConfig]
    output: list[TensorConfig]


class InputParameters(Struct, frozen=True):
    binary_data_size: Count | None = None
    content_type: Annotated[str, Meta(description="base64 for images in JSON")] = "base64"


class InputTensor(Struct, frozen=True):
    name: Literal["image"]
    datatype: Literal["UINT8", "BYTES"]
    shape: Annotated[list[Dimension], Meta(min_length=1)]
    parameters: InputParameters = InputParameters()
    data: (
        Annotated[
            list[Any], Meta(description="integers from 0 to 255, flat or nested; or image files as base64")
        ]
        | None
    ) = None


class RequestParameters(Struct, frozen=True):
    binary_data_output: bool = False


class RequestedOutputParameters(Struct, frozen=True):
    classification: Annotated[
        int, Meta(ge=0, description="how many of the best classes; 0 for all as FP32")
    ] = 0
    binary_data: bool | UnsetType = UNSET


class RequestedOutput(Struct, frozen=True):
    name: Literal["probabilities"]
    parameters: RequestedOutputParameters = RequestedOutputParameters()


class InferenceRequest(Struct, frozen=True):
    inputs: Annotated[list[InputTensor], Meta(min_length=1, max_length=1)]
    id: Annotated[str, Meta(max_length=1000)] | None = None
    parameters: RequestParameters = RequestParameters()
    outputs: Annotated[list[RequestedOutput], Meta(max_length=1)] = []


class OutputTensor(Struct, frozen=True):
    name: str
    datatype: Literal["FP32", "BYTES"]
    shape: list[int]
    parameters: dict[str, int] | UnsetType = UNSET
    data: list[float | str] | UnsetType = UNSET


class InferenceResponse(Struct, frozen=True):
    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | UnsetType = UNSET
