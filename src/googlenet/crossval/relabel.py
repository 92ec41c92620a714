"""A page on this machine to go through labels that are probably wrong, by keyboard."""

import asyncio
import csv
import functools
import io
import json
import logging
import shlex
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import FrameType

import msgspec
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from googlenet.base.errors import GoogLeNetError, ImageError, InputError
from googlenet.base.progress import echo
from googlenet.base.text import pluralize
from googlenet.crossval.assignment import Folds, read_table
from googlenet.crossval.corrections import Corrections, Decision, LabeledPhoto
from googlenet.crossval.folder import (
    OUT_OF_FOLD,
    RELABEL_LOCK,
    SUSPECTS,
    CrossValidation,
    is_cross_validation,
    read_cross_validation,
)
from googlenet.data.folder import open_data
from googlenet.files import runfolder
from googlenet.images.decode import decode_opened, open_image
from googlenet.serve.errors import HTTPError
from googlenet.serve.middleware import HEADERS
from googlenet.serve.page import POLICY
from googlenet.serve.protocol import limited_protocol
from googlenet.serve.request_body import BodyReader
from googlenet.serve.schemas import Error, JSONResponse, decode
from googlenet.serve.server import LOCAL, listen, uvicorn_config

HOST = "127.0.0.1"
SHOWN = 1024  # pixels of the longer side of a photo
GUESSES = 5
MAX_BODY = 4096  # bytes of a decision
OWN_HEADERS = {**HEADERS, "cross-origin-resource-policy": "same-origin"}
ASSETS = {"relabel.html": "text/html", "relabel.js": "text/javascript", "relabel.css": "text/css"}
_CONTENT = {
    name: files("googlenet.crossval").joinpath("static").joinpath(name).read_bytes() for name in ASSETS
}

Handler = Callable[[Request], Awaitable[Response]]


class Guess(msgspec.Struct, frozen=True):
    """A class and its probability by the model that has not seen the photo."""

    label: str
    probability: float


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A photo to look at; `copy_of` is the number of a suspect that it is a copy of."""

    number: int
    path: str
    given: str
    guesses: list[Guess]
    copy_of: int | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that the page shows: photos in their order, classes, decisions by path."""

    items: list[Item]
    classes: tuple[str, ...]
    decisions: dict[str, Decision]
    lost: tuple[str, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The photo of a decision that was made or taken back, if there was one, and what holds of it now."""

    path: str | None
    decision: Decision | None = None
    classes: tuple[str, ...]
    lost: tuple[str, ...]


def run(folder: Path, *, port: int, data: str | None = None) -> int:
    """Serve the page until a signal; the exit status.

    data    where the photos are now, if they were moved
    Raises InputError for a folder without suspects, or a port that cannot be used; TrainingError if another
    process relabels the same run.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"expected --port from 0 to 65535, got {port}")
    if not is_cross_validation(folder) or not (folder / OUT_OF_FOLD).is_file():
        raise InputError(
            f"expected a finished run of train --folds, got {folder}: probable wrong labels are those that a "
            "model which has not seen the photo does not believe"
        )
    if not (folder / SUSPECTS).is_file():
        raise InputError(
            f"expected {folder / SUSPECTS}, which cleanlab writes: pip install 'googlenet[labels]', then "
            f"googlenet report {shlex.quote(str(folder))}"
        )
    with runfolder.lock_run(folder, RELABEL_LOCK, doing="relabels"):
        asked = read_cross_validation(folder)
        asked = asked if data is None else msgspec.structs.replace(asked, data=str(Path(data).resolve()))
        folds = read_table(folder / runfolder.FOLDS, Path(asked.data))
        photos = all_photos(asked, folds)
        check_names(photos)
        corrections = Corrections(folder, photos)
        page = Page(folds.index.root, list_items(folder, folds), corrections)
        _serve(page, port)
        corrections.say(asked.data)
    return 0


def all_photos(asked: CrossValidation, folds: Folds) -> list[LabeledPhoto]:
    """All photos of the data: those of the folds, and of splits of its own, which stay as they are.

    Raises DataError if the data is not there any more.
    """
    data = open_data(asked.data, labels=asked.source, group=None)
    ours = ("train", "val") if data.is_our_split else ("train",)
    others = {name: own for name, own in data.splits.items() if name not in ours}
    index = folds.index
    photos = [
        LabeledPhoto(
            path=index.name(i),
            label=folds.classes[index.labels[i]],
            split="train" if others else None,
            group=str(folds.groups[i]) if asked.group else None,
        )
        for i in range(len(index))
    ]
    for name, own in others.items():
        above = own.root.relative_to(asked.data)
        for i in range(len(own)):
            path = (above / own.name(i)).as_posix()
            label = data.classes[own.labels[i]]
            photos.append(
                LabeledPhoto(path=path, label=label, split=name, group=f"{name} {i}" if asked.group else None)
            )
    return photos


def check_names(photos: Sequence[LabeledPhoto]) -> None:
    """Raise InputError for names that no table in UTF-8 can hold."""
    for photo in photos:
        try:
            (photo.path + photo.label).encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"expected names in UTF-8, which a table of labels is, got {photo.path!r}; rename it, and "
                "train anew"
            ) from error


def list_items(folder: Path, folds: Folds) -> list[Item]:
    """The suspects of a run, the most suspect first, each followed by its copies."""
    number = {folds.index.name(i): i for i in range(len(folds.index))}
    members: dict[int, list[int]] = {}
    for i, group in enumerate(folds.copies.tolist()):
        members.setdefault(group, []).append(i)
    copy_of: dict[int, int | None] = {}
    for line in (folder / SUSPECTS).read_text(encoding="utf-8").split("\n"):
        if line:
            first = number[json.loads(line)["path"]]
            for i in (first, *members[int(folds.copies[first])]):
                copy_of.setdefault(i, None if i == first else first)
    guesses = _guesses(folder / OUT_OF_FOLD, folds, set(copy_of))
    return [
        Item(
            number=i,
            path=folds.index.name(i),
            given=folds.classes[folds.index.labels[i]],
            guesses=guesses.get(i, []),
            copy_of=first,
        )
        for i, first in copy_of.items()
    ]


def _guesses(path: Path, folds: Folds, wanted: Set[int]) -> dict[int, list[Guess]]:
    """What these photos were taken for, best first; rows are in the order of the index."""
    found = {}
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for i, row in enumerate(csv.DictReader(file)):
            if i in wanted and not row["error"]:
                shares = [(float(row[f"p:{name}"]), name) for name in folds.classes]
                best = sorted(shares, reverse=True)[:GUESSES]
                found[i] = [Guess(name, share) for share, name in best]
    return found


@dataclass(eq=False)
class Page:
    """What answers the page's requests; all of them come from this machine."""

    root: Path
    items: list[Item]
    corrections: Corrections

    def __post_init__(self) -> None:
        """Know the photos that may be asked for, and take one decision at a time."""
        self._shown = {item.number: item.path for item in self.items}
        self._bodies = BodyReader(max_bytes=MAX_BODY)
        self._one_at_a_time = asyncio.Lock()

    def asgi(self, port: int) -> Starlette:
        """The ASGI application, for requests to this port alone."""
        hosts = {f"{host}:{port}" for host in LOCAL}

        def route(path: str, method: str, handler: Handler) -> Route:
            return Route(path, functools.partial(_respond, handler, hosts), methods=[method])

        return Starlette(
            routes=[
                route("/", "GET", functools.partial(_asset, "relabel.html")),
                route("/relabel.js", "GET", functools.partial(_asset, "relabel.js")),
                route("/relabel.css", "GET", functools.partial(_asset, "relabel.css")),
                route("/state", "GET", self.state),
                route("/photos/{number:int}", "GET", self.photo),
                route("/decisions", "POST", self.decide),
                route("/undo", "POST", self.undo),
            ],
            exception_handlers={404: _not_found, 405: _not_found},
        )

    async def state(self, request: Request) -> Response:
        """All that there is to show."""
        now = self.corrections
        return JSONResponse(
            State(items=self.items, classes=now.classes(), decisions=now.decisions, lost=now.lost())
        )

    async def photo(self, request: Request) -> Response:
        """A photo as JPEG, upright and of bounded size."""
        path = self._shown.get(request.path_params["number"])
        if path is None:
            raise HTTPError("expected a photo of this page", status=404, code="photo")
        return Response(await asyncio.to_thread(_as_jpeg, self.root / path), media_type="image/jpeg")

    async def decide(self, request: Request) -> Response:
        """Keep a decision, on the disk before this answers."""
        async with self._bodies.read(request) as body:
            decision = decode(body, Decision)
        async with self._one_at_a_time:
            await asyncio.to_thread(self.corrections.decide, decision)
            return self._change(decision.path)

    async def undo(self, request: Request) -> Response:
        """Take the last decision back."""
        async with self._one_at_a_time:
            return self._change(await asyncio.to_thread(self.corrections.undo))

    def _change(self, path: str | None) -> Response:
        now = self.corrections
        decision = None if path is None else now.decision(path)
        return JSONResponse(Change(path=path, decision=decision, classes=now.classes(), lost=now.lost()))


async def _respond(handler: Handler, hosts: set[str], request: Request) -> Response:
    """Refuse other sites' pages, turn errors into responses."""
    try:
        if request.headers.get("host") not in hosts:
            raise HTTPError("expected a request to this machine", status=403, code="host")
        origin = request.headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in hosts:
            raise HTTPError("expected a request of this page", status=403, code="origin")
        response = await handler(request)
    except HTTPError as error:
        response = JSONResponse(Error(str(error), error.code), error.status)
    except ClientDisconnect:
        response = Response(status_code=499)
    except ImageError as error:
        response = JSONResponse(Error(error.reason, error.code), 404)
    except GoogLeNetError as error:
        response = JSONResponse(Error(str(error), "decision"), 400 if isinstance(error, InputError) else 500)
    response.headers.update(OWN_HEADERS)
    return response


async def _not_found(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return JSONResponse(Error("expected a path and a method of this page", "route"), status, OWN_HEADERS)


async def _asset(name: str, request: Request) -> Response:
    return Response(_CONTENT[name], headers={"content-security-policy": POLICY}, media_type=ASSETS[name])


def _as_jpeg(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError("missing", f"not there any more: {error.strerror or error}") from error
    opened = open_image(data)
    image = decode_opened(opened, scale=min(1.0, SHOWN / max(opened.image.size)))
    image.thumbnail((SHOWN, SHOWN), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


class _Server(uvicorn.Server):
    """Says where it listens; ends at the first signal: every decision is on the disk."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        for listening in sockets or []:
            echo(f"look at them: http://{HOST}:{listening.getsockname()[1]}/ (ctrl-C ends)")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True


def _serve(page: Page, port: int) -> None:
    logging.basicConfig(level=logging.WARNING, format="googlenet: %(message)s")
    with listen(HOST, port) as listening:
        own_port: int = listening.getsockname()[1]
        server = _Server(uvicorn_config(page.asgi(own_port), limited_protocol(None)))
        echo(f"{pluralize(len(page.items), 'photo')} to look at")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, server.handle_exit)
        server.run(sockets=[listening])
