"""Training: from a data set and a recipe to a run folder, exactly resumable."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from googlenet.architecture.dialects import dialect
from googlenet.base import machine
from googlenet.base.errors import InputError, TrainingError
from googlenet.base.progress import echo
from googlenet.base.version import versions
from googlenet.data.dataset import Dataset
from googlenet.data.folder import DIGITS, open_data, reopen_data
from googlenet.data.index import fingerprint
from googlenet.data.splits import hold_out
from googlenet.data.table import labels_at
from googlenet.evaluation.metrics import Metrics
from googlenet.files import runfolder
from googlenet.files.modelfile import Arrays
from googlenet.nn import checkpoint
from googlenet.nn.model import WithAuxiliaryHeads
from googlenet.training import hardware, prepare, reproducibility, state
from googlenet.training.decision.decide import decide, gains_from_weights
from googlenet.training.decision.plan import Plan, extend_plan
from googlenet.training.decision.run_config import (
    RunConfig,
    StartingWeights,
    StateHeader,
    read_run_config,
)
from googlenet.training.decision.settings import (
    Settings,
    check_new_run_settings,
    check_resume_settings,
    check_settings,
)
from googlenet.training.distributed import ProcessGroup, join_process_group
from googlenet.training.loggers import Logger, TensorBoard, attach, detach
from googlenet.training.loop import Interrupted, run_to_end
from googlenet.training.session import BudgetClock, Fold, Session, new_session
from googlenet.training.transfer import pretrained
from googlenet.weights import convert

HINT = "photos like these learn more in less time from ImageNet's weights: --weights bvlc (docs/transfer.md)"


class Beginning(NamedTuple):
    """What the first process found and decided, for all of them."""

    data: Dataset
    config: RunConfig
    net: WithAuxiliaryHeads


class Resumed(NamedTuple):
    """What it found in a run folder to go on from."""

    begin: Beginning
    stored: Arrays
    header: StateHeader


def train(
    source: str,
    out: Path,
    settings: Settings,
    *,
    started: float | None = None,
    loggers: Sequence[Logger] = (),
    fold: Fold | None = None,
) -> Metrics | Interrupted | None:
    """Train on a data set into a new run folder; started by torchrun, together with its other processes.

    started  `time.monotonic()` when the process began; the clock of `minutes` counts from there
    loggers  are told what happens, in the first of several processes
    fold     what the run has from others of a cross-validation; then its photos were inspected
    returns  the validation metrics of the finished model, or that a signal stopped the run; None from all
             but the first of several processes
    raises   a GoogLeNetError before anything is written if the choices or the data cannot be right
    """
    began = time.monotonic() if started is None else started
    check_new_run_settings(settings)
    check_settings(settings)
    with process_group(settings) as team:
        if team.broadcast(lambda: runfolder.was_started_by_this_job(out)):
            echo("torchrun started this job again")
            if team.broadcast(lambda: state.has_state(out)):
                return _resume(out, settings, team, source=source, again=True, loggers=loggers)
            settings = replace(settings, force=True)
        begin = team.broadcast(
            lambda: begin_run(source, out, settings, team, began=began, inspected=fold is not None)
        )
        with _locked(out, team):
            team.broadcast(lambda: runfolder.create_run_folder(out, begin.config.as_dict()))
            run = new_session(out, *begin, workers=settings.workers, team=team, fold=fold)
            if settings.minutes is not None and team.is_main:
                run.clock = BudgetClock(end=began + 60 * settings.minutes)
            outcome = _run(run, settings, loggers)
            if (
                fold is None
                and isinstance(outcome, Metrics)
                and gains_from_weights(begin.config.weights, begin.config.decision.recipe, begin.data)
            ):
                echo(HINT)
            return outcome


def process_group(settings: Settings) -> AbstractContextManager[ProcessGroup]:
    """Set this process up for training, before a step is timed, and meet the others."""
    torch.set_flush_denormal(True)  # tiny gradients otherwise slow every product down
    machine.retain_freed_memory()
    return join_process_group(hardware.choose_device(settings.device))


def begin_run(
    source: str, out: Path, settings: Settings, team: ProcessGroup, *, began: float, inspected: bool = False
) -> Beginning:
    """Check the data, unless its photos were inspected before, decide, and build the network."""
    runfolder.check_run_folder(out, force=settings.force)
    table = labels_at(settings.labels, settings.columns, settings.group)
    data = open_data(source, labels=table, group=settings.group)
    if not data.has_folders and Path(source).resolve() in out.resolve().parents:
        raise InputError(
            f"expected --out outside of the data, got {out}: it would become a class of {source}"
        )
    bad, notes = dict[str, str](), list[str]()
    if not inspected:
        data, bad, notes = prepare.check_images(data, on_bad=settings.on_bad, fit=settings.fit)
    echo(prepare.describe_data(data))
    here = hardware.this_machine(settings, device=team.device, processes=team.size)
    echo(hardware.describe(here))
    published = _starting_weights(settings.weights)
    decision = decide(settings, data, published.card if published else None, here, began=began)
    net = pretrained.new_network(
        decision.recipe, decision.dialect, classes=len(data.classes), seed=settings.seed
    )
    fresh, weights = None, None
    if published is not None:
        where, card = str(settings.weights), published.card
        fresh = pretrained.load_pretrained(net, published.arrays, card, classes=data.classes, where=where)
        weights = StartingWeights(name=where, sha256=published.sha256, data=card.data)
        echo("\n".join(pretrained.describe_transfer(where, card, fresh, decision)))
    echo("\n".join(decision.lines()))
    whole, data = data, hold_out(data, decision.held_out)
    config = RunConfig(
        data=str(Path(source).resolve()) if source != DIGITS else source,
        decision=decision,
        fresh=fresh,
        weights=weights,
        labels=table,
        classes=data.classes,
        fingerprint=fingerprint(whole.split("train")),
        share=data.val_share,
        group=data.grouped_by,
        moved=data.moved_names,
        unreadable=bad,
        notes=tuple(notes),
        versions=versions(),
        job=machine.job_id(),
        in_folds=inspected,
        identity=reproducibility.run_identity(data, decision, fresh, device=team.device),
    )
    return Beginning(data, config, net)


def _starting_weights(name: str | None) -> convert.PretrainedWeights | None:
    """The weights of a name, if there is one; raises InputError for those of several networks."""
    found = convert.load(name) if name is not None else None
    if found is not None and dialect(found.card.dialect).members > 1:
        raise InputError(
            f"expected one network to go on from, got {name}, {found.card.dialect}, which is several side by "
            "side; name one run of its cross-validation, as RUN/fold-1"
        )
    return found


def resume(
    out: Path,
    settings: Settings,
    *,
    source: str | None = None,
    loggers: Sequence[Logger] = (),
    fold: Fold | None = None,
) -> Metrics | Interrupted | None:
    """Go on with a run, or with `settings.epochs` extend it; the outcome is as if it never stopped.

    source  where the data is now, if it was moved
    fold    as for `train`
    raises  TrainingError if there is nothing to resume, if another process trains there, or if data,
            recipe, versions or processor changed since; DataError if the classes did
    """
    check_resume_settings(settings)
    with process_group(settings) as team:
        return _resume(out, settings, team, source=source, loggers=loggers, fold=fold)


def _resume(
    out: Path,
    settings: Settings,
    team: ProcessGroup,
    *,
    source: str | None,
    again: bool = False,
    loggers: Sequence[Logger] = (),
    fold: Fold | None = None,
) -> Metrics | Interrupted | None:
    """Go on from the state that the first process reads; `again` if torchrun wants it and not the user."""
    config = team.broadcast(lambda: read_run_config(out))
    with _locked(out, team):
        resumed = team.broadcast(lambda: _load(out, config, settings, team, source=source, again=again))
        if resumed is None:
            echo(f"{out} is finished")
            return None
        run = _restored(out, resumed, settings, team)
        run.fold = fold
        return _run(run, settings, loggers)


def _run(run: Session, settings: Settings, loggers: Sequence[Logger]) -> Metrics | Interrupted | None:
    """Train to the end or to a signal, and tell loggers what happens."""
    if run.team.is_main:
        own = [TensorBoard(run.folder / "tensorboard", step=run.step)] if settings.log else []
        if every := [*own, *loggers]:
            first = prepare.first_batch(run.data.split("train"), run.config.decision)
            attach(run.log, every, run.config.as_dict(), first[0] if first else None)
    try:
        return run_to_end(run)
    finally:
        detach(run.log)


@contextmanager
def _locked(out: Path, team: ProcessGroup) -> Iterator[None]:
    """Keep other trainers out of the run folder; the first process does it for all."""
    with ExitStack() as stack:
        team.broadcast(lambda: stack.enter_context(runfolder.lock_run(out)))
        yield


def _load(
    out: Path, config: RunConfig, settings: Settings, team: ProcessGroup, *, source: str | None, again: bool
) -> Resumed | None:
    """The last whole state, if it may be gone on from; None if torchrun wants it but it is the last.

    Nothing is written if it is refused.
    """
    stored, fields, warnings = state.load_state(out, strict=settings.strict)
    try:
        header = StateHeader.from_dict(fields)
    except ValueError as error:
        raise TrainingError(f"{out}: expected a run of this release, got another: {error}") from error
    for warning in warnings:
        echo(f"warning: {warning}")
    if again and header.finished:
        return None
    plan = _plan_to_go_on_with(out, config, header, epochs=None if again else settings.epochs)
    data = prepare.data_of_run(reopen_data(source or config.data, _record(config, source)), config)
    decision = config.decision
    net = pretrained.build_network(decision.recipe, decision.dialect, classes=len(data.classes))
    identity = reproducibility.run_identity(data, decision, config.fresh, device=team.device)
    changed = reproducibility.check_changes(
        header.identity, identity, accepted=settings.accept_changes, where=str(out)
    )
    news = [f"after step {header.step}: {line}" for line in changed]
    plan = replace(plan, samples=len(data.split("train")))
    config = replace(config.with_plan(plan), identity=identity, changes=(*header.changes, *news))
    echo("\n".join([f"going on from step {header.step} of {plan.steps}", *news]))
    return Resumed(Beginning(data, config, net), stored, header)


def _record(config: RunConfig, source: str | None) -> dict[str, Any]:
    """What a run says of its data; a table that lay in a folder which was moved is where that is now."""
    record = config.as_dict()
    if source is not None and config.labels is not None:
        with suppress(ValueError):  # it lay elsewhere
            inside = Path(config.labels.file).relative_to(config.data)
            record["labels"] = {**record["labels"], "file": str(Path(source).absolute() / inside)}
    return record


def _plan_to_go_on_with(out: Path, config: RunConfig, header: StateHeader, *, epochs: int | None) -> Plan:
    """The plan that the state was reached by, or made to last more epochs.

    Raises InputError for a finished run that is not to last longer.
    """
    recipe = config.decision.recipe
    if epochs is not None:
        return extend_plan(header.plan, recipe, epochs=epochs, finished=header.finished)
    if header.finished:
        raise InputError(
            f"{out} is finished after {header.plan.epochs(recipe):.1f} epochs; "
            "make it longer with --resume --epochs N"
        )
    return header.plan


def _restored(out: Path, resumed: Resumed, settings: Settings, team: ProcessGroup) -> Session:
    """The session as it was when its last whole state was saved."""
    begin, stored, header = resumed
    torch.set_num_threads(begin.config.decision.plan.threads)
    run = new_session(out, *begin, workers=settings.workers, team=team)
    checkpoint.load_arrays(run.net, stored, where=str(out), prefix="net.")
    checkpoint.load_arrays(run.average.net, stored, where=str(out), prefix="average.")
    state.restore_momenta(run.net, run.optimizer, stored)
    run.step, run.first_stage = header.step, header.first_stage
    team.broadcast(lambda: _forget_after(run))
    return run


def _forget_after(run: Session) -> None:
    runfolder.write_config(run.folder, run.config.as_dict())
    state.forget_after(run.folder, run.step)
    run.log.cut(run.step)
