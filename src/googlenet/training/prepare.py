"""What a run begins with: the recipe as chosen, data without bad files, the plan, the first batch."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from googlenet.architecture.dialects import dialect
from googlenet.base.errors import DataError, GoogLeNetError, ImageError
from googlenet.base.progress import echo, progress_bar
from googlenet.base.text import abbreviate
from googlenet.data.dataset_inspection import check_bad_images, inspect_dataset, training_data
from googlenet.data.folder import DIGITS, Dataset, reopen_data
from googlenet.data.index import Index
from googlenet.images.decode import Pixels
from googlenet.nn.model import WithAuxiliaryHeads
from googlenet.training import plan
from googlenet.training.loader import Batches
from googlenet.training.plan import Plan
from googlenet.training.recipe import Recipe, Settings

FIRST = 16  # images of the first batch that a report shows
_NAMED = 12  # classes named in the first line


def checked(data: Dataset, *, on_bad: str) -> tuple[Dataset, dict[str, str], list[str]]:
    """Look at every image of the training and validation splits before anything is trained.

    returns  the data without bad images, and with copies on one side of a cut of ours; the bad ones with the
             reasons; what else may spoil the training, a line each
    raises   DataError naming all bad images, unless they may be skipped, or if too little is left
    """
    with progress_bar("checking images", len(data.split("train")) + len(data.split("val"))) as shown:
        found = inspect_dataset(data, ("train", "val"), progress=shown.advance)
    if named := check_bad_images(found, on_bad=on_bad):
        echo("\n".join([f"skipping {len(named)} unreadable images:", *named]))
    kept, notes = training_data(found), found.notes()
    for note in notes:
        echo(f"warning: {note}")
    if notes and data.name != DIGITS:
        echo(f"googlenet check {data.name} tells more")
    return kept, {found.name(i): str(error) for i, error in found.bad.items()}, notes


def same_data(data: Dataset, config: dict[str, Any]) -> Dataset:
    """The data of the first session, without the images that it skipped.

    Raises DataError if the classes are others: what is trained for them has its place in the network.
    """
    splits = dict(data.splits)
    for name in ("train", "val"):
        index = splits[name]
        kept = [i for i in range(len(index)) if f"{name}/{index.name(i)}" not in config["unreadable"]]
        splits[name] = index.keep(np.array(kept, dtype=np.int64))
    if list(data.classes) != config["classes"]:
        gone = [name for name in config["classes"] if name not in data.classes]
        new = [name for name in data.classes if name not in config["classes"]]
        raise DataError(
            f"{config['data']}: expected the classes that the run began with, got others (missing "
            f"{', '.join(map(repr, gone)) or 'none'}, new {', '.join(map(repr, new)) or 'none'}); put them "
            "back, or train anew with --weights of this run"
        )
    return replace(data, splits=splits)


def introduction(data: Dataset) -> str:
    """Say in a line what a data set holds."""
    counts = ", ".join(f"{len(index)} {name}" for name, index in data.splits.items())
    names = abbreviate(data.classes, most=_NAMED)
    return f"{data.name}: {len(data.classes)} classes ({names}); {counts} images"


def plan_run(
    settings: Settings,
    chosen: Recipe,
    data: Dataset,
    net: WithAuxiliaryHeads,
    *,
    begun: float,
    device: str,
    precision: str,
) -> Plan:
    """Fix sizes and steps, and say them."""
    fixed = {"precision": precision, "threads": torch.get_num_threads(), "seed": settings.seed}
    index, stem = data.split("train"), net.net.kind.stem
    if settings.minutes is None:
        count = settings.epochs if settings.epochs is not None else chosen.epochs
        planned = plan.for_epochs(chosen, index, epochs=count, size=settings.size, stem=stem, **fixed)
    else:
        end = begun + 60 * settings.minutes
        planned = plan.for_minutes(
            chosen,
            index,
            net,
            left=lambda: end - time.monotonic(),
            size=settings.size,
            looks_at=len(data.split("val")),
            device=device,
            **fixed,
        )
    pixels = sorted(set(plan.sizes(chosen, size=planned.size, steps=planned.steps, stem=stem)))
    echo(
        f"recipe {chosen.name}: {planned.steps} steps of {chosen.batch} images, "
        f"{epochs(planned, chosen):.1f} epochs, at {' then '.join(map(str, pixels))} pixels; "
        f"the finished model is given {planned.size}"
    )
    return planned


def epochs(planned: Plan, chosen: Recipe) -> float:
    """How often the run sees every image."""
    return planned.steps * chosen.batch / planned.samples


def first_batch(index: Index, chosen: Recipe, planned: Plan, *, stem: int) -> tuple[Pixels, list[int]] | None:
    """The first images of a run as the network is given them, uint8 [N, size, size, 3], and their labels.

    None if one of them cannot be read any more.
    """
    pixels = plan.sizes(chosen, size=planned.size, steps=planned.steps, stem=stem)
    rows = range(min(FIRST, chosen.batch))
    batch = Batches(index, chosen, sizes=pixels, seed=planned.seed, rows=rows)[0]
    if isinstance(batch, ImageError):
        return None
    return batch.images.numpy(), batch.labels[: len(rows)].tolist()


def first_batch_again(config: dict[str, Any]) -> tuple[Pixels, list[int]] | None:
    """The same of a run that was made; None if its data is not there as it was."""
    try:
        data = same_data(reopen_data(config["data"], config), config)
        recipe, planned = Recipe.from_dict(config["recipe"]), Plan.from_dict(config["plan"])
        if len(data.split("train")) == planned.samples:
            stem = dialect(config["dialect"]).stem
            return first_batch(data.split("train"), recipe, planned, stem=stem)
    except GoogLeNetError as error:
        echo(f"the report shows no training images: {error}")
    return None
