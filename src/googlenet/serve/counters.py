"""What is counted for /metrics."""

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from googlenet.serve.engine import Watch

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32)


class Counters:
    """The metrics of one server."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "googlenet_requests", "Answered requests, by route and status", ["route", "code"], **own
        )
        self.images = Counter("googlenet_images", "Images answered with a prediction", ["model"], **own)
        self.shed = Counter("googlenet_shed", "Images refused because too many waited", ["model"], **own)
        self.late = Counter("googlenet_late", "Images whose deadline passed", ["model"], **own)
        self.dropped = Counter(
            "googlenet_dropped", "Images left out before they were computed: nobody waited", ["model"], **own
        )
        self.failures = Counter("googlenet_failures", "Computations that failed", ["model"], **own)
        self.reloads = Counter(
            "googlenet_reloads", "Attempts to load a model anew", ["model", "outcome"], **own
        )
        self.waiting = Gauge("googlenet_waiting", "Images that wait or are worked on", ["model"], **own)
        self.decode = Histogram(
            "googlenet_decode_seconds", "Decoding one image", ["model"], buckets=SECONDS, **own
        )
        self.queue = Histogram(
            "googlenet_queue_seconds", "Waiting, of one image", ["model"], buckets=SECONDS, **own
        )
        self.compute = Histogram(
            "googlenet_compute_seconds", "Computing one batch", ["model"], buckets=SECONDS, **own
        )
        self.batch = Histogram("googlenet_batch_images", "Images in a batch", ["model"], buckets=SIZES, **own)
        self.model = Gauge(
            "googlenet_model_info", "1 for what is served", ["model", "version", "sha256"], **own
        )
        Gauge("googlenet_start_time_seconds", "When the server began, Unix time", **own).set(time.time())

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)

    def watch(self, model: str) -> "ModelWatch":
        """What an engine of that name tells."""
        return ModelWatch(self, model)


class ModelWatch(Watch):
    """Counts what an engine tells."""

    def __init__(self, counters: Counters, model: str) -> None:
        """Take the counters of that name."""
        self._decode = counters.decode.labels(model)
        self._queue = counters.queue.labels(model)
        self._compute = counters.compute.labels(model)
        self._batch = counters.batch.labels(model)
        self._dropped = counters.dropped.labels(model)
        self._failures = counters.failures.labels(model)

    def decoded(self, seconds: float) -> None:
        """An image was decoded."""
        self._decode.observe(seconds)

    def queued(self, seconds: float) -> None:
        """An image waited so long, its decoding left out."""
        self._queue.observe(seconds)

    def computed(self, images: int, seconds: float) -> None:
        """A batch was computed."""
        self._batch.observe(images)
        self._compute.observe(seconds)

    def dropped(self) -> None:
        """An image that nobody waits for was left out."""
        self._dropped.inc()

    def failed(self, error: BaseException) -> None:
        """A computation failed."""
        self._failures.inc()
