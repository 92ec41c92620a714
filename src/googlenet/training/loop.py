"""The loop: step, log, look at validation, save, and stop on a signal or at the end."""

import math
import shlex
import time
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import torch

from googlenet.base.errors import GoogLeNetError, TrainingError, WriteError
from googlenet.base.machine import cores
from googlenet.base.progress import ProgressBar, echo, progress_bar
from googlenet.base.signals import collected_signals
from googlenet.evaluation import metrics, scoring
from googlenet.evaluation.kept_scores import write_scores
from googlenet.files import runfolder
from googlenet.files.events import Gradients, Replanned, Stopped, TrainingStep, Validation, Warned
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import MODEL_NAME
from googlenet.inference.torch_classifier import Classifier
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet, network_input
from googlenet.report import page as report
from googlenet.report.gallery import Gallery
from googlenet.training import diagnostics, mixup, stages, state
from googlenet.training.decision.plan import Plan, replan
from googlenet.training.decision.run_config import StateHeader
from googlenet.training.hardware import autocast
from googlenet.training.loader import Batch, Batches, counter_seed, training_loader
from googlenet.training.optim import Losses, finite_gradients, learning_rate
from googlenet.training.prepare import first_batch
from googlenet.training.session import Session, StopRequested, agreed

SAVE_EVERY = 60.0  # seconds between two training states
LOG_LINES = 400  # at most about so many training lines in a run's log
NAMED = 4  # photos in a message; the log has all of a batch


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """A run that stopped on a signal after saving; `code` is the exit status that is due."""

    step: int
    code: int


def run_to_end(run: Session) -> metrics.Metrics | Interrupted | None:
    """Train to the end or to a signal, then finish; of several processes the first alone has the figures.

    Raises WriteError if the first or the last state cannot be saved; TrainingError, ImageError.
    """
    with collected_signals() as caught:
        if not run.step and run.first_stage is None:
            _save_state(run)
        try:
            if run.first_stage_is_due:
                stages.begin(run, caught)
                _save_state(run)
            with progress_bar("training", run.plan.steps, done=run.step) as shown:
                while run.step < run.plan.steps:
                    _stretch(run, caught, shown)
                return _finish(run, caught)
        except StopRequested as stopped:
            code = 128 + stopped.number
        _save_state(run)
    echo(f"stopped after step {run.step} of {run.plan.steps}")
    folder = run.fold.folder if run.fold else run.folder
    echo(f"go on with: googlenet train --resume --out {shlex.quote(str(folder))}")
    return Interrupted(step=run.step, code=code)


def _stretch(run: Session, caught: list[int], shown: ProgressBar) -> None:
    """Train to the end, or until a time budget was planned anew.

    Raises StopRequested after the step in which a signal arrived.
    """
    with closing(_batches(run)) as batches:
        for batch in batches:
            ready = _ready(run, batch)
            parts = _step(run, ready)
            run.step += 1
            _observe(run, parts, caught, shown)
            if agreed(run, caught, due=_due(run, ready)):
                return _plan_anew(run, shown)
            if run.step == run.plan.steps:
                return
            if time.monotonic() - run.saved > SAVE_EVERY:
                _try_to_save(run)


def _ready(run: Session, batch: Batch | GoogLeNetError) -> Batch:
    """The batch, if all processes have their images of it.

    Raises, after saving, what kept one from it: ImageError for a photo that could be read when the run
    began, TrainingError for a loader process that is gone.
    """
    error = batch if isinstance(batch, GoogLeNetError) else None
    if run.team.all_max(error is not None)[0]:
        errors = run.team.gather(error)
        run.team.broadcast(lambda: _give_up(run, errors))
    assert isinstance(batch, Batch)
    return batch


def _give_up(run: Session, errors: Sequence[GoogLeNetError | None]) -> None:
    _try_to_save(run)
    raise next(error for error in errors if error is not None)


def _due(run: Session, batch: Batch) -> bool:
    """Whether a time budget is to be planned anew; the first process has the clock."""
    if run.clock is None:
        return False
    expected = dict(run.plan.seconds_per_image)[batch.images.shape[1]] * run.recipe.batch
    return run.clock.count(expected) and run.step < run.plan.steps


def _plan_anew(run: Session, shown: ProgressBar) -> None:
    """Fit the rest of the run to the time that is left, in a state that a resume goes on from."""
    before = run.plan.steps
    run.config = run.config.with_plan(run.team.broadcast(lambda: _replanned(run)))
    _try_to_save(run)
    with suppress(WriteError):  # for people; a resume asks the state
        if run.team.is_main:
            runfolder.write_config(run.folder, run.config.as_dict())
    shown.expect(run.plan.steps)
    run.log.write(Replanned(**run.at(), steps_before=before, steps=run.plan.steps))
    echo(f"re-planned after step {run.step}: {run.plan.steps} steps in total (was {before})")


def _replanned(run: Session) -> Plan:
    assert run.clock is not None
    slower, left, stem = run.clock.slowdown(), run.clock.left, run.config.decision.stem
    return replan(run.plan, run.recipe, step=run.step, slower=slower, left=left, stem=stem)


def _batches(run: Session) -> Generator[Batch | GoogLeNetError, None, None]:
    rows, pixels = run.team.rows(run.recipe.batch), run.config.decision.pixels()
    batches = Batches(run.data.split("train"), run.recipe, sizes=pixels, seed=run.plan.seed, rows=rows)
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
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    images = network_input(batch.images.to(run.team.device), run.card.preprocessing)
    share = mixup.share(run.recipe, run.plan.seed, run.step)
    with autocast(run.team.device, run.plan.precision):
        outputs = run.wrapped(mixup.mix(images, share))
    whole = batch.labels.to(run.team.device)
    mine = mixup.mixed_losses(outputs, whole, batch.rows, share, run.recipe, weights=run.class_weights)
    parts = Losses(*run.team.all_reduce(mine))
    if not math.isfinite(parts.total.item()):
        raise _not_finite(run, batch, rate, f"a finite loss, got {parts.total.item()}")
    run.optimizer.zero_grad()
    watched = diagnostics.is_gradient_step(run.step, steps=run.plan.steps)
    alone = diagnostics.main_gradients(run.net, mine, add=run.team.all_reduce) if watched else {}
    (mine.total * run.team.size).backward()  # type: ignore[no-untyped-call]  # the mean of these is the sum
    if watched:
        together = diagnostics.all_gradients(run.net)
        run.log.write(Gradients(**run.at(), main_alone=alone, with_heads=together))
    if not finite_gradients(run.net):
        raise _not_finite(run, batch, rate, "finite gradients, got some that are not")
    run.optimizer.step()
    run.team.average_statistics(run.net)
    run.average.update(run.step, steps=run.plan.steps)
    return parts


def _not_finite(run: Session, batch: Batch, rate: float, what: str) -> TrainingError:
    index = run.data.split("train")
    names = [index.name(int(i)) for i in batch.numbers]
    run.log.write(Stopped(**run.at(), text=f"expected {what}", rate=rate, images=names))
    more = f", and {len(names) - NAMED} more, listed in {runfolder.METRICS}" if len(names) > NAMED else ""
    return TrainingError(
        f"expected {what} at step {run.step + 1} (learning rate {rate:.3g}, images "
        f"{', '.join(names[:NAMED])}{more}); the last state that was saved is kept; start again with a lower "
        "--lr, --init xavier, or --precision float32"
    )


def _observe(run: Session, parts: Losses, caught: list[int], shown: ProgressBar) -> None:
    """Log the step, show it, and look at validation when it is time."""
    values = {name: value.item() for name, value in parts._asdict().items()}
    rate = max(group["lr"] for group in run.optimizer.param_groups)
    if run.step % max(1, run.plan.steps // LOG_LINES) == 0:
        run.log.write(TrainingStep(**run.at(), **values, rate=rate))
    for warning in run.watch(values, rate=rate):
        run.log.write(Warned(**run.at(), text=warning))
        echo(f"warning: {warning}")
    speed = run.log.speed(run.step, images=run.recipe.batch)
    heads = f" aux {values['aux1']:.3f} {values['aux2']:.3f}" if run.net.heads else ""
    shown.advance(note=f"loss {values['main']:.3f}{heads}  {speed:.0f} images/s  {run.log.accuracy}")
    left = run.plan.steps - run.step  # the end has a look of its own
    if run.step % run.plan.validate_every == 0 and 2 * left >= run.plan.validate_every:
        _look(run, caught)


def _look(run: Session, caught: list[int], *, net: GoogLeNet | None = None) -> scoring.SplitScores | None:
    """Measure the averaged weights, or another network, on validation and log it; nothing is chosen by it.

    Until the end the photos are as large as training has them now: to other sizes its statistics are not
    used yet. Each process scores a part, each photo once; the first puts them together, the others have None.

    Raises StopRequested if a signal arrives meanwhile.
    """
    card = _card_now(run)
    mine = _score(run, card, caught, net or run.average.net.net, keep_features=net is not None)
    agreed(run, caught)
    parts = run.team.gather(mine)
    if not run.team.is_main:
        return None
    scored = scoring.merge_scores([part for part in parts if part is not None])
    index = run.data.split("val")
    if not np.isfinite(scored.logits).all():
        run.log.write(Stopped(**run.at(), text="logits that are not finite", rate=0.0, images=[]))
        raise TrainingError(
            f"expected finite logits on validation after step {run.step}, got others: the training diverged; "
            "the last state that was saved is kept; start again with a lower --lr, or --init xavier"
        )
    found = scoring.measure(scored, index, card)
    pixels = card.preprocessing.size
    run.log.write(Validation(**run.at(), size=pixels, top1=found.top1, top5=found.top5, loss=found.loss))
    early = f" at {pixels} pixels" if pixels != run.plan.size else ""
    run.log.accuracy = f"validation {100 * found.top1:.1f} %{early}"
    echo(f"epoch {run.epoch:.1f}: {run.log.accuracy}")
    return scored


def _card_now(run: Session) -> ModelMetadata:
    """The card of the model as it is: given what the last step was given, at the end what it is made for."""
    size = run.config.decision.pixels()[run.step - 1] if run.step < run.plan.steps else run.plan.size
    return replace(run.card, preprocessing=replace(run.card.preprocessing, size=size))


def _score(
    run: Session, card: ModelMetadata, caught: list[int], net: GoogLeNet, *, keep_features: bool
) -> scoring.SplitScores | None:
    """Score our part of validation; None if a signal kept us from it."""

    def go_on(count: int) -> None:
        if caught:
            raise StopRequested(caught[0])

    classifier, index = Classifier(net.eval(), card), run.data.split("val")
    with suppress(StopRequested):
        return scoring.score(
            classifier,
            index,
            workers=cores(),
            progress=go_on,
            rows=run.team.part(len(index)),
            keep_features=keep_features,
        )
    return None


def _finish(run: Session, caught: list[int]) -> metrics.Metrics | None:
    """Measure the finished model, fit how sure it may be, then write model, state and report."""
    net = stages.chosen_network(run)
    scored = _look(run, caught, net=net)
    if scored is None:
        return None
    card, found = scoring.calibrate(scored, run.data.split("val"), run.card)
    card = replace(card, metrics={"split": "val", **found.summary()})
    if run.config.in_folds:
        write_scores(run.folder, scored, run.data.split("val"))
    checkpoint.save(run.folder / MODEL_NAME, net, card)
    index, classifier = run.data.split("val"), Classifier(net.eval(), card)
    page = report.Report(
        card=card,
        part=report.VALIDATION,
        metrics=found,
        gallery=Gallery(scored, index, card, classifier),
        run=run.config.summary(),
        log=run.log.read(),
        first_batch=first_batch(run.data.split("train"), run.config.decision),
    )
    report.write_report(run.folder / runfolder.REPORT, page)
    _save_state(run, finished=True)
    return found


def _try_to_save(run: Session) -> None:
    """Save now, or say that it failed and leave it to the next time."""
    try:
        _save_state(run)
    except WriteError as error:
        run.saved = time.monotonic()
        run.log.write(Warned(**run.at(), text=f"not saved: {error}"))
        echo(f"warning: step {run.step} was not saved: {error}; the state before it is kept")


def _save_state(run: Session, *, finished: bool = False) -> None:
    if not run.team.is_main:  # what the first writes is what each holds
        return
    state.save_state(
        run.folder,
        step=run.step,
        net=run.net,
        optimizer=run.optimizer,
        average=run.average.net,
        header=msgspec.to_builtins(
            StateHeader(
                step=run.step,
                finished=finished,
                plan=run.plan,
                identity=run.config.identity,
                first_stage=run.first_stage,
                changes=run.config.changes,
            )
        ),
    )
    run.saved = time.monotonic()
