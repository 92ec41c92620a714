"""Ask a server about photos, with nothing but Python: python client.py http://127.0.0.1:8080 cat.jpg …"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def ask(server: str, data: bytes, *, patience: float = 60.0) -> dict[str, float]:
    """Probabilities by class, for the bytes of an image file; waits its turn where the server is busy."""
    end = time.monotonic() + patience
    request = urllib.request.Request(f"{server.rstrip('/')}/predictions/googlenet", data, method="POST")
    request.add_header("content-type", "application/octet-stream")
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: dict[str, float] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                said = json.load(error)
            if error.code not in (429, 503) or time.monotonic() > end:
                raise RuntimeError(f"{said['code']}: {said['error']}") from None
            time.sleep(float(error.headers.get("retry-after", 1)))


if __name__ == "__main__":
    server, *paths = sys.argv[1:]
    for path in paths:
        best = next(iter(ask(server, Path(path).read_bytes()).items()))
        print(f"{path}: {best[0]} {best[1]:.1%}")
