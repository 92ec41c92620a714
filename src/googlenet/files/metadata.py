"""What a model says of itself, in a model file's header and in an export's manifest alike. No torch."""

import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import Preprocessing, dialect
from googlenet.architecture.table1 import check_size
from googlenet.base.errors import InputError, ModelFileError, one_line
from googlenet.base.text import abbreviate
from googlenet.calibration.ood import OutlierDetector, Statistics

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

    def __post_init__(self) -> None:
        """Refuse what no model can say of itself: ValueError with what was expected."""
        if not self.classes or not all(isinstance(name, str) for name in self.classes):
            raise ValueError(f"expected names of classes, got {str(self.classes)[:60]}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("expected each class once, got a name twice")
        for name in ("recipe", "data", "metrics", "versions"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(f"expected {name} as an object, got {getattr(self, name)!r}")
        if not _is_number(self.temperature) or not 0 < self.temperature < math.inf:
            raise ValueError(f"expected a temperature above 0, got {self.temperature!r}")
        threshold = self.energy_threshold
        if threshold is not None and not (_is_number(threshold) and math.isfinite(threshold)):
            raise ValueError(f"expected a finite energy_threshold, got {threshold!r}")

    def are_outliers(
        self, figures: Statistics, energies: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.bool_] | None:
        """Which photos are unlike the training data, by their pixels or by their logits.

        figures, energies  [N, 9] and [N]
        returns            [N], or None if the model cannot tell
        """
        marks = [self.familiar.is_outlier(figures)] if self.familiar else []
        if self.energy_threshold is not None:
            marks.append(energies > self.energy_threshold)
        return np.logical_or.reduce(marks) if marks else None

    def as_header(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_header(cls, header: Mapping[str, Any], path: Path) -> "ModelMetadata":
        """Rebuild metadata from JSON types.

        Raises ModelFileError if a field is missing, unknown or of the wrong type.
        """
        fields = dict(header)
        check_format(fields.pop("format", None), FORMAT, path, fields.get("versions"))
        try:
            if extra := [name for name in fields if name not in cls.__dataclass_fields__]:
                raise ValueError(f"fields that this release does not know: {abbreviate(extra)}")
            pixels = dict(fields["preprocessing"])
            triples = {name: tuple(map(float, pixels[name])) for name in ("mean", "std")}
            fields["preprocessing"] = Preprocessing(**{**pixels, **triples})
            if not isinstance(fields["classes"], list | tuple):
                raise ValueError(f"expected a list of names, got {str(fields['classes'])[:60]}")
            fields["classes"] = tuple(fields["classes"])
            if fields.get("familiar") is not None:
                fields["familiar"] = OutlierDetector.from_fields(fields["familiar"])
            check_size(fields["preprocessing"].size, stem=dialect(fields["dialect"]).stem)
            return cls(**fields)
        except InputError as error:  # an architecture that is none, or an input that is too small for it
            raise ModelFileError(
                f"{path}: {error}; update googlenet if it was written by a newer one"
            ) from error
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ModelFileError(f"{path}: its header is not that of a model: {one_line(error)}") from error


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


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
