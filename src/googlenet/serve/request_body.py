"""Reading the body of a request within limits of size, time and memory."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from googlenet.serve.errors import HTTPError
from googlenet.serve.schemas import printable

PARTS = 16  # of a multipart body


@dataclass
class BodyReader:
    """Reads bodies, and limits the memory of all that are held at the same time.

    max_bytes        of one body
    max_total_bytes  of all bodies in memory
    timeout          seconds that a body may take to arrive
    held             bytes in memory now
    """

    max_bytes: int = 20 << 20
    max_total_bytes: int = 128 << 20
    timeout: float = 30.0
    held: int = 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Read a body, which counts until the block ends.

        raises  HTTPError: 413 above `max_bytes`, as soon as that is known; 408 if it is too slow; 429 if too
                many bodies are in memory; ClientDisconnect
        """
        length = request.headers.get("content-length")
        if length is not None and length.isdigit() and int(length) > self.max_bytes:
            raise HTTPError(f"expected at most {self.max_bytes} bytes, got {length}", status=413, code="body")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPError("expected a body without content-encoding", status=415, code="encoding")
        body = bytearray()
        try:
            await self._receive(request, body)
            yield bytes(body)
        finally:
            self.held -= len(body)

    async def _receive(self, request: Request, body: bytearray) -> None:
        try:
            async with asyncio.timeout(self.timeout):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self.max_bytes:
                        raise HTTPError(f"expected at most {self.max_bytes} bytes", status=413, code="body")
                    if self.held + len(chunk) > self.max_total_bytes:
                        raise HTTPError("too many bodies at the same time", status=429, code="memory")
                    body += chunk
                    self.held += len(chunk)
        except TimeoutError:
            text = f"expected the body within {self.timeout:g} s"
            raise HTTPError(text, status=408, code="slow") from None


async def image_file(request: Request, body: bytes) -> bytes:
    """The image file in a body: the body itself, or the first file of a form.

    Raises HTTPError for a form without one.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return body

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, chunks(), max_files=PARTS, max_fields=PARTS, max_part_size=1 << 20
    )
    parser.spool_max_size = len(body) + 1  # in memory: it is there already
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise HTTPError(f"expected multipart/form-data: {printable(error)}", code="form") from None
    try:
        for _, value in form.multi_items():
            if not isinstance(value, str):
                return await value.read()
    finally:
        await form.close()
    raise HTTPError("expected a file in the form", code="form")
