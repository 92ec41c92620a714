"""A real server in a process of its own, and plain ways to ask it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from googlenet.export import export
from helpers.models import save

PATIENCE = 60.0  # seconds


def exported_in(folder: Path) -> Path:
    """A small model of three classes, exported for OpenVINO."""
    export.export(save(folder / "model.safetensors", "bn"), folder / "out", to="openvino")
    return folder / "out"


class Running:
    """`googlenet serve` until the block ends."""

    def __init__(
        self,
        *words: str | Path,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "googlenet"),
    ) -> None:
        command = [*program, "serve", *map(str, words), "--port", "0"]
        surroundings = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=surroundings)
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.strip())
            if line.startswith("ready: "):
                self.url = line.removeprefix("ready: ").strip().rstrip("/")
                break
        else:
            raise RuntimeError(f"it ended with {self.process.wait()}: {self.said}")
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own: status, headers in lower case, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """The same, for an answer in JSON."""
        status, _, content = self.ask(
            method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        return status, json.loads(content)

    def raw(self, content: bytes, *, patience: float = 5.0) -> bytes:
        """What comes back for bytes on a socket."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as connection:
            try:
                connection.sendall(content)
            except OSError:  # it has heard enough
                pass
            found = b""
            try:
                while chunk := connection.recv(65536):
                    found += chunk
            except OSError:
                pass
            return found

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all series with these labels."""
        total = 0.0
        for line in self.ask("GET", "/metrics")[2].decode().splitlines():
            series, _, value = line.rpartition(" ")
            own, _, rest = series.partition("{")
            if own == name and all(f'{key}="{text}"' in rest for key, text in labels.items()):
                total += float(value)
        return total

    def megabytes(self) -> float:
        """Memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)

    def until(self, what: str, *, within: float = 10.0) -> None:
        """Wait until the model info shows this text."""
        end = time.monotonic() + within
        while what not in json.dumps(self.json("GET", "/info")[1]):
            assert time.monotonic() < end, f"no {what} within {within} s"
            time.sleep(0.05)

    def until_metric(self, name: str, value: float, *, within: float = 20.0, **labels: str) -> None:
        """Wait until a metric has at least this value."""
        end = time.monotonic() + within
        while self.metric(name, **labels) < value:
            assert time.monotonic() < end, f"{name} is {self.metric(name, **labels)} after {within} s"
            time.sleep(0.05)
