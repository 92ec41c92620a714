"""The process: options, socket, models, and the signals that drain it and reload the models."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from googlenet.base.errors import InputError
from googlenet.base.machine import cores
from googlenet.base.progress import echo
from googlenet.serve.app import App
from googlenet.serve.batcher import Limits
from googlenet.serve.export_cache import model_sources
from googlenet.serve.protocol import LimitedProtocol, limited_protocol
from googlenet.serve.request_body import BodyReader
from googlenet.serve.service import Service

TOKEN = "GOOGLENET_TOKEN"
LOCAL = ("127.0.0.1", "::1", "localhost")
IDLE_SECONDS = 30  # between two requests of a connection
LINGER_SECONDS = 1.0  # in which a draining server still listens, telling every client to close
DRAIN_SECONDS = 25  # at most for what was accepted

log = logging.getLogger("googlenet.serve")


class Server(uvicorn.Server):
    """uvicorn's server that drains: not ready at once, then no new connections, then the end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        """Keep the service, whose models are opened after the server listens."""
        super().__init__(config)
        self._service = service
        self._draining_since = 0.0
        self.error: BaseException | None = None  # why there is no model

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then open the models in a thread: alive at once, ready when each has computed."""
        await super().startup(sockets=sockets)
        threading.Thread(target=self._open, args=(sockets or [],), daemon=True).start()

    def _open(self, sockets: list[socket.socket]) -> None:
        try:
            self._service.open()
        except BaseException as error:
            self.error = error
            self.should_exit = True
            return
        for model in self._service.models:
            echo(f"model {model.name}: {len(model.classes)} classes, {model.engine}")
        for listening in sockets:
            host, port = listening.getsockname()[:2]
            echo(f"ready: http://{f'[{host}]' if ':' in host else host}:{port}/")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second ends at once."""
        if self._service.draining:
            os._exit(128 + sig)
        self._service.draining = True
        self._draining_since = time.monotonic()
        log.info("draining: every accepted request is answered")

    async def on_tick(self, counter: int) -> bool:
        """Check whether it is time to end, ten times a second."""
        if await super().on_tick(counter):
            return True
        if self._draining_since and time.monotonic() - self._draining_since > LINGER_SECONDS:
            self.should_exit = True
        if self._service.given_up:
            log.error("a model cannot be run any more: the server ends")
            self.should_exit = True
        return self.should_exit


def run(
    models: Sequence[str],
    *,
    host: str,
    port: int,
    token_file: Path | None,
    queue: int,
    batch: int,
    timeout: float,
    max_megabytes: float,
) -> int:
    """Serve [NAME=]MODEL … until a signal; the exit status.

    Raises InputError for an option out of its range, a name or a port that cannot be used; what a model that
    cannot be served raises.
    """
    for option, value, least, most in (
        ("--queue", queue, 1, 100_000),
        ("--batch", batch, 1, 256),
        ("--timeout", timeout, 0.01, 3600),
        ("--max-megabytes", max_megabytes, 0.001, 256),
        ("--port", port, 0, 65535),
    ):
        if not least <= value <= most:
            raise InputError(f"expected {option} from {least} to {most}, got {value}")
    token = read_token(token_file)
    limits = Limits(queue=queue, batch=batch, decoders=cores())
    service = Service(model_sources(models), limits=limits, timeout=timeout)
    if token is None and host not in LOCAL:
        echo(f"warning: anyone who can reach {host} can send requests; --token-file requires a secret")
    max_bytes = round(max_megabytes * (1 << 20))
    bodies = BodyReader(max_bytes=max_bytes, max_total_bytes=max(128 << 20, 2 * max_bytes))
    try:
        service.prepare()  # a model that cannot be exported is reported before a port is taken
        return _run(App(service, bodies, token), host=host, port=port)
    finally:
        service.close()


def read_token(path: Path | None) -> str | None:
    """The secret of a file or else of the environment; None if there is none.

    Raises InputError for a file without one.
    """
    if path is None:
        return os.environ.get(TOKEN) or None
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"expected a secret in --token-file {path}: {error}") from None
    if not text or not text.isascii() or not text.isprintable():
        raise InputError(f"expected a secret of printable characters in --token-file {path}")
    return text


def uvicorn_config(application: ASGIApp, protocol: type[LimitedProtocol]) -> uvicorn.Config:
    """How uvicorn runs an application of ours."""
    return uvicorn.Config(
        application,
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_config=None,
        log_level="error",
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=2048,
    )


def _run(app: App, *, host: str, port: int) -> int:
    logging.basicConfig(level=logging.INFO, format="googlenet: %(message)s")
    service = app.service
    config = uvicorn_config(app.asgi(), limited_protocol(service))
    with listen(host, port) as listening:
        server = Server(config, service)
        if hasattr(signal, "SIGHUP"):  # not on Windows
            signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=service.reload).start())
        server.run(sockets=[listening])
        if server.error is not None:
            raise server.error
        return 1 if service.given_up else 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; raises InputError for an address that cannot be used."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host}, port {port}: {reason}; choose another --port") from None
    return listening
