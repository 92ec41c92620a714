"""The learning-rate range test of Smith 2017: raise the rate step by step and watch the loss."""

import math
from dataclasses import dataclass

from googlenet.architecture.table1 import STEM, check_size
from googlenet.base.errors import DataError, GoogLeNetError, InputError
from googlenet.base.machine import world_size
from googlenet.base.progress import echo, progress_bar
from googlenet.data.folder import open_data
from googlenet.nn.model import network_input
from googlenet.training import plan, prepare
from googlenet.training.loader import Batch, Batches, training_loader
from googlenet.training.optim import losses
from googlenet.training.recipe import Settings, base_recipe, gentle
from googlenet.training.session import class_weights, start, trainable

STEPS = 120
LOWEST, HIGHEST = 1e-4, 10.0
SMOOTHING = 0.9  # of the running mean of the losses
SETTLED = 10  # steps before which it means nothing
LEARNT = 0.97  # times the first loss, or nothing was learnt
LOST = 1.25  # times the lowest loss: nothing is learnt beyond


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """The running mean of the network's own loss at each rate."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    lost: bool  # the loss had grown by a quarter at the rate after the last

    @property
    def suggested(self) -> float | None:
        """The rate at which the loss was lowest, to two digits: the highest for a run that warms up to it.

        None if nothing was learnt at any rate.
        """
        settled = self.losses[SETTLED:]
        if not settled or min(settled) > LEARNT * self.losses[0]:
            return None
        return float(f"{self.rates[SETTLED + settled.index(min(settled))]:.1e}")


def range_test(source: str, settings: Settings) -> RangeTest:
    """Train a network that is thrown away for a few steps, each at a higher rate than the last.

    raises  what `train` raises for the same choices and data; DataError for a loss that is no number
            from the start
    """
    if world_size() > 1:
        raise InputError(f"expected --find-lr in one process, got {world_size()}; start it without torchrun")
    chosen = base_recipe(settings)
    device = plan.choose_device(settings.device)
    precision, _ = plan.choose_precision(settings.precision, device)
    data, _, _ = prepare.checked(open_data(source), on_bad=settings.on_bad)
    begin = start(settings, gentle(chosen) if data.glyphs else chosen, data)
    chosen = begin.recipe
    kind = begin.net.net.dialect
    size = check_size(settings.size or chosen.size * kind.stem // STEM, stem=kind.stem)
    pixels = plan.training_size(chosen, size, chosen.sizes[0][1], stem=kind.stem)
    echo(
        f"{STEPS} steps of {chosen.batch} images at {pixels} pixels, the rate from {LOWEST:g} to {HIGHEST:g}"
    )
    net, sgd = trainable(
        begin.net, chosen, fresh=begin.fresh, stage=settings.freeze, device=device, precision=precision
    )
    weights = class_weights(data, chosen, device)
    batches = Batches(data.split("train"), chosen, sizes=[pixels] * STEPS, seed=settings.seed)

    def step(batch: Batch, rate: float) -> float:
        for group in sgd.param_groups:
            group["lr"] = rate * group["factor"]
        with plan.autocast(device, precision):
            outputs = net(network_input(batch.images.to(device), kind.preprocessing))
        parts = losses(outputs, batch.labels.to(device), chosen, weights=weights)
        sgd.zero_grad()
        parts.total.backward()  # type: ignore[no-untyped-call]
        sgd.step()
        return float(parts.main.detach())

    found: list[tuple[float, float]] = []
    mean = 0.0
    with progress_bar("range test", STEPS) as shown:
        for i, batch in enumerate(training_loader(batches, start=0, workers=settings.workers or 0)):
            if isinstance(batch, GoogLeNetError):
                raise batch
            rate = LOWEST * (HIGHEST / LOWEST) ** (i / (STEPS - 1))
            mean = SMOOTHING * mean + (1 - SMOOTHING) * step(batch, rate)
            loss = mean / (1 - SMOOTHING ** (i + 1))
            if not loss < LOST * min((known for _, known in found), default=math.inf):
                break
            found.append((rate, loss))
            shown.advance(note=f"rate {rate:.2g}  loss {loss:.3f}")
    if len(found) < 2:
        raise DataError(
            f"{source}: expected a finite loss at a rate of {LOWEST:g}, got none; try --init xavier"
        )
    rates, means = zip(*found, strict=True)
    return RangeTest(rates=rates, losses=means, lost=len(found) < STEPS)
