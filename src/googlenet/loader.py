"""Training batches as a pure function of (seed, step): augmentation, order and loader.

Nothing here has a state to save. The order of the images follows from (seed, epoch), the crop and
colours of one image from (seed, epoch, image); so a resumed run, or one with another number of
worker processes, sees the same pixels.
"""

import contextlib
import ctypes
import hashlib
import math
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
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torchvision.transforms import v2

from googlenet.errors import GoogLeNetError, ImageError, TrainingError
from googlenet.image import Box, Pixels, cut, open_image, upright_size
from googlenet.index import Index, Indices, rarity
from googlenet.recipe import Recipe

# arXiv 1409.4842, section 6: "bilinear, area, nearest neighbor and cubic, with equal probability"
INTERPOLATIONS = (
    Image.Resampling.BILINEAR,
    Image.Resampling.BOX,
    Image.Resampling.NEAREST,
    Image.Resampling.BICUBIC,
)

TRIES = 10  # for a crop that fits, as torchvision's RandomResizedCrop

# Principal components of the colours of ImageNet's pixels, for the noise of Krizhevsky et al. 2012 that
# Howard 2013 keeps; values as in fb.resnet.torch, for pixels from 0 to 1.
COLOUR_DEVIATIONS = np.array([0.2175, 0.0188, 0.0045])
COLOUR_AXES = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])

STUCK = 60.0  # seconds without another photo after which a worker is given up
POLL = 1.0  # seconds between two looks at the workers while a batch is awaited
_PR_SET_PDEATHSIG = 1  # Linux: the signal that a process gets when its parent ends


class Augmentation:
    """A random crop of a photo, resized, and its random changes of side and colour (section 6)."""

    def __init__(self, recipe: Recipe) -> None:
        """Prepare what the recipe switches on."""
        self._recipe = recipe
        factor = recipe.photometric
        # ColorJitter applies its three in random order, as Howard 2013 does.
        self._jitter = v2.ColorJitter(factor, factor, factor) if factor else None
        self._resamples = INTERPOLATIONS if recipe.random_interpolation else INTERPOLATIONS[:1]

    def __call__(self, data: bytes, size: int) -> Pixels:
        """Bytes of an image file -> uint8 [size, size, 3], by torch's current random state.

        Raises ImageError.
        """
        opened = open_image(data)
        box = self._box(*upright_size(opened))
        which, side = torch.rand(2).tolist()
        image = cut(opened, box, size, resample=self._resamples[int(which * len(self._resamples))])
        pixels = self._lit(np.asarray(self._jitter(image) if self._jitter else image))
        return pixels[:, ::-1] if self._recipe.flip and side < 0.5 else pixels

    def _box(self, width: int, height: int) -> Box:
        if self._recipe.shift:
            return moved_square(width, height, share=self._recipe.shift)
        return random_box(width, height, area=self._recipe.area, aspect=self._recipe.aspect)

    def _lit(self, pixels: Pixels) -> Pixels:
        """Shift all pixels by one random colour, most along the axes in which photos vary most."""
        if not self._recipe.lighting:
            return pixels
        amounts: npt.NDArray[np.float64] = (
            torch.randn(3, dtype=torch.float64).numpy() * self._recipe.lighting * COLOUR_DEVIATIONS
        )
        shifted = pixels + 255 * (COLOUR_AXES @ amounts)
        return shifted.round().clip(0, 255).astype(np.uint8)


def moved_square(width: int, height: int, *, share: float) -> Box:
    """The largest square in the middle, moved at random, by torch's current random state.

    share  of its side, by which it is moved at most, by whole pixels, across and down; it may then reach
           beyond the image
    """
    side = min(width, height)
    most = round(share * side)
    across, down = torch.randint(-most, most + 1, (2,)).tolist()
    left, top = (width - side) // 2 + across, (height - side) // 2 + down
    return left, top, left + side, top + side


def random_box(width: int, height: int, *, area: tuple[float, float], aspect: tuple[float, float]) -> Box:
    """A random rectangle of whole pixels, by torch's current random state.

    area    least and most of the image that it covers
    aspect  least and most of its width over its height, whose logarithm is drawn evenly; where no such
            rectangle fits in `TRIES` draws, the largest in the middle
    """
    (least, most), (narrow, wide) = area, map(math.log, aspect)
    for share, shape, across, down in torch.rand(TRIES, 4, dtype=torch.float64).tolist():
        pixels, ratio = width * height * (least + share * (most - least)), narrow + shape * (wide - narrow)
        w, h = round(math.sqrt(pixels * math.exp(ratio))), round(math.sqrt(pixels / math.exp(ratio)))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(across * (width - w + 1)), int(down * (height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * aspect[1])), min(height, round(width / aspect[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


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
    weights = rarity(labels, classes=int(labels.max()) + 1, power=recipe.balance_power)[labels[order]]
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
