"""Scores of a split in a file, for whoever puts several runs together."""

from pathlib import Path

import numpy as np

from googlenet.base.errors import ModelFileError
from googlenet.data.index import Index
from googlenet.evaluation.scoring import SplitScores
from googlenet.files import modelfile

SCORES = "scores.safetensors"  # in a run folder


def write_scores(folder: Path, scores: SplitScores, index: Index) -> None:
    """Keep what a model makes of its validation photos.

    Raises WriteError.
    """
    names = [index.name(i) for i in scores.numbers.tolist()]
    modelfile.write(folder / SCORES, {"logits": scores.logits, "figures": scores.figures}, {"photos": names})


def read_scores(folder: Path, number: dict[str, int]) -> SplitScores:
    """The scores that a run kept.

    number  in the index of all photos, of each by name
    raises  ModelFileError if they are not there, were altered, or are of other photos
    """
    path = folder / SCORES
    arrays, header = modelfile.read(path)
    try:
        numbers = np.array([number[name] for name in header["photos"]], dtype=np.int64)
        return SplitScores(arrays["logits"], arrays["figures"], numbers, {})
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: expected scores of photos of this run, got {error}") from error
