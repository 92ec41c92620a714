"""What a report tells of the run that made a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from googlenet.data.table import Labels


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """How a model of a cross-validation did on the photos of its own fold, which it had not seen."""

    number: int  # from 1
    photos: int
    right: int


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """Figures of a run, handed over by training."""

    data: str  # where its photos are, or the word `digits`
    steps: int
    samples: int  # training images
    precision: str
    seed: int
    labels: Labels | None = None  # the table that the labels are from
    unreadable: Mapping[str, str]  # images that were skipped, and why
    notes: Sequence[str]  # what may spoil the training
