"""uvicorn's HTTP protocol with limits on what it reads: connections, heads, chunks, time."""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from googlenet.serve.middleware import overload_response
from googlenet.serve.service import Service

MAX_HEADERS = 100  # of a request
MAX_HEAD = 32 << 10  # bytes before the body
MAX_URL = 4 << 10
MAX_CHUNKS = 20_000  # of a chunked body
HEAD_SECONDS = 10.0  # for a request's head to arrive
MAX_CONNECTIONS = 1024
GRACE_SECONDS = 0.5  # in which a new connection may still send a request while the server ends


class LimitedProtocol(HttpToolsProtocol):
    """Limits heads of requests and chunks of bodies; answers 429 at once when all queues are full."""

    _error_status = b"400 Bad Request"
    _head = 0  # bytes since the request began; 0 in its body and between requests
    _chunks = 0
    _in_body = False  # also of a request that was answered before all of it was there
    _timer: asyncio.TimerHandle | None = None
    service: Service | None  # both of the subclass that `limited_protocol` makes
    overloaded: Any

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._respond_and_close(b"503 Service Unavailable")
        else:
            self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless a head is too long."""
        if self.parser is None or self.transport.is_closing():
            return
        if not self._in_body and self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._begin_head()  # of the next request of this connection
        if self._timer is not None:
            self._head += len(data)
        super().data_received(data)
        if self._timer is not None and self._head > MAX_HEAD:
            self._respond_and_close(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._chunks = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Read a URL of limited length."""
        super().on_url(url)
        if len(self.url) > MAX_URL:
            self._stop(b"414 URI Too Long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a limited number of headers."""
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            self._stop(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        """The head is read; the body follows, which the application limits."""
        self._end_head()
        self._in_body = True
        application = self.app
        if self.service is not None and self.service.full and self.parser.get_method() in (b"POST", b"PUT"):
            self.app = self.overloaded
        super().on_headers_complete()
        self.app = application

    def on_message_complete(self) -> None:
        """The body is read."""
        self._in_body = False
        super().on_message_complete()

    def on_chunk_header(self) -> None:
        """Read a limited number of chunks."""
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            self._stop(b"400 Bad Request")

    def shutdown(self) -> None:
        """Close the connection after its responses; a new one may still send a request."""
        if self.cycle is None and self._timer is not None:
            self.loop.call_later(GRACE_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or over a limit; a response that began is cut off."""
        if self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started:
            self.transport.close()
        else:
            self._respond_and_close(self._error_status)

    def _stop(self, status: bytes) -> None:
        self._error_status = status
        raise httptools.HttpParserError(status.decode())

    def _respond_and_close(self, status: bytes) -> None:
        self._end_head()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # no second response
            self.cycle.message_event.set()
        body = b'{"error": "' + status[4:] + b'", "code": "http"}'
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\ncontent-length: "
            b"%d\r\nconnection: close\r\n\r\n" % len(body) + body
        )
        self.transport.close()

    def _begin_head(self) -> None:
        self._head = 0
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _end_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._head = 0

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            if self._head:
                self._respond_and_close(b"408 Request Timeout")
            else:
                self.transport.close()  # it never sent anything


def limited_protocol(service: Service | None) -> type[LimitedProtocol]:
    """The protocol for one server; uvicorn makes an instance for each connection.

    service  whose queues may be full; None where there are none
    """
    overloaded = None if service is None else staticmethod(overload_response(service))
    return type("Protocol", (LimitedProtocol,), {"service": service, "overloaded": overloaded})
