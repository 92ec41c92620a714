"""Around every request: the token, errors as JSON, headers, counts."""

import functools
import hmac
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from googlenet.base.errors import ImageError
from googlenet.serve import page
from googlenet.serve.errors import HTTPError, QueueFull
from googlenet.serve.schemas import Error, JSONResponse
from googlenet.serve.service import Service

PUBLIC = (  # readable without a token
    "/",
    *(f"/{name}" for name in page.ASSETS),
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/openapi.json",
)
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store"}
RETRY_AFTER = {"retry-after": "1"}  # seconds: a full queue takes less on anything that is worth serving from
CLOSE = {"connection": "close"}
CLIENT_CLOSED = 499  # nginx's status of a client that went away: nobody reads it, it is counted

Handler = Callable[[Request], Awaitable[Response]]


def overload_response(service: Service) -> ASGIApp:
    """An application that answers 429, for as little as it can: it is used when there is no time."""
    response = _error_response(QueueFull())
    response.headers.update(HEADERS)

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        service.metrics.requests.labels("any", "429").inc()
        service.metrics.shed.labels(service.names[0]).inc()
        if service.draining:
            response.headers.update(CLOSE)
        await response(scope, receive, send)

    return respond


class Middleware:
    """What is the same for every request."""

    def __init__(self, service: Service, token: str | None) -> None:
        """Require a token, unless it is None."""
        self._service, self._token = service, token

    def route(self, path: str, handlers: Mapping[str, Handler]) -> Route:
        """A route with a handler for each method."""
        return Route(path, functools.partial(self._respond, path, handlers), methods=list(handlers))

    async def _respond(self, path: str, handlers: Mapping[str, Handler], request: Request) -> Response:
        """Check the token, turn errors into responses, count."""
        method = "GET" if request.method == "HEAD" else request.method
        try:
            if self._token is not None and not (path in PUBLIC and method == "GET"):
                _check_token(request, self._token)
            response = await handlers[method](request)
        except (HTTPError, ImageError, ClientDisconnect) as error:
            response = _error_response(error)
        except Exception:
            self._service.metrics.requests.labels(path, "500").inc()
            raise
        response.headers.update(HEADERS | (CLOSE if self._service.draining else {}))
        self._service.metrics.requests.labels(path, str(response.status_code)).inc()
        return response

    async def not_found(self, request: Request, error: Exception) -> Response:
        """Answer a request for a path or a method that does not exist."""
        status = getattr(error, "status_code", 404)
        self._service.metrics.requests.labels("none", str(status)).inc()
        text = "path not found; /openapi.json lists them" if status == 404 else "method not allowed"
        return JSONResponse(
            Error(text, "route"), status, HEADERS | dict(getattr(error, "headers", None) or {})
        )

    async def internal_error(self, request: Request, error: Exception) -> Response:
        """Answer after a fault of ours; the log has it."""
        return JSONResponse(Error("internal server error", "fault"), 500, HEADERS)


def _error_response(error: Exception) -> Response:
    match error:
        case HTTPError():
            status, code, text = error.status, error.code, str(error)
        case ImageError():
            status, code, text = (413 if error.code == "size" else 400), error.code, error.reason
        case _:
            status, code, text = CLIENT_CLOSED, "gone", "the client went away"
    headers = {}
    if status in (429, 503):
        headers = RETRY_AFTER
    if status in (408, 413):
        headers = CLOSE  # what is left of the body is not read
    return JSONResponse(Error(text, code), status, headers)


def _check_token(request: Request, token: str) -> None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(credentials.strip().encode(), token.encode()):
        raise HTTPError(
            "expected Authorization: Bearer and the token of this server", status=401, code="token"
        )
