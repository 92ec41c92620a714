"""Everything that one training process holds, and how it comes about."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from googlenet.architecture.dialects import dialect
from googlenet.base.machine import cores
from googlenet.data.dataset import Dataset
from googlenet.data.index import Index, content_sample, inverse_frequency_weights
from googlenet.data.splits import HELD_OUT
from googlenet.files.metadata import ModelMetadata
from googlenet.files.runfolder import RunLog
from googlenet.nn.blocks import Dropout
from googlenet.nn.convolution import with_fast_gradients
from googlenet.nn.model import WithAuxiliaryHeads
from googlenet.training.decision.plan import REPLAN_AT, Plan
from googlenet.training.decision.recipe import Recipe
from googlenet.training.decision.run_config import FirstStage, RunConfig
from googlenet.training.diagnostics import HeadWatch
from googlenet.training.distributed import ProcessGroup
from googlenet.training.optim import EmaWeights, build_optimizer
from googlenet.training.transfer.pretrained import freeze, pretrained_parameters


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What a run of a cross-validation has from the others."""

    folder: Path  # of all of them
    pool: Index  # the photos of all, which were inspected
    features: Path  # where their features are kept, for a first stage


@dataclass(kw_only=True)
class Session:
    """Everything that one training process holds."""

    folder: Path
    data: Dataset
    config: RunConfig
    card: ModelMetadata
    net: WithAuxiliaryHeads
    optimizer: torch.optim.SGD
    average: EmaWeights
    log: RunLog
    watch: HeadWatch
    team: ProcessGroup
    wrapped: torch.nn.Module  # `net`, so that its gradients are those of the whole batch
    workers: int
    class_weights: torch.Tensor | None = None  # [classes], of `--balance loss`
    step: int = 0
    saved: float = 0.0  # time.monotonic() of the last training state
    clock: "BudgetClock | None" = None
    first_stage: FirstStage | None = None  # once it is done
    fold: Fold | None = None  # where the run is one of several on the same photos

    @property
    def recipe(self) -> Recipe:
        """How it trains."""
        return self.config.decision.recipe

    @property
    def plan(self) -> Plan:
        """How long it trains, as planned last."""
        return self.config.decision.plan

    @property
    def epoch(self) -> float:
        """How often the run has seen every photo."""
        return round(self.step * self.recipe.batch / self.plan.samples, 4)

    @property
    def first_stage_is_due(self) -> bool:
        """Whether the run begins with a stage that it has not been through yet."""
        return self.config.decision.first_stage and self.first_stage is None

    def at(self) -> dict[str, Any]:
        """Where the run is, as every event of its log says."""
        return {"step": self.step, "epoch": self.epoch}


class StopRequested(Exception):
    """A signal arrived: at this process, or at another that trains with it."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__(number)
        self.number = number


def agreed(run: Session, caught: list[int], *, due: bool = False) -> bool:
    """Whether something is due in any process; then it is in all.

    Raises StopRequested in all of them if one caught a signal.
    """
    number, any_due = run.team.all_max(caught[0] if caught else 0, due)
    if number:
        raise StopRequested(number)
    return bool(any_due)


class BudgetClock:
    """A time budget: when to plan the rest of it again, and how fast the steps were since the last time."""

    def __init__(self, *, end: float) -> None:
        """Start now; `end` is the `time.monotonic()` at which the budget does."""
        self._end, self._began = end, time.monotonic()
        self._last, self._expected, self._due = self._began, 0.0, list(REPLAN_AT)

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self._end - time.monotonic()

    def restarted(self) -> "BudgetClock":
        """The rest of the budget as one of its own."""
        return BudgetClock(end=self._end)

    def count(self, expected: float) -> bool:
        """Count a step that was to take so many seconds; whether it is time to plan again."""
        self._expected += expected
        share = (time.monotonic() - self._began) / (self._end - self._began)
        passed = [due for due in self._due if due <= share]
        self._due = self._due[len(passed) :]
        return bool(passed)

    def slowdown(self) -> float:
        """How many times as long as expected the steps since the last call took."""
        now = time.monotonic()
        factor = (now - self._last) / self._expected
        self._last, self._expected = now, 0.0
        return factor


def new_session(
    out: Path,
    data: Dataset,
    config: RunConfig,
    net: WithAuxiliaryHeads,
    *,
    workers: int | None,
    team: ProcessGroup,
    fold: Fold | None = None,
) -> Session:
    """Put a session together around a network, new or to be restored."""
    recipe, plan = config.decision.recipe, config.decision.plan
    net, sgd = ready_to_train(
        net,
        recipe,
        fresh=config.fresh,
        stage=config.decision.freeze,
        device=team.device,
        precision=plan.precision,
    )
    take_part(net, team.rows(recipe.batch), recipe.batch)
    return Session(
        folder=out,
        data=data,
        config=config,
        card=describe_model(data, config),
        net=net,
        optimizer=sgd,
        average=EmaWeights(net, recipe),
        log=RunLog(out),
        watch=HeadWatch(len(data.classes)),
        team=team,
        wrapped=team.wrap_ddp(net),
        workers=workers if workers is not None else max(1, cores() // 4),
        class_weights=class_weights(data, recipe, team.device),
        fold=fold,
    )


def take_part(net: torch.nn.Module, rows: range, batch: int) -> None:
    """Let a network that is given these rows of a batch drop what it would in the whole batch."""
    for module in net.modules():
        if isinstance(module, Dropout) and len(rows) < batch:
            module.part = (rows, batch)


def ready_to_train(
    net: WithAuxiliaryHeads,
    recipe: Recipe,
    *,
    fresh: Sequence[str] | None,
    stage: str | None,
    device: str,
    precision: str,
) -> tuple[WithAuxiliaryHeads, torch.optim.SGD]:
    """Bring a network into the form that trains fast, freeze it up to `stage`, and give its optimizer.

    fresh  the prefixes of parameters that were newly initialized; None for all
    """
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with_fast_gradients(net).train()
    if stage is not None:
        freeze(net, stage)
    kept = pretrained_parameters(net, None if fresh is None else tuple(fresh))
    return net, build_optimizer(net, recipe, kept=kept, precision=precision)


def class_weights(data: Dataset, recipe: Recipe, device: str) -> torch.Tensor | None:
    """What each class weighs in the loss; None where all weigh the same."""
    if recipe.balance != "loss":
        return None
    labels = data.split("train").labels
    weights = inverse_frequency_weights(labels, classes=len(data.classes), power=recipe.balance_power)
    return torch.tensor(weights, dtype=torch.float32, device=device)


def describe_model(data: Dataset, config: RunConfig) -> ModelMetadata:
    """What the finished model will say of itself; photos fit as in augmentation."""
    decision, before = config.decision, config.weights
    seen = before.data if before else {}  # by the weights that the run started from
    return ModelMetadata(
        classes=data.classes,
        dialect=decision.dialect,
        preprocessing=replace(
            dialect(decision.dialect).preprocessing,
            size=decision.plan.size,
            crop=decision.recipe.crop,
            fit=decision.recipe.fit,
        ),
        recipe=msgspec.to_builtins(decision.recipe),
        data={
            "name": Path(config.data).name,
            "sketch": sorted({*_sketch(data), *seen.get("sketch", [])}),
            "cut": data.is_our_split and seen.get("cut", True),
            "share": data.val_share,
            "moved": list(data.moved_names),
            "group": data.grouped_by if data.is_our_split else None,
            **({"changes": list(config.changes)} if config.changes else {}),
            **({"went_on_from": {"name": before.name, "sha256": before.sha256}} if before else {}),
        },
        versions=config.versions,
    )


def _sketch(data: Dataset) -> list[str]:
    """A sample of all photos that the run learns from."""
    parts = [data.splits[name] for name in ("train", HELD_OUT) if name in data.splits]
    return [name for part in parts for name in content_sample(part)]
