"""The verb that lets people repair labels that are probably wrong."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from googlenet.cli.common import need


def relabel(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    *,
    port: int = 8090,
    data: str | None = None,
) -> int:
    """Go through the probably wrong labels of a run with --folds, on a page of this machine.

    Each decision is kept at once in RUN/corrections.csv, which train --labels takes; your own files stay as
    they are. Only this machine can open the page.

    Example: googlenet relabel runs/photos
    Example: googlenet train photos --labels runs/photos/corrections.csv --out runs/corrected

    Args:
        run: the run folder of train --folds
        port: the port on 127.0.0.1; 0 for any that is free
        data: where the photos are now, if they were moved
    """
    need("uvicorn", "starlette", "httptools", "prometheus_client", "multipart", extra="serve")
    from googlenet.crossval.relabel import run as serve_page

    return serve_page(run, port=port, data=data)
