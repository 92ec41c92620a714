"""The folder of a cross-validation, and what it says of itself. No torch."""

from pathlib import Path
from typing import Any

import msgspec

from googlenet.base.errors import TrainingError
from googlenet.data.table import Labels
from googlenet.files import runfolder

OUT_OF_FOLD = "out-of-fold.csv"  # a row a photo, as `evaluate --out` writes it
SUSPECTS = "suspects.jsonl"
FEATURES = "features"  # those that all runs share, until the last has its own classifier


class CrossValidation(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, as `recipe.json` has it; `minutes` are for all runs.

    source    the table of labels that was given; None where folders have them
    labels    the table of the folds
    settings  of training
    spent     seconds, of processes that have ended
    """

    folds: int
    data: str
    source: Labels | None
    labels: Labels
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    versions: dict[str, str]
    spent: float = 0.0

    def write(self, out: Path) -> None:
        """Write it into a folder; raises WriteError."""
        runfolder.write_config(out, msgspec.to_builtins(self))


def is_cross_validation(out: Path) -> bool:
    """Whether a folder holds the runs of one, finished or not."""
    return (out / runfolder.FOLDS).is_file()


def read_cross_validation(out: Path) -> CrossValidation:
    """Read what a folder says of itself; raises TrainingError if it holds no cross-validation."""
    try:
        return msgspec.convert(runfolder.read_config(out), CrossValidation)
    except ValueError as error:
        raise TrainingError(
            f"{out}: expected a cross-validation of this release, got another: {error}"
        ) from error


def fold_folder(out: Path, number: int) -> Path:
    """The run that is measured on a fold, counted from 1."""
    return out / f"fold-{number}"
