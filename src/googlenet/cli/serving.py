"""The verb that puts models on HTTP."""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from googlenet.base.errors import InputError, MissingExtraError, ModelFileError
from googlenet.base.machine import cores, user_cache
from googlenet.base.progress import echo
from googlenet.cli.common import need
from googlenet.files.manifest import file_sha256, is_exported
from googlenet.files.modelfile import model_path

NAME = "googlenet"  # of a model that was given none
TOKEN = "GOOGLENET_TOKEN"
KEPT = 8  # exports of run folders in the user's cache
LOCAL = ("127.0.0.1", "::1", "localhost")


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
    """Answer photos on HTTP, with a page to drop them on.

    SIGTERM answers what was accepted, then ends; SIGHUP loads the models anew, without a failed request.

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
    for option, value, least, most in (
        ("--queue", queue, 1, 100_000),
        ("--batch", batch, 1, 256),
        ("--timeout", timeout, 0.01, 3600),
        ("--max-megabytes", max_megabytes, 0.001, 256),
        ("--port", port, 0, 65535),
    ):
        if not least <= value <= most:
            raise InputError(f"expected {option} from {least} to {most}, got {value}")
    token = _token(token_file)
    sources = named(models)
    need("uvicorn", "starlette", "httptools", "prometheus_client", "multipart", extra="serve")
    from googlenet.serve.app import App
    from googlenet.serve.bodies import Budget
    from googlenet.serve.engine import Bounds
    from googlenet.serve.server import run
    from googlenet.serve.service import Service

    if token is None and host not in LOCAL:
        echo(f"warning: whoever reaches {host} may ask; --token-file asks for a secret")
    for source in sources.values():
        source()  # what cannot be served is told before a port is taken
    bounds = Bounds(queue=queue, batch=batch, decoders=cores())
    most = round(max_megabytes * (1 << 20))
    budget = Budget(most=most, together=max(128 << 20, 2 * most))
    service = Service(sources, bounds=bounds, timeout=timeout)
    return run(App(service, budget, token), host=host, port=port)


def named(models: list[str]) -> dict[str, Callable[[], Path]]:
    """What gives the exported folder of each model, by name.

    Raises InputError for names that cannot be in a URL, or are not one each.
    """
    if not models:
        raise InputError("expected MODEL, an exported folder or a run folder")
    found: dict[str, Callable[[], Path]] = {}
    for text in models:
        name, equals, place = text.partition("=")
        if not equals or Path(text).exists():
            name, place = (NAME if len(models) == 1 else Path(text).resolve().name), text
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise InputError(
                f"expected a name of letters, digits, . _ and - before =, got {name!r} for {place}"
            )
        if name.endswith("-image"):
            raise InputError(f"expected a name that does not end in -image, got {name}: {name} takes files")
        if name in found:
            raise InputError(f"expected each name once, got {name} twice; give names as NAME=MODEL")
        found[name] = functools.partial(exported, Path(place))
    return found


def exported(model: Path) -> Path:
    """The exported folder of a model: itself, or one made of it in the user's cache.

    Raises ModelFileError if there is no model, or it cannot be exported; MissingExtraError without torch.
    """
    if is_exported(model):
        return model
    file = model_path(model)
    try:
        everyone = user_cache() / "exports"
        everyone.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise ModelFileError(
            f"{model}: nowhere to keep an export of it ({error}): googlenet export {model} --out FOLDER"
        ) from None
    folder = everyone / file_sha256(file)[:32]
    if is_exported(folder):
        os.utime(folder)
        return folder
    if find_spec("torch") is None:
        raise MissingExtraError(
            f"{model} must be exported first, which needs torch, not installed here: pip install "
            "'googlenet[train]', or make an export of it where torch is: googlenet export"
        )
    echo(f"exporting {model} once, into {folder}")
    command = [
        sys.executable,
        "-m",
        "googlenet",
        "export",
        str(model),
        "--to",
        "openvino",
        "--out",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        raise ModelFileError(f"{model} cannot be exported: {last.removeprefix('googlenet: ')}")
    _prune(everyone)
    return folder


def _prune(everyone: Path) -> None:
    """Remove the exports but those last used."""
    with contextlib.suppress(OSError):
        folders = sorted(everyone.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders[KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)


def _token(path: Path | None) -> str | None:
    """The secret, if one is asked for.

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
