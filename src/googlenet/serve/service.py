"""The models that are served, by name: opened, swapped for newer ones, drained."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from googlenet.base.errors import GoogLeNetError
from googlenet.calibration import temperature
from googlenet.calibration.ood import image_statistics
from googlenet.files.manifest import Manifest, read_manifest
from googlenet.images.decode import Pixels
from googlenet.inference.engines import ExportedModel, open_exported
from googlenet.inference.loading import model_sha256
from googlenet.serve.counters import Counters
from googlenet.serve.engine import Answer, Bounds, DeadlineExceeded, Engine, ModelUnavailable, QueueFull

BODY = 60.0  # seconds in which a request's body has arrived, or was given up

log = logging.getLogger("googlenet.serve")


@dataclass(frozen=True, eq=False)
class Served:
    """One version of a model."""

    name: str
    version: int
    sha256: str
    manifest: Manifest
    about: str
    engine: Engine

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.manifest.card.classes


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image."""

    served: Served
    probabilities: temperature.Probabilities  # [classes]
    answer: Answer

    @property
    def unfamiliar(self) -> bool | None:
        """Whether the photo is unlike the training data; None if the model cannot tell."""
        card, logits = self.served.manifest.card, self.answer.logits
        marks = card.are_outliers(
            image_statistics(self.answer.square[None]), temperature.energy_scores(logits[None])
        )
        return None if marks is None else bool(marks[0])

    def best(self, count: int) -> list[tuple[int, str, float]]:
        """(number, name, probability) of the likeliest classes, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(int(i), self.served.classes[i], float(self.probabilities[i])) for i in order]


class Service:
    """Models by name; the first is the one that requests without a name mean."""

    def __init__(
        self,
        sources: Mapping[str, Callable[[], Path]],
        *,
        bounds: Bounds,
        timeout: float = 10.0,
        threads: int | None = None,
        counters: Counters | None = None,
    ) -> None:
        """Prepare; `open` opens them.

        sources  for each name what gives its exported folder, now and whenever it is to be loaded anew
        timeout  seconds until a request's deadline
        threads  of each model's computation; by default the processors granted
        """
        self.bounds, self.timeout = bounds, timeout
        self.counters = counters or Counters()
        self.draining = False
        self._sources, self._threads = dict(sources), threads
        self._models: dict[str, Served] = {}
        self._reloading = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models, the first one first."""
        return tuple(self._sources)

    @property
    def ready(self) -> bool:
        """Whether every model would answer now."""
        return (
            not self.draining
            and len(self._models) == len(self._sources)
            and all(served.engine.ready for served in self._models.values())
        )

    @property
    def full(self) -> bool:
        """Whether no model takes another photo now."""
        return bool(self._models) and all(
            served.engine.waiting >= self.bounds.queue for served in self._models.values()
        )

    @property
    def given_up(self) -> bool:
        """Whether a model failed for good."""
        return any(served.engine.given_up for served in self._models.values())

    @property
    def waiting(self) -> int:
        """Images that wait or are being worked on."""
        return sum(served.engine.waiting for served in self._models.values())

    def get(self, name: str | None = None) -> Served | None:
        """The model of a name, or the first; None if there is none."""
        return self._models.get(self.names[0] if name is None else name)

    def open(self) -> None:
        """Open all models and warm them up.

        Raises what a model that cannot be served raises.
        """
        for name in self.names:
            self._put(self._opened(name, version=1))

    async def predict(self, served: Served, load: Callable[[], Pixels], *, within: float) -> Prediction:
        """Ask a model about an image; see `Engine.answer`."""
        counters = self.counters
        try:
            answer = await served.engine.answer(load, within=within)
        except QueueFull:
            counters.shed.labels(served.name).inc()
            raise
        except DeadlineExceeded:
            counters.late.labels(served.name).inc()
            raise
        shares = temperature.probabilities(answer.logits, served.manifest.card.temperature)
        counters.images.labels(served.name).inc()
        return Prediction(served, shares, answer)

    def reload(self) -> bool:
        """Load every model anew and put those that are good in the place of the old; whether all were.

        One that cannot be opened, or tells other classes apart, is logged and counted; the old one goes on.
        A model whose file is the same is left as it is. Requests that the old ones took are answered by them.
        """
        if not self._reloading.acquire(blocking=False):
            return False
        try:
            return self.names == tuple(name for name in self.names if self._reloaded(name))
        finally:
            self._reloading.release()

    def close(self) -> None:
        """Answer what waits, then end."""
        for served in self._models.values():
            served.engine.close()

    def _reloaded(self, name: str) -> bool:
        old = self._models[name]
        outcome = "failed"
        try:
            folder = self._sources[name]()
            if model_sha256(folder) == old.sha256 and old.engine.ready:
                outcome = "same"
                return True
            if read_manifest(folder).card.classes != old.classes:
                raise ModelUnavailable("it tells other classes apart; begin a new server for it")
            new = self._opened(name, version=old.version + 1, folder=folder)
        except (GoogLeNetError, ModelUnavailable, OSError) as error:
            log.error("model %s: version %d goes on, the new one was refused: %s", name, old.version, error)
            return False
        else:
            outcome = "swapped"
            self._put(new)
            log.info("model %s: version %d serves, sha256 %s", name, new.version, new.sha256[:12])
            last = threading.Timer(self.timeout + BODY, old.engine.close)
            last.daemon = True
            last.start()  # a request that found the old one may still be arriving
            return True
        finally:
            self.counters.reloads.labels(name, outcome).inc()

    def _opened(self, name: str, *, version: int, folder: Path | None = None) -> Served:
        place = folder or self._sources[name]()
        manifest = read_manifest(place)
        opened: list[ExportedModel] = []

        def open_network() -> ExportedModel:
            opened[:] = [open_exported(place, threads=self._threads)]
            return opened[0]

        engine = Engine(
            open_network,
            size=manifest.card.preprocessing.size,
            bounds=self.bounds,
            watch=self.counters.watch(name),
        )
        self.counters.waiting.labels(name).set_function(lambda: engine.waiting)
        engine.start()
        return Served(name, version, model_sha256(place), manifest, opened[0].about, engine)

    def _put(self, served: Served) -> None:
        old = self._models.get(served.name)
        self._models[served.name] = served
        if old is not None:
            self.counters.model.remove(old.name, str(old.version), old.sha256)
        self.counters.model.labels(served.name, str(served.version), served.sha256).set(1)
        self.counters.waiting.labels(served.name).set_function(lambda: served.engine.waiting)
