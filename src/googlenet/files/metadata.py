"""What a model says of itself, in a model file's header and in an export's manifest alike. No torch."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import Preprocessing, dialect
from googlenet.architecture.table1 import check_size
from googlenet.base.errors import InputError, ModelFileError, one_line
from googlenet.base.text import abbreviate
from googlenet.calibration.ood import FeatureDetector, Features, OutlierDetector, Statistics

FORMAT = 2  # 1 differs in the checksum of its model file alone


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """What a model says of itself, besides its weights."""

    classes: tuple[str, ...]
    dialect: str
    preprocessing: Preprocessing
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    temperature: float = 1.0  # that the logits are divided by
    energy_threshold: float | None = None  # a photo of more energy is unlike the training data
    familiar: OutlierDetector | None = None  # what photos like the training data look like
    familiar_features: FeatureDetector | None = None  # and what the network makes of them

    def __post_init__(self) -> None:
        """Refuse what no model can say of itself: ValueError with what was expected."""
        if not self.classes:
            raise ValueError("expected names of classes, got none")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("expected each class once, got a name twice")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"expected a temperature above 0, got {self.temperature!r}")
        if self.energy_threshold is not None and not math.isfinite(self.energy_threshold):
            raise ValueError(f"expected a finite energy_threshold, got {self.energy_threshold!r}")

    def are_outliers(
        self,
        figures: Statistics,
        energies: npt.NDArray[np.floating[Any]],
        distances: npt.NDArray[np.floating[Any]] | None = None,
    ) -> npt.NDArray[np.bool_] | None:
        """Which photos are unlike the training data, by their pixels, their features or their logits.

        figures, energies  [N, 9] and [N]
        distances          [N], as `distances` gives them
        returns            [N], or None if the model cannot tell
        """
        marks = [self.familiar.is_outlier(figures)] if self.familiar else []
        if self.energy_threshold is not None:
            marks.append(energies > self.energy_threshold)
        if self.familiar_features and distances is not None:
            marks.append(distances > self.familiar_features.threshold)
        return np.logical_or.reduce(marks) if marks else None

    def distances(self, features: Features | None) -> npt.NDArray[np.float32] | None:
        """How far photos with these features [N, channels] are from the training data: [N].

        None if the model has no such detector, or whatever runs it gave no features.
        """
        if self.familiar_features is None or features is None:
            return None
        return self.familiar_features.distances(features)

    @property
    def has_detector(self) -> bool:
        """Whether it can tell photos that are unlike the training data."""
        tests = (self.familiar, self.familiar_features, self.energy_threshold)
        return any(test is not None for test in tests)

    def as_header(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {"format": FORMAT, **msgspec.to_builtins(self)}

    @classmethod
    def from_header(cls, header: Mapping[str, Any], path: Path) -> "ModelMetadata":
        """Rebuild metadata from JSON types.

        Raises ModelFileError if a field is missing, unknown or of the wrong type.
        """
        fields = dict(header)
        check_format(fields.pop("format", None), FORMAT, path, fields.get("versions"))
        try:
            _check_known(cls, fields)
            if isinstance(kind := fields.get("preprocessing", {}), dict):
                fields["preprocessing"] = kind = _with_fit(kind)
            _check_known(Preprocessing, kind)
            card = msgspec.convert(fields, cls)
            check_size(card.preprocessing.size, stem=dialect(card.dialect).stem)
            _check_features(card)
            return card
        except InputError as error:  # an architecture that is none, or an input that is too small for it
            raise ModelFileError(
                f"{path}: {error}; update googlenet if it was written by a newer one"
            ) from error
        except (ValueError, ArithmeticError) as error:
            raise ModelFileError(f"{path}: its header is not that of a model: {one_line(error)}") from error


def _with_fit(kind: dict[str, Any]) -> dict[str, Any]:
    """Preprocessing as this release has it; files of earlier ones say `warp`, which was all they had.

    Raises ValueError for a `warp` that is neither true nor false.
    """
    if "warp" not in kind:
        return kind
    kind = dict(kind)
    if not isinstance(warp := kind.pop("warp"), bool):
        raise ValueError(f"expected warp true or false, got {warp!r}")
    return {"fit": "squash" if warp else "crop", **kind}


def _check_features(card: ModelMetadata) -> None:
    """Raise ValueError for a detector on more or fewer features than the network has."""
    if card.familiar_features and (own := dialect(card.dialect).features) != card.familiar_features.channels:
        raise ValueError(f"expected a detector on {own} features, got {card.familiar_features.channels}")


def check_format(found: object, newest: int, path: Path, versions: object) -> None:
    """Raise ModelFileError for a file of a format that this release does not read, and say whose it is.

    newest    the format that this release writes; it reads 1 and all since
    versions  of the packages that wrote the file, as it states them
    """
    if type(found) is int and 1 <= found <= newest:
        return
    if type(found) is int and found > newest:
        writer = versions.get("googlenet", "newer") if isinstance(versions, dict) else "newer"
        why = f"it was written by a newer release of googlenet ({str(writer)[:20]}): update googlenet"
    else:
        why = "it was written by another release, or is a training state"
    raise ModelFileError(f"{path}: expected a format of a model from 1 to {newest}, got {found!r}; {why}")


def _check_known(kind: type[ModelMetadata | Preprocessing], given: Iterable[str]) -> None:
    """Raise ValueError for fields that are not of this release: a model must not be half understood."""
    if extra := [name for name in given if name not in kind.__dataclass_fields__]:
        raise ValueError(f"fields that this release does not know: {abbreviate(extra)}")
