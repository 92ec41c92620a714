"""The description of the API, OpenAPI 3.1: what handlers declare of their paths, requests and responses."""

from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from googlenet.base.version import __version__
from googlenet.serve.schemas import Error, JSONResponse

Document = dict[str, Any]
Handler = TypeVar("Handler", bound=Callable[..., Any])

IMAGE_FILE = ("application/octet-stream", "image/*", "multipart/form-data")
_BINARY = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "required": ["data"], "properties": {"data": _BINARY}}
_MEDIA = {"application/octet-stream": _BINARY, "image/*": _BINARY, "multipart/form-data": _FORM}
_ERRORS_OF_IMAGES = {
    400: "the image or the request cannot be read",
    408: "the body came too slowly",
    413: "the body or the image is too large",
    415: "the body has a content-encoding",
    429: "too many images wait; Retry-After says when to try again",
    503: "the model is unavailable; Retry-After says when to try again",
    504: "the deadline passed",
}


class Operation(NamedTuple):
    """A handler, and what it declares: bodies are types for JSON, or media types."""

    handler: Callable[..., Any]
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    request: tuple[Any, ...]
    response: tuple[Any, ...]
    statuses: tuple[int, ...]  # that have this response


class Operations(list[Operation]):
    """The operations of an API; handlers are added by decorators."""

    def add(
        self,
        methods: str,
        *paths: str,
        request: tuple[Any, ...] = (),
        media: tuple[str, ...] = (),
        statuses: tuple[int, ...] = (200,),
    ) -> Callable[[Handler], Handler]:
        """Give a decorator; the handler's summary is its docstring, its response the JSONResponse it returns.

        methods  separated by spaces
        request  alternative bodies, types for JSON or media types
        media    media types of responses that are not JSON
        """

        def register(handler: Handler) -> Handler:
            returned = get_type_hints(handler)["return"]
            alternatives = get_args(returned) if isinstance(returned, UnionType) else (returned,)
            types = (get_args(each)[0] for each in alternatives if get_origin(each) is JSONResponse)
            self.append(
                Operation(handler, tuple(methods.split()), paths, request, (*types, *media), statuses)
            )
            return handler

        return register


def document(operations: Sequence[Operation], names: Sequence[str], *, token: bool) -> Document:
    """Describe a server of models of these names; `token`, whether it requires one."""
    bodies = [body for operation in operations for body in (*operation.request, *operation.response)]
    types = [Error, *(body for body in bodies if not isinstance(body, str))]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(types, schemas, strict=True))
    error = {"application/json": {"schema": by_type[Error]}}

    def content(alternatives: Sequence[Any]) -> Document:
        return dict(
            (body, {"schema": _MEDIA.get(body, {})})
            if isinstance(body, str)
            else ("application/json", {"schema": by_type[body]})
            for body in alternatives
        )

    paths: Document = {}
    for operation in operations:
        for path in operation.paths:
            errors = (
                ({404: "no such model or version"} if "{model}" in path else {})
                | (_ERRORS_OF_IMAGES if operation.request else {})
                | ({401: "the token is missing or wrong"} if token else {})
            )
            described: Document = {
                "summary": operation.handler.__doc__,
                "parameters": _parameters(path, names),
                "responses": {
                    str(status): {"description": text, "content": error} for status, text in errors.items()
                }
                | {
                    str(status): {"description": "the result", "content": content(operation.response)}
                    for status in operation.statuses
                },
            }
            if operation.request:
                described["requestBody"] = {"required": True, "content": content(operation.request)}
            paths.setdefault(path, {}).update({method.lower(): described for method in operation.methods})
    return {
        "openapi": "3.1.0",
        "info": {"title": "googlenet", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}} if token else {},
        },
        "security": [{"token": []}] if token else [],
    }


def _parameters(path: str, names: Sequence[str]) -> list[Document]:
    encoded = [f"{name}-image" for name in names] if path.startswith("/v2") else []
    schemas: Document = {
        "model": {"enum": [*names, *encoded]},
        "version": {"type": "string", "maxLength": 20, "pattern": "^[0-9]+$"},
    }
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in schemas.items()
        if f"{{{name}}}" in path
    ]
