"""Training batches as a pure function of (seed, step): order, images and loader.

Nothing here has a state to save. The order of the images follows from (seed, epoch), the crop and
colors of one image from (seed, epoch, image); so a resumed run, or one with another number of
worker processes, sees the same pixels.
"""

import contextlib
import ctypes
import hashlib
import multiprocessing
import signal
import sys
import threading
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from googlenet.base.errors import GoogLeNetError, ImageError, TrainingError
from googlenet.data.index import Index, Indices, inverse_frequency_weights
from googlenet.images.decode import Pixels
from googlenet.training.augment import Augmentation, SmallPhotos
from googlenet.training.decision.recipe import Recipe

STUCK = 60.0  # seconds without another photo after which a worker is given up
POLL = 1.0  # seconds between two looks at the workers while a batch is awaited
_PR_SET_PDEATHSIG = 1  # Linux: the signal that a process gets when its parent ends


@dataclass(frozen=True)
class Batch:
    """One step's labels and numbers in the index, and of its images this process's rows."""

    images: Tensor  # uint8 [rows, size, size, 3]
    labels: Tensor  # [N]
    numbers: npt.NDArray[np.int64]  # [N]
    rows: range  # of 0 to N; of one process, all


class Batches(Dataset[Batch | ImageError]):
    """The batch of every step; epochs follow one another without a gap or a short batch."""

    def __init__(
        self, index: Index, recipe: Recipe, *, sizes: Sequence[int], seed: int, rows: range | None = None
    ) -> None:
        """Serve `len(sizes)` steps; `sizes` gives the pixels of each, `rows` the images to read of each."""
        self.index, self.recipe, self.sizes, self.seed = index, recipe, sizes, seed
        self._rows = range(recipe.batch) if rows is None else rows
        self._augment = Augmentation(recipe)
        self._small = SmallPhotos(index) if recipe.translate else None
        self._orders: dict[int, Indices] = {}
        self.at: Tensor | None = None  # int64 [workers], shared: the image each is at

    def __len__(self) -> int:
        """Count the steps."""
        return len(self.sizes)

    def __getitem__(self, step: int) -> Batch | ImageError:
        """Read, cut and change the images of one step, or say which of them cannot be read.

        The error is returned: raised in a worker it would reach the trainer as another one.
        """
        samples = [step * self.recipe.batch + i for i in range(self.recipe.batch)]
        numbers = np.array([self.place(sample)[1] for sample in samples])
        try:
            with torch.random.fork_rng(devices=[]):
                images = [self._image(samples[row], self.sizes[step]) for row in self._rows]
        except ImageError as error:
            return error
        labels = torch.from_numpy(self.index.labels[numbers])
        return Batch(torch.from_numpy(np.stack(images)), labels, numbers, self._rows)

    def place(self, sample: int) -> tuple[int, int]:
        """Epoch and image number of the `sample`-th image of the run."""
        epoch, position = divmod(sample, len(self.index))
        if epoch not in self._orders:
            self._orders = {k: v for k, v in self._orders.items() if k == epoch - 1}
            generator = np.random.Generator(np.random.Philox(counter_seed(self.seed, "order", epoch)))
            order = generator.permutation(len(self.index))
            if self.recipe.balance == "sampler":
                order = generator.permutation(_drawn(order, self.index.labels, self.recipe, generator))
            self._orders[epoch] = order
        return epoch, int(self._orders[epoch][position])

    def _image(self, sample: int, size: int) -> Pixels:
        epoch, number = self.place(sample)
        self._note(number)
        # the sampler may draw an image several times an epoch
        counters = (sample,) if self.recipe.balance == "sampler" else (epoch, number)
        # `torch.manual_seed` also asks every other kind of device, for half a millisecond
        torch.default_generator.manual_seed(counter_seed(self.seed, "augmentation", *counters))
        try:
            if self._small is not None:
                return self._augment.moved(self._small.square(number, size), size)
            return self._augment(self.index.read(number), size)
        except ImageError as error:
            raise ImageError(error.code, f"{error.reason}: {self.path(number)}") from error

    def path(self, number: int) -> str:
        """Where an image is."""
        return str(self.index.root / self.index.name(number))

    def _note(self, number: int) -> None:
        """Leave word of what this process is at, for when it does not come back."""
        worker = get_worker_info()
        if self.at is not None and worker is not None:
            self.at[worker.id] = number


def _drawn(order: Indices, labels: Indices, recipe: Recipe, generator: np.random.Generator) -> Indices:
    """As many images, those of rare classes more often: systematic sampling along a random order.

    An image that is expected `x` times comes up `x` times, rounded down or up.
    """
    weights = inverse_frequency_weights(labels, classes=int(labels.max()) + 1, power=recipe.balance_power)[
        labels[order]
    ]
    ends = np.cumsum(weights) * (len(order) / weights.sum())
    at = np.searchsorted(ends, np.arange(len(order)) + generator.random(), side="right")
    drawn: Indices = order[np.minimum(at, len(order) - 1)]
    return drawn


def counter_seed(*counters: int | str) -> int:
    """Hash counters to a seed of 63 bits: nearby counters give unrelated streams."""
    text = "\0".join(map(str, counters)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def training_loader(
    batches: Batches, *, start: int, workers: int
) -> Generator[Batch | GoogLeNetError, None, None]:
    """Give the batches from step `start`, prepared in `workers` processes, or why there is none.

    An ImageError, or a TrainingError for a process that ended or hangs, is the last that is given.
    """
    if not workers:
        yield from map(batches.__getitem__, range(start, len(batches)))
        return
    crew = _Crew(batches, start=start, workers=workers)
    try:
        for step in range(start, len(batches)):
            yield crew.batch(step)
    finally:
        crew.dismiss()


class _Crew:
    """The processes that prepare batches, and what becomes of them."""

    def __init__(self, batches: Batches, *, start: int, workers: int) -> None:
        self._batches, self._start = batches, start
        self._at = batches.at = torch.full((workers,), -1, dtype=torch.int64)
        self._at.share_memory_()  # type: ignore[no-untyped-call]
        with warnings.catch_warnings(), _without_child_signals():
            warnings.filterwarnings("ignore", "This DataLoader will create")  # the user asked for them
            loader = DataLoader(
                batches,
                sampler=range(start, len(batches)),
                batch_size=None,
                num_workers=workers,
                prefetch_factor=4,
                timeout=POLL,
                worker_init_fn=_begin_worker,
            )
            self._arriving = cast(Any, iter(loader))
        self._processes: list[Any] = self._arriving._workers

    def batch(self, step: int) -> Batch | GoogLeNetError:
        """Wait for the batch of a step, in order, and look after the processes meanwhile."""
        awaited = (step - self._start) % len(self._processes)  # they take turns
        photo, since = int(self._at[awaited]), time.monotonic()
        while (lost := self._lost()) is None:
            try:
                found: Batch | ImageError = next(self._arriving)
                return found
            except (RuntimeError, OSError, EOFError) as error:  # what a process that died leaves behind
                if not str(error).startswith("DataLoader timed out"):
                    # a connection may break before the process is known to be gone
                    wait([process.sentinel for process in self._processes], timeout=POLL)
                    if self._lost() is None:
                        raise
            if int(self._at[awaited]) != photo:
                photo, since = int(self._at[awaited]), time.monotonic()
            if time.monotonic() - since > STUCK:
                return self._report(awaited, f"read no other photo for {STUCK:.0f} s")
        return lost

    def _lost(self) -> TrainingError | None:
        for worker, process in enumerate(self._processes):
            if not process.is_alive():
                return self._report(worker, f"ended with exit code {process.exitcode}")
        return None

    def _report(self, worker: int, what: str) -> TrainingError:
        number = int(self._at[worker])
        photo = f", at {self._batches.path(number)}" if number >= 0 else ""
        return TrainingError(
            f"expected {len(self._processes)} processes to prepare images, but worker {worker} (process "
            f"{self._processes[worker].pid}) {what}{photo}; was it killed, perhaps for its memory, or does a "
            "disk hang? go on with --resume, without them by --workers 0"
        )

    def dismiss(self) -> None:
        """End the processes at once: what they prepare will not be needed, and one may hang."""
        for process in self._processes:
            process.kill()
        # One that is killed may have held the lock of the event by which the loader says good-bye.
        self._arriving._workers_done_event = multiprocessing.Event()
        self._arriving._shutdown_workers()


@contextlib.contextmanager
def _without_child_signals() -> Iterator[None]:
    """Keep PyTorch from raising wherever the program is when a worker dies: in the middle of a step."""
    if threading.current_thread() is not threading.main_thread():
        yield  # it does so in the main thread alone
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def _begin_worker(worker: int) -> None:
    """A signal may reach the whole process group: the trainer decides, workers go on until then.

    They end with the trainer, however it ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
