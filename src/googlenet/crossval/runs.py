"""The runs of a cross-validation, one after another, and how one that was interrupted goes on.

The folder that they are in is like that of a run: `folds.jsonl` says which photo is in which fold,
`fold-1/` and on are ordinary runs, each of which has validated on its own fold, and the finished model,
its report and the table of what each photo was taken for lie beside them.
"""

import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from googlenet.architecture.dialects import dialect, side_by_side
from googlenet.base import machine
from googlenet.base.errors import InputError
from googlenet.base.progress import echo, progress_bar
from googlenet.base.version import versions
from googlenet.crossval.assignment import (
    Folds,
    assign_folds,
    labels_of_all,
    labels_of_fold,
    read_table,
    write_table,
)
from googlenet.crossval.folder import FEATURES, CrossValidation, fold_folder, read_cross_validation
from googlenet.crossval.outcome import finish, is_done
from googlenet.data.dataset import Dataset
from googlenet.data.folder import DIGITS, open_data
from googlenet.data.table import labels_at
from googlenet.evaluation.metrics import Metrics
from googlenet.files import runfolder
from googlenet.training import prepare, session, state, train
from googlenet.training.decision.decide import DEFAULT_DIALECT
from googlenet.training.decision.run_config import read_run_config
from googlenet.training.decision.settings import Settings, check_new_run_settings, check_settings
from googlenet.training.loggers import Logger
from googlenet.training.loop import Interrupted
from googlenet.training.transfer import first_stage

CLOSING = 5.0  # seconds of a time budget that are kept for putting the models together


def train_folds(
    source: str,
    out: Path,
    settings: Settings,
    *,
    started: float | None = None,
    loggers: Sequence[Logger] = (),
) -> Metrics | Interrupted:
    """Train `settings.folds` models on the training photos of a data set, and make one model of them.

    A validation split of its own is not used: it remains to be measured on.

    started  as for `train`; the budget of minutes is for all
    returns  the metrics over all photos, each judged by the model that has not seen it, or that a signal
             stopped the run
    raises   a GoogLeNetError before anything is written if the choices or the data cannot be right
    """
    began = time.monotonic() if started is None else started
    _check(source, settings)
    runfolder.check_run_folder(out, force=settings.force)
    table = labels_at(settings.labels, settings.columns, settings.group)
    data = open_data(source, labels=table, group=settings.group)
    root = Path(source)
    if root.resolve() in out.resolve().parents and not data.has_folders:
        raise InputError(
            f"expected --out outside of the data, got {out}: it would become a class of {source}"
        )
    found, notes = prepare.inspect(data, on_bad=settings.on_bad, fit=settings.fit)
    pool = found.pool()
    assert settings.folds is not None
    folds = assign_folds(pool, data.classes, count=settings.folds, root=root, seed=settings.seed)
    for line in _describe(data, folds):
        echo(line)
    asked = CrossValidation(
        folds=folds.count,
        data=str(root.resolve()),
        source=table,
        labels=labels_of_all(out / runfolder.FOLDS),
        settings=msgspec.to_builtins(replace(settings, labels=None, columns=None, group=None)),
        notes=tuple(notes),
        versions=versions(),
    )
    _check_dialect(settings, folds.count)
    with runfolder.lock_run(out):
        runfolder.create_run_folder(out, msgspec.to_builtins(asked))
        write_table(out / runfolder.FOLDS, folds)
        folds = read_table(out / runfolder.FOLDS, Path(asked.data))
        work = _Work(
            out=out,
            asked=asked,
            folds=folds,
            settings=settings,
            again=Settings(),
            loggers=loggers,
            began=began,
        )
        return work.go_on()


def resume_folds(
    out: Path,
    settings: Settings,
    *,
    source: str | None = None,
    started: float | None = None,
    loggers: Sequence[Logger] = (),
) -> Metrics | Interrupted:
    """Go on with the folds that are not done yet.

    source   where the data is now, if it was moved
    settings  those that a resume may be given
    raises   as `train.resume`
    """
    began = time.monotonic() if started is None else started
    if settings.epochs is not None:
        raise InputError(
            "expected --resume of a cross-validation without --epochs: its runs are of one length"
        )
    asked = read_cross_validation(out)
    if source is not None:
        asked = msgspec.structs.replace(asked, data=str(Path(source).resolve()))
    asked = msgspec.structs.replace(asked, labels=labels_of_all(out / runfolder.FOLDS))
    folds = read_table(out / runfolder.FOLDS, Path(asked.data))
    given = msgspec.convert(asked.settings, Settings)
    given = replace(given, workers=settings.workers, device=settings.device, log=settings.log)
    with runfolder.lock_run(out):
        work = _Work(
            out=out, asked=asked, folds=folds, settings=given, again=settings, loggers=loggers, began=began
        )
        return work.go_on()


def _check(source: str, settings: Settings) -> None:
    """Refuse what no cross-validation can have."""
    check_new_run_settings(settings)
    check_settings(settings)
    if machine.is_distributed():
        raise InputError("expected --folds in one process, got several: start it without torchrun")
    if source == DIGITS:
        raise InputError(f"expected a folder of photos with --folds, got the word {DIGITS!r}")
    if not Path(source).is_dir():
        raise InputError(f"expected a folder of class folders with --folds, got {source}, which is no folder")


def _check_dialect(settings: Settings, count: int) -> None:
    """Refuse a network that cannot be one of several side by side, before the first is trained."""
    side_by_side(dialect(settings.dialect or DEFAULT_DIALECT), count)


def _describe(data: Dataset, folds: Folds) -> list[str]:
    lines = [
        f"{folds.count} folds of {len(folds.index)} photos: each is measured by a model that has not seen it"
    ]
    if not data.is_our_split:
        rest = " and ".join(
            f"{len(index)} of {name}" for name, index in data.splits.items() if name != "train"
        )
        lines.append(f"not used, and left for googlenet evaluate: {rest}")
    return lines


@dataclass(frozen=True, kw_only=True)
class _Work:
    """The runs that are to be made."""

    out: Path
    asked: CrossValidation
    folds: Folds
    settings: Settings  # of all, as they were asked
    again: Settings  # that a run which was interrupted is given
    loggers: Sequence[Logger]
    began: float

    @property
    def shared(self) -> session.Fold:
        """What each run has from the others."""
        return session.Fold(pool=self.folds.index, features=self.out / FEATURES)

    def spent(self) -> float:
        """Seconds of all processes until now."""
        return self.asked.spent + time.monotonic() - self.began

    def go_on(self) -> Metrics | Interrupted:
        """Make the runs that are missing, one after another, and then the model of all."""
        every = range(1, self.folds.count + 1)
        left = [number for number in every if not is_done(fold_folder(self.out, number))]
        try:
            if left and self.settings.weights is not None:
                self._share_features(left[0])
            for done, number in enumerate(left):
                echo(f"fold {number} of {self.folds.count}")
                outcome = self._run(number, share=1 / (len(left) - done))
                if isinstance(outcome, Interrupted):
                    echo(f"go on with all folds: googlenet train --resume --out {shlex.quote(str(self.out))}")
                    return outcome
        finally:
            msgspec.structs.replace(self.asked, spent=self.spent()).write(self.out)
        shutil.rmtree(self.out / FEATURES, ignore_errors=True)
        return finish(
            self.out, self.folds, [fold_folder(self.out, number) for number in every], self.asked.notes
        )

    def _run(self, number: int, *, share: float) -> Metrics | Interrupted | None:
        """One run, begun or gone on with; `share` of the time that is left is for it."""
        folder = fold_folder(self.out, number)
        common: dict[str, Any] = {"loggers": self.loggers, "fold": self.shared}
        if state.has_state(folder):
            self._name_table(folder, number)
            return train.resume(folder, self.again, source=self.asked.data, **common)
        own = self._settings(number)
        if own.minutes is not None:
            own = replace(own, minutes=share * (own.minutes - (self.spent() + CLOSING) / 60))
        return train.train(self.asked.data, folder, own, **common)

    def _settings(self, number: int) -> Settings:
        """The settings of one run: its labels are from our table."""
        table = labels_of_fold(self.out / runfolder.FOLDS, number)
        return replace(
            self.settings,
            folds=None,
            labels=Path(table.file),
            columns=",".join(table.columns),
            group=table.group,
            force=True,
        )

    def _name_table(self, folder: Path, number: int) -> None:
        """Let a run find our table where it is now."""
        config = read_run_config(folder)
        table = labels_of_fold(self.out / runfolder.FOLDS, number)
        if config.labels != table:
            runfolder.write_config(folder, replace(config, labels=table).as_dict())

    def _share_features(self, number: int) -> None:
        """Keep the features of all photos once, where the runs begin with a classifier on them."""
        own = replace(self._settings(number), minutes=None)
        folder = fold_folder(self.out, number)
        with train.process_group(own) as team:
            begin = train.begin_run(
                self.asked.data, folder, own, team, began=time.monotonic(), inspected=True
            )
            decision = begin.config.decision
            if not decision.first_stage:
                return
            with progress_bar("features of all photos", len(self.shared.pool)) as shown:
                first_stage.keep_features(
                    begin.net.net.eval(),
                    session.describe_model(begin.data, begin.config),
                    self.shared.pool,
                    recipe=decision.recipe,
                    precision=decision.plan.precision,
                    device=team.device,
                    folder=self.shared.features,
                    progress=shown.advance,
                )
