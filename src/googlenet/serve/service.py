"""The models that are served, by name: opened, replaced by newer ones, closed."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from googlenet.base.errors import GoogLeNetError
from googlenet.calibration import temperature
from googlenet.calibration.ood import image_statistics
from googlenet.files.manifest import Manifest, read_manifest
from googlenet.images.decode import Pixels
from googlenet.inference.engines import ExportedModel, open_exported
from googlenet.inference.loading import model_sha256
from googlenet.serve.batcher import Limits, MicroBatcher, Result
from googlenet.serve.errors import DeadlineExceeded, ModelUnavailable, QueueFull
from googlenet.serve.export_cache import ExportedFolder, Source
from googlenet.serve.metrics import Metrics

BODY_SECONDS = 60.0  # in which a request's body has arrived, or was given up

log = logging.getLogger("googlenet.serve")


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """One version of a model."""

    name: str
    version: int
    sha256: str
    manifest: Manifest
    engine: str  # in words
    folder: ExportedFolder
    batcher: MicroBatcher

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.manifest.card.classes

    @property
    def size(self) -> int:
        """Pixels of a side of the network's input."""
        return self.manifest.card.preprocessing.size

    @property
    def max_batch(self) -> int:
        """Images computed together at most."""
        return self.batcher.limits.batch

    def close(self) -> None:
        """Answer what waits, then end."""
        self.batcher.close()
        self.folder.close()


@dataclass(frozen=True)
class Prediction:
    """Probabilities of one image's classes."""

    model: LoadedModel
    probabilities: temperature.Probabilities  # [classes]
    result: Result

    @property
    def is_outlier(self) -> bool | None:
        """Whether the image is out of distribution; None if the model has no detector."""
        card, result = self.model.manifest.card, self.result
        outliers = card.are_outliers(
            image_statistics(result.pixels[None]),
            temperature.energy_scores(result.logits[None]),
            card.distances(None if result.features is None else result.features[None]),
        )
        return None if outliers is None else bool(outliers[0])

    def top(self, count: int) -> list[tuple[int, str, float]]:
        """(index, name, probability) of the likeliest classes, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(int(i), self.model.classes[i], float(self.probabilities[i])) for i in order]


class Service:
    """Models by name; the first is the one for requests that name none."""

    def __init__(self, sources: Mapping[str, Source], *, limits: Limits, timeout: float = 10.0) -> None:
        """Keep the sources; `prepare`, then `open` the models.

        sources  for each name what gives its exported folder, now and on every reload
        timeout  seconds until a request's deadline
        """
        self.limits, self.timeout = limits, timeout
        self.metrics = Metrics()
        self.draining = False
        self._sources = dict(sources)
        self._folders: dict[str, ExportedFolder] = {}
        self._models: dict[str, LoadedModel] = {}
        self._reloading = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models, the first one first."""
        return tuple(self._sources)

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """Those that are open, in the order of `names`."""
        return tuple(self._models.values())

    @property
    def ready(self) -> bool:
        """Whether every model would answer now."""
        every = len(self._models) == len(self._sources)
        return every and not self.draining and all(model.batcher.ready for model in self.models)

    @property
    def full(self) -> bool:
        """Whether no model takes another image now."""
        return bool(self._models) and all(self.is_full(model) for model in self.models)

    @property
    def given_up(self) -> bool:
        """Whether a model failed for good."""
        return any(model.batcher.given_up for model in self.models)

    def is_full(self, model: LoadedModel) -> bool:
        """Whether a model takes no other image now."""
        return model.batcher.waiting >= self.limits.queue

    def get(self, name: str | None = None) -> LoadedModel | None:
        """The model of a name, or the first; None if there is none."""
        return self._models.get(self.names[0] if name is None else name)

    def prepare(self) -> None:
        """Export what is not exported yet.

        Raises what the sources raise.
        """
        for name, source in self._sources.items():
            self._folders[name] = source()

    def open(self) -> None:
        """Open all models and warm them up.

        Raises what a model that cannot be served raises.
        """
        for name, folder in list(self._folders.items()):
            self._put(self._load(name, folder, version=1))

    def close(self) -> None:
        """Let the cache delete what was served."""
        for folder in self._folders.values():
            folder.close()

    async def predict(self, model: LoadedModel, load: Callable[[], Pixels], *, timeout: float) -> Prediction:
        """Run a model on an image; see `MicroBatcher.submit`."""
        try:
            result = await model.batcher.submit(load, timeout=timeout)
        except QueueFull:
            self.metrics.shed.labels(model.name).inc()
            raise
        except DeadlineExceeded:
            self.metrics.late.labels(model.name).inc()
            raise
        if not np.isfinite(result.logits).all():
            raise ModelUnavailable("the model's outputs are not finite")
        self.metrics.images.labels(model.name).inc()
        probabilities = temperature.probabilities(result.logits, model.manifest.card.temperature)
        return Prediction(model, probabilities, result)

    def reload(self) -> None:
        """Load every model again and replace those whose new version is good.

        One that cannot be opened, or has other classes, is logged and counted; the old version goes on.
        A model whose file is the same is left as it is. The old version answers the requests that it has.
        """
        if self._reloading.acquire(blocking=False):
            try:
                for old in self.models:
                    self._reload(old)
            finally:
                self._reloading.release()

    def _reload(self, old: LoadedModel) -> None:
        outcome, folder = "failed", None
        try:
            folder = self._sources[old.name]()
            if model_sha256(folder.path) == old.sha256 and old.batcher.ready:
                outcome = "same"
                return
            if read_manifest(folder.path).card.classes != old.classes:
                raise ModelUnavailable("it has other classes; start a new server for it")
            self._put(self._load(old.name, folder, version=old.version + 1))
            outcome = "swapped"
            last = threading.Timer(self.timeout + BODY_SECONDS, old.close)
            last.daemon = True
            last.start()  # a request for the old version may still be arriving
        except (GoogLeNetError, ModelUnavailable, OSError) as error:
            log.error(
                "model %s: version %d goes on, the new one was refused: %s", old.name, old.version, error
            )
        finally:
            if folder is not None and outcome != "swapped":
                folder.close()
            self.metrics.reloads.labels(old.name, outcome).inc()

    def _load(self, name: str, folder: ExportedFolder, *, version: int) -> LoadedModel:
        manifest = read_manifest(folder.path)
        opened: list[ExportedModel] = []

        def open_model() -> ExportedModel:
            opened[:] = [open_exported(folder.path)]
            return opened[0]

        batcher = MicroBatcher(
            open_model,
            size=manifest.card.preprocessing.size,
            metrics=self.metrics.of_model(name),
            limits=self.limits,
        )
        batcher.start()
        sha256 = model_sha256(folder.path)
        return LoadedModel(name, version, sha256, manifest, opened[0].about, folder, batcher)

    def _put(self, model: LoadedModel) -> None:
        old = self._models.get(model.name)
        self._models[model.name], self._folders[model.name] = model, model.folder
        if old is not None:
            self.metrics.model.remove(old.name, str(old.version), old.sha256)
            log.info("model %s: version %d serves, sha256 %s", model.name, model.version, model.sha256[:12])
        self.metrics.model.labels(model.name, str(model.version), model.sha256).set(1)
        self.metrics.waiting.labels(model.name).set_function(lambda: model.batcher.waiting)
