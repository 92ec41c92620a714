"""One opened model behind a bounded queue: decode threads, then micro-batches in one inference thread."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import ImageError
from googlenet.images.decode import Pixels
from googlenet.inference.predict import Outputs
from googlenet.serve.errors import DeadlineExceeded, ModelUnavailable, QueueFull
from googlenet.serve.metrics import ModelMetrics

Array = npt.NDArray[np.float32]

MAX_FAILURES = 3  # computations in a row after which a batcher gives up
RETRY_SECONDS = 0.2  # between attempts to open a model that failed


class Model(Protocol):
    """What a batcher needs of a model; `inference.engines.ExportedModel` has it."""

    def outputs(self, images: Pixels) -> Outputs:
        """uint8 [N, size, size, 3] -> logits, and class maps and features if it has any."""


class Result(NamedTuple):
    """The model's outputs for one image, and where the time went, in seconds."""

    logits: Array  # [classes]
    maps: Array | None  # [classes, h, w]
    features: Array | None  # [channels]
    pixels: Pixels  # uint8 [size, size, 3], the network's input
    decode: float
    queue: float
    compute: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a batcher takes on.

    queue     images that may wait or be worked on at the same time
    batch     images computed together at most
    delay     seconds that a batch waits for images that are being decoded
    decoders  threads that decode
    """

    queue: int = 64
    batch: int = 8
    delay: float = 0.004
    decoders: int = 2


@dataclass(eq=False)
class _Job:
    load: Callable[[], Pixels]
    deadline: float  # time.monotonic()
    future: "Future[Result]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)
    dropped: bool = False  # nobody waits for it any more
    pixels: Pixels | None = None
    decode: float = 0.0

    @property
    def wanted(self) -> bool:
        return not self.dropped and time.monotonic() < self.deadline


class MicroBatcher:
    """Runs one model on images that arrive one by one, in small batches.

    waiting   images that wait or are being worked on
    given_up  whether it failed for good
    """

    def __init__(
        self, open_model: Callable[[], Model], *, size: int, metrics: ModelMetrics, limits: Limits = Limits()
    ) -> None:
        """Prepare; `start` opens the model, in the thread that will run it.

        open_model  also called again after a computation failed
        size        pixels of a side of its inputs
        """
        self.limits = limits
        self._open, self._size, self._metrics = open_model, size, metrics
        self._pool = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decode")
        self._decoded: SimpleQueue[_Job | None] = SimpleQueue()  # None: closed
        self.waiting = 0
        self._decoding = 0
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._started = threading.Event()
        self.given_up = False

    @property
    def ready(self) -> bool:
        """Whether a warm-up inference has succeeded, and none failed since."""
        return self._model is not None and self._error is None

    def start(self) -> None:
        """Open the model and warm it up; returns when it is ready.

        Raises what opening or the first inference raised.
        """
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error

    async def submit(self, load: Callable[[], Pixels], *, timeout: float) -> Result:
        """Run the model on one image.

        load     returns the input uint8 [size, size, 3]; runs in a decode thread; may raise ImageError
        timeout  seconds until the deadline
        raises   QueueFull at once; DeadlineExceeded, and the image is then never computed; ModelUnavailable;
                 ImageError
        """
        if not self.ready:
            raise ModelUnavailable("the model is not ready")
        if self.waiting >= self.limits.queue:
            raise QueueFull
        job = _Job(load, time.monotonic() + timeout)
        self.waiting += 1
        with self._lock:
            self._decoding += 1
        job.future.set_running_or_notify_cancel()  # from now on only the threads below settle it
        self._pool.submit(self._decode, job)
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(job.future)
        except TimeoutError:
            raise DeadlineExceeded("no result before the deadline; try again later") from None
        finally:
            job.dropped = True  # also when it has its result: it is done
            self.waiting -= 1

    def close(self) -> None:
        """Compute what waits, then end the threads."""
        self._pool.shutdown(wait=True)
        self._decoded.put(None)
        self._thread.join()

    def _decode(self, job: _Job) -> None:
        try:
            if not job.wanted:
                return self._metrics.dropped.inc()
            began = time.monotonic()
            job.pixels = job.load()
            job.decode = time.monotonic() - began
            self._metrics.decode.observe(job.decode)
        except ImageError as error:
            job.future.set_exception(error)
        except Exception as error:  # a decoder's own fault: the other images must not suffer
            job.future.set_exception(ModelUnavailable(f"decoding failed: {type(error).__name__}"))
        finally:
            with self._lock:
                self._decoding -= 1
        if job.pixels is not None:
            self._decoded.put(job)

    def _run(self) -> None:
        """The inference thread: open, warm up, then batch after batch."""
        failures = 0
        while True:
            if not self.ready:
                try:
                    self._warm_up()
                except BaseException as error:
                    self._error = error
                    failures += 1
                if not self._started.is_set():
                    self._started.set()
                    if self._error is not None:
                        return None  # `start` raises it
                if failures >= MAX_FAILURES:
                    return self._give_up()
                if self._error is not None:
                    time.sleep(RETRY_SECONDS)
                    continue
            batch = self._next_batch()
            if batch is None:
                return
            if batch:
                failures = 0 if self._compute(batch) else failures + 1

    def _warm_up(self) -> None:
        """Open the model and run it on one image and on a full batch."""
        model = self._open()
        for count in (1, self.limits.batch):
            model.outputs(np.zeros((count, self._size, self._size, 3), np.uint8))
        self._model, self._error = model, None

    def _next_batch(self) -> list[_Job] | None:
        """Wait for an image, then take those that are there, and for a moment those being decoded."""
        first = self._decoded.get()
        if first is None:
            return None
        batch, until = [first], time.monotonic() + self.limits.delay
        while len(batch) < self.limits.batch:
            left = until - time.monotonic()
            try:
                job = self._decoded.get(timeout=max(0.0, left) if self._decoding and left > 0 else 0)
            except Empty:
                break
            if job is None:
                self._decoded.put(None)  # for the next call
                break
            batch.append(job)
        wanted = [job for job in batch if job.wanted]
        self._metrics.dropped.inc(len(batch) - len(wanted))
        return wanted

    def _compute(self, batch: Sequence[_Job]) -> bool:
        """Compute a batch and deliver its results; whether it succeeded."""
        assert self._model is not None
        began = time.monotonic()
        try:
            pixels = np.stack([job.pixels for job in batch if job.pixels is not None])
            outputs = self._model.outputs(pixels)
        except BaseException as error:
            self._error = error
            self._metrics.failures.inc()
            for job in batch:
                job.future.set_exception(ModelUnavailable("the computation failed; try again later"))
            return False
        compute = time.monotonic() - began
        self._metrics.compute.observe(compute)
        self._metrics.batch.observe(len(batch))
        for i, job in enumerate(batch):
            queue = began - job.submitted - job.decode
            self._metrics.queue.observe(queue)
            logits, maps, features = (None if found is None else found[i] for found in outputs)
            assert logits is not None
            job.future.set_result(Result(logits, maps, features, pixels[i], job.decode, queue, compute))
        return True

    def _give_up(self) -> None:
        """Refuse all images until it is closed."""
        self._model, self.given_up = None, True
        while (job := self._decoded.get()) is not None:
            job.future.set_exception(ModelUnavailable("the model cannot be run"))
