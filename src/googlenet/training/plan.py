"""What a run will do, fixed before its first step: precision, image sizes and number of steps."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from googlenet.architecture.dialects import Preprocessing
from googlenet.architecture.table1 import STEM, check_size
from googlenet.base.errors import InputError
from googlenet.base.machine import rank, shard_range, world_size
from googlenet.data.index import Index
from googlenet.nn.convolution import with_fast_gradients
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads, network_input
from googlenet.training.augment import Augmentation
from googlenet.training.optim import build_optimizer, losses
from googlenet.training.recipe import Recipe

# Finished sizes that `--minutes` chooses among, as sides of the maps at inception_3a, and the epochs that the
# budget must hold for each: with fewer, seeing every photo more often is worth more than seeing it sharper.
LADDER = {8: 0, 12: 8, 16: 20, 20: 20, 24: 20, 28: 20}  # LOG.md
TIMED = 12  # the size that is timed to choose among them
MARGIN = 0.03  # of the budget, for a machine that slows down
CLOSING = 6.0  # seconds for the model file, the report and leaving
LOOKS = 0.03  # of the time at most for validation between epochs
RENAMED = {"look_every": "validate_every", "paces": "seconds_per_image"}  # in runs of 0.1.0
TIMED_AGAIN = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95)  # shares of a time budget after which it is planned anew


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The length and shape of a run; stored, so that a resume keeps it."""

    steps: int
    samples: int  # training images
    size: int  # pixels: what the finished model is given
    precision: str
    threads: int
    validate_every: int  # steps between two looks at validation
    seed: int
    closing: float = 0.0  # seconds of a time budget that the end takes
    seconds_per_image: tuple[
        tuple[int, float], ...
    ] = ()  # (pixels, seconds an image) of a time budget, as first timed

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Plan":
        """Rebuild a plan from what `as_dict` gave, through JSON."""
        fields = {RENAMED.get(name, name): value for name, value in fields.items()}
        timed = tuple((size, seconds) for size, seconds in fields.get("seconds_per_image", ()))
        return cls(**{**fields, "seconds_per_image": timed})


def sizes(recipe: Recipe, *, size: int, steps: int, stem: int) -> list[int]:
    """Pixels of every step: the recipe's phases, as shares of the steps."""
    pixels: list[int] = []
    share = 0.0
    for length, factor in recipe.sizes:
        share += length
        pixels += [training_size(recipe, size, factor, stem=stem)] * (round(share * steps) - len(pixels))
    return pixels


def training_size(recipe: Recipe, size: int, factor: float, *, stem: int) -> int:
    """Pixels of a phase: maps of an even side at inception_3a, at least of the recipe's."""
    return stem * max(recipe.early_map, 2 * round(size * factor / stem / 2)) if factor != 1 else size


def choose_device(wanted: str) -> str:
    """Return `cuda` if it is there and wanted, else `cpu`.

    Raises InputError for a device that is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("expected a CUDA device for --device cuda, found none; use --device cpu")
    return wanted


def choose_precision(wanted: str, device: str) -> tuple[str, str]:
    """Return `float32` or `bfloat16` for training, and why."""
    if wanted != "auto":
        return wanted, "as asked"
    if device.startswith("cuda"):
        native, what = torch.cuda.is_bf16_supported(including_emulation=False), "this GPU"
    else:
        able = torch.cpu.get_capabilities()
        native = any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16", "arm_bf16"))
        what = "this processor"
    if native:
        return "bfloat16", f"{what} multiplies it natively"
    return "float32", f"{what} has no bfloat16 instructions"


def for_epochs(
    recipe: Recipe, index: Index, *, epochs: int, size: int | None, stem: int, **fixed: Any
) -> Plan:
    """Plan a run of whole epochs, with a look at validation after each.

    size  by default the recipe's, for maps of that side
    """
    size = recipe.size * stem // STEM if size is None else check_size(size, stem=stem)
    steps = math.ceil(epochs * len(index) / recipe.batch)
    validate_every = math.ceil(len(index) / recipe.batch)
    return Plan(steps=steps, samples=len(index), size=size, validate_every=validate_every, **fixed)


def for_minutes(
    recipe: Recipe,
    index: Index,
    net: WithAuxiliaryHeads,
    *,
    left: Callable[[], float],
    size: int | None,
    looks_at: int,
    device: str,
    **fixed: Any,
) -> Plan:
    """Time a few steps and plan the run that fills the budget; choose the size unless it is given.

    left       seconds of the budget that are left, now
    looks_at   validation images
    raises     InputError if the budget is too small for one epoch
    """
    if left() <= CLOSING:
        raise InputError(
            f"expected more --minutes: {math.ceil(CLOSING - left())} s more go by before training can start"
        )
    timer = _Timer(recipe, index, net, device=device, precision=fixed["precision"])
    chosen = (
        check_size(size, stem=net.net.dialect.stem)
        if size
        else _choose_size(recipe, len(index), timer, left() * (1 - MARGIN))
    )
    seconds = _mean_seconds(recipe, chosen, timer)
    look = looks_at * timer.inference(chosen)
    available = left() * (1 - MARGIN) - CLOSING - look
    looks = int(LOOKS * available / max(look, 1e-9))
    steps = int(available / (1 + LOOKS * (looks > 0)) / (seconds * recipe.batch))
    epoch = math.ceil(len(index) / recipe.batch)
    if steps < epoch:
        more = math.ceil((epoch - steps) * recipe.batch * seconds * (1 + LOOKS) / 6) / 10
        raise InputError(
            f"expected --minutes for one epoch at least, {len(index)} images at {chosen} pixels; "
            f"give about {more:g} more, or fewer photos"
        )
    validate_every = max(epoch, math.ceil(steps / (looks + 1)))
    return Plan(
        steps=steps,
        samples=len(index),
        size=chosen,
        validate_every=validate_every,
        closing=CLOSING + look,
        seconds_per_image=timer.seconds_per_image(chosen),
        **fixed,
    )


def replan(plan: Plan, recipe: Recipe, *, step: int, slower: float, left: float, stem: int) -> Plan:
    """The same run, `step` steps of which are done, with as many in all as the rest of a budget holds.

    slower  how many times as long as first timed an image took of late
    left    seconds
    """
    budget = (left * (1 - MARGIN) - plan.closing) / slower

    def fits(steps: int) -> bool:
        rest = sizes(recipe, size=plan.size, steps=steps, stem=stem)[step:]
        return sum(map(dict(plan.seconds_per_image).__getitem__, rest)) * recipe.batch <= budget

    low, high = step + 1, 8 * plan.steps
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return replace(plan, steps=low)


def _choose_size(recipe: Recipe, samples: int, timer: "_Timer", budget: float) -> int:
    """The largest size of the ladder for which the budget holds enough epochs."""
    epochs = budget / (_mean_seconds(recipe, TIMED * timer.stem, timer) * samples)
    fitting = [side for side, wanted in LADDER.items() if epochs * (TIMED / side) ** 2 >= wanted]
    return max(fitting) * timer.stem


def _mean_seconds(recipe: Recipe, size: int, timer: "_Timer") -> float:
    """Seconds an image, over the phases of the recipe."""
    return sum(
        share * timer.training(training_size(recipe, size, factor, stem=timer.stem))
        for share, factor in recipe.sizes
    )


class _Timer:
    """Seconds an image takes, measured once for each size on a copy that is thrown away."""

    def __init__(
        self, recipe: Recipe, index: Index, net: WithAuxiliaryHeads, *, device: str, precision: str
    ) -> None:
        self._recipe, self._index, self._device, self._precision = recipe, index, device, precision
        self._net = with_fast_gradients(copy.deepcopy(net)).to(memory_format=torch.channels_last).to(device)
        self.stem = net.net.dialect.stem
        self._optimizer = build_optimizer(self._net, recipe, precision=precision)
        self._known: dict[int, float] = {}

    def training(self, size: int) -> float:
        if size not in self._known:
            self._known[size] = self._median(lambda: self._step(size), runs=4) / self._recipe.batch
            self._known[size] += self._reading(size) / max(1, torch.get_num_threads()) / world_size()
        return self._known[size]

    def seconds_per_image(self, size: int) -> tuple[tuple[int, float], ...]:
        """Of every size that a run goes through."""
        through = {
            training_size(self._recipe, size, factor, stem=self.stem) for _, factor in self._recipe.sizes
        }
        return tuple((pixels, self.training(pixels)) for pixels in sorted(through))

    def inference(self, size: int) -> float:
        net: GoogLeNet = self._net.net
        images = torch.randn(self._recipe.batch, 3, size, size, device=self._device)
        images = images.contiguous(memory_format=torch.channels_last)

        @torch.inference_mode()
        def run() -> None:
            net.eval()(images).cpu()

        return (self._median(run, runs=3) / self._recipe.batch + self._reading(size)) / world_size()

    def _step(self, size: int) -> None:
        batch = len(
            shard_range(self._recipe.batch, rank(), world_size())
        )  # each process takes its rows at the same time
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


def autocast(device: str, precision: str) -> torch.autocast:
    """Run the network's products in the planned precision."""
    return torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=precision == "bfloat16")


def extend_plan(plan: Plan, recipe: Recipe, *, epochs: int, finished: bool = True) -> Plan:
    """The same run, made to last `epochs` in all.

    Raises InputError if it already lasts longer, or, once finished, as long.
    """
    steps = math.ceil(epochs * plan.samples / recipe.batch)
    if steps < plan.steps + finished:
        done = plan.steps * recipe.batch / plan.samples
        raise InputError(f"expected --epochs above the {done:.1f} that the run has, got {epochs}")
    return replace(plan, steps=steps)
