"""The loop: step, log, look at validation, save, and stop on a signal or at the end."""

import math
import shlex
import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from googlenet import checkpoint, evaluate, plan, report, runfolder, telemetry
from googlenet.classifier import Classifier
from googlenet.errors import GoogLeNetError, TrainingError, WriteError
from googlenet.loader import Batch, Batches, counter_seed, training_loader
from googlenet.machine import cores
from googlenet.model import network_input
from googlenet.modelfile import MODEL_NAME
from googlenet.optim import Losses, finite_gradients, learning_rate, losses
from googlenet.progress import Bar, bar, say
from googlenet.session import Clock, Session

SAVE_EVERY = 60.0  # seconds between two training states
LOG_LINES = 400  # at most about so many training lines in a run's log
NAMED = 4  # photos in a message; the log has all of a batch


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """A run that stopped on a signal after saving; `code` is the exit status that is due."""

    step: int
    code: int


class _Stopped(Exception):
    """A signal arrived while validation was looked at."""


def run_to_end(run: Session) -> evaluate.Metrics | Interrupted:
    """Train to the end or to a signal, then finish.

    Raises WriteError if the first or the last state cannot be saved; TrainingError, ImageError.
    """
    torch.set_flush_denormal(True)  # tiny gradients otherwise slow every product down
    with _signals() as stop, bar("training", run.plan.steps, done=run.step) as shown:
        if not run.step:
            _save_state(run)
        with suppress(_Stopped):
            while run.step < run.plan.steps and not stop:
                _stretch(run, stop, shown)
            if run.step == run.plan.steps:
                return _finish(run, stop)
        _save_state(run)
    say(f"stopped after step {run.step} of {run.plan.steps}")
    say(f"go on with: googlenet train --resume --out {shlex.quote(str(run.folder))}")
    return Interrupted(step=run.step, code=128 + stop[0])


def _stretch(run: Session, stop: list[int], shown: Bar) -> None:
    """Train to the end, to a signal, or until a time budget was planned anew."""
    paces = dict(run.plan.paces)
    with closing(_batches(run)) as batches:
        for batch in batches:
            if isinstance(batch, GoogLeNetError):  # it could be read when the run began, or a worker died
                _try_to_save(run)
                raise batch
            parts = _step(run, batch)
            run.step += 1
            _observe(run, parts, stop, shown)
            if stop or run.step == run.plan.steps:
                return
            if run.clock is not None and run.clock.count(paces[batch.images.shape[1]] * len(batch.images)):
                return _plan_anew(run, run.clock, shown)
            if time.monotonic() - run.saved > SAVE_EVERY:
                _try_to_save(run)


def _plan_anew(run: Session, clock: Clock, shown: Bar) -> None:
    """Fit the rest of the run to the time that is left, in a state that a resume goes on from."""
    before, stem = run.plan.steps, run.net.net.kind.stem
    run.plan = plan.planned_anew(
        run.plan, run.recipe, step=run.step, slower=clock.slower(), left=clock.left, stem=stem
    )
    run.config = {**run.config, "plan": run.plan.as_dict()}
    _try_to_save(run)
    with suppress(WriteError):  # for people; a resume asks the state
        runfolder.write_config(run.folder, run.config)
    shown.expect(run.plan.steps)
    run.log.write("plan", step=run.step, **run.at(), steps_before=before, steps=run.plan.steps)
    say(f"timed again after step {run.step}: {run.plan.steps} steps in all, {before} before")


def _batches(run: Session) -> Generator[Batch | GoogLeNetError, None, None]:
    stem = run.net.net.kind.stem
    pixels = plan.sizes(run.recipe, size=run.plan.size, steps=run.plan.steps, stem=stem)
    batches = Batches(run.data.split("train"), run.recipe, sizes=pixels, seed=run.plan.seed)
    run.saved = time.monotonic()
    return training_loader(batches, start=run.step, workers=run.workers)


def _step(run: Session, batch: Batch) -> Losses:
    """One update of weights, momentum and average.

    Raises TrainingError if the loss or a gradient is not finite; the weights are then those of the step
    before.
    """
    torch.manual_seed(counter_seed(run.plan.seed, "dropout", run.step))
    rate = learning_rate(
        run.recipe,
        run.step,
        steps=run.plan.steps,
        steps_per_epoch=run.plan.samples / run.recipe.batch,
    )
    for group in run.optimiser.param_groups:
        group["lr"] = rate * group["factor"]
    images = network_input(batch.images.to(run.device), run.card.preprocessing)
    with plan.autocast(run.device, run.plan.precision):
        outputs = run.net(images)
    parts = losses(outputs, batch.labels.to(run.device), run.recipe, weights=run.class_weights)
    if not math.isfinite(parts.total.item()):
        raise _not_finite(run, batch, rate, f"a finite loss, got {parts.total.item()}")
    run.optimiser.zero_grad()
    watched = telemetry.looks_at_gradients(run.step, steps=run.plan.steps)
    alone = telemetry.main_gradients(run.net, parts) if watched else {}
    parts.total.backward()  # type: ignore[no-untyped-call]
    if watched:
        together = telemetry.all_gradients(run.net)
        run.log.write("gradients", step=run.step, **run.at(), main_alone=alone, with_heads=together)
    if not finite_gradients(run.net):
        raise _not_finite(run, batch, rate, "finite gradients, got some that are not")
    run.optimiser.step()
    run.average.update(run.step, steps=run.plan.steps)
    return parts


def _not_finite(run: Session, batch: Batch, rate: float, what: str) -> TrainingError:
    index = run.data.split("train")
    names = [index.name(int(i)) for i in batch.numbers]
    run.log.write("stopped", step=run.step, **run.at(), text=f"expected {what}", rate=rate, images=names)
    more = f", and {len(names) - NAMED} more, listed in {runfolder.METRICS}" if len(names) > NAMED else ""
    return TrainingError(
        f"expected {what} at step {run.step + 1} (learning rate {rate:.3g}, images "
        f"{', '.join(names[:NAMED])}{more}); the last state that was saved is kept; start again with a lower "
        "--lr, --init xavier, or --precision float32"
    )


def _observe(run: Session, parts: Losses, stop: list[int], shown: Bar) -> None:
    """Log the step, show it, and look at validation when it is time."""
    values = {name: value.item() for name, value in parts._asdict().items()}
    if run.step % max(1, run.plan.steps // LOG_LINES) == 0:
        run.log.write("train", step=run.step, **run.at(), **values)
    for warning in run.watch(values, rate=max(group["lr"] for group in run.optimiser.param_groups)):
        run.log.write("warning", step=run.step, **run.at(), text=warning)
        say(f"warning: {warning}")
    speed = run.log.speed(run.step, images=run.recipe.batch)
    three = f"loss {values['main']:.3f} aux {values['aux1']:.3f} {values['aux2']:.3f}"
    shown.advance(note=f"{three}  {speed:.0f} images/s  {run.log.accuracy}")
    if run.step % run.plan.look_every == 0 and run.step < run.plan.steps:
        _look(run, stop)


def _look(run: Session, stop: list[int]) -> tuple[evaluate.Scored, evaluate.Metrics]:
    """Measure the averaged weights on validation and log it; nothing is chosen by it."""

    def go_on(count: int) -> None:
        if stop:
            raise _Stopped

    classifier = Classifier(run.average.net.net.eval(), run.card)
    index = run.data.split("val")
    scored = evaluate.score(classifier, index, workers=cores(), progress=go_on)
    found = evaluate.measure(scored, index, run.card)
    run.log.write("val", step=run.step, **run.at(), top1=found.top1, top5=found.top5, loss=found.loss)
    run.log.accuracy = f"validation {100 * found.top1:.1f} %"
    say(f"epoch {run.at()['epoch']:.1f}: {run.log.accuracy}")
    return scored, found


def _finish(run: Session, stop: list[int]) -> evaluate.Metrics:
    """Measure the finished model, fit how sure it may be, then write model, state and report."""
    scored, _ = _look(run, stop)
    card, found = evaluate.calibrate(scored, run.data.split("val"), run.card)
    card = replace(card, metrics={"split": "val", **found.summary()})
    checkpoint.save(run.folder / MODEL_NAME, run.average.net.net, card)
    report.write(
        run.folder,
        card=card,
        config=run.config,
        log=run.log.read(),
        metrics=found,
        scored=scored,
        index=run.data.split("val"),
    )
    _save_state(run, finished=True)
    return found


def _try_to_save(run: Session) -> None:
    """Save now, or say that it failed and leave it to the next time."""
    try:
        _save_state(run)
    except WriteError as error:
        run.saved = time.monotonic()
        run.log.write("warning", step=run.step, **run.at(), text=f"not saved: {error}")
        say(f"warning: step {run.step} was not saved: {error}; the state before it is kept")


def _save_state(run: Session, *, finished: bool = False) -> None:
    checkpoint.save_state(
        run.folder,
        step=run.step,
        net=run.net,
        optimiser=run.optimiser,
        average=run.average.net,
        header={
            "finished": finished,
            "plan": run.plan.as_dict(),
            "identity": run.config["identity"],
            "changes": run.config["changes"],
        },
    )
    run.saved = time.monotonic()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the first Ctrl-C or SIGTERM; a second one stops at once."""
    caught: list[int] = []

    def catch(number: int, frame: object) -> None:
        caught.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)
        say("stopping after this step; once more to stop at once, without saving")

    if threading.current_thread() is not threading.main_thread():  # only the main one may ask
        yield caught
        return
    before: dict[int, Any] = {
        number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
