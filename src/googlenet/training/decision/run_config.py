"""What a run folder says of its run: `recipe.json`, and the header of each training state."""

import math
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from googlenet.base.errors import TrainingError
from googlenet.data.table import Labels
from googlenet.files import runfolder
from googlenet.report.summary import RunSummary
from googlenet.training.decision.decide import Decision
from googlenet.training.decision.plan import Plan

RENAMED_RECIPE = {  # fields of a recipe, and of a plan, in runs of 0.1.0
    "area": "crop_scale",
    "aspect": "crop_ratio",
    "photometric": "color_jitter",
    "shift": "translate",
    "average": "ema_horizon",
    "kept_rate": "pretrained_lr_factor",
    "decay": "lr_decay",
    "decay_every": "lr_decay_epochs",
}
RENAMED_PLAN = {"look_every": "validate_every", "paces": "seconds_per_image"}


class StartingWeights(msgspec.Struct, frozen=True, kw_only=True):
    """The pretrained weights that a run started from."""

    name: str = msgspec.field(name="from")  # as the user named them
    sha256: str
    data: dict[str, Any] = {}  # what their model file says of the photos that they were trained on


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How a network did on the training photos that are held out.

    right   guesses
    losses  of each photo, at the temperature that is best for all: how sure a network is must not decide
    """

    right: int
    losses: tuple[float, ...]

    @property
    def photos(self) -> int:
        """How many they are."""
        return len(self.losses)

    @property
    def loss(self) -> float:
        """The mean."""
        return sum(self.losses) / len(self.losses)

    def is_better_than(self, other: "HeldOut") -> bool:
        """Whether its loss on the same photos is lower by more than a standard error of the difference.

        Of so few photos losses say more than how many guesses are right. The rule of one standard error
        (Breiman et al. 1984) favors the simpler network, which in the end has all photos.
        """
        gains = [before - after for before, after in zip(other.losses, self.losses, strict=True)]
        if len(gains) < 2:
            return False
        return statistics.mean(gains) > statistics.stdev(gains) / math.sqrt(len(gains))


@dataclass(frozen=True, kw_only=True)
class FirstStage:
    """What the first stage of a run from pretrained weights found.

    strength  scikit-learn's C of the classifier
    accuracy  of photos left out while that was chosen; None if there were too few
    held_out  of the classifier that was fitted without those; None if none are
    """

    strength: float
    accuracy: float | None
    held_out: HeldOut | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run was asked, what was decided, and what it began with."""

    data: str  # path, or the word `digits`
    decision: Decision
    fresh: tuple[str, ...] | None = None  # prefixes of the parameters that were initialized; None for all
    weights: StartingWeights | None = None
    labels: Labels | None = None  # the table that they are from; None for the folders' names
    classes: tuple[str, ...]
    fingerprint: str  # of the training photos
    share: float | None  # of the photos that validation took, where the split is ours
    group: str | None = None  # what keeps photos on one side of that split: `folder`, or a column
    moved: tuple[str, ...]  # hashed names that are on the other side of the split, with their copies
    unreadable: dict[str, str]  # SPLIT/NAME of each image that was skipped, and why
    notes: tuple[str, ...]
    versions: dict[str, str]
    job: str | None = None  # torchrun's
    in_folds: bool = False  # it is one of a cross-validation's, which needs its scores
    changes: tuple[str, ...] = ()  # what a resume accepted
    identity: dict[str, str]  # what decides the bits of the run, see `reproducibility`

    def summary(self) -> RunSummary:
        """What a report tells of the run."""
        plan = self.decision.plan
        return RunSummary(
            data=self.data,
            labels=self.labels,
            steps=plan.steps,
            samples=plan.samples,
            precision=plan.precision,
            seed=plan.seed,
            unreadable=self.unreadable,
            notes=self.notes,
        )

    def with_plan(self, plan: Plan) -> "RunConfig":
        """The same with another length."""
        return replace(self, decision=replace(self.decision, plan=plan))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types; those of the decision stand among the others."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return {**fields, **fields.pop("decision")}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "RunConfig":
        """Rebuild a configuration from JSON, also of a run of 0.1.0.

        Raises ValueError for another file.
        """
        fields = dict(fields)
        for name, names in (("recipe", RENAMED_RECIPE), ("plan", RENAMED_PLAN)):
            if isinstance(fields.get(name), dict):
                fields[name] = _renamed(fields[name], names)
        return msgspec.convert({**fields, "decision": fields}, cls)


@dataclass(frozen=True, kw_only=True)
class StateHeader:
    """What a training state says of itself, besides its arrays."""

    step: int
    finished: bool
    plan: Plan
    identity: dict[str, str]
    first_stage: FirstStage | None = None  # once it is done
    changes: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "StateHeader":
        """Rebuild a header from JSON, also of a run of 0.1.0.

        Raises ValueError for another file.
        """
        fields = {"identity": {}, **fields}
        if isinstance(fields.get("plan"), dict) and isinstance(fields["identity"], dict):
            fields["plan"] = _renamed(fields["plan"], RENAMED_PLAN)
            parts = {f"recipe {old}": f"recipe {new}" for old, new in RENAMED_RECIPE.items()}
            fields["identity"] = _renamed(fields["identity"], parts)
        return msgspec.convert(fields, cls)


def _renamed(fields: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}


def read_run_config(folder: Path) -> RunConfig:
    """Read a run's `recipe.json`.

    Raises TrainingError if the folder holds no run, or one of another release.
    """
    fields = runfolder.read_config(folder)
    try:
        return RunConfig.from_dict(fields)
    except ValueError as error:
        path = folder / runfolder.CONFIG
        raise TrainingError(f"{path}: expected a run of this release, got another: {error}") from error
