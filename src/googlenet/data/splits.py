"""Which images a model is measured on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from googlenet.data.dataset import Dataset, remap_labels
from googlenet.data.folder import DIGITS, open_whole, reopen_data
from googlenet.data.index import Index, content_sample, split_groups, stratified_split
from googlenet.data.table import Labels
from googlenet.files.metadata import ModelMetadata

HELD_OUT = "held-out"  # a split of its own: training photos that a run compares its stages by


def hold_out(data: Dataset, share: float) -> Dataset:
    """Set a share of the training photos of each class aside, by a hash of their names; 0 for none."""
    if not share:
        return data
    train = data.split("train")
    names = [train.name(i) for i in range(len(train))]
    if data.groups is None:
        rest, part = stratified_split(train.labels, names, share=share)
    else:
        part = split_groups(train.labels, [data.groups[name] for name in names], share=share)
        rest = np.setdiff1d(np.arange(len(train)), part)
    if not len(part):  # each class is one group
        return data
    splits = {**data.splits, "train": train.keep(rest), HELD_OUT: train.keep(part)}
    return replace(data, splits=splits)


def choose_split(
    source: str,
    card: ModelMetadata,
    split: str | None,
    *,
    others: Sequence[ModelMetadata] = (),
    labels: Labels | None = None,
) -> tuple[str, Index]:
    """Choose the images to measure: return what they are, in words, and their index.

    split    by default `val` where there is one of its own; in a folder that we would have to cut,
             `val` if it holds photos that the model was trained on, else all of it
    labels   a table of labels; by default they are the names of the class folders
    others   the rest of an ensemble: what any of them was trained on counts as seen
    raises   DataError for classes that the model does not know
    """
    whole = None
    if source != DIGITS and Path(source).is_dir() and split is None:
        whole = open_whole(Path(source), labels, known=card.classes)
    if whole is not None:
        have, everything = whole
        index = remap_labels(everything, have=have, want=card.classes, where=source)
        here = set(content_sample(index, most=len(index)))
        trained = [member.data for member in (card, *others) if here & set(member.data.get("sketch", []))]
        if not trained:
            return f"all of {source}", index
        if len(have) < 2 or not all(data.get("cut") for data in trained):
            return f"all of {source}, which holds photos that the model was trained on", index
    data = reopen_data(source, {**card.data, "labels": labels}, known=card.classes)
    name = split or "val"
    index = remap_labels(data.split(name), have=data.classes, want=card.classes, where=source)
    return f"the {name} split of {source}", index
