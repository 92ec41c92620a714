"""Training: from a data set and a recipe to a run folder, exactly resumable."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from googlenet import checkpoint, evaluate, identity, plan, prepare, runfolder
from googlenet.data import DIGITS, open_again, open_data
from googlenet.errors import InputError, TrainingError
from googlenet.index import fingerprint
from googlenet.loop import Interrupted, run_to_end
from googlenet.plan import Plan
from googlenet.progress import say
from googlenet.recipe import Recipe, Settings, choose, gentle, refuse_changes, refuse_of_resumes
from googlenet.session import Clock, Session, assemble, network, start
from googlenet.version import versions


def train(
    source: str, out: Path, settings: Settings, *, started: float | None = None
) -> evaluate.Metrics | Interrupted:
    """Train on a data set into a new run folder.

    started  `time.monotonic()` when the process began; the clock of `minutes` counts from there
    returns  the validation metrics of the finished model, or that a signal stopped the run
    raises   a GoogLeNetError before anything is written if the choices or the data cannot be right
    """
    begun = time.monotonic() if started is None else started
    refuse_of_resumes(settings)
    chosen = choose(settings)
    runfolder.refuse_occupied(out, force=settings.force)
    device = plan.choose_device(settings.device)
    precision, why = plan.choose_precision(settings.precision, device)
    data = open_data(source)
    if not data.has_folders and Path(source).resolve() in out.resolve().parents:
        raise InputError(
            f"expected --out outside of the data, got {out}: it would become a class of {source}"
        )
    chosen = gentle(chosen) if data.glyphs else chosen
    data, bad, notes = prepare.checked(data, on_bad=settings.on_bad)
    say(prepare.introduction(data))
    say(f"training in {precision} on {device}: {why}; {torch.get_num_threads()} threads")
    begin = start(settings, chosen, data)
    chosen = begin.recipe
    planned = prepare.plan_run(
        settings, chosen, data, begin.net, begun=begun, device=device, precision=precision
    )
    config = {
        "data": str(Path(source).resolve()) if source != DIGITS else source,
        "dialect": begin.net.net.kind.name,
        "fresh": begin.fresh,
        "weights": begin.weights,
        "freeze": settings.freeze,
        "recipe": chosen.as_dict(),
        "plan": planned.as_dict(),
        "classes": list(data.classes),
        "fingerprint": fingerprint(data.split("train")),
        "share": data.share,
        "moved": list(data.moved),
        "unreadable": bad,
        "notes": notes,
        "versions": versions(),
        "changes": [],
    }
    config["identity"] = identity.of(data, chosen, config, device=device)
    with runfolder.locked(out):
        runfolder.create(out, config)
        run = assemble(out, data, chosen, planned, config, net=begin.net, settings=settings, device=device)
        if settings.minutes is not None:
            run.clock = Clock(end=begun + 60 * settings.minutes)
        return run_to_end(run)


def resume(out: Path, settings: Settings, *, source: str | None = None) -> evaluate.Metrics | Interrupted:
    """Go on with a run, or with `settings.epochs` extend it; the outcome is as if it never stopped.

    source  where the data is now, if it was moved
    raises  TrainingError if there is nothing to resume, if another process trains there, or if data,
            recipe, versions or processor changed since; DataError if the classes did
    """
    refuse_changes(settings)
    config = runfolder.read_config(out)
    with runfolder.locked(out):
        return run_to_end(_restored(out, config, settings, source))


def _restored(out: Path, config: dict[str, Any], settings: Settings, source: str | None) -> Session:
    """The session as it was when its last whole state was saved; nothing is written if it is refused."""
    try:
        chosen = Recipe.from_dict(config["recipe"])
        stored, header, warnings = checkpoint.load_state(out, strict=settings.strict)
        planned = Plan.from_dict(header["plan"])  # the one that this state was reached by
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{out}: expected a run of this release, got another: {error}") from error
    for warning in warnings:
        say(f"warning: {warning}")
    finished = bool(header["finished"])
    if settings.epochs is not None:
        planned = plan.lengthened(planned, chosen, epochs=settings.epochs, finished=finished)
    elif finished:
        raise InputError(
            f"{out} is finished after {prepare.epochs(planned, chosen):.1f} epochs; "
            "make it longer with --resume --epochs N"
        )
    data = prepare.same_data(open_again(source or config["data"], config), config)
    device = plan.choose_device(settings.device)
    torch.set_num_threads(planned.threads)
    net = network(data, chosen, config["dialect"])
    now = identity.of(data, chosen, config, device=device)
    step = int(header["step"])
    changed = identity.accept(
        header.get("identity", {}), now, accepted=settings.accept_changes, where=str(out)
    )
    changes = [*header.get("changes", []), *(f"after step {step}: {line}" for line in changed)]
    planned = replace(planned, samples=len(data.split("train")))
    config = {**config, "plan": planned.as_dict(), "identity": now, "changes": changes}
    run = assemble(out, data, chosen, planned, config, net=net, settings=settings, device=device)
    checkpoint.restore(run.net, stored, where=str(out), prefix="net.")
    checkpoint.restore(run.average.net, stored, where=str(out), prefix="average.")
    checkpoint.restore_momenta(run.net, run.optimiser, stored)
    run.step = step
    runfolder.write_config(out, config)
    checkpoint.forget_after(out, step)
    run.log.cut(step)
    say("\n".join([f"going on from step {step} of {planned.steps}", *changes[len(changes) - len(changed) :]]))
    return run
