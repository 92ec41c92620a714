"""What a user may choose of a run, and which choices cannot be right."""

from dataclasses import dataclass, fields
from pathlib import Path

from googlenet.architecture.dialects import FITS, INITS, STEMS, dialect
from googlenet.architecture.table1 import STEM, TABLE_1, check_size
from googlenet.base.errors import InputError
from googlenet.data.table import labels_at
from googlenet.training.decision.recipe import TRANSFER, named_recipe

ACCELERATORS = ("cuda", "mps", "xpu")  # PyTorch's names of NVIDIA's (and AMD's), Apple's and Intel's
ONE_OF = {
    "init": INITS,
    "device": ("auto", "cpu", *ACCELERATORS),
    "precision": ("auto", "float32", "bfloat16"),
    "on_bad": ("error", "skip", "skip-all"),
    "balance": ("none", "loss", "sampler"),
    "freeze": tuple(TABLE_1),
    "fit": FITS,
    "log": ("tensorboard",),
}
AT_LEAST = {"epochs": 1, "batch": 2, "workers": 0, "folds": 2}
ABOVE_0 = ("lr", "minutes")
ONLY_WITH_RESUME = ("strict", "accept_changes")
# What a resumed run may be given.
RESUMABLE = ("epochs", "workers", "device", "log", *ONLY_WITH_RESUME)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user may choose of a run; the options of `googlenet train` are these fields."""

    labels: Path | None = None
    """a table (CSV, TSV, JSON lines, Parquet) with a row a photo, in place of class folders"""
    columns: str | None = None
    """its columns as FILE,LABEL or FILE,LABEL,SPLIT, unless they have usual names"""
    group: str | None = None
    """keep photos that belong together on one side of the cut: folder (those inside the class folders),
    or a column of --labels, as the person or the camera"""
    recipe: str | None = None
    """modern, transfer, paper or smoke; by default modern, with --weights transfer"""
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
    folds: int | None = None
    """cross-validation: so many models, each measured on photos that it has not seen; together they are one
    model, and --minutes is for all"""
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
    """auto, cpu, cuda, mps or xpu"""
    precision: str = "auto"
    """auto, float32 or bfloat16"""
    log: str | None = None
    """tensorboard: also write for TensorBoard, into the run folder (extra tensorboard)"""
    on_bad: str = "error"
    """error: name the unreadable images and stop; skip: train without them if they are at most 1 %;
    skip-all: without them, however many"""
    balance: str = "none"
    """what rare classes get: none; loss: they weigh more; sampler: their photos are drawn more often"""
    balance_power: float | None = None
    """how much of the imbalance is evened out, from 0 (nothing) to 1 (all of it, the default)"""
    fit: str = "crop"
    """how photos become squares: crop (their middle), squash (all of it, out of proportion) or pad (all of
    it, with bars); the model keeps to it"""
    flip: bool = True
    """off: photos are not mirrored at random, as text and traffic signs should not be (digits never are)"""
    force: bool = False
    """replace the run that is in --out"""
    strict: bool = False
    """with --resume: from the newest state alone, not from the one before if it is damaged"""
    accept_changes: bool = False
    """with --resume: go on although data, recipe, versions or processor are others; the model says so"""


def check_settings(settings: Settings) -> None:
    """Raise InputError for settings that cannot be right, or contradict one another."""
    labels_at(settings.labels, settings.columns, settings.group)
    if settings.freeze is not None and settings.weights is None:
        raise InputError("expected --weights with --freeze: only pretrained layers can be frozen")
    for name, known in ONE_OF.items():
        if (value := getattr(settings, name)) is not None and value not in known:
            raise InputError(f"expected {option(name)} among {', '.join(known)}, got {value!r}")
    for name, least in AT_LEAST.items():
        if (number := getattr(settings, name)) is not None and number < least:
            raise InputError(f"expected {option(name)} of at least {least}, got {number}")
    for name in ABOVE_0:
        if (number := getattr(settings, name)) is not None and not 0 < number < float("inf"):
            raise InputError(f"expected {option(name)} above 0, got {number}")
    if settings.epochs is not None and settings.minutes is not None:
        raise InputError("expected --epochs or --minutes, got both")
    power = settings.balance_power
    if power is not None and not 0 <= power <= 1:
        raise InputError(f"expected --balance-power from 0 to 1, got {power}")
    if power is not None and settings.balance == "none":
        raise InputError("expected --balance loss or sampler with --balance-power")
    if settings.recipe is not None:
        named_recipe(settings.recipe)
    if settings.recipe == TRANSFER.name and settings.weights is None:
        raise InputError("expected --weights with --recipe transfer, got none")
    _check_stem_and_size(settings)


def _check_stem_and_size(settings: Settings) -> None:
    stem = settings.stem
    if stem not in (None, *STEMS):
        raise InputError(f"expected --stem among {', '.join(map(str, STEMS))}, got {stem}")
    if stem is not None and settings.weights is not None:
        raise InputError("expected --stem or --weights, got both: weights come with their own stem")
    named = dialect(settings.dialect).stem if settings.dialect else STEM
    if stem is not None and named != STEM:
        raise InputError(f"expected --stem or a dialect with one, got --stem and {settings.dialect}")
    if settings.size is not None:  # the stem of published weights is not known yet
        check_size(settings.size, stem=stem or (min(STEMS) if settings.weights else named))


def option(name: str, *, negated: bool = False) -> str:
    """The command-line option of a setting."""
    return f"--{'no-' * negated}{name.replace('_', '-')}"


def check_resume_settings(settings: Settings) -> None:
    """Raise InputError for options that were fixed when the run began."""
    fixed = [
        option(field.name, negated=field.default is True)
        for field in fields(Settings)
        if field.name not in RESUMABLE and getattr(settings, field.name) != field.default
    ]
    if fixed:
        able = ", ".join(map(option, RESUMABLE))
        raise InputError(f"expected --resume with no other options than {able}, got {', '.join(fixed)}")


def check_new_run_settings(settings: Settings) -> None:
    """Raise InputError for options that only a resumed run may be given."""
    for name in ONLY_WITH_RESUME:
        if getattr(settings, name):
            raise InputError(f"expected {option(name)} only with --resume")


def unused_by_range_test(settings: Settings, *, resume: bool) -> list[str]:
    """The options given that a range test does not use.

    Raises InputError for those that contradict it: a learning rate, and a run to resume.
    """
    if resume or settings.lr is not None:
        wrong = "--resume" if resume else "--lr"
        raise InputError(f"expected --find-lr without {wrong}: it tries every rate anew")
    check_new_run_settings(settings)
    return [option(name) for name in ("epochs", "minutes", "folds", "force") if getattr(settings, name)]
