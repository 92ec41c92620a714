"""Training: from a data set and a recipe to a run folder, exactly resumable."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from googlenet.base import machine
from googlenet.base.errors import InputError, TrainingError
from googlenet.base.progress import echo
from googlenet.base.version import versions
from googlenet.data.folder import DIGITS, Dataset, open_data, reopen_data
from googlenet.data.index import fingerprint
from googlenet.evaluation import metrics
from googlenet.files import runfolder
from googlenet.files.modelfile import Arrays
from googlenet.nn import checkpoint
from googlenet.nn.model import WithAuxiliaryHeads
from googlenet.training import plan, prepare, reproducibility, state
from googlenet.training.distributed import ProcessGroup, join_process_group
from googlenet.training.loop import Interrupted, run_to_end
from googlenet.training.plan import Plan
from googlenet.training.recipe import Recipe, Settings, base_recipe, gentle, refuse_changes, refuse_of_resumes
from googlenet.training.session import Clock, Session, assemble, network, start


class Beginning(NamedTuple):
    """What the first process found and chose, for all of them."""

    data: Dataset
    recipe: Recipe
    plan: Plan
    config: dict[str, Any]
    net: WithAuxiliaryHeads


class Found(NamedTuple):
    """What it found in a run folder to go on from."""

    begin: Beginning
    stored: Arrays
    step: int


def train(
    source: str, out: Path, settings: Settings, *, started: float | None = None
) -> metrics.Metrics | Interrupted | None:
    """Train on a data set into a new run folder; started by torchrun, together with its other processes.

    started  `time.monotonic()` when the process began; the clock of `minutes` counts from there
    returns  the validation metrics of the finished model, or that a signal stopped the run; None from all
             but the first of several processes
    raises   a GoogLeNetError before anything is written if the choices or the data cannot be right
    """
    begun = time.monotonic() if started is None else started
    refuse_of_resumes(settings)
    base_recipe(settings)
    with _prepared(settings) as team:
        if team.broadcast(lambda: runfolder.was_started_by_this_job(out)):
            echo("torchrun started this job again")
            if team.broadcast(lambda: state.has_state(out)):
                return _go_on(out, settings, team, source=source, again=True)
            settings = replace(settings, force=True)
        begin = team.broadcast(lambda: _begin(source, out, settings, team, begun=begun))
        with _locked(out, team):
            team.broadcast(lambda: runfolder.create_run_folder(out, begin.config))
            run = assemble(out, *begin, settings=settings, team=team)
            if settings.minutes is not None and team.is_main:
                run.clock = Clock(end=begun + 60 * settings.minutes)
            return run_to_end(run)


def _prepared(settings: Settings) -> AbstractContextManager[ProcessGroup]:
    """Set this process up for training, before a step is timed, and meet the others."""
    torch.set_flush_denormal(True)  # tiny gradients otherwise slow every product down
    machine.retain_freed_memory()
    return join_process_group(plan.choose_device(settings.device))


def _begin(source: str, out: Path, settings: Settings, team: ProcessGroup, *, begun: float) -> Beginning:
    """Check the data, choose and plan."""
    chosen = base_recipe(settings)
    runfolder.check_run_folder(out, force=settings.force)
    precision, why = plan.choose_precision(settings.precision, team.device)
    data = open_data(source)
    if not data.has_folders and Path(source).resolve() in out.resolve().parents:
        raise InputError(
            f"expected --out outside of the data, got {out}: it would become a class of {source}"
        )
    chosen = gentle(chosen) if data.glyphs else chosen
    data, bad, notes = prepare.checked(data, on_bad=settings.on_bad)
    echo(prepare.introduction(data))
    several = f", {team.size} processes" if team.size > 1 else ""
    echo(f"training in {precision} on {team.device}: {why}; {torch.get_num_threads()} threads{several}")
    begin = start(settings, chosen, data)
    chosen = begin.recipe
    team.rows(chosen.batch)
    planned = prepare.plan_run(
        settings, chosen, data, begin.net, begun=begun, device=team.device, precision=precision
    )
    config = {
        "data": str(Path(source).resolve()) if source != DIGITS else source,
        "dialect": begin.net.net.dialect.name,
        "fresh": begin.fresh,
        "weights": begin.weights,
        "freeze": settings.freeze,
        "recipe": chosen.as_dict(),
        "plan": planned.as_dict(),
        "classes": list(data.classes),
        "fingerprint": fingerprint(data.split("train")),
        "share": data.val_share,
        "moved": list(data.moved_names),
        "unreadable": bad,
        "notes": notes,
        "versions": versions(),
        "job": machine.job_id(),
        "changes": [],
    }
    config["identity"] = reproducibility.run_identity(data, chosen, config, device=team.device)
    return Beginning(data, chosen, planned, config, begin.net)


def resume(
    out: Path, settings: Settings, *, source: str | None = None
) -> metrics.Metrics | Interrupted | None:
    """Go on with a run, or with `settings.epochs` extend it; the outcome is as if it never stopped.

    source  where the data is now, if it was moved
    raises  TrainingError if there is nothing to resume, if another process trains there, or if data,
            recipe, versions or processor changed since; DataError if the classes did
    """
    refuse_changes(settings)
    with _prepared(settings) as team:
        return _go_on(out, settings, team, source=source)


def _go_on(
    out: Path, settings: Settings, team: ProcessGroup, *, source: str | None, again: bool = False
) -> metrics.Metrics | Interrupted | None:
    """Go on from the state that the first process reads; `again` if torchrun wants it and not the user."""
    config = team.broadcast(lambda: runfolder.read_config(out))
    with _locked(out, team):
        found = team.broadcast(lambda: _find(out, config, settings, team, source=source, again=again))
        if found is None:
            echo(f"{out} is finished")
            return None
        return run_to_end(_restored(out, found, settings, team))


@contextmanager
def _locked(out: Path, team: ProcessGroup) -> Iterator[None]:
    """Keep other trainers out of the run folder; the first process does it for all."""
    with ExitStack() as stack:
        team.broadcast(lambda: stack.enter_context(runfolder.lock_run(out)))
        yield


def _find(
    out: Path,
    config: dict[str, Any],
    settings: Settings,
    team: ProcessGroup,
    *,
    source: str | None,
    again: bool,
) -> Found | None:
    """The last whole state, if it may be gone on from; None if torchrun wants it but it is the last.

    Nothing is written if it is refused.
    """
    try:
        chosen = Recipe.from_dict(config["recipe"])
        stored, header, warnings = state.load_state(out, strict=settings.strict)
        planned = Plan.from_dict(header["plan"])  # the one that this state was reached by
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{out}: expected a run of this release, got another: {error}") from error
    for warning in warnings:
        echo(f"warning: {warning}")
    finished = bool(header["finished"])
    if again and finished:
        return None
    if settings.epochs is not None and not again:
        planned = plan.extend_plan(planned, chosen, epochs=settings.epochs, finished=finished)
    elif finished:
        raise InputError(
            f"{out} is finished after {prepare.epochs(planned, chosen):.1f} epochs; "
            "make it longer with --resume --epochs N"
        )
    data = prepare.same_data(reopen_data(source or config["data"], config), config)
    net = network(data, chosen, config["dialect"])
    now = reproducibility.run_identity(data, chosen, config, device=team.device)
    step = int(header["step"])
    changed = reproducibility.check_changes(
        header.get("identity", {}), now, accepted=settings.accept_changes, where=str(out)
    )
    news = [f"after step {step}: {line}" for line in changed]
    planned = replace(planned, samples=len(data.split("train")))
    config = {
        **config,
        "plan": planned.as_dict(),
        "identity": now,
        "changes": [*header.get("changes", []), *news],
    }
    echo("\n".join([f"going on from step {step} of {planned.steps}", *news]))
    return Found(Beginning(data, chosen, planned, config, net), stored, step)


def _restored(out: Path, found: Found, settings: Settings, team: ProcessGroup) -> Session:
    """The session as it was when its last whole state was saved."""
    begin, stored, step = found
    torch.set_num_threads(begin.plan.threads)
    run = assemble(out, *begin, settings=settings, team=team)
    checkpoint.load_arrays(run.net, stored, where=str(out), prefix="net.")
    checkpoint.load_arrays(run.average.net, stored, where=str(out), prefix="average.")
    state.restore_momenta(run.net, run.optimizer, stored)
    run.step = step
    team.broadcast(lambda: _forget_after(run))
    return run


def _forget_after(run: Session) -> None:
    runfolder.write_config(run.folder, run.config)
    state.forget_after(run.folder, run.step)
    run.log.cut(run.step)
