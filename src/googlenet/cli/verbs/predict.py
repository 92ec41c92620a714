"""`googlenet predict`."""

import collections
import functools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from googlenet.base.errors import InputError
from googlenet.base.machine import cores
from googlenet.cli.common import Model, report_failures, report_leftovers
from googlenet.files.output_paths import check_output_path
from googlenet.inference import loading, output
from googlenet.inference import predict as prediction
from googlenet.inference.journal import open_journal
from googlenet.inference.paths import STDIN


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
    """Classify photos, and mark those that are unlike the training data of the model.

    Example: googlenet predict runs/photos holiday/ 'more/*.jpg' --format csv --out predictions.csv

    Args:
        model: a run folder, a model.safetensors or an exported folder
        paths: image files, folders, patterns; - is an image on standard input
        top: classes for each photo, most probable first
        format: table, json, jsonl, csv or parquet
        out: a file to write instead of standard output
        force: replace the file at --out
        resume: continue an interrupted --out; photos that are done are skipped, those that could not be
            read are tried again
        batch: photos in a batch
    """
    if out is not None and format == "table":
        raise InputError("expected --format json, jsonl, csv or parquet for --out, got table")
    if out is None and (format == "parquet" or resume):
        raise InputError(f"expected --out with {'--resume' if resume else '--format parquet'}, got none")
    if not paths:
        raise InputError("expected a PATH after the model: files, folders, patterns, or -")
    if resume and STDIN in paths:
        raise InputError("expected files with --resume, got -: standard input cannot be read again")
    prediction.check_options(top=top, batch=batch)
    output.need_format(format)
    if out is not None:
        check_output_path(out, force=force)
    predictor = loading.load_predictor(model)
    print(f"googlenet: {predictor.about}", file=sys.stderr)
    if not predictor.metadata.has_detector:
        print("googlenet: this model has no out-of-distribution detector", file=sys.stderr)
    classify = functools.partial(prediction.classify, paths, predictor, top=top, batch=batch, workers=cores())
    if out is None:
        status = report_failures(output.print_rows(classify(), format, table=_table))
        return max(status, report_leftovers(paths))
    options = {"model": loading.model_sha256(model), "top": top, "photos": paths, "in": str(Path.cwd())}
    journal = open_journal(out, resume=resume, about=options)
    rows = journal.keep(classify(skip=journal.done))
    collections.deque(output.counted(rows, done=len(journal.done)), maxlen=0)
    failed = [f"{row.path}: {row.error}" for row in journal.rows() if row.error is not None]
    journal.finish(out, format)
    return max(report_failures(failed), report_leftovers(paths))


def _table(rows: Iterable[prediction.Row]) -> str:
    from googlenet.cli.tables import format_predictions  # imports rich's tables, which takes a while

    return format_predictions(rows)
