"""The events of a run, one line each of `metrics.jsonl`."""

import math
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened after `step` steps, when every photo had been seen `epoch` times."""

    kind: ClassVar[str]
    step: int
    epoch: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types, the kind first."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class TrainingStep(Event):
    """The losses of a step: the sum, the network's own, and the auxiliary heads'."""

    kind = "train"
    total: float
    main: float
    aux1: float
    aux2: float


@dataclass(frozen=True, kw_only=True)
class Validation(Event):
    """The averaged weights on the validation split, at images of `size` pixels."""

    kind = "val"
    top1: float
    top5: float = math.nan
    loss: float = math.nan
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Gradients(Event):
    """Gradient norms at each stage: of the main loss alone, and of all losses."""

    kind = "gradients"
    main_alone: dict[str, float]
    with_heads: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Replanned(Event):
    """A time budget was planned again."""

    kind = "plan"
    steps_before: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something that may spoil the run."""

    kind = "warning"
    text: str


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    """The run cannot go on: why, at which learning rate, and with which images."""

    kind = "stopped"
    text: str
    rate: float
    images: list[str]


KINDS: dict[str, type[Event]] = {
    each.kind: each for each in (TrainingStep, Validation, Gradients, Replanned, Warned, Stopped)
}


def event_from_dict(values: dict[str, Any]) -> Event | None:
    """Rebuild an event from JSON; None for one that this release does not know."""
    kind = KINDS.get(values.get("kind", ""))
    if kind is None:
        return None
    known = {field.name: field for field in fields(kind)}
    needed = {name for name, field in known.items() if field.default is MISSING}
    if not needed <= set(values):
        return None
    return kind(**{name: values[name] for name in known if name in values})
