"""The runs of a cross-validation, one after another, and how one that was interrupted goes on.

The folder that they are in is like that of a run: `folds.jsonl` says which photo is in which fold,
`fold-1/` and on are ordinary runs, each of which has validated on its own fold, and the finished model,
its report and the table of what each photo was taken for lie beside them.
"""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from googlenet.architecture.dialects import dialect, side_by_side
from googlenet.base import machine
from googlenet.base.errors import DataError, InputError
from googlenet.base.progress import echo, progress_bar
from googlenet.base.text import abbreviate, pluralize
from googlenet.base.version import versions
from googlenet.crossval.assignment import (
    Folds,
    assign_folds,
    labels_of_all,
    labels_of_fold,
    read_table,
    write_table,
)
from googlenet.crossval.folder import (
    FEATURES,
    RELABEL_LOCK,
    CrossValidation,
    fold_folder,
    read_cross_validation,
)
from googlenet.crossval.outcome import finish, is_done
from googlenet.data.dataset import Dataset
from googlenet.data.dataset_inspection import DatasetInspection
from googlenet.data.folder import DIGITS, open_data
from googlenet.data.index import content_sample
from googlenet.data.table import Labels, labels_at
from googlenet.evaluation.metrics import Metrics
from googlenet.files import runfolder
from googlenet.files.modelfile import model_path, read_metadata
from googlenet.training import hardware, prepare, session, state, train
from googlenet.training.decision.plan import check_budget
from googlenet.training.decision.run_config import read_run_config
from googlenet.training.decision.settings import Settings, check_new_run_settings, check_settings
from googlenet.training.loggers import Logger
from googlenet.training.loop import Interrupted
from googlenet.training.train import Beginning
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
    assert settings.folds is not None
    folds = assign_folds(found.pool(), data.classes, count=settings.folds, root=root, seed=settings.seed)
    for line in _describe(data, folds):
        echo(line)
    asked = _asked(out, found, table, settings, notes)
    with (
        tempfile.TemporaryDirectory() as place
    ):  # what cannot be trained is refused before anything is written
        write_table(Path(place) / runfolder.FOLDS, folds)
        begin = _try_to_begin(Path(place), asked, folds, settings)
        _check_not_seen(found, begin, settings)
    with (
        runfolder.lock_run(out),
        runfolder.lock_run(out, RELABEL_LOCK, doing="relabels"),
    ):
        runfolder.create_run_folder(out, msgspec.to_builtins(asked))
        write_table(out / runfolder.FOLDS, folds)
        folds = read_table(out / runfolder.FOLDS, Path(asked.data))
        return _Work(
            out=out, asked=asked, folds=folds, settings=settings, loggers=loggers, began=began, begin=begin
        ).go_on()


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
    with (
        runfolder.lock_run(out),
        runfolder.lock_run(out, RELABEL_LOCK, doing="relabels"),
    ):
        return _Work(
            out=out, asked=asked, folds=folds, settings=given, again=settings, loggers=loggers, began=began
        ).go_on()


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


def _asked(
    out: Path, found: DatasetInspection, table: Labels | None, settings: Settings, notes: Sequence[str]
) -> CrossValidation:
    weights = settings.weights
    if weights is not None and Path(weights).exists():
        weights = str(Path(weights).resolve())  # a resume may be started elsewhere
    plain = replace(settings, weights=weights, labels=None, columns=None, group=None)
    bad = {found.name(i): str(error) for i, error in found.bad.items()}
    if bad:
        notes = [*notes, f"{pluralize(len(bad), 'unreadable image')} left out: {abbreviate(list(bad))}"]
    assert settings.folds is not None
    return CrossValidation(
        folds=settings.folds,
        data=str(Path(found.data.name).resolve()),
        source=table,
        group=found.data.grouped_by,
        sketch=tuple(content_sample(found.pool().index)),
        labels=labels_of_all(out / runfolder.FOLDS),
        settings=msgspec.to_builtins(plain),
        notes=tuple(notes),
        unreadable=bad,
        versions=versions(),
    )


def _try_to_begin(place: Path, asked: CrossValidation, folds: Folds, settings: Settings) -> Beginning:
    """Begin the first run without writing anything.

    place   where the table of the folds is
    raises  what a run raises before it begins; InputError for too small a budget, or a network that cannot be
            one of several; DataError if the table does not name the same photos
    """
    if settings.minutes is not None:
        try:
            check_budget(60 * settings.minutes / folds.count - CLOSING)
        except InputError as error:
            each = 60 * settings.minutes / folds.count
            raise InputError(
                f"expected more --minutes for {folds.count} folds, got {each:.0f} s for each"
            ) from error
    # steps from random weights are planned, and too small a budget refused, before the first; others later
    minutes = settings.minutes / folds.count if settings.minutes and settings.weights is None else None
    own = replace(own_settings(place, settings, 1), minutes=minutes)
    with train.process_group(own) as team:
        begin = train.begin_run(
            asked.data, fold_folder(place, 1), own, team, began=time.monotonic(), inspected=True
        )
    side_by_side(dialect(begin.config.decision.dialect), folds.count)
    photos = sum(len(index) for index in begin.data.splits.values())
    if photos != len(folds.index) or begin.data.classes != tuple(sorted(folds.classes)):
        raise DataError(
            f"{asked.data}: expected to find {len(folds.index)} photos of {len(folds.classes)} classes again "
            f"by their names, got {photos} of {len(begin.data.classes)}; were some removed meanwhile?"
        )
    return begin


def _check_not_seen(found: DatasetInspection, begin: Beginning, settings: Settings) -> None:
    """Refuse weights that were trained on these photos: nothing would be measured that it has not seen."""
    weights = begin.config.weights
    seen = set(weights.data.get("sketch", [])) if weights else set()
    index = found.pool().index
    if seen & set(content_sample(index, most=len(index))):
        raise InputError(
            f"expected --weights that have not seen these photos with --folds, got {settings.weights}, which "
            "was trained on some of them: no accuracy would be true, and no wrong label be found"
        )


def own_settings(place: Path, settings: Settings, number: int, *, size: int | None = None) -> Settings:
    """The settings of one run, whose labels are from the table in a folder; of the size that others have."""
    table = labels_of_fold(place / runfolder.FOLDS, number)
    return replace(
        settings,
        folds=None,
        labels=Path(table.file),
        columns=",".join(table.columns),
        group=table.group,
        size=size or settings.size,
        force=True,
    )


def _describe(data: Dataset, folds: Folds) -> list[str]:
    lines = [
        f"{folds.count} folds of {len(folds.index)} photos: each is measured by a model that has not seen it"
    ]
    own = ("train", "val") if data.is_our_split else ("train",)
    if rest := [f"{len(index)} of {name}" for name, index in data.splits.items() if name not in own]:
        lines.append(f"not used, and left for googlenet evaluate: {' and '.join(rest)}")
    return lines


@dataclass(kw_only=True)
class _Work:
    """The runs that are to be made."""

    out: Path
    asked: CrossValidation
    folds: Folds
    settings: Settings  # of all, as they were asked
    again: Settings = Settings()  # noqa: RUF009  (frozen) that a run which was interrupted is given
    loggers: Sequence[Logger]
    began: float
    begin: Beginning | None = None  # of the first run, where that was tried already

    @property
    def shared(self) -> session.Fold:
        """What each run has from the others."""
        return session.Fold(folder=self.out, pool=self.folds.index, features=self.out / FEATURES)

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
                self._write()
                echo(f"fold {number} of {self.folds.count}")
                outcome = self._run(number, share=1 / (len(left) - done), first=number == every[0])
                if isinstance(outcome, Interrupted):
                    return outcome
                size = read_metadata(model_path(fold_folder(self.out, number))).preprocessing.size
                self.asked = msgspec.structs.replace(self.asked, size=size)
        finally:
            self._write()
        shutil.rmtree(self.out / FEATURES, ignore_errors=True)
        return finish(self.out, self.asked, self.folds)

    def _write(self) -> None:
        """Keep what is known, and the time that was spent: a kill must not lose it."""
        msgspec.structs.replace(self.asked, spent=self.spent()).write(self.out)

    def _run(self, number: int, *, share: float, first: bool) -> Metrics | Interrupted | None:
        """One run, begun or gone on with; `share` of the time that is left is for it."""
        folder = fold_folder(self.out, number)
        common: dict[str, Any] = {"loggers": self.loggers, "fold": self.shared}
        if state.has_state(folder) and not state.load_state(folder)[1].get("finished"):
            self._name_table(folder, number)
            return train.resume(folder, self.again, source=self.asked.data, **common)
        own = own_settings(self.out, self.settings, number, size=self.asked.size)
        if own.minutes is None:
            return train.train(self.asked.data, folder, own, **common)
        minutes = share * (own.minutes - (self.spent() + CLOSING) / 60)
        try:
            if minutes <= 0 and not first:
                raise InputError("expected time for a fold, got none")
            return train.train(self.asked.data, folder, replace(own, minutes=minutes), **common)
        except InputError:
            if first:
                raise
        echo(f"the time is used up: fold {number} has one epoch")
        return train.train(self.asked.data, folder, replace(own, minutes=None, epochs=1), **common)

    def _name_table(self, folder: Path, number: int) -> None:
        """Let a run find our table where it is now."""
        config = read_run_config(folder)
        table = labels_of_fold(self.out / runfolder.FOLDS, number)
        if config.labels != table:
            runfolder.write_config(folder, replace(config, labels=table).as_dict())

    def _share_features(self, number: int) -> None:
        """Keep the features of all photos once, where the runs begin with a classifier on them."""
        if all(state.has_state(fold_folder(self.out, n)) for n in range(number, self.folds.count + 1)):
            return  # each has its own classifier already, or will make its own features
        begin = self.begin or _try_to_begin(
            self.out, self.asked, self.folds, replace(self.settings, minutes=None)
        )
        decision = begin.config.decision
        if not decision.first_stage:
            return
        device = hardware.choose_device(self.settings.device)
        with progress_bar("features of all photos", len(self.shared.pool)) as shown:
            first_stage.keep_features(
                begin.net.net.eval().to(device),
                session.describe_model(begin.data, begin.config),
                self.shared.pool,
                recipe=decision.recipe,
                precision=decision.plan.precision,
                device=device,
                folder=self.shared.features,
                progress=shown.advance,
            )
