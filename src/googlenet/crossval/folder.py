"""The folder of a cross-validation, and what it says of itself. No torch."""

from pathlib import Path
from typing import Any

import msgspec

from googlenet.base.errors import TrainingError
from googlenet.data.table import Labels
from googlenet.files import runfolder

OUT_OF_FOLD = "out-of-fold.csv"  # a row a photo, as `evaluate --out` writes it
SUSPECTS = "suspects.jsonl"
RELABEL_LOCK = ".relabel.lock"
FEATURES = "features"  # those that all runs share, until the last has its own classifier


class CrossValidation(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, as `recipe.json` has it; `minutes` are for all runs.

    source    the table of labels that was given; None where folders have them
    labels    the table of the folds
    group     what keeps photos together, as it was asked for: `folder`, or a column of that table
    sketch    a sample of the photos, as `index.content_sample` gives it
    settings  of training
    size      pixels of the finished models, once the first run has decided it
    unreadable  photos that were left out, and why
    spent     seconds until now
    """

    folds: int
    data: str
    source: Labels | None
    labels: Labels
    group: str | None = None
    sketch: tuple[str, ...] = ()
    settings: dict[str, Any]
    size: int | None = None
    notes: tuple[str, ...] = ()
    unreadable: dict[str, str] = {}
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
