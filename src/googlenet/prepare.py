"""What a run begins with: the recipe as chosen, data without bad files, and the plan."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from googlenet import plan
from googlenet.data import Data, find_bad, need_every_class, without
from googlenet.errors import DataError
from googlenet.machine import cores
from googlenet.model import WithAuxiliaryHeads
from googlenet.plan import Plan
from googlenet.progress import bar, say
from googlenet.recipe import Recipe, Settings

_NAMED = 12  # classes named in the first line


def checked(data: Data, *, on_bad: str) -> tuple[Data, dict[str, str]]:
    """Decode every image of the training and validation splits before anything is trained.

    returns  the data without bad images, and their paths with the reasons
    raises   DataError naming all of them, unless they may be skipped, or if too little is left
    """
    splits = dict(data.splits)
    listed: dict[str, str] = {}  # by split and name: the folder may be given in another way next time
    named: list[str] = []
    with bar("checking images", len(splits["train"]) + len(splits["val"])) as shown:
        for name in ("train", "val"):
            index = splits[name]
            bad = find_bad(index, workers=cores(), progress=shown.advance)
            listed |= {f"{name}/{index.name(i)}": str(error) for i, error in bad.items()}
            named += [f"  {index.root / index.name(i)}: {error}" for i, error in bad.items()]
            splits[name] = without(index, bad)
    if listed and on_bad == "error":
        raise DataError(
            f"{data.name}: expected readable images, got {len(listed)} that are not; "
            "repair or remove them, or train without them by --on-bad skip:\n" + "\n".join(named)
        )
    if listed:
        say("\n".join([f"skipping {len(listed)} unreadable images:", *named]))
    need_every_class(splits["train"], data.classes, where=data.name)
    if not len(splits["val"]):
        raise DataError(f"{data.name}: expected images to validate on, got none; add photos to a class")
    return replace(data, splits=splits), listed


def same_data(data: Data, config: dict[str, Any]) -> Data:
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


def introduction(data: Data) -> str:
    """Say in a line what a data set holds."""
    counts = ", ".join(f"{len(index)} {name}" for name, index in data.splits.items())
    names = ", ".join(data.classes[:_NAMED]) + ", …" * (len(data.classes) > _NAMED)
    return f"{data.name}: {len(data.classes)} classes ({names}); {counts} images"


def plan_run(
    settings: Settings,
    chosen: Recipe,
    data: Data,
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
    say(
        f"recipe {chosen.name}: {planned.steps} steps of {chosen.batch} images, "
        f"{epochs(planned, chosen):.1f} epochs, at {' then '.join(map(str, pixels))} pixels; "
        f"the finished model is given {planned.size}"
    )
    return planned


def epochs(planned: Plan, chosen: Recipe) -> float:
    """How often the run sees every image."""
    return planned.steps * chosen.batch / planned.samples
