"""The files of a finished cross-validation, without any training."""

import json
from pathlib import Path

import numpy as np

from googlenet.crossval.assignment import Folds, assign_folds, labels_of_all, read_table, write_table
from googlenet.crossval.folder import OUT_OF_FOLD, SUSPECTS, CrossValidation
from googlenet.data.dataset_inspection import Pool
from googlenet.data.folder import open_data
from googlenet.evaluation.photo_scores import PhotoScores
from googlenet.files import runfolder
from helpers.painting import COLORS, paint

PHOTOS = 6  # of each class
WRONG = {
    "train/blue/0.jpg": "red",
    "train/red/1.jpg": "green",
    "train/red/2.jpg": "blue",
}  # and what they show


def make_photos(root: Path) -> Path:
    """Photos of three colors in splits, three of them under a wrong label, one of these with a copy."""
    for number, name in enumerate(sorted(COLORS)):
        for i in range(PHOTOS):
            shown = WRONG.get(f"train/{name}/{i}.jpg", name)
            paint(root / "train" / name / f"{i}.jpg", COLORS[shown], seed=100 * number + i)
        paint(root / "val" / name / "0.jpg", COLORS[name], seed=900 + number)
    (root / "train" / "blue" / "copy.jpg").write_bytes((root / "train" / "blue" / "0.jpg").read_bytes())
    return root


def make_run(out: Path, photos: Path) -> Path:
    """The folder of a cross-validation of such photos, which took each for what it shows."""
    data = open_data(str(photos))
    index = data.split("train")
    names = [index.name(i) for i in range(len(index))]
    copies = np.arange(len(index))
    if "blue/copy.jpg" in names:
        copies[names.index("blue/copy.jpg")] = copies[names.index("blue/0.jpg")]
    folds = assign_folds(Pool(index, copies, copies), data.classes, count=3, root=photos, seed=0)
    out.mkdir()
    write_table(out / runfolder.FOLDS, folds)
    folds = read_table(out / runfolder.FOLDS, photos)
    asked = CrossValidation(
        folds=3,
        data=str(photos),
        source=None,
        labels=labels_of_all(out / runfolder.FOLDS),
        settings={},
        versions={},
    )
    asked.write(out)
    shown = [WRONG.get(name.replace("copy", "0"), folds.classes[label]) for name, label in _labeled(folds)]
    probabilities = np.full((len(shown), len(folds.classes)), 0.05, np.float32)
    for row, name in enumerate(shown):
        probabilities[row, folds.classes.index(name)] = 0.9 - 0.01 * row / len(shown)
    numbers = np.arange(len(shown))
    PhotoScores(folds.index, folds.classes, numbers, probabilities, {}).write(out / OUT_OF_FOLD)
    rows = [
        {"path": name, "label": name.split("/")[1], "suggested": suggested, "probability": 0.05}
        for name, suggested in WRONG.items()
    ]
    (out / SUSPECTS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


def _labeled(folds: Folds) -> list[tuple[str, int]]:
    return [(folds.index.name(i), int(folds.index.labels[i])) for i in range(len(folds.index))]
