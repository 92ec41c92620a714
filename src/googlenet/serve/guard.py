"""Around every request: the token, what may go wrong as JSON, headers, counts."""

import functools
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from googlenet.base.errors import ImageError
from googlenet.serve import page
from googlenet.serve.bodies import ClientDisconnect, HTTPError
from googlenet.serve.engine import DeadlineExceeded, ModelUnavailable, QueueFull
from googlenet.serve.openinference import BadRequest
from googlenet.serve.service import Service

OPEN = (  # to be read without a token
    "/",
    *(f"/{name}" for name in page.ASSETS),
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/openapi.json",
)
ALWAYS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store"}
WAIT = 1  # seconds: a full queue takes less on anything that is worth serving from
FULL = "too many photos wait; try again later"
GONE = 499  # nginx's status of a client that went away: nobody reads it, it is counted

Handler = Callable[[Request], Awaitable[Response]]


def shedding(service: Service) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """An ASGI application that answers 429, for as little as it can: it is used when there is no time."""
    body = json.dumps({"error": FULL, "code": "full"}).encode()
    headers = {"content-type": "application/json", "retry-after": str(WAIT), **ALWAYS}
    head = [(name.encode(), value.encode()) for name, value in headers.items()]
    head.append((b"content-length", str(len(body)).encode()))

    async def shed(scope: Any, receive: Any, send: Any) -> None:
        service.counters.requests.labels("any", "429").inc()
        service.counters.shed.labels(service.names[0]).inc()
        more = [(b"connection", b"close")] if service.draining else []
        await send({"type": "http.response.start", "status": 429, "headers": head + more})
        await send({"type": "http.response.body", "body": body})

    return shed


class Guard:
    """What is the same for every request."""

    def __init__(self, service: Service, token: str | None) -> None:
        """Ask for a token, unless it is None."""
        self._service, self._token = service, token

    def route(self, path: str, handler: Handler, *methods: str) -> Route:
        """A guarded handler at a place."""
        return Route(path, functools.partial(self._answered, path, handler), methods=list(methods))

    async def _answered(self, path: str, handler: Handler, request: Request) -> Response:
        """Check the token, map what may go wrong, count."""
        try:
            if self._token is not None and not (path in OPEN and request.method in ("GET", "HEAD")):
                _check_token(request, self._token)
            response = await handler(request)
        except (
            HTTPError,
            BadRequest,
            ImageError,
            QueueFull,
            DeadlineExceeded,
            ModelUnavailable,
            ClientDisconnect,
        ) as error:
            response = self._refusal(error)
        except Exception:
            self._service.counters.requests.labels(path, "500").inc()
            raise
        if self._service.draining:
            response.headers["connection"] = "close"
        for name, value in ALWAYS.items():
            response.headers.setdefault(name, value)
        self._service.counters.requests.labels(path, str(response.status_code)).inc()
        return response

    def _refusal(self, error: Exception) -> Response:
        match error:
            case HTTPError():
                status, code, text = error.status, error.code, error.text
            case BadRequest():
                status, code, text = 400, "request", str(error)
            case ImageError():
                status, code, text = (413 if error.code == "size" else 400), error.code, error.reason
            case QueueFull():
                status, code, text = 429, "full", FULL
            case DeadlineExceeded():
                status, code, text = 504, "late", f"no answer within {self._service.timeout:g} s"
            case ModelUnavailable():
                status, code, text = 503, "broken", "the model does not answer now"
            case _:
                status, code, text = GONE, "gone", "the client went away"
        headers = {}
        if status in (429, 503):
            headers["retry-after"] = str(getattr(error, "wait", None) or WAIT)
        if status in (408, 413, 431):
            headers["connection"] = "close"  # what is left of the body is not read
        return JSONResponse({"error": text, "code": code}, status, headers=headers)

    async def unknown(self, request: Request, error: Exception) -> Response:
        """Answer a request for a place or a method that there is not."""
        status = getattr(error, "status_code", 404)
        self._service.counters.requests.labels("none", str(status)).inc()
        text = "no such place" if status == 404 else "no such method here"
        headers = ALWAYS | dict(getattr(error, "headers", None) or {})
        return JSONResponse({"error": text, "code": "route"}, status, headers=headers)

    async def broken(self, request: Request, error: Exception) -> Response:
        """Answer after a fault of ours; the log has it."""
        return JSONResponse({"error": "this is a fault of the server", "code": "fault"}, 500, headers=ALWAYS)


def _check_token(request: Request, token: str) -> None:
    kind, _, said = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not hmac.compare_digest(said.strip().encode(), token.encode()):
        raise HTTPError(401, "expected Authorization: Bearer and the token of this server", code="token")
