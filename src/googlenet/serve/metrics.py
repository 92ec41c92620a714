"""The metrics of a server, for Prometheus."""

import time
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_SIZES = (1, 2, 4, 8, 16, 32)


class ModelMetrics(NamedTuple):
    """What the batcher of one model measures."""

    decode: Histogram  # seconds of an image
    queue: Histogram  # seconds of an image, decoding left out
    compute: Histogram  # seconds of a batch
    batch: Histogram  # images
    dropped: Counter  # images that nobody waited for
    failures: Counter  # computations


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        seconds: dict[str, Any] = {"labelnames": ["model"], "buckets": SECONDS, **own}
        self.requests = Counter(
            "googlenet_requests", "Answered requests, by route and status", ["route", "code"], **own
        )
        self.images = Counter("googlenet_images", "Images answered with a prediction", ["model"], **own)
        self.shed = Counter("googlenet_shed", "Images refused because too many waited", ["model"], **own)
        self.late = Counter("googlenet_late", "Images whose deadline passed", ["model"], **own)
        self.dropped = Counter(
            "googlenet_dropped", "Images dropped before they were computed: nobody waited", ["model"], **own
        )
        self.failures = Counter("googlenet_failures", "Computations that failed", ["model"], **own)
        self.reloads = Counter("googlenet_reloads", "Attempts to reload a model", ["model", "outcome"], **own)
        self.waiting = Gauge("googlenet_waiting", "Images that wait or are worked on", ["model"], **own)
        self.decode = Histogram("googlenet_decode_seconds", "Decoding one image", **seconds)
        self.queue = Histogram("googlenet_queue_seconds", "Waiting, of one image", **seconds)
        self.compute = Histogram("googlenet_compute_seconds", "Computing one batch", **seconds)
        self.batch = Histogram(
            "googlenet_batch_images", "Images in a batch", ["model"], buckets=BATCH_SIZES, **own
        )
        self.model = Gauge(
            "googlenet_model_info", "1 for what is served", ["model", "version", "sha256"], **own
        )
        Gauge("googlenet_start_time_seconds", "When the server began, Unix time", **own).set(time.time())

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)

    def of_model(self, name: str) -> ModelMetrics:
        """The metrics that one model's batcher reports."""
        return ModelMetrics(*(getattr(self, field).labels(name) for field in ModelMetrics._fields))
