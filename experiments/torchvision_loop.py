"""The loop and the recipe of torchvision's reference script for classification, for its `googlenet`.

The script's defaults: SGD with a rate of 0.1, momentum 0.9 and weight decay 1e-4 on all parameters, 32
images a step; the rate falls tenfold after 30 and after 60 of 90 epochs; random crops of 8 to 100 % of the
area, mirrored at random; validation after each epoch on the central 224 of 256 pixels; float32 in PyTorch's
own memory order; the weights after the last step. The network has its auxiliary heads, each at 0.3 of the
loss, and torchvision's initial weights.

What differs: a budget stands for the 90 epochs, of which the rate falls after each third.
"""

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils import data as torch_data
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from googlenet.architecture.dialects import IMAGENET_MEAN, IMAGENET_STD
from googlenet.base.errors import InputError, TrainingError
from googlenet.base.machine import cores
from googlenet.base.progress import ProgressBar, echo, progress_bar
from googlenet.data.dataset import Dataset
from googlenet.data.dataset_inspection import check_bad_images, inspect_dataset, training_data
from googlenet.data.folder import open_data
from googlenet.data.index import Index, fingerprint
from googlenet.files import modelfile, runfolder
from googlenet.files.events import Validation
from googlenet.files.modelfile import MODEL_NAME
from googlenet.files.runfolder import RunLog
from googlenet.nn import checkpoint

BATCH = 32
RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4
EPOCHS, STEP_EPOCHS, GAMMA = 90, 30, 0.1
AUX_WEIGHT = 0.3
RESIZED, CROPPED = 256, 224
MIN_SIZE = 32
HEADS = "aux"  # what the names of the heads' arrays begin with
TIMED = 4  # batches of validation by which a look is timed before the first

Transform = Callable[[Image.Image], Tensor]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A budget, in minutes or in epochs, the pixels of an image, and the seed."""

    minutes: float | None
    epochs: int | None
    size: int
    seed: int


class Photos(torch_data.Dataset[tuple[Tensor, int]]):
    """The images of a split as the script reads them, with their labels."""

    def __init__(self, index: Index, transform: Transform) -> None:
        """Apply `transform` to each image as it is read."""
        self._index, self._transform = index, transform

    def __len__(self) -> int:
        """Count the images."""
        return len(self._index)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        """Image `i` as a tensor, and its label."""
        with Image.open(io.BytesIO(self._index.read(i))) as image:
            return self._transform(image.convert("RGB")), int(self._index.labels[i])


def training_transform(size: int) -> Transform:
    """A random crop, mirrored at random -> normalised float32 [3, size, size]."""
    return _then_tensor(v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(0.5))


def central_transform(size: int) -> Transform:
    """The central part, 224 of 256 of the shorter side -> normalised float32 [3, size, size]."""
    return _then_tensor(v2.Resize(size * RESIZED // CROPPED), v2.CenterCrop(size))


def rate(share: float) -> float:
    """Learning rate once a share of the budget is used: that of the script after as much of its 90 epochs."""
    return RATE * GAMMA ** int(share * EPOCHS / STEP_EPOCHS)


def train(source: str, out: Path, asked: Asked, *, started: float, force: bool) -> float:
    """Train within a budget into a run folder; return the accuracy on validation at the end.

    started  `time.monotonic()` when the process began
    raises   InputError for a size or a budget that cannot be right, or an `out` that is taken; DataError;
             TrainingError if the loss stops being a number
    """
    if asked.size < MIN_SIZE:
        raise InputError(f"expected --size of at least {MIN_SIZE}, got {asked.size}")
    if not (asked.minutes or asked.epochs or 0) > 0:
        raise InputError("expected --minutes or --epochs above 0")
    runfolder.check_run_folder(out, force=force)
    found = inspect_dataset(
        open_data(source), ("train", "val")
    )  # as every training of ours, for the same cut
    check_bad_images(found, on_bad="error")
    data = training_data(found)
    run = Loop(data, out, asked, started=started)
    with progress_bar("budget, %", 100) as shown:
        while run.used() < 1:
            run.epoch(shown)
    return run.finish()


class Loop:
    """A run: network, optimiser, data, and how much of its budget is used."""

    def __init__(self, data: Dataset, out: Path, asked: Asked, *, started: float) -> None:
        """Draw the weights, make the folder, and time what the last look will take."""
        self.data, self.out, self.asked = data, out, asked
        torch.manual_seed(asked.seed)
        self.net = network(len(data.classes), heads=True)
        self.sgd = torch.optim.SGD(
            self.net.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        self.loader = DataLoader(
            Photos(data.split("train"), training_transform(asked.size)),
            batch_size=BATCH,
            shuffle=True,
            generator=torch.Generator().manual_seed(asked.seed),
            num_workers=workers(),
        )
        self.step = self.seen = self.told = 0  # told: per cent of the budget that were shown
        self.steps = None if asked.epochs is None else len(self.loader) * asked.epochs
        self.deadline = None if asked.minutes is None else started + 60 * asked.minutes
        self.began = time.monotonic()
        runfolder.create_run_folder(out, self._config())
        self.log = RunLog(out)
        self.closing = 0.0 if self.deadline is None else self._time_a_look()
        if self.used() >= 1:
            raise InputError("expected more --minutes: they are over before training can start")

    def used(self) -> float:
        """The share of the budget that is used; a budget of minutes keeps what the last look takes."""
        if self.steps is not None:
            return self.step / self.steps
        assert self.deadline is not None
        end = self.deadline - self.closing
        return (time.monotonic() - self.began) / (end - self.began) if end > self.began else 1.0

    def epoch(self, shown: ProgressBar) -> None:
        """See every image once, or until the budget is used; look at validation if any of it is left."""
        self.net.train()
        for images, labels in self.loader:
            used = self.used()
            if used >= 1:
                return
            for group in self.sgd.param_groups:
                group["lr"] = rate(used)
            loss = self._update(images, labels)
            self.step += 1
            self.seen += len(labels)
            shown.advance(int(100 * used) - self.told, note=f"loss {loss:.3f}")
            self.told = int(100 * used)
        if self.used() < 1:
            self.look()

    def look(self) -> float:
        """Measure validation and log it."""
        began = time.monotonic()
        index = self.data.split("val")
        guesses = logits(self.net, index, self.asked.size).argmax(axis=1)
        self.closing = time.monotonic() - began
        accuracy = float((guesses == index.labels).mean())
        epochs = self.seen / len(self.data.split("train"))
        self.log.write(Validation(step=self.step, epoch=round(epochs, 4), top1=accuracy))
        echo(f"epoch {epochs:.1f}: validation {100 * accuracy:.1f} %")
        return accuracy

    def finish(self) -> float:
        """Look for the last time, then keep the network without its heads, and what it went through."""
        accuracy = self.look()
        kept = {name: array for name, array in self.net.state_dict().items() if not name.startswith(HEADS)}
        about = {"classes": list(self.data.classes), "size": self.asked.size}
        modelfile.write(self.out / MODEL_NAME, checkpoint.to_arrays(kept), about)
        runfolder.write_config(self.out, self._config())
        return accuracy

    def _update(self, images: Tensor, labels: Tensor) -> float:
        main, *heads = (F.cross_entropy(each, labels) for each in self.net(images))
        loss = main + AUX_WEIGHT * sum(heads)
        value = float(loss.item())
        if not math.isfinite(value):
            raise TrainingError(f"expected a finite loss, got {value} at step {self.step + 1}")
        self.sgd.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.sgd.step()
        return value

    def _time_a_look(self) -> float:
        """Seconds that a look at validation takes, from a few batches of it."""
        index = self.data.split("val")
        few = index.keep(np.arange(min(len(index), TIMED * BATCH), dtype=np.int64))
        began = time.monotonic()
        logits(self.net, few, self.asked.size)
        return (time.monotonic() - began) * len(index) / len(few)

    def _config(self) -> dict[str, Any]:
        """What happened, under the names that `recipe.json` of a run of ours has."""
        return {
            "plan": {
                **asdict(self.asked),
                "steps": self.step,
                "seen": self.seen,
                "samples": len(self.data.split("train")),
                "threads": torch.get_num_threads(),
            },
            "share": self.data.val_share,
            "moved": list(self.data.moved_names),
            "fingerprint": fingerprint(self.data.split("train")),
        }


def network(classes: int, *, heads: bool) -> nn.Module:
    """The network of torchvision, with the initial weights that it has by default."""
    net: nn.Module = torchvision.models.googlenet(
        weights=None, num_classes=classes, aux_logits=heads, init_weights=True
    )
    return net


def load(folder: Path) -> tuple[nn.Module, int]:
    """The finished network of a run, without its heads, and the pixels that it is given."""
    stored, header = modelfile.read(folder / MODEL_NAME)
    net = network(len(header["classes"]), heads=False)
    checkpoint.load_arrays(net, stored, where=str(folder))
    return net.eval(), header["size"]


@torch.inference_mode()
def logits(net: nn.Module, index: Index, size: int, *, mirror: bool = False) -> Logits:
    """Logits [N, classes] of a split in its order, or of its mirror images."""
    loader = DataLoader(Photos(index, central_transform(size)), batch_size=BATCH, num_workers=workers())
    net.eval()
    return np.concatenate([net(images.flip(3) if mirror else images).numpy() for images, _ in loader])


def workers() -> int:
    """Processes that prepare images: as many as `googlenet train` has."""
    return max(1, cores() // 4)


def _then_tensor(*steps: nn.Module) -> Transform:
    whole: Transform = v2.Compose(
        [
            *steps,
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    return whole
