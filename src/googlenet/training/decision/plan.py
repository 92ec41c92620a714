"""The length of a run and the size of its images, fixed before its first step."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from googlenet.architecture.table1 import STEM, check_size
from googlenet.base.errors import InputError
from googlenet.training.decision.recipe import Recipe

# Finished sizes that `--minutes` chooses among, as sides of the maps at inception_3a, and the epochs that the
# budget must hold for each: with fewer, seeing every photo more often is worth more than seeing it sharper.
SIZE_LADDER = {8: 0, 12: 8, 16: 20, 20: 20, 24: 20, 28: 20}  # LOG.md
TIMED_MAP = 12  # the size that is timed to choose among them
MARGIN = 0.03  # of the budget, for a machine that slows down
CLOSING = 6.0  # seconds for the model file, the report and leaving
VALIDATION_SHARE = 0.03  # of the time at most for validation between epochs
REPLAN_AT = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95)  # shares of a time budget after which the rest is planned again


class StepTimer(Protocol):
    """How long this machine takes for an image of a size, in seconds; measured once for each size."""

    def training(self, size: int) -> float:
        """Of a training step, reading included."""

    def inference(self, size: int) -> float:
        """Of validation."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The length and shape of a run; stored, so that a resume keeps it."""

    steps: int
    samples: int  # training images
    size: int  # pixels: what the finished model is given
    precision: str
    threads: int
    validate_every: int  # steps
    seed: int
    most_steps: int | None = None  # of a time budget, however much of it is left
    closing: float = 0.0  # seconds of a time budget that the end takes
    seconds_per_image: tuple[
        tuple[int, float], ...
    ] = ()  # of a time budget: (pixels, seconds), as first timed

    def epochs(self, recipe: Recipe) -> float:
        """How often the run sees every image."""
        return self.steps * recipe.batch / self.samples


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


def default_size(recipe: Recipe, size: int | None, *, stem: int) -> int:
    """The finished size that was asked for, or the recipe's, for maps of the same side.

    Raises InputError for a size that is too small for the stem.
    """
    return recipe.size * stem // STEM if size is None else check_size(size, stem=stem)


def plan_epochs(
    recipe: Recipe, samples: int, *, epochs: int | None, size: int | None, stem: int, **fixed: Any
) -> Plan:
    """Plan a run of whole epochs, by default the recipe's, validated after each."""
    steps = math.ceil((epochs or recipe.epochs) * samples / recipe.batch)
    least = recipe.least_steps if epochs is None else 0
    return plan_steps(recipe, samples, steps=max(steps, least), size=size, stem=stem, **fixed)


def plan_steps(
    recipe: Recipe, samples: int, *, steps: int, size: int | None, stem: int, **fixed: Any
) -> Plan:
    """Plan a run of so many steps, validated after each epoch, or a fifth of the recipe's least steps."""
    epoch = math.ceil(samples / recipe.batch)
    return Plan(
        steps=steps,
        samples=samples,
        size=default_size(recipe, size, stem=stem),
        validate_every=max(epoch, recipe.least_steps // 5),
        **fixed,
    )


def plan_minutes(
    recipe: Recipe,
    samples: int,
    timer: StepTimer,
    *,
    left: Callable[[], float],
    size: int | None,
    stem: int,
    validation: int,
    **fixed: Any,
) -> Plan:
    """Plan the run that fills a time budget; choose the size unless it is given.

    left        seconds of the budget that are left, now
    validation  images
    raises      InputError if the budget is too small for one epoch
    """
    size = check_size(size, stem=stem) if size else _largest_size(recipe, samples, timer, left(), stem=stem)
    seconds = _mean_seconds(recipe, size, timer, stem=stem)
    once = validation * timer.inference(size)
    available = left() * (1 - MARGIN) - CLOSING - once
    passes = int(VALIDATION_SHARE * available / max(once, 1e-9))
    steps = int(available / (1 + VALIDATION_SHARE * (passes > 0)) / (seconds * recipe.batch))
    epoch = math.ceil(samples / recipe.batch)
    most = None if recipe.most_epochs is None else max(recipe.least_steps, recipe.most_epochs * epoch)
    if most is not None:
        steps = min(steps, most)
    if steps < epoch:
        more = math.ceil((epoch - steps) * recipe.batch * seconds * (1 + VALIDATION_SHARE) / 6) / 10
        raise InputError(
            f"expected --minutes for one epoch at least, {samples} images at {size} pixels; "
            f"give about {more:g} more, or fewer photos"
        )
    phases = {training_size(recipe, size, factor, stem=stem) for _, factor in recipe.sizes}
    return Plan(
        steps=steps,
        samples=samples,
        size=size,
        validate_every=max(epoch, math.ceil(steps / (passes + 1))),
        most_steps=most,
        closing=CLOSING + once,
        seconds_per_image=tuple((pixels, timer.training(pixels)) for pixels in sorted(phases)),
        **fixed,
    )


def check_budget(left: float) -> None:
    """Raise InputError for a budget that ends before training could start; `left` in seconds."""
    if left <= CLOSING:
        more = math.ceil(CLOSING - left)
        raise InputError(f"expected more --minutes: {more} s more go by before training can start")


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
    if plan.most_steps is not None:
        high = min(high, plan.most_steps + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return replace(plan, steps=low)


def _largest_size(recipe: Recipe, samples: int, timer: StepTimer, left: float, *, stem: int) -> int:
    """The largest size of the ladder for which the budget holds enough epochs."""
    seconds = _mean_seconds(recipe, TIMED_MAP * stem, timer, stem=stem)
    epochs = left * (1 - MARGIN) / (seconds * samples)
    fitting = [side for side, least in SIZE_LADDER.items() if epochs * (TIMED_MAP / side) ** 2 >= least]
    return max(fitting) * stem


def _mean_seconds(recipe: Recipe, size: int, timer: StepTimer, *, stem: int) -> float:
    """Seconds an image, over the phases of the recipe."""
    return sum(
        share * timer.training(training_size(recipe, size, factor, stem=stem))
        for share, factor in recipe.sizes
    )


def extend_plan(plan: Plan, recipe: Recipe, *, epochs: int, finished: bool = True) -> Plan:
    """The same run, made to last `epochs` in all.

    Raises InputError if it already lasts longer, or, once finished, as long.
    """
    steps = math.ceil(epochs * plan.samples / recipe.batch)
    if steps < plan.steps + finished:
        done = plan.steps * recipe.batch / plan.samples
        raise InputError(f"expected --epochs above the {done:.1f} that the run has, got {epochs}")
    return replace(plan, steps=steps)
