"""The verbs of the command line: each calls one function of the library and prints what it gives."""

import collections
import functools
import json as json_module
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from googlenet.base.errors import InputError
from googlenet.base.machine import cores
from googlenet.cli.common import Commands, Model, counting, need, registering
from googlenet.cli.insights import INSIGHTS
from googlenet.cli.serve import SERVING
from googlenet.cli.sights import SIGHTS
from googlenet.cli.tools import TOOLS
from googlenet.files.modelfile import model_path
from googlenet.files.output_paths import check_output_path
from googlenet.images.crops import ONE
from googlenet.images.crops import parse_crops as parse_crops
from googlenet.inference import loading, output
from googlenet.inference import predict as prediction
from googlenet.inference.journal import open_journal
from googlenet.inference.paths import STDIN
from googlenet.training.decision.settings import (
    Settings,
    check_resume_settings,
    check_settings,
    unused_by_range_test,
)

STARTED = time.monotonic()  # the clock of `train --minutes`

ABOUT = """GoogLeNet (Inception V1): train it on your photos, measure it, use it.

Example: googlenet train photos --minutes 10 --out runs/photos

googlenet VERB --help explains a verb; googlenet --version prints the version.
"""

COMMANDS: Commands = {}
verb = registering(COMMANDS)


@verb
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
            default digits, or with --resume the run's own
        out: the run folder to make, or with --resume the one to go on with
        resume: go on with an interrupted run; with --epochs N, make a run last N in all
        find_lr: only try the learning rate, from low to high, and suggest one for --lr; needs no --out
    """
    check_settings(settings)  # refuse before torch is loaded, which takes seconds
    if find_lr:
        unused = [*unused_by_range_test(settings, resume=resume), *(["--out"] if out else [])]
        return _find_lr(data or "digits", settings, unused=unused)
    if out is None:
        raise InputError("expected --out RUN, the run folder to make; or --find-lr")
    if resume:
        check_resume_settings(settings)
    need("torch", "torchvision", "sklearn", "jinja2", extra="train")
    from googlenet.training import loop
    from googlenet.training import train as training

    if resume:
        outcome = training.resume(out, settings, source=data)
    else:
        outcome = training.train(data or "digits", out, settings, started=STARTED)
    if outcome is None:  # the first of several processes speaks for all
        return 0
    if isinstance(outcome, loop.Interrupted):
        return outcome.code
    from googlenet.cli import terminal

    print(f"validation {terminal.top1(outcome)}; report: {out / 'report.html'}")
    return 0


def _find_lr(data: str, settings: Settings, *, unused: list[str]) -> int:
    need("torch", "torchvision", "sklearn", "jinja2", extra="train")
    from googlenet.base.progress import echo
    from googlenet.cli import terminal
    from googlenet.training.lr_range_test import range_test

    if unused:
        echo(f"not used by --find-lr, which writes nothing: {', '.join(unused)}")
    print(terminal.range_test(range_test(data, settings)))
    return 0


@verb
def evaluate(
    model: Model,
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    *,
    split: Literal["train", "val", "test"] | None = None,
    crops: str = "1",
    ensemble: Annotated[tuple[Path, ...], arg(metavar="MODEL ...")] = (),
    corruptions: bool = False,
    json: bool = False,
) -> int:
    """Measure how often a model is right on labeled photos.

    Example: googlenet evaluate runs/photos photos --split val

    Args:
        model: a run folder, a model.safetensors or an exported folder
        data: a folder of class folders, a folder with train/ and val/, or the word digits
        split: the part to measure; by default val where there is one, else the whole folder
        crops: of each photo, averaged: 1, the paper's 10 or 144, or greedy:N, the best N of the 144
        ensemble: further models of the same classes, averaged with the first
        corruptions: also measure every photo damaged in 15 ways, 5 degrees of each
        json: print JSON for machines
    """
    asked = parse_crops(crops)
    if corruptions and (asked != ONE or ensemble):
        raise InputError("expected --corruptions with one model and one crop, got --crops or --ensemble too")
    paths = loading.resolve_models([model, *ensemble])
    from googlenet.cli import terminal
    from googlenet.evaluation import multi_crop, robustness

    opened = {str(path): loading.load_predictor(path) for path in paths}
    with counting() as progress:
        options: dict[str, Any] = {"split": split, "workers": cores(), "progress": progress}
        if corruptions:
            damaged = robustness.assess(opened[str(paths[0])], data, **options)
            print(json_module.dumps(damaged.as_dict()) if json else terminal.robustness(damaged))
        else:
            found = multi_crop.assess(opened, data, asked, **options)
            print(json_module.dumps(found.as_dict()) if json else terminal.comparison(found))
    return 0


@verb
def predict(
    model: Model,
    paths: Annotated[Positional[list[str]], arg(metavar="PATH ...")],
    /,
    *,
    top: int = 5,
    format: Literal["table", "json", "jsonl", "csv", "parquet"] = "table",
    out: Path | None = None,
    force: bool = False,
    resume: bool = False,
    batch: int = 16,
) -> int:
    """Say what is on photos, and which are unlike the photos that the model was trained on.

    Example: googlenet predict runs/photos holiday/ 'more/*.jpg' --format csv --out guesses.csv

    Args:
        model: a run folder, a model.safetensors or an exported folder
        paths: image files, folders, patterns; - is an image on standard input
        top: guesses for each photo
        format: table, json, jsonl, csv or parquet
        out: a file to write instead of standard output
        force: replace the file that is at --out
        resume: go on with an --out that was interrupted; photos that are done are skipped, those that
            could not be read are tried again
        batch: photos at a time
    """
    if out is not None and format == "table":
        raise InputError("expected --format json, jsonl, csv or parquet for --out, got table")
    if out is None and (format == "parquet" or resume):
        raise InputError(f"expected --out with {'--resume' if resume else '--format parquet'}, got none")
    if not paths:
        raise InputError("expected a PATH after the model: files, folders, patterns, or -")
    if resume and STDIN in paths:
        raise InputError("expected files with --resume, got -: standard input is gone")
    prediction.check_options(top=top, batch=batch)
    output.need_format(format)
    if out is not None:
        check_output_path(out, force=force)
    opened = loading.load_predictor(model)
    print(f"googlenet: {opened.about}", file=sys.stderr)
    if opened.metadata.familiar is None and opened.metadata.energy_threshold is None:
        print(
            "googlenet: this model does not know which photos are unlike its training data", file=sys.stderr
        )
    classify = functools.partial(prediction.classify, paths, opened, top=top, batch=batch, workers=cores())
    if out is None:
        return _failures(output.print_rows(classify(), format, table=_table))
    options = {"model": loading.model_sha256(model), "top": top, "photos": paths, "in": str(Path.cwd())}
    journal = open_journal(out, resume=resume, about=options)
    rows = journal.keep(classify(skip=journal.done))
    collections.deque(output.counted(rows, done=len(journal.done)), maxlen=0)
    failed = [f"{row.path}: {row.error}" for row in journal.rows() if row.error is not None]
    journal.finish(out, format)
    return _failures(failed)


@verb
def export(
    model: Model,
    /,
    *,
    out: Path,
    to: Literal["openvino", "onnx", "int8"] | None = None,
    calibrate: str | None = None,
    accept_loss: bool = False,
) -> int:
    """Write a model for a fast engine that needs no torch, and verify that the outputs match.

    Example: googlenet export runs/photos --out photos-export

    Args:
        model: a run folder or a model.safetensors
        out: the folder to make
        to: openvino or onnx in float32, or int8 for OpenVINO; by default int8 if it passes its checks
        calibrate: photos for int8 and for the verification, a data set or a folder of any; by default the
            run's own
        accept_loss: keep int8 even if it loses more than half a point of accuracy, or predicts another class
            for more than one photo in a hundred
    """
    model_path(model)
    need("torch", extra="train")
    from googlenet.cli import terminal
    from googlenet.export.export import export as write
    from googlenet.files.runfolder import data_of_run

    own = data_of_run(model)
    manifest = write(model, out, to=to, calibrate=calibrate, training_data=own, accept_loss=accept_loss)
    print(f"{out}: {terminal.parity(manifest)}")
    return 0


def _table(rows: Iterable[prediction.Row]) -> str:
    from googlenet.cli.terminal import guesses  # draws tables, which takes a while to load

    return guesses(rows)


def _failures(problems: Iterable[str]) -> int:
    """Print what could not be read; the exit status that is due."""
    status = 0
    for problem in problems:
        print(f"googlenet: {problem}", file=sys.stderr)
        status = 2
    return status


COMMANDS.update(SERVING | SIGHTS | INSIGHTS | TOOLS)
