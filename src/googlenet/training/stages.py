"""The two stages of a run from pretrained weights: the classifier, then the steps; and which one is kept."""

import time
from contextlib import suppress

from googlenet.base.errors import InputError
from googlenet.base.machine import cores
from googlenet.base.progress import echo, progress_bar
from googlenet.data.index import Index
from googlenet.data.splits import HELD_OUT
from googlenet.evaluation import scoring
from googlenet.files import runfolder
from googlenet.files.events import StageEnded
from googlenet.files.modelfile import Arrays
from googlenet.inference.torch_classifier import Classifier
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet
from googlenet.training.decision.plan import CLOSING, Plan, plan_minutes
from googlenet.training.decision.run_config import FirstStage, HeldOut
from googlenet.training.hardware import StepTimer
from googlenet.training.session import Session, StopRequested, agreed
from googlenet.training.transfer import first_stage
from googlenet.training.transfer.pretrained import new_network

LEAST_LEFT = CLOSING + 15.0  # seconds of a budget, below which no second stage is timed


def begin(run: Session, caught: list[int]) -> None:
    """Go through the first stage, and plan the second.

    Raises StopRequested if a signal arrived; what was done until then is kept.
    """
    found = run.team.broadcast(lambda: _first(run, caught))
    agreed(run, caught)
    assert found is not None
    start, run.first_stage = found
    for net in (run.net, run.average.net):
        first_stage.put_in(net.net, start)
    run.config = run.config.with_plan(run.team.broadcast(lambda: _second_plan(run)))
    if run.team.is_main:
        runfolder.write_config(run.folder, run.config.as_dict())
    _tell(run, run.first_stage)


def _first(run: Session, caught: list[int]) -> tuple[Arrays, FirstStage] | None:
    """The first stage; None if a signal kept us from it."""
    train, held_out = run.data.split("train"), _held_out(run)
    net = run.average.net.net.eval()  # the others are given the classifier afterwards
    photos = len(run.fold.pool) if run.fold else len(train) + len(held_out or ())
    with progress_bar("features", photos) as shown:

        def advance(count: int) -> None:
            if caught:
                raise StopRequested(caught[0])
            shown.advance(count)

        with suppress(StopRequested):
            return first_stage.run_first_stage(
                net,
                run.card,
                train,
                held_out,
                recipe=run.recipe,
                precision=run.plan.precision,
                device=run.team.device,
                folder=run.folder / runfolder.STATE,
                progress=advance,
                pool=run.fold.pool if run.fold else None,
                pool_folder=run.fold.features if run.fold else None,
            )
    return None


def _tell(run: Session, found: FirstStage) -> None:
    held = found.held_out
    left_out = f"{100 * found.accuracy:.1f} % of photos left out, " if found.accuracy is not None else ""
    reached = f"; {held.right} of {held.photos} held out" if held else ""
    echo(f"stage 1: {left_out}{found.seconds:.0f} s{reached}")
    run.log.write(
        StageEnded(
            **run.at(),
            stage=1,
            seconds=found.seconds,
            held_out=held.photos if held else 0,
            right=held.right if held else None,
        )
    )
    if not run.plan.steps:
        echo(f"no stage 2: {_why_none(run)}")
    elif run.config.decision.minutes is not None:  # else it was said before
        echo(run.config.decision.steps_line())


def _why_none(run: Session) -> str:
    if not run.config.decision.held_out:
        return "a class has a single photo, so none can be held out to say whether it is better"
    return "what is left of the time does not hold an epoch"


def _second_plan(run: Session) -> Plan:
    """The steps that the rest of a time budget holds; none if it holds no epoch."""
    decision, plan = run.config.decision, run.plan
    if decision.minutes is None or run.first_stage is None:
        return plan
    left = run.clock.left if run.clock else 60 * decision.minutes - run.first_stage.seconds
    end = time.monotonic() + left
    if left < LEAST_LEFT:
        return plan
    train, held_out = run.data.split("train"), _held_out(run)
    net = new_network(run.recipe, decision.dialect, classes=len(run.data.classes), seed=plan.seed)
    timer = StepTimer(
        run.recipe,
        net,
        train,
        device=run.team.device,
        precision=plan.precision,
        freeze=decision.freeze,
    )
    with suppress(InputError):
        plan = plan_minutes(
            run.recipe,
            len(train),
            timer,
            left=lambda: end - time.monotonic(),
            size=plan.size,
            stem=decision.stem,
            validation=len(run.data.split("val")) + len(held_out or ()),
            precision=plan.precision,
            threads=plan.threads,
            seed=plan.seed,
        )
    if run.clock is not None:
        run.clock = run.clock.restarted()
    return plan


def chosen_network(run: Session) -> GoogLeNet:
    """The finished network: the averaged weights, or the first stage's where photos held out say so."""
    if run.first_stage is None:
        return run.average.net.net
    file = run.folder / runfolder.STATE / first_stage.FILE
    first = run.team.broadcast(lambda: checkpoint.load(file) if _first_is_kept(run) else None)
    return run.average.net.net if first is None else first.to(run.team.device)


def _first_is_kept(run: Session) -> bool:
    assert run.first_stage is not None
    before = run.first_stage.held_out
    if not run.step or before is None:
        return True
    after = measure(run)
    better = after.is_better_than(before)
    what = "its network is the model" if better else "not clearly better, so stage 1's network is the model"
    echo(
        f"stage 2: {after.right} of {after.photos} held out (loss {after.loss:.3f}), {before.right} "
        f"({before.loss:.3f}) before: {what}"
    )
    run.log.write(
        StageEnded(**run.at(), stage=2, seconds=0.0, held_out=after.photos, right=after.right, kept=better)
    )
    return not better


def measure(run: Session) -> HeldOut:
    """How the averaged weights do on the photos that are held out."""
    index = _held_out(run)
    assert index is not None
    classifier = Classifier(run.average.net.net.eval(), run.card)
    scored = scoring.score(classifier, index, workers=cores())
    return first_stage.measure_held_out(scored.logits, index.labels[scored.numbers])


def _held_out(run: Session) -> Index | None:
    return run.data.splits.get(HELD_OUT)
