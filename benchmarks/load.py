"""Load for a server, in a process of its own: plain sockets, so that the load costs little.

    python benchmarks/load.py single|closed|open PORT PHOTOS SECONDS NUMBER

single: one photo after the other on a plain blocking socket, to see how long an answer takes.
closed: NUMBER clients, each one photo after the other. open: NUMBER requests a second at random times,
whatever the server does. Prints JSON.
"""

import asyncio
import contextlib
import itertools
import json
import random
import socket
import sys
import time
from collections import Counter
from pathlib import Path

PATIENCE = 60.0


def requests(folder: Path) -> list[bytes]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg"):
            data = path.read_bytes()
            head = f"POST /predictions/googlenet HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n\r\n"
            found.append(head.encode() + data)
    return found


class Client:
    """One connection, opened again when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ")[1])

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def single(port: int, folder: Path, seconds: float) -> None:
    asked, codes, latencies = requests(folder), Counter[str](), []
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for request in itertools.cycle(asked):
            if time.perf_counter() > began + seconds:
                break
            sent = time.perf_counter()
            connection.sendall(request)
            answer = connection.recv(1 << 16)
            while not answer.endswith(b"}"):
                answer += connection.recv(1 << 16)
            latencies.append(time.perf_counter() - sent)
            codes[answer.split(b" ")[1].decode()] += 1
    told(codes, time.perf_counter() - began, latencies)


def told(codes: Counter[str], seconds: float, latencies: list[float]) -> None:
    print(json.dumps({"answered": codes["200"], "seconds": seconds, "codes": codes, "latencies": latencies}))


async def main(kind: str, port: int, folder: Path, seconds: float, number: float) -> None:
    asked, luck = requests(folder), random.Random(0)
    codes: Counter[str] = Counter()
    latencies: list[float] = []
    idle: list[Client] = []
    end = time.perf_counter() + seconds

    async def once(client: Client) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                code = str(await client.ask(luck.choice(asked)))
        except (OSError, EOFError, TimeoutError) as error:
            code = type(error).__name__
            client.close()
        codes[code] += 1
        if code == "200":
            latencies.append(time.perf_counter() - began)
        idle.append(client)

    async def loop(client: Client) -> None:
        while time.perf_counter() < end:
            await once(client)

    began = time.perf_counter()
    if kind == "closed":
        await asyncio.gather(*(loop(Client(port)) for _ in range(int(number))))
    else:
        tasks = set()
        due = began
        while (due := due + luck.expovariate(number)) < end:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(once(idle.pop() if idle else Client(port)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
    told(codes, time.perf_counter() - began, latencies)


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    kind, port, folder, seconds, number = sys.argv[1:]
    if kind == "single":
        single(int(port), Path(folder), float(seconds))
    else:
        asyncio.run(main(kind, int(port), Path(folder), float(seconds), float(number)))
