"""What this machine computes with: device, precision, and how long a training step takes on it."""

import time
from collections.abc import Callable

import numpy as np
import torch

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError
from googlenet.base.machine import rank, shard_range, world_size
from googlenet.data.dataset import Dataset
from googlenet.data.index import Index
from googlenet.nn.convolution import with_fast_gradients
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads, network_input
from googlenet.training.augment import Augmentation
from googlenet.training.decision.decide import Machine
from googlenet.training.decision.recipe import Recipe
from googlenet.training.decision.settings import ACCELERATORS, Settings
from googlenet.training.optim import build_optimizer, losses
from googlenet.training.transfer.pretrained import freeze as freeze_stages
from googlenet.training.transfer.pretrained import new_network


def this_machine(settings: Settings, *, device: str, processes: int = 1) -> Machine:
    """What a run may use here; `device` as `choose_device` gave it."""
    precision, reason = choose_precision(settings.precision, device)

    def step_timer(recipe: Recipe, dialect: str, data: Dataset, frozen: str | None) -> StepTimer:
        net = new_network(recipe, dialect, classes=len(data.classes), seed=settings.seed)
        index = data.split("train")
        return StepTimer(recipe, net, index, device=device, precision=precision, freeze=frozen)

    return Machine(
        device=device,
        precision=precision,
        precision_reason=reason,
        threads=torch.get_num_threads(),
        processes=processes,
        step_timer=step_timer,
    )


def describe(machine: Machine) -> str:
    """What people are told of it."""
    several = f", {machine.processes} processes" if machine.processes > 1 else ""
    return (
        f"training in {machine.precision} on {machine.device}: {machine.precision_reason}; "
        f"{machine.threads} threads{several}"
    )


def choose_device(wanted: str) -> str:
    """Return the kind of the accelerator that is there, if it is wanted, else `cpu`.

    wanted  auto, cpu, cuda, mps (Apple's) or xpu (Intel's)
    Raises InputError for a device that is not there.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    there = found.type if found is not None else "cpu"
    if wanted == "auto":
        return there if there in ACCELERATORS else "cpu"
    if wanted not in ("cpu", there):
        got = f"only {there}" if there != "cpu" else "no accelerator"
        raise InputError(
            f"expected a device of the kind {wanted} for --device, found {got}; use --device cpu"
        )
    return wanted


def choose_precision(wanted: str, device: str) -> tuple[str, str]:
    """Return `float32` or `bfloat16` for training, and why."""
    if wanted != "auto":
        return wanted, "as asked"
    if device in ("mps", "xpu"):
        return "float32", f"bfloat16 was never tried on {device}"
    if device.startswith("cuda"):
        native, what = torch.cuda.is_bf16_supported(including_emulation=False), "this GPU"
    else:
        able = torch.cpu.get_capabilities()
        native = any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16", "arm_bf16"))
        what = "this processor"
    if native:
        return "bfloat16", f"{what} multiplies it natively"
    return "float32", f"{what} has no bfloat16 instructions"


def autocast(device: str, precision: str) -> torch.autocast:
    """Run the network's products in the planned precision."""
    return torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=precision == "bfloat16")


class StepTimer:
    """Seconds an image takes, measured once for each size on a network that is thrown away."""

    def __init__(
        self,
        recipe: Recipe,
        net: WithAuxiliaryHeads,
        index: Index,
        *,
        device: str,
        precision: str,
        freeze: str | None = None,
    ) -> None:
        """Time steps of a recipe, the network frozen up to a stage; images are read from `index`."""
        self._recipe, self._index, self._device, self._precision = recipe, index, device, precision
        self._net = with_fast_gradients(net).to(memory_format=torch.channels_last).to(device)
        if freeze is not None:
            freeze_stages(self._net, freeze)
        self._optimizer = build_optimizer(self._net, recipe, precision=precision)
        self._training_seconds: dict[int, float] = {}

    def training(self, size: int) -> float:
        """Of a training step, reading included."""
        if size not in self._training_seconds:
            seconds = self._median(lambda: self._step(size), runs=4) / self._recipe.batch
            reading = self._reading(size) / max(1, torch.get_num_threads()) / world_size()
            self._training_seconds[size] = seconds + reading
        return self._training_seconds[size]

    def inference(self, size: int) -> float:
        """Of validation."""
        net: GoogLeNet = self._net.net
        images = torch.randn(self._recipe.batch, 3, size, size, device=self._device)
        images = images.contiguous(memory_format=torch.channels_last)

        @torch.inference_mode()
        def run() -> None:
            net.eval()(images).cpu()

        return (self._median(run, runs=3) / self._recipe.batch + self._reading(size)) / world_size()

    def _step(self, size: int) -> None:
        batch = len(shard_range(self._recipe.batch, rank(), world_size()))  # each process times its own rows
        images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8, device=self._device)
        labels = torch.randint(0, self._net.net.num_classes, (batch,), device=self._device)
        with autocast(self._device, self._precision):
            outputs = self._net.train()(network_input(images, Preprocessing()))
        loss = losses(outputs, labels, self._recipe).total
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        loss.item()

    def _reading(self, size: int) -> float:
        augment = Augmentation(self._recipe)
        chosen = range(0, len(self._index), max(1, len(self._index) // 8))
        started = time.perf_counter()
        for i in chosen:
            augment(self._index.read(i), size)
        return (time.perf_counter() - started) / len(chosen)

    @staticmethod
    def _median(work: Callable[[], None], *, runs: int) -> float:
        """Seconds of one run, the first left out."""
        taken = []
        for _ in range(runs):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
        return float(np.median(taken[1:]))
