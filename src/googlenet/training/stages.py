"""The two stages of a run from pretrained weights: the classifier, then the steps; and which one is kept."""

import time
from collections.abc import Mapping
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
from googlenet.nn.members import mix_networks
from googlenet.nn.model import GoogLeNet
from googlenet.training.decision.plan import CLOSING, Plan, plan_minutes
from googlenet.training.decision.run_config import FirstStage, HeldOut
from googlenet.training.hardware import StepTimer
from googlenet.training.session import Session, StopRequested, agreed
from googlenet.training.transfer import first_stage
from googlenet.training.transfer.pretrained import new_network

SHARES = (1 / 3, 2 / 3, 1.0)  # of the second stage that are tried; the first is the usual one (LOG.md)
FEW = 20  # photos held out, below which stage 1's network is the usual one
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
            validation=len(run.data.split("val")) + len(SHARES) * len(held_out or ()),
            precision=plan.precision,
            threads=plan.threads,
            seed=plan.seed,
        )
    if run.clock is not None:
        run.clock = run.clock.restarted()
    return plan


def chosen_network(run: Session) -> GoogLeNet:
    """The finished network: the averaged weights; after two stages, a mean of both stages' weights.

    A network fine-tuned from a good start has better ones on the way between (Wortsman et al. 2022, arXiv
    2109.01903). How far to go is decided by photos that are held out; stage 1's classifier has seen those in
    the end, as it is the one that was fitted on all photos.
    """
    if run.first_stage is None:
        return run.average.net.net
    first = run.team.broadcast(lambda: checkpoint.load(run.folder / runfolder.STATE / first_stage.FILE))
    share = run.team.broadcast(lambda: _choose_share(run))
    return mix_networks(first, run.average.net.net, share).to(run.team.device)


def _choose_share(run: Session) -> float:
    """How much of the second stage the finished network has, from 0 to 1."""
    assert run.first_stage is not None
    before = run.first_stage.held_out
    if not run.step or before is None:
        return 0.0
    each = {0.0: before, **measure_shares(run)}
    share = choose_share(each)
    after = each[share or 1.0]
    what = f"{100 * share:.0f} % of stage 2's weights" if share else "stage 1's, as it is not clearly better"
    echo(
        f"stage 2: {after.right} of {after.photos} held out (loss {after.loss:.3f}), {before.right} "
        f"({before.loss:.3f}) before: the model is {what}"
    )
    run.log.write(
        StageEnded(
            **run.at(),
            stage=2,
            seconds=0.0,
            held_out=after.photos,
            right=after.right,
            kept=share > 0,
            share=round(share, 4),
        )
    )
    return share


def choose_share(each: Mapping[float, HeldOut]) -> float:
    """The usual share, or the one of the least loss if that is clearly better.

    each  how networks of these shares of the second stage did on the same photos
    """
    usual = SHARES[0] if each[0.0].photos >= FEW else 0.0
    best = min(each, key=lambda share: each[share].loss)
    return best if each[best].is_better_than(each[usual]) else usual


def measure_shares(run: Session) -> dict[float, HeldOut]:
    """How the network does on the photos that are held out, by the share of the second stage in it."""
    index = _held_out(run)
    assert index is not None
    state = run.folder / runfolder.STATE
    start = checkpoint.load(state / first_stage.FILE)
    first_stage.put_in(start, first_stage.read_start(state))
    found = {}
    for share in SHARES:
        net = mix_networks(start, run.average.net.net, share).to(run.team.device)
        scored = scoring.score(Classifier(net, run.card), index, workers=cores())
        found[share] = first_stage.measure_held_out(scored.logits, index.labels[scored.numbers])
    return found


def _held_out(run: Session) -> Index | None:
    return run.data.splits.get(HELD_OUT)
