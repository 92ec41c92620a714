"""The learning-rate range test of Smith 2017: raise the rate step by step and watch the loss."""

import math
from dataclasses import dataclass

from googlenet.architecture.dialects import dialect
from googlenet.base.errors import DataError, GoogLeNetError, InputError
from googlenet.base.machine import world_size
from googlenet.base.progress import echo, progress_bar
from googlenet.data.folder import open_data
from googlenet.data.table import labels_at
from googlenet.nn.model import network_input
from googlenet.training import hardware, prepare
from googlenet.training.decision.decide import choose_recipe
from googlenet.training.decision.plan import default_size, training_size
from googlenet.training.decision.settings import Settings, check_settings
from googlenet.training.loader import Batch, Batches, training_loader
from googlenet.training.optim import losses
from googlenet.training.session import class_weights, ready_to_train
from googlenet.training.transfer import pretrained
from googlenet.weights import convert

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
    check_settings(settings)
    here = hardware.this_machine(settings, device=hardware.choose_device(settings.device))
    table = labels_at(settings.labels, settings.columns, settings.group)
    data = open_data(source, labels=table, group=settings.group)
    data, _, _ = prepare.check_images(data, on_bad=settings.on_bad, fit=settings.fit)
    published = convert.load(settings.weights) if settings.weights is not None else None
    name, recipe, _ = choose_recipe(settings, data, published.card if published else None)
    net = pretrained.new_network(recipe, name, classes=len(data.classes), seed=settings.seed)
    fresh = None
    if published is not None:
        where = str(settings.weights)
        fresh = pretrained.load_pretrained(
            net, published.arrays, published.card, classes=data.classes, where=where
        )
    stem = dialect(name).stem
    size = default_size(recipe, settings.size, stem=stem)
    pixels = training_size(recipe, size, recipe.sizes[0][1], stem=stem)
    echo(
        f"{STEPS} steps of {recipe.batch} images at {pixels} pixels, the rate from {LOWEST:g} to {HIGHEST:g}"
    )
    net, sgd = ready_to_train(
        net, recipe, fresh=fresh, stage=settings.freeze, device=here.device, precision=here.precision
    )
    weights = class_weights(data, recipe, here.device)
    batches = Batches(data.split("train"), recipe, sizes=[pixels] * STEPS, seed=settings.seed)

    def step(batch: Batch, rate: float) -> float:
        for group in sgd.param_groups:
            group["lr"] = rate * group["factor"]
        with hardware.autocast(here.device, here.precision):
            outputs = net(network_input(batch.images.to(here.device), dialect(name).preprocessing))
        parts = losses(outputs, batch.labels.to(here.device), recipe, weights=weights)
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
