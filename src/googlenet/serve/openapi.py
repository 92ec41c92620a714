"""The description of the API, OpenAPI 3.1."""

from collections.abc import Sequence
from typing import Any

from googlenet.base.version import __version__

Document = dict[str, Any]

_TEXT = {"type": "string"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_NUMBER = {"type": "number"}
_COUNT = {"type": "integer", "minimum": 0}
_SCHEMAS: Document = {
    "Error": {
        "type": "object",
        "required": ["error", "code"],
        "properties": {"error": _TEXT, "code": {**_TEXT, "description": "short and stable"}},
    },
    "Scores": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["label", "score"],
            "properties": {"label": _TEXT, "score": _SHARE},
        },
    },
    "Shares": {"type": "object", "additionalProperties": _SHARE},
    "Explanation": {
        "type": "object",
        "required": ["predictions", "unfamiliar", "photo", "box", "square", "seconds", "model"],
        "properties": {
            "predictions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["label", "probability"],
                    "properties": {
                        "label": _TEXT,
                        "probability": _SHARE,
                        "map": {
                            "type": "array",
                            "items": {"type": "array", "items": _NUMBER},
                            "description": "what each part of the square adds to the logit",
                        },
                    },
                },
            },
            "unfamiliar": {
                "type": ["boolean", "null"],
                "description": "unlike the training data; null if the model cannot tell",
            },
            "photo": {"type": "object", "properties": {"width": _COUNT, "height": _COUNT}},
            "box": {
                "type": "array",
                "items": _NUMBER,
                "minItems": 4,
                "maxItems": 4,
                "description": "edges of what the network saw: left, top, right, bottom",
            },
            "square": {**_TEXT, "description": "the same as a PNG file, a data URL"},
            "seconds": {"type": "object", "additionalProperties": _NUMBER},
            "model": {"$ref": "#/components/schemas/Model"},
        },
    },
    "Model": {
        "type": "object",
        "required": ["name", "version", "sha256", "engine", "size"],
        "properties": {
            "name": _TEXT,
            "version": _COUNT,
            "sha256": _TEXT,
            "engine": _TEXT,
            "size": _COUNT,
            "classes": {"type": "array", "items": _TEXT},
        },
    },
    "Tensor": {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"const": "image"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 2147483647}},
            "datatype": {"enum": ["UINT8", "BYTES"]},
            "parameters": {
                "type": "object",
                "properties": {"binary_data_size": _COUNT, "content_type": {"const": "base64"}},
            },
            "data": {
                "type": "array",
                "description": "whole numbers from 0 to 255, flat or nested; or image files as base64",
            },
        },
    },
    "InferenceRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {**_TEXT, "maxLength": 1000},
            "parameters": {"type": "object", "properties": {"binary_data_output": {"type": "boolean"}}},
            "inputs": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Tensor"},
                "minItems": 1,
                "maxItems": 1,
            },
            "outputs": {
                "type": "array",
                "maxItems": 1,
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"const": "probabilities"},
                        "parameters": {
                            "type": "object",
                            "properties": {"classification": _COUNT, "binary_data": {"type": "boolean"}},
                        },
                    },
                },
            },
        },
    },
    "InferenceResponse": {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "id": _TEXT,
            "model_name": _TEXT,
            "model_version": _TEXT,
            "outputs": {"type": "array", "items": {"type": "object"}},
        },
    },
    "HuggingFaceRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": {**_TEXT, "description": "an image file as base64"},
            "parameters": {
                "type": ["object", "null"],
                "properties": {
                    "top_k": {"type": ["integer", "null"], "minimum": 1, "maximum": 1000000},
                    "function_to_apply": {"enum": ["softmax", None]},
                },
            },
        },
    },
}
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_FILE = {
    "application/octet-stream": _IMAGE,
    "image/*": _IMAGE,
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["data"],
            "properties": {"data": {"type": "string", "format": "binary"}},
        }
    },
}
_REFUSALS = {
    "400": "the image or the request cannot be read",
    "408": "the body came too slowly",
    "413": "the body or the image is too large",
    "415": "the body has a content-encoding",
    "429": "too many wait; Retry-After says when to try again",
    "503": "the model does not answer now",
    "504": "the deadline passed",
}


def document(names: Sequence[str], *, token: bool) -> Document:
    """Describe a server of models of these names; `token`, whether it asks for one."""
    model = _parameter("model", {"enum": list(names)})
    either = _parameter("model", {"enum": [*names, *(f"{name}-image" for name in names)]})
    version = _parameter("version", {"type": "string", "maxLength": 20, "pattern": "^[0-9]+$"})
    paths: Document = {
        "/": {
            "get": _operation("The page", {"200": {"description": "HTML", "content": {"text/html": {}}}}),
            "post": _photo(
                "Classify with the first model, as Hugging Face's clients ask", "Scores", hugging=True
            ),
        },
        "/models/{model}": {
            "post": _photo("The same with a model by name", "Scores", hugging=True, parameters=[model])
        },
        "/predictions/{model}": {
            "post": _photo(
                "Classify an image file, as TorchServe's clients ask", "Shares", parameters=[model]
            ),
            "put": _photo("The same", "Shares", parameters=[model]),
        },
        "/explain/{model}": {"post": _photo("Classify and explain", "Explanation", parameters=[model])},
        "/v2": {"get": _get("What this is")},
        "/v2/health/live": {"get": _get("Whether the process answers")},
        "/v2/health/ready": {"get": _get("Whether a photo would be answered", "503")},
        "/info": {"get": _get("The models and their classes")},
        "/metrics": {
            "get": _operation(
                "For Prometheus", {"200": {"description": "text", "content": {"text/plain": {}}}}
            )
        },
        "/openapi.json": {"get": _get("This")},
    }
    for place, parameters in (
        ("/v2/models/{model}", [either]),
        ("/v2/models/{model}/versions/{version}", [either, version]),
    ):
        paths[place] = {"get": _get("What a model takes and gives", "404", parameters=parameters)}
        paths[f"{place}/config"] = {"get": _get("The same, as Triton has it", "404", parameters=parameters)}
        paths[f"{place}/ready"] = {
            "get": _get("Whether it would answer", "404", "503", parameters=parameters)
        }
        paths[f"{place}/infer"] = {"post": _infer(parameters)}
    found: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "googlenet",
            "version": __version__,
            "description": "Image classification by GoogLeNet.",
        },
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }
    if token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
        for place in paths.values():
            for operation in place.values():
                operation["responses"]["401"] = _error("no token, or another")
    return found


def _infer(parameters: list[Document]) -> Document:
    operation = _operation(
        "Open Inference Protocol",
        {
            "200": {
                "description": "probabilities",
                "content": {
                    "application/json": {"schema": _ref("InferenceResponse")},
                    "application/octet-stream": _IMAGE,
                },
            },
            "404": _error("no such model or version"),
            **{code: _error(text) for code, text in _REFUSALS.items()},
        },
        parameters=parameters,
    )
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": _ref("InferenceRequest")},
            "application/octet-stream": _IMAGE,
        },
    }
    return operation


def _photo(
    summary: str, schema: str, *, hugging: bool = False, parameters: Sequence[Document] = ()
) -> Document:
    operation = _operation(
        summary,
        {
            "200": {"description": "found", "content": {"application/json": {"schema": _ref(schema)}}},
            "404": _error("no such model"),
            **{code: _error(text) for code, text in _REFUSALS.items()},
        },
        parameters=parameters,
    )
    content: Document = dict(_FILE)
    if hugging:
        content["application/json"] = {"schema": _ref("HuggingFaceRequest")}
    operation["requestBody"] = {"required": True, "content": content}
    return operation


def _get(summary: str, *errors: str, parameters: Sequence[Document] = ()) -> Document:
    content = {"application/json": {"schema": {"type": "object"}}}
    answers = {"200": {"description": "JSON", "content": content}}
    return _operation(
        summary,
        answers | {code: {"description": "not so", "content": content} for code in errors},
        parameters=parameters,
    )


def _operation(summary: str, responses: Document, *, parameters: Sequence[Document] = ()) -> Document:
    return {"summary": summary, "parameters": list(parameters), "responses": dict(responses)}


def _parameter(name: str, schema: Document) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _error(text: str) -> Document:
    return {"description": text, "content": {"application/json": {"schema": _ref("Error")}}}


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}
