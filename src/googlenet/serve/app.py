"""Routes: from a request to a model and back; every error is JSON, and tells nothing of this machine."""

import asyncio
import base64
import functools
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import UNSET, UnsetType
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from googlenet.base.version import __version__
from googlenet.images.boxes import seen_box
from googlenet.images.decode import Pixels, open_image, png_bytes, preprocess, upright_size
from googlenet.serve import openinference, page, schemas
from googlenet.serve.errors import HTTPError, QueueFull
from googlenet.serve.metrics import CONTENT_TYPE
from googlenet.serve.middleware import Handler, Middleware
from googlenet.serve.openapi import IMAGE_FILE, Operations, document
from googlenet.serve.request_body import BodyReader, image_file
from googlenet.serve.schemas import JSONResponse
from googlenet.serve.service import LoadedModel, Prediction, Service

TOP = 5
MODELS = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
OPERATIONS = Operations()


@dataclass(eq=False)
class App:
    """What answers requests.

    token  that requests must carry; None for any
    """

    service: Service
    bodies: BodyReader = field(default_factory=BodyReader)
    token: str | None = None

    def asgi(self) -> Starlette:
        """The ASGI application."""
        middleware = Middleware(self.service, self.token)
        handlers: dict[str, dict[str, Handler]] = {}
        for operation in OPERATIONS:
            handler = functools.partial(operation.handler, self)
            for path in operation.paths:
                handlers.setdefault(path, {}).update(dict.fromkeys(operation.methods, handler))
        not_found, internal_error = middleware.not_found, middleware.internal_error
        of_errors: Any = {404: not_found, 405: not_found, 500: internal_error}
        routes = [middleware.route(path, by_method) for path, by_method in handlers.items()]
        return Starlette(routes=routes, exception_handlers=of_errors)

    # The server and its models

    @OPERATIONS.add("GET", "/", media=("text/html",))
    async def index(self, request: Request) -> Response:
        """The page."""
        return page.asset("index.html")

    @OPERATIONS.add("GET", "/page.js", media=("text/javascript",))
    async def script(self, request: Request) -> Response:
        """Script of the page."""
        return page.asset("page.js")

    @OPERATIONS.add("GET", "/page.css", media=("text/css",))
    async def style(self, request: Request) -> Response:
        """Style of the page."""
        return page.asset("page.css")

    @OPERATIONS.add("GET", "/info")
    async def info(self, request: Request) -> JSONResponse[schemas.ServerInfo]:
        """The models with their classes."""
        models = [_describe(model, list(model.classes)) for model in self.service.models]
        return JSONResponse(schemas.ServerInfo(models, self.bodies.max_bytes, __version__))

    @OPERATIONS.add("GET", "/metrics", media=("text/plain",))
    async def metrics(self, request: Request) -> Response:
        """Metrics for Prometheus."""
        return Response(self.service.metrics.text(), media_type=CONTENT_TYPE)

    @OPERATIONS.add("GET", "/openapi.json")
    async def openapi(self, request: Request) -> JSONResponse[dict[str, Any]]:
        """OpenAPI 3.1 of all operations."""
        return JSONResponse(document(OPERATIONS, self.service.names, token=self.token is not None))

    @OPERATIONS.add("GET", "/v2")
    async def server(self, request: Request) -> JSONResponse[schemas.ServerMetadata]:
        """The server and the protocol's extensions that it has."""
        return JSONResponse(schemas.ServerMetadata("googlenet", __version__, openinference.EXTENSIONS))

    @OPERATIONS.add("GET", "/v2/health/live")
    async def live(self, request: Request) -> JSONResponse[schemas.Live]:
        """Whether the process answers."""
        return JSONResponse(schemas.Live(True))

    @OPERATIONS.add("GET", "/v2/health/ready", statuses=(200, 503))
    async def ready(self, request: Request) -> JSONResponse[schemas.Ready]:
        """Whether every model would answer."""
        return JSONResponse(schemas.Ready(self.service.ready), 200 if self.service.ready else 503)

    @OPERATIONS.add("GET", *MODELS)
    async def metadata(self, request: Request) -> JSONResponse[schemas.ServedModelMetadata]:
        """Inputs and outputs of a model."""
        return JSONResponse(openinference.metadata(*self._model(request)))

    @OPERATIONS.add("GET", *(f"{path}/config" for path in MODELS))
    async def configuration(self, request: Request) -> JSONResponse[schemas.ModelConfig]:
        """The same, as Triton's configuration of a model."""
        return JSONResponse(openinference.configuration(*self._model(request)))

    @OPERATIONS.add("GET", *(f"{path}/ready" for path in MODELS), statuses=(200, 503))
    async def model_ready(self, request: Request) -> JSONResponse[schemas.ModelReady]:
        """Whether a model would answer."""
        model, _ = self._model(request)
        ready = model.batcher.ready and not self.service.draining
        return JSONResponse(schemas.ModelReady(request.path_params["model"], ready), 200 if ready else 503)

    # Images

    @OPERATIONS.add(
        "POST",
        *(f"{path}/infer" for path in MODELS),
        request=(schemas.InferenceRequest, "application/octet-stream"),
        media=("application/octet-stream",),
    )
    async def infer(self, request: Request) -> JSONResponse[schemas.InferenceResponse] | Response:
        """Classify by the Open Inference Protocol."""
        model, encoded = self._model(request)
        async with self._body(request, model) as body:
            length = request.headers.get(openinference.HEADER_LENGTH)
            parsed = openinference.parse(body, length, model, encoded)
            predictions = await self._predict(request, model, parsed.images)
        probabilities = np.stack([each.probabilities for each in predictions])
        content, raw = openinference.response(parsed, model, encoded, probabilities)
        response = JSONResponse(content, headers=_timing(predictions[0]))
        if not parsed.binary:
            return response
        headers = {**_timing(predictions[0]), openinference.HEADER_LENGTH: str(len(response.body))}
        return Response(bytes(response.body) + raw, 200, headers, "application/octet-stream")

    @OPERATIONS.add("POST PUT", "/predictions/{model}", request=IMAGE_FILE)
    async def predictions(self, request: Request) -> JSONResponse[schemas.Probabilities]:
        """Classify an image file, for TorchServe's clients."""
        model, _ = self._model(request)
        async with self._body(request, model) as body:
            (prediction,) = await self._predict(request, model, [await image_file(request, body)])
        probabilities = {name: probability for _, name, probability in prediction.top(TOP)}
        return JSONResponse(probabilities, headers=_timing(prediction))

    @OPERATIONS.add("POST", "/", "/models/{model}", request=(schemas.HuggingFaceRequest, *IMAGE_FILE))
    async def hugging_face(self, request: Request) -> JSONResponse[list[schemas.Score]]:
        """Classify for Hugging Face's clients: an image file, or JSON with base64."""
        model, _ = self._model(request)
        async with self._body(request, model) as body:
            top = None
            if request.headers.get("content-type", "").lower().startswith("application/json"):
                parsed = schemas.decode(body, schemas.HuggingFaceRequest)
                image = openinference.decode_base64(parsed.inputs)
                top = parsed.parameters and parsed.parameters.top_k
            else:
                image = await image_file(request, body)
            (prediction,) = await self._predict(request, model, [image])
        scores = [schemas.Score(name, score) for _, name, score in prediction.top(top or TOP)]
        return JSONResponse(scores, headers=_timing(prediction))

    @OPERATIONS.add("POST", "/explain/{model}", request=IMAGE_FILE)
    async def explain(self, request: Request) -> JSONResponse[schemas.Explanation]:
        """Classify and explain: class maps, and what the network saw."""
        model, _ = self._model(request)
        async with self._body(request, model) as body:
            image = await image_file(request, body)
            (prediction,) = await self._predict(request, model, [image])
            # Outside of the event loop, as it decodes and encodes an image.
            explanation = await asyncio.to_thread(_explain, image, prediction)
        return JSONResponse(explanation, headers=_timing(prediction))

    def _body(self, request: Request, model: LoadedModel) -> AbstractAsyncContextManager[bytes]:
        """The body, unless it would not be answered in time: then it is not even read.

        Raises QueueFull; what `BodyReader.read` raises.
        """
        if self.service.is_full(model):
            self.service.metrics.shed.labels(model.name).inc()
            raise QueueFull
        return self.bodies.read(request)

    async def _predict(
        self, request: Request, model: LoadedModel, images: Sequence[bytes] | Pixels
    ) -> list[Prediction]:
        """Run the model on every image, all or none; stops if the client goes away."""
        deadline = time.monotonic() + self.service.timeout
        tasks = [
            asyncio.ensure_future(
                self.service.predict(
                    model, functools.partial(_load, model, image), timeout=deadline - time.monotonic()
                )
            )
            for image in images
        ]
        results = asyncio.gather(*tasks)
        disconnected = asyncio.ensure_future(_disconnected(request))
        try:
            either: set[asyncio.Future[Any]] = {results, disconnected}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not results.done():
                raise ClientDisconnect
            return list(results.result())
        finally:
            disconnected.cancel()
            for task in tasks:
                task.cancel()

    def _model(self, request: Request) -> tuple[LoadedModel, bool]:
        """The model of a path, and whether it is meant for image files.

        Raises HTTPError.
        """
        name = request.path_params.get("model")
        model = self.service.get(name)
        encoded = model is None and str(name).endswith(openinference.ENCODED)
        if encoded:
            model = self.service.get(str(name).removesuffix(openinference.ENCODED))
        if model is None:
            names = ", ".join(self.service.names)
            raise HTTPError(f"expected a model among {names}", status=404, code="model")
        version = request.path_params.get("version")
        if version is not None and version != str(model.version):
            raise HTTPError(f"expected version {model.version}", status=404, code="version")
        return model, encoded


def _load(model: LoadedModel, image: bytes | Pixels) -> Pixels:
    """The network's input: of a file its part, cropped as always; pixels as they are."""
    if isinstance(image, np.ndarray):
        return image
    return preprocess(image, model.manifest.card.preprocessing)


def _explain(image: bytes, prediction: Prediction) -> schemas.Explanation:
    width, height = upright_size(open_image(image))
    preprocessing = prediction.model.manifest.card.preprocessing
    result = prediction.result
    maps = result.maps
    return schemas.Explanation(
        predictions=[
            schemas.ExplainedClass(
                name,
                probability,
                UNSET if maps is None else np.round(maps[i].astype(float), 5).tolist(),
            )
            for i, name, probability in prediction.top(TOP)
        ],
        unfamiliar=prediction.is_outlier,
        photo=schemas.ImageSize(width, height),
        box=seen_box(width, height, preprocessing),
        square="data:image/png;base64," + base64.b64encode(png_bytes(result.pixels)).decode(),
        seconds=_seconds(prediction),
        model=_describe(prediction.model),
    )


async def _disconnected(request: Request) -> None:
    """Return when the client goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _describe(model: LoadedModel, classes: list[str] | UnsetType = UNSET) -> schemas.ServedModel:
    return schemas.ServedModel(model.name, model.version, model.sha256, model.engine, model.size, classes)


def _seconds(prediction: Prediction) -> dict[str, float]:
    result = prediction.result
    return {name: round(getattr(result, name), 6) for name in ("decode", "queue", "compute")}


def _timing(prediction: Prediction) -> dict[str, str]:
    parts = (f"{name};dur={1000 * seconds:.2f}" for name, seconds in _seconds(prediction).items())
    return {"server-timing": ", ".join(parts)}
