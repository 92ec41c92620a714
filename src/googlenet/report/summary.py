"""What a report tells of the run that made a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """Figures of a run, handed over by training."""

    data: str  # where its photos are, or the word `digits`
    steps: int
    samples: int  # training images
    precision: str
    seed: int
    unreadable: Mapping[str, str]  # images that were skipped, and why
    notes: Sequence[str]  # what may spoil the training
