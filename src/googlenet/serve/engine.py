"""One opened model behind a bounded queue: decode threads, then micro-batches in one inference thread."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import ImageError
from googlenet.images.decode import Pixels

Array = npt.NDArray[np.float32]

FAILURES = 3  # computations in a row after which an engine is given up


class QueueFull(Exception):
    """So many requests wait that another would not be answered in time."""


class DeadlineExceeded(Exception):
    """The deadline passed before there was an answer."""


class ModelUnavailable(Exception):
    """The computation failed, or is not ready."""


class Network(Protocol):
    """What an engine needs of a model; `runtime.Exported` has it."""

    def outputs(self, images: Pixels) -> tuple[Array, ...]:
        """uint8 [N, size, size, 3] -> logits [N, classes], and class maps [N, classes, h, w] if any."""


class Answer(NamedTuple):
    """What is known of one image, and where its time went, in seconds."""

    logits: Array  # [classes]
    maps: Array | None  # [classes, h, w]
    square: Pixels  # as the network saw it
    decode: float
    queue: float
    compute: float


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much an engine takes on.

    queue    images that may wait or be worked on at the same time
    batch    images computed together at most
    wait     seconds that a batch waits for images that are being decoded
    decoders threads that decode
    """

    queue: int = 64
    batch: int = 8
    wait: float = 0.004
    decoders: int = 2


@dataclass(eq=False)
class _Job:
    load: Callable[[], Pixels]
    future: "asyncio.Future[Answer]"
    deadline: float  # time.monotonic()
    asked: float = field(default_factory=time.monotonic)
    dropped: bool = False  # nobody waits for it any more
    square: Pixels | None = None
    decode: float = 0.0

    @property
    def wanted(self) -> bool:
        return not self.dropped and time.monotonic() < self.deadline


class Engine:
    """Answers images one model can be asked about."""

    def __init__(
        self,
        open_network: Callable[[], Network],
        *,
        size: int,
        bounds: Bounds = Bounds(),
        watch: "Watch | None" = None,
    ) -> None:
        """Prepare; `start` opens the network, in the thread that will run it.

        open_network  also called again after a computation failed
        size          pixels of a side of its squares
        watch         is told what happens, for metrics
        """
        self.bounds = bounds
        self._open, self._size, self._watch = open_network, size, watch or Watch()
        self._pool = ThreadPoolExecutor(bounds.decoders, thread_name_prefix="decode")
        self._ready_jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting = 0
        self._decoding = 0
        self._lock = threading.Lock()
        self._network: Network | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._started = threading.Event()
        self._given_up = False

    @property
    def ready(self) -> bool:
        """Whether a warm-up inference has succeeded, and none failed since."""
        return self._network is not None and self._error is None

    @property
    def given_up(self) -> bool:
        """Whether it failed for good."""
        return self._given_up

    @property
    def waiting(self) -> int:
        """Images that wait or are being worked on."""
        return self._waiting

    def start(self) -> None:
        """Open the network and warm it up; returns when it is ready.

        Raises what opening or the first inference raised.
        """
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error

    async def answer(self, load: Callable[[], Pixels], *, within: float) -> Answer:
        """Answer one image.

        load    gives the square uint8 [size, size, 3]; runs in a decode thread; may raise ImageError
        within  seconds until the deadline
        raises  Full at once; Late at the deadline, and the image is then never computed; Broken; ImageError
        """
        if not self.ready:
            raise ModelUnavailable("the model is not ready")
        if self._waiting >= self.bounds.queue:
            raise QueueFull
        loop = asyncio.get_running_loop()
        job = _Job(load, loop.create_future(), time.monotonic() + within)
        self._waiting += 1
        with self._lock:
            self._decoding += 1
        self._pool.submit(self._decode, job)
        try:
            async with asyncio.timeout(within):
                return await job.future
        except TimeoutError:
            raise DeadlineExceeded from None
        finally:
            job.dropped = True  # if it was answered, too: it is done
            self._waiting -= 1

    def close(self) -> None:
        """Compute what waits, then end the threads."""
        self._pool.shutdown(wait=True)
        self._ready_jobs.put(None)
        self._thread.join()

    def _decode(self, job: _Job) -> None:
        try:
            if not job.wanted:
                return self._watch.dropped()
            began = time.monotonic()
            job.square = job.load()
            job.decode = time.monotonic() - began
            self._watch.decoded(job.decode)
        except ImageError as error:
            _tell([(job, error)])
        except Exception as error:  # of a decoder: the others must not suffer
            _tell([(job, ModelUnavailable(f"decoding failed: {type(error).__name__}"))])
        finally:
            with self._lock:
                self._decoding -= 1
        if job.square is not None:
            self._ready_jobs.put(job)

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
                if failures >= FAILURES:
                    return self._refuse_rest()
                if self._error is not None:
                    time.sleep(0.2)
                    continue
            batch = self._next_batch()
            if batch is None:
                return
            if batch:
                failures = 0 if self._compute(batch) else failures + 1

    def _warm_up(self) -> None:
        """Open the network and see it answer, alone and in a full batch."""
        network = self._open()
        for count in (1, self.bounds.batch):
            network.outputs(np.zeros((count, self._size, self._size, 3), np.uint8))
        self._network, self._error = network, None

    def _next_batch(self) -> list[_Job] | None:
        """Wait for an image, then take those that are there, and for a moment those being decoded."""
        first = self._ready_jobs.get()
        if first is None:
            return None
        batch, until = [first], time.monotonic() + self.bounds.wait
        while len(batch) < self.bounds.batch:
            left = until - time.monotonic()
            try:
                job = self._ready_jobs.get(timeout=max(0.0, left) if self._decoding and left > 0 else 0)
            except Empty:
                break
            if job is None:
                self._ready_jobs.put(None)  # for the next call
                break
            batch.append(job)
        wanted = [job for job in batch if job.wanted]
        for _ in range(len(batch) - len(wanted)):
            self._watch.dropped()
        return wanted

    def _compute(self, batch: Sequence[_Job]) -> bool:
        """Compute a batch and tell who waits; whether it succeeded."""
        assert self._network is not None
        began = time.monotonic()
        try:
            found = self._network.outputs(np.stack([job.square for job in batch if job.square is not None]))
        except BaseException as error:
            self._error = error
            self._watch.failed(error)
            _tell([(job, ModelUnavailable("the computation failed")) for job in batch])
            return False
        took = time.monotonic() - began
        self._watch.computed(len(batch), took)
        answers: list[tuple[_Job, Answer | Exception]] = []
        for i, job in enumerate(batch):
            assert job.square is not None
            queue = began - job.asked - job.decode
            maps = found[1][i] if len(found) > 1 else None
            self._watch.queued(queue)
            answers.append((job, Answer(found[0][i], maps, job.square, job.decode, queue, took)))
        _tell(answers)
        return True

    def _refuse_rest(self) -> None:
        """Answer all that still comes, until it is closed: that there is no model."""
        self._network, self._given_up = None, True
        while (job := self._ready_jobs.get()) is not None:
            _tell([(job, ModelUnavailable("the model cannot be run"))])


class Watch:
    """What an engine tells of itself; does nothing."""

    def decoded(self, seconds: float) -> None:
        """An image was decoded."""

    def queued(self, seconds: float) -> None:
        """An image waited so long, its decoding left out."""

    def computed(self, images: int, seconds: float) -> None:
        """A batch was computed."""

    def dropped(self) -> None:
        """An image that nobody waits for was left out."""

    def failed(self, error: BaseException) -> None:
        """A computation failed."""


def _tell(answers: Sequence[tuple[_Job, Answer | Exception]]) -> None:
    """Wake those who wait, in their event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Answer | Exception]]] = {}
    for job, answer in answers:
        loops.setdefault(job.future.get_loop(), []).append((job, answer))
    for loop, some in loops.items():
        try:
            loop.call_soon_threadsafe(_set, some)
        except RuntimeError:  # it is closed: nobody waits
            continue


def _set(answers: Sequence[tuple[_Job, Answer | Exception]]) -> None:
    for job, answer in answers:
        if job.future.done():
            continue
        if isinstance(answer, Exception):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)
