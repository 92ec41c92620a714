"""`googlenet train`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from googlenet.base.errors import InputError
from googlenet.cli.common import need
from googlenet.cli.verbs import STARTED
from googlenet.training.decision.settings import (
    Settings,
    check_resume_settings,
    check_settings,
    unused_by_range_test,
)

PACKAGES = ("torch", "torchvision", "sklearn", "jinja2")


def train(
    data: Annotated[Positional[str | None], arg(metavar="DATA")] = None,
    /,
    *,
    out: Path | None = None,
    resume: bool = False,
    find_lr: bool = False,
    settings: OmitArgPrefixes[Settings] = Settings(),  # noqa: B008  (frozen)
) -> int:
    """Train a classifier on a folder of photos.

    Example: googlenet train photos --minutes 10 --out runs/photos

    Args:
        data: a folder of class folders, a folder with train/ and val/, or the word digits; by
            default digits, or with --resume the data of the run
        out: the run folder to create, or with --resume the one to continue
        resume: continue an interrupted run; with --epochs N, extend a run to N epochs in total
        find_lr: only run a learning-rate range test, and suggest a rate for --lr; needs no --out
    """
    check_settings(settings)  # invalid settings fail before torch is loaded, which takes seconds
    if find_lr:
        unused = [*unused_by_range_test(settings, resume=resume), *(["--out"] if out else [])]
        return _find_lr(data or "digits", settings, unused)
    if out is None:
        raise InputError("expected --out RUN, the run folder to create, or --find-lr; got neither")
    if resume:
        check_resume_settings(settings)
    need(*PACKAGES, extra="train")
    if settings.log is not None:
        need(settings.log, extra=settings.log)
    from googlenet.crossval import folder, runs
    from googlenet.evaluation import metrics
    from googlenet.training import loop
    from googlenet.training import train as training

    outcome: metrics.Metrics | loop.Interrupted | None
    if resume and folder.is_cross_validation(out):
        outcome = runs.resume_folds(out, settings, source=data, started=STARTED)
    elif resume:
        outcome = training.resume(out, settings, source=data)
    elif settings.folds is not None:
        outcome = runs.train_folds(data or "digits", out, settings, started=STARTED)
    else:
        outcome = training.train(data or "digits", out, settings, started=STARTED)
    if isinstance(outcome, loop.Interrupted):
        return outcome.code
    if outcome is not None:  # of several processes only the first has the metrics
        from googlenet.cli import tables
        from googlenet.files.runfolder import FOLDS

        part = "out of fold" if (out / FOLDS).is_file() else "validation"
        print(f"{part} {tables.format_top1(outcome)}; report: {out / 'report.html'}")
    return 0


def _find_lr(data: str, settings: Settings, unused: list[str]) -> int:
    need(*PACKAGES, extra="train")
    from googlenet.base.progress import echo
    from googlenet.cli import tables
    from googlenet.training.lr_range_test import range_test

    if unused:
        echo(f"not used by --find-lr, which writes nothing: {', '.join(unused)}")
    print(tables.format_range_test(range_test(data, settings)))
    return 0
