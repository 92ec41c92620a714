"""Everything that one training process holds, and how it comes about."""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from googlenet.architecture.dialects import dialect, with_stem
from googlenet.architecture.table1 import MIN_SIZE
from googlenet.base.errors import InputError
from googlenet.base.machine import cores
from googlenet.base.progress import echo
from googlenet.data.folder import Dataset
from googlenet.data.index import content_sample, inverse_frequency_weights
from googlenet.files.metadata import ModelMetadata
from googlenet.files.runfolder import RunLog
from googlenet.images.decode import open_image, upright_size
from googlenet.nn.blocks import Dropout
from googlenet.nn.convolution import with_fast_gradients
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads, initialize_weights
from googlenet.training import transfer
from googlenet.training.diagnostics import HeadWatch
from googlenet.training.distributed import ProcessGroup
from googlenet.training.loader import counter_seed
from googlenet.training.optim import EmaWeights, build_optimizer
from googlenet.training.plan import TIMED_AGAIN, Plan, sizes
from googlenet.training.recipe import MODERN, Recipe, Settings, for_small_photos, without_norm
from googlenet.weights import convert

DIALECT = "bn"  # where nobody chose another
_LOOKED_AT = 64  # photos, for their size


class Start(NamedTuple):
    """What training begins with."""

    net: WithAuxiliaryHeads
    recipe: Recipe
    fresh: tuple[str, ...] | None = None  # the beginnings of names that were drawn anew; None for all
    weights: dict[str, Any] | None = None  # where the others came from


@dataclass(kw_only=True)
class Session:
    """Everything that one training process holds."""

    folder: Path
    data: Dataset
    recipe: Recipe
    plan: Plan
    config: dict[str, Any]
    card: ModelMetadata
    net: WithAuxiliaryHeads
    optimizer: torch.optim.SGD
    average: EmaWeights
    log: RunLog
    watch: HeadWatch
    team: ProcessGroup
    together: torch.nn.Module  # `net`, so that its gradients are those of the whole batch
    workers: int
    class_weights: torch.Tensor | None = None  # [classes], of `--balance loss`
    step: int = 0
    saved: float = 0.0
    clock: "Clock | None" = None  # of a time budget

    def at(self) -> dict[str, float]:
        """Where the run is, for its log: how often it has seen every photo."""
        return {"epoch": round(self.step * self.recipe.batch / self.plan.samples, 4)}

    def pixels(self) -> list[int]:
        """Sides of the images of every step."""
        stem = self.net.net.kind.stem
        return sizes(self.recipe, size=self.plan.size, steps=self.plan.steps, stem=stem)


class Clock:
    """A time budget: when to plan the rest of it anew, and how fast the steps were since the last time."""

    def __init__(self, *, end: float) -> None:
        """Start now; `end` is the `time.monotonic()` at which the budget does."""
        self._end, self._began = end, time.monotonic()
        self._last, self._expected, self._due = self._began, 0.0, list(TIMED_AGAIN)

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self._end - time.monotonic()

    def count(self, expected: float) -> bool:
        """Count a step that was to take so many seconds; whether it is time to plan anew."""
        self._expected += expected
        share = (time.monotonic() - self._began) / (self._end - self._began)
        passed = [due for due in self._due if due <= share]
        self._due = self._due[len(passed) :]
        return bool(passed)

    def slower(self) -> float:
        """How many times as long as expected the steps since the last call took."""
        now = time.monotonic()
        found = (now - self._last) / self._expected
        self._last, self._expected = now, 0.0
        return found


def start(settings: Settings, chosen: Recipe, data: Dataset) -> Start:
    """Draw the initial weights, or take the published ones that were asked for.

    raises  InputError for weights of another dialect than the one asked for, or a stage to freeze that
            it has not; ModelFileError, DownloadError, MissingExtraError
    """
    published = convert.load(settings.weights) if settings.weights is not None else None
    name = published.card.dialect if published else settings.dialect or DIALECT
    if settings.dialect not in (None, name):
        raise InputError(f"expected --dialect {name} for these weights, or none, got {settings.dialect}")
    if settings.stem is not None:
        name = with_stem(name, settings.stem)
    if not dialect(name).batch_norm:
        chosen = without_norm(chosen, settings)
    elif published is None and chosen.name == MODERN.name and not data.glyphs:
        chosen = _for_their_size(chosen, settings, data)
    torch.manual_seed(counter_seed(settings.seed, "weights"))
    net = network(data, chosen, name)
    initialize_weights(net, chosen.init)
    if settings.freeze is not None:
        transfer.check_stage(net, settings.freeze)
    if published is None:
        return Start(net, chosen)
    where, stored, card = str(settings.weights), published.arrays, published.card
    fresh = transfer.load_pretrained(net, stored, card, classes=data.classes, where=where)
    echo(transfer.describe_transfer(where, card, fresh, classes=data.classes, recipe=chosen))
    if settings.freeze is not None:
        echo(f"still up to {settings.freeze}, batch statistics included")
    return Start(net, chosen, fresh, {"from": where, "sha256": published.sha256, "data": card.data})


def _for_their_size(chosen: Recipe, settings: Settings, data: Dataset) -> Recipe:
    """The recipe for photos as small or large as a typical training photo."""
    index = data.split("train")
    sample = range(0, len(index), math.ceil(len(index) / _LOOKED_AT))
    side = statistics.median(min(upright_size(open_image(index.read(i)))) for i in sample)
    if side >= MIN_SIZE:
        return chosen
    echo(f"photos of {side:.0f} pixels: they are enlarged, and moved instead of cropped")
    return for_small_photos(chosen, settings, samples=len(index))


def network(data: Dataset, chosen: Recipe, dialect_name: str) -> WithAuxiliaryHeads:
    """Build the network with its heads for a data set, with PyTorch's initial weights."""
    net = GoogLeNet(len(data.classes), dialect_name=dialect_name, dropout=chosen.dropout)
    return WithAuxiliaryHeads(net, dropout=chosen.aux_dropout)


def assemble(
    out: Path,
    data: Dataset,
    chosen: Recipe,
    planned: Plan,
    config: dict[str, Any],
    net: WithAuxiliaryHeads,
    *,
    settings: Settings,
    team: ProcessGroup,
) -> Session:
    """Put a session together around a network, new or to be restored."""
    fresh, stage = config.get("fresh"), config.get("freeze")
    net, sgd = trainable(
        net, chosen, fresh=fresh, stage=stage, device=team.device, precision=planned.precision
    )
    take_part(net, team.rows(chosen.batch), chosen.batch)
    return Session(
        folder=out,
        data=data,
        recipe=chosen,
        plan=planned,
        config=config,
        card=_card(data, chosen, planned, config),
        net=net,
        optimizer=sgd,
        average=EmaWeights(net, chosen),
        log=RunLog(out),
        watch=HeadWatch(len(data.classes)),
        team=team,
        together=team.wrap_ddp(net),
        workers=settings.workers if settings.workers is not None else max(1, cores() // 4),
        class_weights=class_weights(data, chosen, team.device),
    )


def take_part(net: torch.nn.Module, rows: range, batch: int) -> None:
    """Let a network that is given these rows of a batch drop what it would in the whole batch."""
    for module in net.modules():
        if isinstance(module, Dropout) and len(rows) < batch:
            module.part = (rows, batch)


def trainable(
    net: WithAuxiliaryHeads,
    chosen: Recipe,
    *,
    fresh: Sequence[str] | None,
    stage: str | None,
    device: str,
    precision: str,
) -> tuple[WithAuxiliaryHeads, torch.optim.SGD]:
    """Bring a network into the form that trains fast, freeze it up to `stage`, and give its optimizer.

    fresh  the beginnings of names that were drawn anew; None for all
    """
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with_fast_gradients(net).train()
    if stage is not None:
        transfer.freeze(net, stage)
    kept = transfer.pretrained_parameters(net, None if fresh is None else tuple(fresh))
    return net, build_optimizer(net, chosen, kept=kept, precision=precision)


def class_weights(data: Dataset, chosen: Recipe, device: str) -> torch.Tensor | None:
    """What each class weighs in the loss; None where all weigh the same."""
    if chosen.balance != "loss":
        return None
    labels = data.split("train").labels
    convert = inverse_frequency_weights(labels, classes=len(data.classes), power=chosen.balance_power)
    return torch.tensor(convert, dtype=torch.float32, device=device)


def _card(data: Dataset, chosen: Recipe, planned: Plan, config: dict[str, Any]) -> ModelMetadata:
    """What the finished model will say of itself; photos keep their shape, as in augmentation."""
    pixels = dialect(config["dialect"]).preprocessing
    before = config.get("weights") or {}
    seen = before.get("data", {})  # by the weights that the run went on from
    return ModelMetadata(
        classes=data.classes,
        dialect=config["dialect"],
        preprocessing=replace(pixels, size=planned.size, crop=chosen.crop, warp=False),
        recipe=chosen.as_dict(),
        data={
            "name": Path(config["data"]).name,
            "sketch": sorted({*content_sample(data.split("train")), *seen.get("sketch", [])}),
            "cut": data.is_our_split and seen.get("cut", True),
            "share": data.val_share,
            "moved": list(data.moved_names),
            **({"changes": config["changes"]} if config["changes"] else {}),
            **({"went_on_from": {"name": before["from"], "sha256": before["sha256"]}} if before else {}),
        },
        versions=config["versions"],
    )
