"""What the verbs share: arguments, what they need installed, progress, output files and failures."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from googlenet.base.errors import MissingExtraError
from googlenet.base.progress import Progress, progress_bar

if TYPE_CHECKING:
    from PIL import Image

Model = Annotated[Positional[Path], arg(metavar="MODEL")]
Layer = Annotated[Positional[str], arg(metavar="LAYER[:CHANNEL]")]


def need(*packages: str, extra: str) -> None:
    """Check, before any work is done, that packages of an extra are installed.

    Raises MissingExtraError.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f"this needs {', '.join(missing)}, not installed here: pip install 'googlenet[{extra}]'"
        )


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """Give a function that starts a progress bar and returns what advances it."""
    with contextlib.ExitStack() as stack:
        yield lambda name, total: stack.enter_context(progress_bar(name, total)).advance


def write_png(out: Path, image: "Image.Image") -> None:
    """Write an image as a PNG file.

    Raises WriteError.
    """
    import numpy as np

    from googlenet.files.atomic import atomic_write
    from googlenet.images.decode import png_bytes

    atomic_write(out, png_bytes(np.asarray(image)))


def report_leftovers(paths: Iterable[str]) -> int:
    """Say what of these folders was not taken for photos; the exit status, 2 if something looks like one."""
    from googlenet.images.leftovers import find_leftovers

    found = find_leftovers(path for path in map(Path, paths) if path.is_dir())  # a pattern names files itself
    for line in found.lines():
        print(f"googlenet: {line}", file=sys.stderr)
    return 2 if found.photos else 0


def report_failures(failures: Iterable[str]) -> int:
    """Print a line for each photo that failed; the exit status is 2 if there is one, else 0."""
    status = 0
    for failure in failures:
        print(f"googlenet: {failure}", file=sys.stderr)
        status = 2
    return status
