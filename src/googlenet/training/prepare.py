"""What a run begins with: checked images, the data of its first session, its first batch."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from googlenet.base.errors import DataError, GoogLeNetError, ImageError
from googlenet.base.progress import echo, progress_bar
from googlenet.base.text import abbreviate
from googlenet.data.dataset import Dataset
from googlenet.data.dataset_inspection import (
    MUCH_CUT_OFF,
    DatasetInspection,
    check_bad_images,
    inspect_dataset,
    training_data,
)
from googlenet.data.folder import DIGITS, reopen_data
from googlenet.data.index import Index
from googlenet.data.splits import hold_out
from googlenet.images.decode import Pixels
from googlenet.images.leftovers import find_leftovers
from googlenet.training.decision.decide import Decision
from googlenet.training.decision.run_config import RunConfig
from googlenet.training.loader import Batches

FIRST = 16  # images of the first batch that a report shows
_NAMED = 12  # classes named in the first line


def check_images(
    data: Dataset, *, on_bad: str, fit: str = "crop"
) -> tuple[Dataset, dict[str, str], list[str]]:
    """Look at every image of the training and validation splits before anything is trained.

    fit      how the photos will become squares
    returns  the data without bad images, and with copies on one side of a cut of ours; the bad ones with the
             reasons; what else may spoil the training, a line each
    raises   DataError naming all bad images, unless they may be skipped, or if too little is left
    """
    found, notes = inspect(data, on_bad=on_bad, fit=fit)
    return training_data(found), {found.name(i): str(error) for i, error in found.bad.items()}, notes


def inspect(data: Dataset, *, on_bad: str, fit: str) -> tuple[DatasetInspection, list[str]]:
    """Look at every image of the training and validation splits, and say what may spoil the training.

    Raises DataError naming all bad images, unless they may be skipped, or if too little is left.
    """
    with progress_bar("checking images", len(data.split("train")) + len(data.split("val"))) as shown:
        found = inspect_dataset(data, ("train", "val"), progress=shown.advance)
    if named := check_bad_images(found, on_bad=on_bad):
        echo("\n".join([f"skipping {len(named)} unreadable images:", *named]))
    training_data(found)
    notes = found.notes()
    if fit == "crop" and found.cut_off >= MUCH_CUT_OFF:
        notes.append(
            f"{100 * found.cut_off:.0f} % of the photos' area is outside of their middle squares, which are "
            "all that the model will see; --fit squash or pad shows it all of them"
        )
    left = find_leftovers([] if data.name == DIGITS else [Path(data.name)])
    if left.photos:
        notes.append(left.lines()[0])
    for note in notes:
        echo(f"warning: {note}")
    if notes and data.name != DIGITS:
        echo(f"googlenet check {data.name} tells more")
    for line in left.lines()[bool(left.photos) :]:  # nothing to worry about
        echo(line)
    return found, notes


def data_of_run(data: Dataset, config: RunConfig) -> Dataset:
    """The data of the first session, without the images that it skipped, and with those held out apart.

    Raises DataError if the classes are others: what is trained for them has its place in the network.
    """
    splits = dict(data.splits)
    for name in ("train", "val"):
        index = splits[name]
        kept = [i for i in range(len(index)) if f"{name}/{index.name(i)}" not in config.unreadable]
        splits[name] = index.keep(np.array(kept, dtype=np.int64))
    if data.classes != config.classes:
        gone = [name for name in config.classes if name not in data.classes]
        new = [name for name in data.classes if name not in config.classes]
        raise DataError(
            f"{config.data}: expected the classes that the run began with, got others (missing "
            f"{', '.join(map(repr, gone)) or 'none'}, new {', '.join(map(repr, new)) or 'none'}); put them "
            "back, or train anew with --weights of this run"
        )
    return hold_out(replace(data, splits=splits), config.decision.held_out)


def describe_data(data: Dataset) -> str:
    """Say in a line what a data set holds."""
    counts = ", ".join(f"{len(index)} {name}" for name, index in data.splits.items())
    names = abbreviate(data.classes, most=_NAMED)
    return f"{data.name}: {len(data.classes)} classes ({names}); {counts} images"


def first_batch(index: Index, decision: Decision) -> tuple[Pixels, list[int]] | None:
    """The first images of a run as the network is given them, uint8 [N, size, size, 3], and their labels.

    None if one of them cannot be read any more, or if the run has no steps.
    """
    if not decision.plan.steps:
        return None
    rows = range(min(FIRST, decision.recipe.batch))
    batches = Batches(index, decision.recipe, sizes=decision.pixels(), seed=decision.plan.seed, rows=rows)
    batch = batches[0]
    if isinstance(batch, ImageError):
        return None
    return batch.images.numpy(), batch.labels[: len(rows)].tolist()


def first_batch_again(config: RunConfig) -> tuple[Pixels, list[int]] | None:
    """The same of a run that was made; None if its data is not there as it was."""
    try:
        data = data_of_run(reopen_data(config.data, config.as_dict()), config)
        if len(data.split("train")) == config.decision.plan.samples:
            return first_batch(data.split("train"), config.decision)
    except GoogLeNetError as error:
        echo(f"the report shows no training images: {error}")
    return None
