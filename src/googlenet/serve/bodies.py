"""Reading the body of a request within bounds of size, time and memory."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

PARTS = 16  # of a multipart body


class HTTPError(Exception):
    """A request that is answered with an error; the text is for the client, as all of it."""

    def __init__(self, status: int, text: str, *, code: str = "", wait: int | None = None) -> None:
        """Keep the status; `wait` is for Retry-After, in seconds."""
        super().__init__(text)
        self.status, self.text, self.code, self.wait = status, text, code, wait


@dataclass
class Budget:
    """Bytes of bodies that may be in memory at the same time, over all connections.

    most      of one body
    together  of all
    seconds   that a body may take to arrive
    """

    most: int = 20 << 20
    together: int = 128 << 20
    seconds: float = 30.0
    held: int = 0

    async def read(self, request: Request) -> "Body":
        """Read a body.

        raises  Refused: 413 above `most`, as soon as that is known; 408 if it is too slow; 429 if too many
                bodies are in memory; ClientDisconnect
        """
        length = request.headers.get("content-length")
        if length is not None and length.isdigit() and int(length) > self.most:
            raise HTTPError(413, f"expected at most {self.most} bytes, got {length}", code="body")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPError(415, "expected a body without content-encoding", code="encoding")
        held = Body(self)
        try:
            async with asyncio.timeout(self.seconds):
                async for chunk in request.stream():
                    if len(held.data) + len(chunk) > self.most:
                        raise HTTPError(413, f"expected at most {self.most} bytes", code="body")
                    if self.held + len(chunk) > self.together:
                        raise HTTPError(429, "too many bodies at the same time", code="memory", wait=1)
                    held.add(chunk)
        except TimeoutError:
            held.free()
            raise HTTPError(408, f"expected the body within {self.seconds:g} s", code="slow") from None
        except BaseException:
            held.free()
            raise
        return held


class Body:
    """A body in memory, which counts until it is freed."""

    def __init__(self, budget: Budget) -> None:
        """Begin empty."""
        self._budget, self.data = budget, bytearray()

    def add(self, chunk: bytes) -> None:
        """Add what arrived."""
        self.data += chunk
        self._budget.held += len(chunk)

    def free(self) -> None:
        """Stop counting."""
        self._budget.held -= len(self.data)
        self.data = bytearray()

    def __enter__(self) -> bytes:
        """Give the content; it counts until the block ends."""
        return bytes(self.data)

    def __exit__(self, *error: object) -> None:
        """Stop counting."""
        self.free()


async def image_of(request: Request, body: bytes) -> bytes:
    """The image in a body: the body itself, or the first file of a form.

    Raises Refused for a form without one.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return body

    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, once(), max_files=PARTS, max_fields=PARTS, max_part_size=1 << 20
    )
    parser.spool_max_size = len(body) + 1  # in memory: it is there already
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise HTTPError(400, f"expected multipart/form-data: {_plain(error)}", code="form") from None
    try:
        for _, value in form.multi_items():
            if not isinstance(value, str):
                return await value.read()
    finally:
        await form.close()
    raise HTTPError(400, "expected a file in the form", code="form")


def _plain(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error)
    return "".join(c for c in text if c.isprintable())[:200]


__all__ = ["Body", "Budget", "ClientDisconnect", "HTTPError", "image_of"]
