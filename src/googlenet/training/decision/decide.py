"""One decision: everything that a run chooses, with the reason of each choice, before its first step."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from googlenet.architecture.dialects import Fit, dialect, reading, with_stem
from googlenet.architecture.table1 import MIN_SIZE, TRAINED_MAP
from googlenet.base.errors import InputError
from googlenet.data.dataset import Dataset
from googlenet.data.index import Index
from googlenet.data.splits import hold_out
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import open_image, upright_size
from googlenet.training.decision.plan import (
    Plan,
    StepTimer,
    check_budget,
    plan_epochs,
    plan_minutes,
    plan_steps,
    sizes,
)
from googlenet.training.decision.recipe import MODERN, TRANSFER, Recipe, named_recipe
from googlenet.training.decision.settings import Settings, check_settings

DEFAULT_DIALECT = "bn"
GLYPH_SCALE = 0.7  # least share of a written sign that a training crop covers
SMALL_SIZE = 64  # pixels; LOG.md, as the next two
SMALL_TRANSLATE = 1 / 16
SMALL_BATCH = 128
SMALL_STEPS = 300  # an epoch, at least, before the batch grows
LR_WITHOUT_NORM = 0.01
HELD_OUT = 0.1  # of the training photos, to choose between two stages by; not more than so many
MOST_HELD_OUT = 1000
LEAST_ROWS = 2  # of a batch for each process: batch normalization needs two values to differ
_SAMPLED = 64  # photos that are opened for their size


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a run may use of this machine, and how fast that is."""

    device: str
    precision: str
    precision_reason: str
    threads: int
    processes: int
    step_timer: Callable[[Recipe, str, Dataset, str | None], StepTimer]  # recipe, dialect, data, frozen up to


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a run will do: stored in `recipe.json`, and what a resume goes on with.

    first_stage  begin with a classifier on the features of the frozen network
    held_out     share of the training photos that then say which stage's network is kept
    minutes      budget of a run whose steps are planned after the first stage; its plan has none until then
    reasons      why each choice differs from the named recipe's, or was made at all
    """

    dialect: str
    recipe: Recipe
    plan: Plan
    freeze: str | None = None
    first_stage: bool = False
    held_out: float = 0.0
    minutes: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> int:
        """Stride before the first Inception module."""
        return dialect(self.dialect).stem

    def pixels(self) -> list[int]:
        """Sides of the images of every step."""
        return sizes(self.recipe, size=self.plan.size, steps=self.plan.steps, stem=self.stem)

    def lines(self) -> list[str]:
        """What people are told of it."""
        return [
            *(f"{name}: {why}" for name, why in self.reasons.items() if name not in ("precision", "recipe")),
            self.steps_line()
            if self.minutes is None
            else "stage 2: as long as what is then left of the time",
        ]

    def steps_line(self) -> str:
        """What people are told of the steps."""
        through = " then ".join(map(str, sorted(set(self.pixels()))))
        return (
            f"{'stage 2, ' * self.first_stage}recipe {self.recipe.name}: {self.plan.steps} steps of "
            f"{self.recipe.batch} images, {self.plan.epochs(self.recipe):.1f} epochs, at {through} pixels; "
            f"the finished model is given {self.plan.size}"
        )


def decide(
    settings: Settings, data: Dataset, weights: ModelMetadata | None, machine: Machine, *, began: float
) -> Decision:
    """Choose everything that a run needs.

    data     checked
    weights  of the pretrained model to start from, if any
    began    `time.monotonic()` at which the budget of `minutes` began
    raises   InputError for choices that cannot be right, or a budget that is too small
    """
    name, recipe, reasons = choose_recipe(settings, data, weights)
    check_batch(recipe.batch, machine.processes)
    freeze = settings.freeze or (recipe.freeze if weights else None)
    first = bool(weights and recipe.reads) and dialect(name).also_read == recipe.reads
    first = first and not same_classes(weights, data)
    share = held_out_share(data.split("train")) if first else 0.0
    kept, stem = hold_out(data, share), dialect(name).stem
    samples, end = len(kept.split("train")), math.inf
    if settings.minutes is not None:
        end = began + 60 * settings.minutes
        check_budget(end - time.monotonic())
    fixed: dict[str, Any] = {
        "size": settings.size or (weights.preprocessing.size if weights and first else None),
        "stem": stem,
        "precision": machine.precision,
        "threads": machine.threads,
        "seed": settings.seed,
    }
    if first and (not share or settings.minutes is not None):
        plan = plan_steps(recipe, samples, steps=0, **fixed)  # none, or none yet
    elif settings.minutes is None:
        plan = plan_epochs(recipe, samples, epochs=settings.epochs, **fixed)
    else:
        plan = plan_minutes(
            recipe,
            samples,
            machine.step_timer(recipe, name, data, freeze),
            left=lambda: end - time.monotonic(),
            validation=len(data.split("val")),
            **fixed,
        )
    reasons["precision"] = machine.precision_reason
    return Decision(
        dialect=name,
        recipe=recipe,
        plan=plan,
        freeze=freeze,
        first_stage=first,
        held_out=share,
        minutes=settings.minutes if first and share else None,
        reasons=reasons,
    )


def gains_from_weights(weights: object, recipe: Recipe, data: Dataset) -> bool:
    """Whether photos of this kind were seen to learn more from ImageNet's weights than from random ones.

    Seen on a phone's photos (docs/transfer.md), not on written signs; small photos have their own recipe.
    """
    photos = weights is None and recipe.name == MODERN.name and not data.glyphs
    return photos and typical_side(data.split("train")) >= MIN_SIZE


def same_classes(weights: ModelMetadata | None, data: Dataset) -> bool:
    """Whether pretrained weights know the classes of the data already, in any order."""
    return weights is not None and sorted(weights.classes) == sorted(data.classes)


def held_out_share(index: Index) -> float:
    """Share of training photos that say which stage was better; none where a class has a single photo."""
    if np.bincount(index.labels).min() < 2:
        return 0.0
    return min(HELD_OUT, MOST_HELD_OUT / len(index))


def choose_recipe(
    settings: Settings, data: Dataset, weights: ModelMetadata | None
) -> tuple[str, Recipe, dict[str, str]]:
    """The dialect and the recipe for this data, and why they are not the named ones.

    Raises InputError for settings that cannot be right, or weights of another dialect than the one asked for.
    """
    check_settings(settings)
    name = weights.dialect if weights else settings.dialect or DEFAULT_DIALECT
    if settings.dialect not in (None, name):
        raise InputError(f"expected --dialect {name} for these weights, or none, got {settings.dialect}")
    if settings.stem is not None:
        name = with_stem(name, settings.stem)
    if settings.freeze not in (None, *dialect(name).table):
        stages = ", ".join(dialect(name).table)
        raise InputError(f"expected --freeze with a stage among {stages}, got {settings.freeze!r}")
    chosen = settings.recipe or (TRANSFER if weights else MODERN).name
    recipe, reasons = with_overrides(named_recipe(chosen), settings), {"recipe": chosen}
    if weights and recipe.reads and not same_classes(weights, data):
        name = weights.dialect if dialect(name).dense else reading(dialect(name), recipe.reads).name
    if data.glyphs:
        recipe = for_glyphs(recipe)
        reasons["augmentation"] = "written signs are not mirrored, and little is cut off"
    if not dialect(name).batch_norm and recipe.name != TRANSFER.name:
        recipe = without_norm(recipe, settings)
        reasons["learning rate"] = f"{recipe.lr:g}, since dialect {name} has no batch normalization"
    elif weights is None and recipe.name == MODERN.name and not data.glyphs:
        if (side := typical_side(data.split("train"))) < MIN_SIZE:
            recipe = for_small_photos(recipe, settings, samples=len(data.split("train")))
            reasons["augmentation"] = (
                f"photos of {side:.0f} pixels are enlarged, and translated instead of cropped"
            )
    return name, recipe, reasons


def with_overrides(recipe: Recipe, settings: Settings) -> Recipe:
    """The named recipe with the user's own batch, flip, rate, initial weights and balance."""
    return replace(
        recipe,
        batch=settings.batch or recipe.batch,
        flip=recipe.flip and settings.flip,
        fit=cast(Fit, settings.fit),
        lr=settings.lr or recipe.lr,
        init=settings.init or recipe.init,
        balance=settings.balance,
        balance_power=recipe.balance_power if settings.balance_power is None else settings.balance_power,
    )


def for_glyphs(recipe: Recipe) -> Recipe:
    """The same recipe for signs that fill the image: nothing mirrored, little cut off."""
    least, most = recipe.crop_scale
    return replace(recipe, flip=False, crop_scale=(max(GLYPH_SCALE, least), most))


def without_norm(recipe: Recipe, settings: Settings) -> Recipe:
    """The same recipe for a network without batch normalization, unless the user chose otherwise.

    Its activations grow with He's weights and a rate of 0.05 until the loss is no number any more; with
    Caffe's Xavier weights and a rate of at most 0.01, BVLC's, it learns.
    """
    return replace(
        recipe,
        init=settings.init or "xavier",
        lr=settings.lr or min(recipe.lr, LR_WITHOUT_NORM),
        muon=0.0,
    )


def for_small_photos(recipe: Recipe, settings: Settings, *, samples: int) -> Recipe:
    """`modern` for photos that are enlarged to be seen at all, unless the user chose otherwise.

    They are translated, not cropped, for little is there. A step on so few pixels keeps the cores busy only
    with more images: where there are many, the batch doubles, and the rate with it; Muon's, an angle, by its
    root.

    samples  training images
    """
    batch = recipe.batch
    while settings.batch is None and batch < SMALL_BATCH and samples >= 2 * batch * SMALL_STEPS:
        batch *= 2
    grown = batch / recipe.batch
    return replace(
        recipe,
        batch=batch,
        lr=settings.lr or recipe.lr * grown,
        muon=recipe.muon / math.sqrt(grown),
        size=SMALL_SIZE,
        early_map=TRAINED_MAP,
        translate=SMALL_TRANSLATE,
    )


def check_batch(batch: int, processes: int) -> None:
    """Raise InputError if a batch has too few images for so many processes."""
    if batch < LEAST_ROWS * processes and processes > 1:
        raise InputError(
            f"expected a batch of at least {LEAST_ROWS} images a process, got {batch} for {processes}; "
            "start fewer processes, or a run with a larger --batch"
        )


def typical_side(index: Index) -> float:
    """The median shorter side of a sample of photos, in pixels."""
    sample = range(0, len(index), math.ceil(len(index) / _SAMPLED))
    return statistics.median(min(upright_size(open_image(index.read(i)))) for i in sample)
