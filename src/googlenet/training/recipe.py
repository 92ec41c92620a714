"""How to train: the frozen `Recipe`, the named ones, and the `Settings` that a user may choose."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from googlenet.architecture.dialects import INITS, STEMS, dialect
from googlenet.architecture.table1 import (
    AUX_DROPOUT,
    AUX_WEIGHT,
    DROPOUT,
    MIN_MAP,
    STEM,
    TABLE_1,
    TRAINED_MAP,
    check_size,
)
from googlenet.base.errors import InputError

RENAMED = {  # in runs and results of 0.1.0
    "area": "crop_scale",
    "aspect": "crop_ratio",
    "photometric": "color_jitter",
    "shift": "translate",
    "average": "ema_horizon",
    "kept_rate": "pretrained_lr_factor",
    "decay": "lr_decay",
    "decay_every": "lr_decay_epochs",
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every choice that decides what a run learns, but for the data, the seed and its length."""

    name: str
    about: str
    epochs: int
    batch: int  # images a step
    size: int  # pixels: what the finished model is given
    sizes: tuple[tuple[float, float], ...] = ((1.0, 1.0),)  # (share of the steps, factor on `size`)
    early_map: int = MIN_MAP  # least side of the maps at inception_3a in a phase of another factor than 1
    crop: float = 0.875  # of the shorter side, for the finished model

    init: str  # of the weights, as `model.initialize` takes it
    lr: float
    schedule: str  # "cosine" to zero, or "step": times `decay` every `decay_every` epochs
    warmup: float = 0.0  # share of all steps
    pretrained_lr_factor: float = (
        0.1  # factor on the rate of weights that came from elsewhere, as Caffe's example
    )
    lr_decay: float = 0.96
    lr_decay_epochs: int = 8
    momentum: float = 0.9
    nesterov: bool = False
    muon: float = 0.0  # convolutions turn by Muon's steps, so many times `lr` each; 0 for SGD throughout
    muon_momentum: float = 0.6
    weight_decay: float = 2e-4  # on convolution and dense weights only
    label_smoothing: float = 0.0
    balance: str = "none"  # rare classes count more: in the "loss", or are drawn more often by the "sampler"
    balance_power: float = 1.0  # 1: every class weighs the same in the end; 0: every photo does
    aux_weight: float = AUX_WEIGHT
    dropout: float = DROPOUT
    aux_dropout: float = AUX_DROPOUT
    ema_horizon: float = 0.02  # horizon of the averaged weights as a share of all steps; 0 for none

    crop_scale: tuple[float, float] = (0.08, 1.0)  # share of the photo that a training crop covers
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    translate: float = 0.0  # instead: the middle square, moved by up to so much of its side each way
    flip: bool = True
    color_jitter: float = 0.5  # brightness, contrast and color: factors from 1 - p to 1 + p
    lighting: float = 0.0  # deviation of the noise along ImageNet's color axes
    random_interpolation: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Recipe":
        """Rebuild a recipe from what `as_dict` gave, through JSON."""
        fields = {RENAMED.get(name, name): value for name, value in fields.items()}
        tuples = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
        if "sizes" in tuples:
            tuples["sizes"] = tuple((share, factor) for share, factor in fields["sizes"])
        return cls(**{**fields, **tuples})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user may choose of a run; the options of `googlenet train` are these fields."""

    recipe: str = "modern"
    """modern, paper or smoke"""
    dialect: str | None = None
    """bn (batch normalization, the default), paper (local response normalization, as printed),
    torchvision, slim, bvlc, inception5h, naive or dense; with --weights, theirs"""
    weights: str | None = None
    """go on from these: torchvision, bvlc, inception5h, a file, or hf:OWNER/NAME"""
    freeze: str | None = None
    """keep the network still up to and including this stage, as inception_4e; needs --weights"""
    epochs: int | None = None
    """how often every photo is seen; by default the recipe's number"""
    minutes: float | None = None
    """a time budget instead, from start-up to the final evaluation; chooses --size too"""
    size: int | None = None
    """pixels of the square that the finished model is given, 64 and up; with --stem 4, 32 and up"""
    stem: int | None = None
    """stride before the first Inception module: 8 as in Table 1; 4 has the same maps of half the pixels"""
    batch: int | None = None
    """images a step"""
    lr: float | None = None
    """highest learning rate; by default the recipe's"""
    init: str | None = None
    """initial weights: he, xavier, truncated or default (PyTorch's); by default the recipe's"""
    seed: int = 0
    """decides first weights, order and augmentation"""
    workers: int | None = None
    """processes that prepare images; changes the speed and nothing else"""
    device: str = "auto"
    """auto, cpu or cuda"""
    precision: str = "auto"
    """auto, float32 or bfloat16"""
    on_bad: str = "error"
    """error: name the unreadable images and stop; skip: train without them if they are at most 1 %;
    skip-all: without them, however many"""
    balance: str = "none"
    """what rare classes get: none; loss: they weigh more; sampler: their photos are drawn more often"""
    balance_power: float | None = None
    """how much of the imbalance is evened out, from 0 (nothing) to 1 (all of it, the default)"""
    flip: bool = True
    """off: photos are not mirrored at random, as text and traffic signs should not be (digits never are)"""
    force: bool = False
    """replace the run that is in --out"""
    strict: bool = False
    """with --resume: from the newest state alone, not from the one before if it is damaged"""
    accept_changes: bool = False
    """with --resume: go on although data, recipe, versions or processor are others; the model says so"""


# googlenet train DATA --minutes 30 | measured in docs/results.md
# muon, average, area: chosen on a fifth of the training photos of a clothing set (LOG.md)
MODERN = Recipe(
    name="modern",
    about="Muon for convolutions, SGD for the rest; warm-up, cosine, smoothing, averaged weights.",
    epochs=30,
    batch=64,
    size=128,
    sizes=((0.64, 2 / 3), (0.36, 1.0)),
    crop=1.0,
    init="he",
    lr=0.1,
    schedule="cosine",
    warmup=0.1,
    nesterov=True,
    muon=0.7,
    weight_decay=5e-4,
    label_smoothing=0.1,
    dropout=0.1,
    aux_dropout=0.5,
    crop_scale=(0.45, 1.0),
    color_jitter=0.0,
)

# DEVIATION: section 6 trains asynchronously on many machines; here one does, step by step
# DEVIATION: rate, batch, weight decay, initial weights and epochs are not in the paper but BVLC's solver's
# Momentum, -4 % every 8 epochs, averaging: section 6; area, aspect, photometric and random
# interpolation: section 6 (the last in the arXiv text only); heads at 0.3, dropout 0.4 and 0.7: section 5.
PAPER = Recipe(
    name="paper",
    about="As section 6 says: momentum 0.9, -4 % every 8 epochs, averaged weights.",
    epochs=250,
    batch=32,
    size=224,
    init="xavier",
    lr=0.01,
    schedule="step",
    ema_horizon=0.01,
    lighting=0.1,
    random_interpolation=True,
)

# A run of seconds that shows that everything is connected; its figures mean nothing.
SMOKE = Recipe(
    name="smoke",
    about="A run of seconds that shows that everything works; its accuracy means nothing.",
    epochs=2,
    batch=32,
    size=64,
    init="he",
    lr=0.05,
    schedule="cosine",
    nesterov=True,
    weight_decay=5e-4,
    crop_scale=(0.5, 1.0),
    color_jitter=0.0,
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (MODERN, PAPER, SMOKE)}


def recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises InputError for an unknown name, with the list of those there are.
    """
    if name not in RECIPES:
        raise InputError(f"expected a recipe among {', '.join(RECIPES)}, got {name!r}")
    return RECIPES[name]


DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")
ON_BAD = ("error", "skip", "skip-all")
BALANCES = ("none", "loss", "sampler")
GLYPH_AREA = 0.7
SMALL_SIZE = 64  # pixels; LOG.md, as the next two
SMALL_SHIFT = 1 / 16
SMALL_BATCH = 128
SMALL_STEPS = 300  # an epoch, at least, before the batch grows
LR_WITHOUT_NORM = 0.01
OF_RESUMES = ("strict", "accept_changes")  # what only a resumed run may be told
RESUMABLE = ("epochs", "workers", "device", *OF_RESUMES)  # what it may be told anew


def base_recipe(settings: Settings) -> Recipe:
    """The named recipe with the user's own batch, flip, rate and initial weights.

    Raises InputError for settings that cannot be right, or contradict one another.
    """
    if settings.freeze is not None:
        _one_of("--freeze", settings.freeze, tuple(TABLE_1))
        if settings.weights is None:
            raise InputError("expected --weights with --freeze: what is still must have learnt before")
    if settings.init is not None:
        _one_of("--init", settings.init, INITS)
    if settings.lr is not None and not 0 < settings.lr < float("inf"):
        raise InputError(f"expected --lr above 0, got {settings.lr}")
    _one_of("--device", settings.device, DEVICES)
    _one_of("--precision", settings.precision, PRECISIONS)
    _one_of("--on-bad", settings.on_bad, ON_BAD)
    _one_of("--balance", settings.balance, BALANCES)
    if settings.balance_power is not None and not 0 <= settings.balance_power <= 1:
        raise InputError(f"expected --balance-power from 0 to 1, got {settings.balance_power}")
    if settings.balance_power is not None and settings.balance == "none":
        raise InputError("expected --balance loss or sampler with --balance-power")
    _at_least("--epochs", settings.epochs, 1)
    _at_least("--batch", settings.batch, 2)
    _at_least("--workers", settings.workers, 0)
    if settings.stem not in (None, *STEMS):
        raise InputError(f"expected --stem among {', '.join(map(str, STEMS))}, got {settings.stem}")
    if settings.stem is not None and settings.weights is not None:
        raise InputError("expected --stem or --weights, got both: weights come with their own stem")
    named = dialect(settings.dialect).stem if settings.dialect else STEM
    if settings.stem is not None and named != STEM:
        raise InputError(f"expected --stem or a dialect with one, got --stem and {settings.dialect}")
    if settings.size is not None:  # the stem of published weights is not known yet
        check_size(settings.size, stem=settings.stem or (min(STEMS) if settings.weights else named))
    if settings.epochs is not None and settings.minutes is not None:
        raise InputError("expected --epochs or --minutes, got both")
    if settings.minutes is not None and not 0 < settings.minutes < float("inf"):
        raise InputError(f"expected --minutes above 0, got {settings.minutes}")
    chosen = recipe(settings.recipe)
    return replace(
        chosen,
        batch=settings.batch or chosen.batch,
        flip=chosen.flip and settings.flip,
        lr=settings.lr or chosen.lr,
        init=settings.init or chosen.init,
        balance=settings.balance,
        balance_power=chosen.balance_power if settings.balance_power is None else settings.balance_power,
    )


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


def gentle(recipe: Recipe) -> Recipe:
    """The same recipe for signs that fill the image: nothing mirrored, little cut off."""
    return replace(
        recipe, flip=False, crop_scale=(max(GLYPH_AREA, recipe.crop_scale[0]), recipe.crop_scale[1])
    )


def for_small_photos(recipe: Recipe, settings: Settings, *, samples: int) -> Recipe:
    """`modern` for photos that are enlarged to be seen at all, unless the user chose otherwise.

    They are moved, not cropped, for little is there. A step on so few pixels keeps the cores busy only with
    more images: where there are many, the batch doubles, and the rate with it; Muon's, an angle, by its
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
        translate=SMALL_SHIFT,
    )


def refuse_changes(settings: Settings) -> None:
    """Check that settings ask of a resumed run only what it can still change.

    Raises InputError naming the options that were fixed when the run began.
    """
    fixed = [
        f"--{'no-' * (field.default is True)}{field.name.replace('_', '-')}"
        for field in fields(Settings)
        if field.name not in RESUMABLE and getattr(settings, field.name) != field.default
    ]
    if fixed:
        able = ", ".join(f"--{name.replace('_', '-')}" for name in RESUMABLE)
        raise InputError(f"expected --resume with no other options than {able}, got {', '.join(fixed)}")


def refuse_of_resumes(settings: Settings) -> None:
    """Check that a new run is told nothing that only a resumed one may be told.

    Raises InputError.
    """
    for name in OF_RESUMES:
        if getattr(settings, name):
            raise InputError(f"expected --{name.replace('_', '-')} only with --resume")


def unused_by_range_test(settings: Settings, *, resume: bool) -> list[str]:
    """The options given that a range test does not use.

    Raises InputError for those that contradict it: a rate, and a run to go on with.
    """
    if resume or settings.lr is not None:
        raise InputError(
            f"expected --find-lr without {'--resume' if resume else '--lr'}: it tries every rate anew"
        )
    refuse_of_resumes(settings)
    return [f"--{name}" for name in ("epochs", "minutes", "force") if getattr(settings, name)]


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"expected {option} among {', '.join(known)}, got {value!r}")


def _at_least(option: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise InputError(f"expected {option} of at least {least}, got {value}")
