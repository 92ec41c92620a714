"""The events of a run, one line each of `metrics.jsonl`: the kind first, then the fields."""

import math
from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Something that happened after `step` steps, when every photo had been seen `epoch` times."""

    step: int
    epoch: float


class TrainingStep(Event, frozen=True, kw_only=True, tag="train"):
    """The losses of a step: the sum, the network's own, and the auxiliary heads'; and its learning rate."""

    total: float
    main: float
    aux1: float
    aux2: float
    rate: float | None = None  # None in logs of earlier releases


class Validation(Event, frozen=True, kw_only=True, tag="val"):
    """The averaged weights on the validation split, at images of `size` pixels."""

    top1: float
    top5: float = math.nan
    loss: float = math.nan
    size: int | None = None


class Gradients(Event, frozen=True, kw_only=True, tag="gradients"):
    """Gradient norms at each stage: of the main loss alone, and of all losses."""

    main_alone: dict[str, float]
    with_heads: dict[str, float]


class Replanned(Event, frozen=True, kw_only=True, tag="plan"):
    """A time budget was planned again."""

    steps_before: int
    steps: int


class StageEnded(Event, frozen=True, kw_only=True, tag="stage"):
    """A stage of a run from pretrained weights ended: what it reached on training photos held out."""

    stage: int
    seconds: float
    held_out: int  # photos
    right: int | None = None
    kept: bool | None = None  # whether the finished model has something of this stage; known at the end
    share: float | None = None  # how much of its weights, from 0 to 1


class Warned(Event, frozen=True, kw_only=True, tag="warning"):
    """Something that may spoil the run."""

    text: str


class Stopped(Event, frozen=True, kw_only=True, tag="stopped"):
    """The run cannot go on: why, at which learning rate, and with which images."""

    text: str
    rate: float
    images: list[str]


AnyEvent = TrainingStep | Validation | Gradients | Replanned | StageEnded | Warned | Stopped


def event_from_dict(values: dict[str, Any]) -> AnyEvent | None:
    """Rebuild an event from JSON types; None for one that this release does not know."""
    try:
        event: AnyEvent = msgspec.convert(values, AnyEvent)
        return event
    except msgspec.ValidationError:
        return None
