"""The verb that serves models over HTTP."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from googlenet.cli.common import need


def serve(
    models: Annotated[Positional[list[str]], arg(metavar="[NAME=]MODEL ...")],
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token_file: Path | None = None,
    queue: int = 64,
    batch: int = 8,
    timeout: float = 10.0,
    max_megabytes: float = 20.0,
) -> int:
    """Classify photos over HTTP, with a page to drop them on.

    SIGTERM answers what was accepted, then ends; SIGHUP reloads the models without a failed request.

    Example: googlenet serve photos-export
    Example: curl --data-binary @cat.jpg http://127.0.0.1:8080/predictions/googlenet

    Args:
        models: exported folders, or run folders and model files, which are exported once into the user's
            cache; several by name, as shoes=runs/shoes hats=runs/hats
        host: the address to listen on; 0.0.0.0 for all of this machine
        port: the port; 0 for any that is free
        token_file: a file with a secret that requests must carry, as Authorization: Bearer SECRET; the
            environment variable GOOGLENET_TOKEN does the same
        queue: photos that may wait; above, requests get 429
        batch: photos computed together at most
        timeout: seconds until a request that waits gets 504
        max_megabytes: of a request
    """
    need(
        "uvicorn", "starlette", "httptools", "prometheus_client", "multipart", "msgspec", "filelock",
        extra="serve",
    )  # fmt: skip
    from googlenet.serve.server import run

    return run(
        models,
        host=host,
        port=port,
        token_file=token_file,
        queue=queue,
        batch=batch,
        timeout=timeout,
        max_megabytes=max_megabytes,
    )
