"""What a run folder says of its run: `recipe.json`, and the header of each training state."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from googlenet.base.errors import TrainingError
from googlenet.files import runfolder
from googlenet.report.summary import RunSummary
from googlenet.training.decision.decide import Decision
from googlenet.training.decision.plan import Plan
from googlenet.training.decision.recipe import RENAMED


@dataclass(frozen=True, kw_only=True)
class StartingWeights:
    """The pretrained weights that a run started from."""

    name: str  # as the user named them
    sha256: str
    data: dict[str, Any]  # what their model file says of the photos that they were trained on

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {"from": self.name, "sha256": self.sha256, "data": self.data}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run was asked, what was decided, and what it began with."""

    data: str  # path, or the word `digits`
    decision: Decision
    fresh: tuple[str, ...] | None  # prefixes of the parameters that were initialized; None for all
    weights: StartingWeights | None
    classes: tuple[str, ...]
    fingerprint: str  # of the training photos
    share: float | None  # of the photos that validation took, where the split is ours
    moved: tuple[str, ...]  # hashed names that are on the other side of the split, with their copies
    unreadable: dict[str, str]  # SPLIT/NAME of each image that was skipped, and why
    notes: tuple[str, ...]
    versions: dict[str, str]
    job: str | None  # torchrun's
    changes: tuple[str, ...] = ()  # what a resume accepted
    identity: dict[str, str]  # what decides the bits of the run, see `reproducibility`

    def summary(self) -> RunSummary:
        """What a report tells of the run."""
        plan = self.decision.plan
        return RunSummary(
            data=self.data,
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
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "decision"}
        return {
            **own,
            **self.decision.as_dict(),
            "weights": self.weights.as_dict() if self.weights else None,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "RunConfig":
        """Rebuild a configuration from JSON, also of a run of 0.1.0.

        Raises KeyError or TypeError for another file.
        """
        fresh, weights = fields.get("fresh"), fields.get("weights")
        return cls(
            data=fields["data"],
            decision=Decision.from_dict(fields),
            fresh=None if fresh is None else tuple(fresh),
            weights=weights
            and StartingWeights(name=weights["from"], sha256=weights["sha256"], data=weights.get("data", {})),
            classes=tuple(fields["classes"]),
            fingerprint=fields["fingerprint"],
            share=fields["share"],
            moved=tuple(fields["moved"]),
            unreadable=fields["unreadable"],
            notes=tuple(fields["notes"]),
            versions=fields["versions"],
            job=fields.get("job"),
            changes=tuple(fields["changes"]),
            identity=fields["identity"],
        )


@dataclass(frozen=True, kw_only=True)
class StateHeader:
    """What a training state says of itself, besides its arrays."""

    step: int
    finished: bool
    plan: Plan
    identity: dict[str, str]
    changes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "StateHeader":
        """Rebuild a header from JSON.

        Raises KeyError or TypeError for another file.
        """
        return cls(
            step=int(fields["step"]),
            finished=bool(fields["finished"]),
            plan=Plan.from_dict(fields["plan"]),
            identity={_renamed(name): value for name, value in fields.get("identity", {}).items()},
            changes=tuple(fields.get("changes", ())),
        )


def _renamed(name: str) -> str:
    """A part of an identity under today's name; 0.1.0 had others for some fields of a recipe."""
    kind, _, field = name.partition(" ")
    return f"{kind} {RENAMED.get(field, field)}" if kind == "recipe" else name


def read_run_config(folder: Path) -> RunConfig:
    """Read a run's `recipe.json`.

    Raises TrainingError if the folder holds no run, or one of another release.
    """
    fields = runfolder.read_config(folder)
    try:
        return RunConfig.from_dict(fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{folder}: expected a run of this release, got another: {error}") from error
