"""The process: uvicorn with bounds on what it reads, a signal to drain and one to load models anew."""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from googlenet.base.errors import InputError
from googlenet.base.progress import echo
from googlenet.serve.app import App

HEADERS = 100  # of a request
HEAD = 32 << 10  # bytes before the body
URL = 4 << 10
CHUNKS = 20_000  # of a chunked body
HEAD_SECONDS = 10.0  # for a request's head to arrive
IDLE_SECONDS = 30.0  # between two requests of a connection
CONNECTIONS = 1024
LINGER = 1.0  # seconds that a drained server still listens, telling every client to close
GRACE = 0.5  # seconds in which a new connection may still ask, after that
DRAIN = 25.0  # seconds at most for what was accepted

log = logging.getLogger("googlenet.serve")


class Guarded(HttpToolsProtocol):
    """uvicorn's protocol, with bounds on the head of a request and on the pieces of its body."""

    _refusal = b"400 Bad Request"
    _head = 0  # bytes since the request began; 0 in its body and between requests
    _chunks = 0
    _in_body = False  # also of a request that was answered before all of it was there
    _timer: asyncio.TimerHandle | None = None
    front: App  # of the subclass that `run` makes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there are not too many."""
        super().connection_made(transport)
        self._shed: Any = self.front.shed
        if len(self.connections) > CONNECTIONS:
            self._refuse(b"503 Service Unavailable")
        else:
            self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless a head never ends."""
        if self.parser is None or self.transport.is_closing():
            return
        if not self._in_body and self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._begin_head()  # of the next request of this connection
        if self._timer is not None:
            self._head += len(data)
        super().data_received(data)
        if self._timer is not None and self._head > HEAD:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._chunks = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Read a URL of a bounded length."""
        super().on_url(url)
        if len(self.url) > URL:
            self._stop(b"414 URI Too Long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a bounded number of headers."""
        super().on_header(name, value)
        if len(self.headers) > HEADERS:
            self._stop(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        """The head is read; what now comes is the body, which the application bounds."""
        self._end_head()
        self._in_body = True
        usual = self.app
        if self.front.service.full and self.parser.get_method() in (b"POST", b"PUT"):
            self.app = self._shed
        super().on_headers_complete()
        self.app = usual

    def on_message_complete(self) -> None:
        """The body is read."""
        self._in_body = False
        super().on_message_complete()

    def on_chunk_header(self) -> None:
        """Read a bounded number of chunks."""
        self._chunks += 1
        if self._chunks > CHUNKS:
            self._stop(b"400 Bad Request")

    def shutdown(self) -> None:
        """End the connection with what it has asked for; one that was only just made may still ask."""
        if self.cycle is None and self._timer is not None:
            self.loop.call_later(GRACE, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or too much of it; a response that began is cut off."""
        if self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse(self._refusal)

    def _stop(self, status: bytes) -> None:
        self._refusal = status
        raise httptools.HttpParserError(status.decode())

    def _refuse(self, status: bytes) -> None:
        self._end_head()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # nobody answers it after us
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
                self._refuse(b"408 Request Timeout")
            else:
                self.transport.close()  # it never asked for anything


class Server(uvicorn.Server):
    """uvicorn's server that drains: not ready at once, then no new connections, then the end."""

    def __init__(self, config: uvicorn.Config, front: App) -> None:
        """Serve a front."""
        super().__init__(config)
        self._front = front
        self._asked_to_end = 0.0
        self.error: BaseException | None = None  # why there is no model

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then open the models beside: alive at once, ready once each has answered."""
        await super().startup(sockets=sockets)
        threading.Thread(target=self._open, args=(sockets or [],), daemon=True).start()

    def _open(self, sockets: list[socket.socket]) -> None:
        try:
            self._front.service.open()
        except BaseException as error:
            self.error = error
            self.should_exit = True
            return
        for listening in sockets:
            _announce(self._front, listening)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second ends at once."""
        if self._front.service.draining:
            os._exit(128 + sig)
        self._front.service.draining = True
        self._asked_to_end = time.monotonic()
        log.info("draining: every request that was accepted is answered")

    async def on_tick(self, counter: int) -> bool:
        """Look whether it is time to end, ten times a second."""
        if await super().on_tick(counter):
            return True
        if self._asked_to_end and time.monotonic() - self._asked_to_end > LINGER:
            self.should_exit = True
        if self._front.service.given_up:
            log.error("a model cannot be run any more: the server ends")
            self.should_exit = True
        return self.should_exit


def run(front: App, *, host: str, port: int) -> int:
    """Listen, open the models, and serve until a signal; the exit status that is due.

    Raises InputError if the port cannot be had; what a model that cannot be served raises.
    """
    logging.basicConfig(level=logging.INFO, format="googlenet: %(message)s")
    config = uvicorn.Config(
        front.app(),
        http=type("Guarded", (Guarded,), {"front": front}),
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_config=None,
        log_level="error",
        timeout_keep_alive=int(IDLE_SECONDS),
        timeout_graceful_shutdown=int(DRAIN),
        backlog=2048,
    )
    listening = _listening(host, port)
    try:
        server = Server(config, front)
        signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=front.service.reload).start())
        server.run(sockets=[listening])
        if server.error is not None:
            raise server.error
        return 1 if front.service.given_up else 0
    finally:
        listening.close()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host}, port {port}: {reason}; choose another --port") from None
    return found


def _announce(front: App, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    for name in front.service.names:
        served: Any = front.service.get(name)
        echo(f"model {name}: {len(served.classes)} classes, {served.about}")
    echo(f"ready: http://{shown}:{port}/")
