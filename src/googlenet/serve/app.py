"""Routes: from a request to a model and back; every error is JSON, and says nothing of this machine."""

import asyncio
import base64
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from googlenet.base.version import __version__
from googlenet.images.decode import Pixels, center_box, open_image, png_bytes, preprocess, upright_size
from googlenet.serve import openinference, page
from googlenet.serve.bodies import Body, Budget, ClientDisconnect, HTTPError, image_of
from googlenet.serve.counters import CONTENT_TYPE
from googlenet.serve.engine import QueueFull
from googlenet.serve.guard import Guard, shedding
from googlenet.serve.openapi import document
from googlenet.serve.openinference import BadRequest
from googlenet.serve.service import Prediction, Served, Service

ENCODED = "-image"  # behind a model's name: its twin that takes image files
TOP = 5


@dataclass(eq=False)
class App:
    """What answers requests.

    token  that requests must carry; None for any
    """

    service: Service
    budget: Budget = field(default_factory=Budget)
    token: str | None = None

    def __post_init__(self) -> None:
        """Prepare the short way out."""
        self.shed = shedding(self.service)

    def app(self) -> Starlette:
        """The ASGI application."""
        guard = Guard(self.service, self.token)
        routes = [guard.route("/", self.root, "GET", "POST")]
        routes += [
            guard.route(f"/{name}", functools.partial(self.asset, name), "GET") for name in page.ASSETS
        ]
        versioned = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
        routes += [
            guard.route("/v2", self.server, "GET"),
            guard.route("/v2/health/live", self.live, "GET"),
            guard.route("/v2/health/ready", self.ready, "GET"),
            *(guard.route(place, self.metadata, "GET") for place in versioned),
            *(guard.route(f"{place}/ready", self.model_ready, "GET") for place in versioned),
            *(guard.route(f"{place}/config", self.configuration, "GET") for place in versioned),
            *(guard.route(f"{place}/infer", self.infer, "POST") for place in versioned),
            guard.route("/models/{model}", self.hugging_face, "POST"),
            guard.route("/predictions/{model}", self.predictions, "POST", "PUT"),
            guard.route("/explain/{model}", self.explain, "POST"),
            guard.route("/info", self.info, "GET"),
            guard.route("/metrics", self.metrics, "GET"),
            guard.route("/openapi.json", self.openapi, "GET"),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={404: guard.unknown, 405: guard.unknown, 500: guard.broken},
        )

    # What is served, and how it is

    async def root(self, request: Request) -> Response:
        """The page; for a photo that is posted here, what Hugging Face's clients ask for."""
        return await self.hugging_face(request) if request.method == "POST" else page.asset("index.html")

    async def asset(self, name: str, request: Request) -> Response:
        """Script and style of the page."""
        return page.asset(name)

    async def server(self, request: Request) -> Response:
        """What this is."""
        return JSONResponse(
            {"name": "googlenet", "version": __version__, "extensions": list(openinference.EXTENSIONS)}
        )

    async def live(self, request: Request) -> Response:
        """Whether the process answers."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """Whether a photo would be answered."""
        return JSONResponse({"ready": self.service.ready}, 200 if self.service.ready else 503)

    async def info(self, request: Request) -> Response:
        """The models with their classes, for the page."""
        found = []
        for name in self.service.names:
            served = self.service.get(name)
            if served is not None:
                found.append(_about(served) | {"classes": list(served.classes)})
        return JSONResponse({"models": found, "most_bytes": self.budget.most, "version": __version__})

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        return Response(self.service.counters.text(), media_type=CONTENT_TYPE)

    async def openapi(self, request: Request) -> Response:
        """The description of all this."""
        return JSONResponse(document(self.service.names, token=self.token is not None))

    async def metadata(self, request: Request) -> Response:
        """What a model takes and gives."""
        served, _ = self._model(request)
        return self._described(request, openinference.metadata, versions=[str(served.version)])

    async def model_ready(self, request: Request) -> Response:
        """Whether one model would answer."""
        served, _ = self._model(request)
        able = served.engine.ready and not self.service.draining
        return JSONResponse({"name": request.path_params["model"], "ready": able}, 200 if able else 503)

    async def configuration(self, request: Request) -> Response:
        """Triton's form of the metadata."""
        return self._described(request, openinference.configuration, batch=self.service.bounds.batch)

    def _described(self, request: Request, write: Callable[..., Any], **more: Any) -> Response:
        served, encoded = self._model(request)
        size, classes = _shape(served)
        name = request.path_params["model"]
        return JSONResponse(write(name, size=size, classes=classes, encoded=encoded, **more))

    # Photos

    async def infer(self, request: Request) -> Response:
        """The Open Inference Protocol."""
        served, encoded = self._model(request)
        size, classes = _shape(served)
        with await self._body(request, served) as body:
            asked = openinference.parse(
                body,
                request.headers.get(openinference.HEADER_LENGTH),
                size=size,
                classes=classes,
                encoded=encoded,
                batch=self.service.bounds.batch,
            )
            loads = [functools.partial(_square, served, image) for image in asked.images]
            found = await self._all(request, served, loads)
        content, length = openinference.response(
            asked,
            np.stack([each.probabilities for each in found]),
            served.classes,
            model=request.path_params["model"],
            version=str(served.version),
        )
        headers = {} if length is None else {openinference.HEADER_LENGTH: str(length)}
        kind = "application/json" if length is None else "application/octet-stream"
        return Response(content, media_type=kind, headers=headers | _timing(found[0]))

    async def predictions(self, request: Request) -> Response:
        """TorchServe's request: an image file, to names and probabilities."""
        served, _ = self._model(request)
        with await self._body(request, served) as body:
            found = await self._one(request, served, await image_of(request, body))
        return JSONResponse({name: share for _, name, share in found.best(TOP)}, headers=_timing(found))

    async def hugging_face(self, request: Request) -> Response:
        """Hugging Face's image classification: an image file, or JSON with base64."""
        served, _ = self._model(request)
        with await self._body(request, served) as body:
            data, top = body, TOP
            if request.headers.get("content-type", "").lower().startswith("application/json"):
                data, top = _hugging_face(openinference.read_json(body))
            found = await self._one(request, served, await image_of(request, data))
        rows = [{"label": name, "score": share} for _, name, share in found.best(top)]
        return JSONResponse(rows, headers=_timing(found))

    async def explain(self, request: Request) -> Response:
        """For the page: names and probabilities, the class maps, and what the network saw."""
        served, _ = self._model(request)
        with await self._body(request, served) as body:
            data = await image_of(request, body)
            found = await self._one(request, served, data)
            said = await asyncio.to_thread(_explained, data, found)  # it decodes, and encodes
        return JSONResponse(said, headers=_timing(found))

    async def _body(self, request: Request, served: Served) -> Body:
        """The body, unless it would not be answered in time: then it is not even read.

        Raises Full.
        """
        if served.engine.waiting >= self.service.bounds.queue:
            self.service.counters.shed.labels(served.name).inc()
            raise QueueFull
        return await self.budget.read(request)

    async def _one(self, request: Request, served: Served, data: bytes) -> Prediction:
        (found,) = await self._all(request, served, [functools.partial(_square, served, data)])
        return found

    async def _all(
        self, request: Request, served: Served, loads: Sequence[Callable[[], Pixels]]
    ) -> list[Prediction]:
        """Ask about each image, all or none; given up if the client goes away."""
        end = time.monotonic() + self.service.timeout
        works = [
            asyncio.ensure_future(self.service.predict(served, load, within=end - time.monotonic()))
            for load in loads
        ]
        everything = asyncio.gather(*works)
        gone = asyncio.ensure_future(_gone(request))
        try:
            either: set[asyncio.Future[Any]] = {everything, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not everything.done():
                raise ClientDisconnect
            return list(everything.result())
        finally:
            gone.cancel()
            for work in works:
                work.cancel()

    def _model(self, request: Request) -> tuple[Served, bool]:
        """The model of a path, and whether its twin for image files is meant.

        Raises Refused.
        """
        name = request.path_params.get("model")
        served = self.service.get(name)
        encoded = False
        if served is None and name is not None and name.endswith(ENCODED):
            served, encoded = self.service.get(name.removesuffix(ENCODED)), True
        if served is None:
            known = ", ".join(self.service.names)
            raise HTTPError(404, f"expected a model among {known}", code="model")
        version = request.path_params.get("version")
        if version is not None and version != str(served.version):
            raise HTTPError(404, f"expected version {served.version}", code="version")
        return served, encoded


def _square(served: Served, image: bytes | Pixels) -> Pixels:
    """What the network sees: of a file its part, cut as always; a square as it is."""
    if isinstance(image, np.ndarray):
        return image
    return preprocess(image, served.manifest.card.preprocessing)


def _explained(data: bytes, found: Prediction) -> dict[str, Any]:
    width, height = upright_size(open_image(data))
    taken = found.served.manifest.card.preprocessing
    maps = found.answer.maps
    return {
        "predictions": [
            {"label": name, "probability": share}
            | ({} if maps is None else {"map": np.round(maps[i].astype(float), 5).tolist()})
            for i, name, share in found.best(TOP)
        ],
        "unfamiliar": found.unfamiliar,
        "photo": {"width": width, "height": height},
        "box": list(center_box(width, height, crop=taken.crop, warp=taken.warp)),
        "square": "data:image/png;base64," + base64.b64encode(png_bytes(found.answer.square)).decode(),
        "seconds": _seconds(found),
        "model": _about(found.served),
    }


async def _gone(request: Request) -> None:
    """Return when the client goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _hugging_face(said: Any) -> tuple[bytes, int]:
    if not isinstance(said, dict):
        raise BadRequest("expected a JSON object with inputs")
    parameters = said.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest("expected parameters as an object")
    top, function = parameters.get("top_k"), parameters.get("function_to_apply")
    top = TOP if top is None else top
    if type(top) is not int or not 1 <= top <= 1_000_000:
        raise BadRequest("expected top_k of 1 and up")
    if function not in (None, "softmax"):
        raise BadRequest("expected function_to_apply softmax")
    return openinference.decoded(said.get("inputs")), top


def _shape(served: Served) -> tuple[int, int]:
    return served.manifest.card.preprocessing.size, len(served.classes)


def _about(served: Served) -> dict[str, Any]:
    return {
        "name": served.name,
        "version": served.version,
        "sha256": served.sha256,
        "engine": served.about,
        "size": served.manifest.card.preprocessing.size,
    }


def _seconds(found: Prediction) -> dict[str, float]:
    answer = found.answer
    return {name: round(getattr(answer, name), 6) for name in ("decode", "queue", "compute")}


def _timing(found: Prediction) -> dict[str, str]:
    parts = (f"{name};dur={1000 * seconds:.2f}" for name, seconds in _seconds(found).items())
    return {"server-timing": ", ".join(parts)}
