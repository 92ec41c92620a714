"""How far an exported model is from the network it was made of, as the manifest records it. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

RENAMED = {"labelled": "labeled"}  # in exports of 0.1.0


@dataclass(frozen=True, kw_only=True)
class AccuracyChange:
    """Top-1 accuracy of the network and of its export on the same labeled images, from 0 to 1."""

    labeled: int  # images
    top1_before: float
    top1_after: float
    loss: float  # before less after
    loss_at_least: float  # 95 % interval of the loss
    loss_at_most: float


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The outputs of an export compared with those of the network, on the same images."""

    images: str  # which ones, in words
    count: int
    largest_difference: float  # between logits, relative to the largest logit
    agreement: float  # share of images with the same top class
    sure: int | None = None  # images of which the network is sure; of int8 only, as is the next
    sure_agreement: float | None = None  # share of those with the same top class
    largest_logit: float | None = None  # of float32 only, as is the next
    logit_difference: float | None = None  # in batches of several sizes
    precision_here: str | None = None  # where this machine runs the export in another precision
    agreement_here: float | None = None
    accuracy: AccuracyChange | None = None  # None without labels

    @classmethod
    def from_fields(cls, stored: Mapping[str, Any]) -> "Parity | None":
        """Read what `as_fields` gave; None for an empty mapping. Raises ValueError for anything else."""
        if not stored:
            return None
        fields = {RENAMED.get(name, name): value for name, value in stored.items()}
        return msgspec.convert({**fields, "accuracy": fields if "loss" in fields else None}, cls)

    def as_fields(self) -> dict[str, Any]:
        """Return the values that are known, in one flat object of JSON types."""
        values = msgspec.to_builtins(self)
        values |= values.pop("accuracy") or {}
        return {name: value for name, value in values.items() if value is not None}
