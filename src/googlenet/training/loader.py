"""Training batches as a pure function of (seed, step): order, images and loader.

Nothing here has a state to save. The order of the images follows from (seed, epoch), the crop and
colors of one image from (seed, epoch, image); so a resumed run, or one with another number of
worker processes, sees the same pixels.
"""

import hashlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from googlenet.base.errors import GoogLeNetError, ImageError, TrainingError
from googlenet.base.worker_pool import NONE, Results, Worker, set_item
from googlenet.data.index import Index, Indices, inverse_frequency_weights
from googlenet.images.decode import Pixels
from googlenet.training.augment import Augmentation, SmallPhotos
from googlenet.training.decision.recipe import Recipe

AHEAD = 4  # batches that each worker prepares before they are needed
STUCK = 60.0  # seconds without another photo after which a worker is given up
STARTING = 300.0  # seconds for the first: where there is no fork, a new process imports torch from its disk
POLL = 1.0  # seconds between two looks at the workers while a batch is awaited


@dataclass(frozen=True)
class Batch:
    """One step's labels and numbers in the index, and of its images this process's rows."""

    images: Tensor  # uint8 [rows, size, size, 3]
    labels: Tensor  # [N]
    numbers: npt.NDArray[np.int64]  # [N]
    rows: range  # of 0 to N; of one process, all


class Batches:
    """The batch of every step; epochs follow one another without a gap or a short batch."""

    def __init__(
        self, index: Index, recipe: Recipe, *, sizes: Sequence[int], seed: int, rows: range | None = None
    ) -> None:
        """Serve `len(sizes)` steps; `sizes` gives the pixels of each, `rows` the images to read of each."""
        self.index, self.recipe, self.sizes, self.seed = index, recipe, sizes, seed
        self._rows = range(recipe.batch) if rows is None else rows
        self._augment = Augmentation(recipe)
        self._small = SmallPhotos(index, recipe.fit) if recipe.translate else None
        self._orders: dict[int, Indices] = {}

    def __len__(self) -> int:
        """Count the steps."""
        return len(self.sizes)

    def __getitem__(self, step: int) -> Batch | ImageError:
        """The batch of one step, or which of its images cannot be read."""
        images = self.images(step)
        return images if isinstance(images, ImageError) else self.batch(step, images)

    def images(self, step: int) -> Pixels | ImageError:
        """Read, cut and change the images of one step: uint8 [rows, size, size, 3].

        The error is returned: raised in a worker it would end it.
        """
        try:
            with torch.random.fork_rng(devices=[]):
                first = step * self.recipe.batch
                return np.stack([self._image(first + row, self.sizes[step]) for row in self._rows])
        except ImageError as error:
            return error

    def batch(self, step: int, images: Pixels) -> Batch:
        """Put what belongs to the images of one step with them."""
        first = step * self.recipe.batch
        numbers = np.array([self.place(first + i)[1] for i in range(self.recipe.batch)])
        labels = torch.from_numpy(self.index.labels[numbers])
        return Batch(torch.from_numpy(images), labels, numbers, self._rows)

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
        set_item(number)
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
    crew = _Workers(batches, start=start, count=workers)
    try:
        for step in range(start, len(batches)):
            yield crew.batch(step)
    finally:
        crew.kill()


class _Workers:
    """The processes that prepare batches: they take turns."""

    def __init__(self, batches: Batches, *, start: int, count: int) -> None:
        self._batches = batches
        self._results: Results = SimpleQueue()
        self._ready: dict[int, Pixels | ImageError] = {}
        self._workers = [
            Worker(batches.images, self._results, name=f"worker {i}", initializer=_use_one_thread)
            for i in range(count)
        ]
        for step in range(start, start + AHEAD * count):
            self._submit(step)

    def _submit(self, step: int) -> None:
        if step < len(self._batches):
            self._workers[step % len(self._workers)].submit(step)

    def batch(self, step: int) -> Batch | GoogLeNetError:
        """Wait for the batch of a step, and watch all workers meanwhile."""
        awaited = self._workers[step % len(self._workers)]
        item, since = awaited.item.value, time.monotonic()
        while step not in self._ready or not self._results.empty():
            try:
                worker, images = self._results.get(timeout=POLL)
            except Empty:
                if awaited.item.value != item:
                    item, since = awaited.item.value, time.monotonic()
                elif time.monotonic() - since > (patience := STARTING if item == NONE else STUCK):
                    return self._report(awaited, f"read no other photo for {patience:.0f} s")
                continue
            if images is None:
                worker.process.join(timeout=POLL)
                return self._report(worker, f"exited with code {worker.process.exitcode}")
            self._ready[worker.pending.popleft()] = images
        self._submit(step + AHEAD * len(self._workers))
        images = self._ready.pop(step)
        return images if isinstance(images, ImageError) else self._batches.batch(step, images)

    def _report(self, worker: Worker, problem: str) -> TrainingError:
        photo = f", at {self._batches.path(worker.item.value)}" if worker.item.value != NONE else ""
        return TrainingError(
            f"expected {len(self._workers)} data loader workers, but {worker.process.name} (process "
            f"{worker.process.pid}) {problem}{photo}; was it killed, perhaps for its memory, or does a disk "
            "hang? continue with --resume, without workers by --workers 0"
        )

    def kill(self) -> None:
        """End the processes at once: what they prepare is not needed, and one may hang."""
        for worker in self._workers:
            worker.kill()


def _use_one_thread() -> None:
    """Threads of the parent do not survive a fork, and the processors are the trainer's."""
    torch.set_num_threads(1)
