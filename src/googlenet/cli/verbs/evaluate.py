"""`googlenet evaluate`."""

import json as json_module
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from googlenet.base.errors import InputError
from googlenet.base.machine import cores
from googlenet.cli.common import Model, progress_bars, report_leftovers
from googlenet.data.folder import DIGITS
from googlenet.data.table import labels_at
from googlenet.evaluation import photo_scores
from googlenet.images.crops import ONE, parse_crops
from googlenet.inference import loading


def evaluate(
    model: Model,
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    *,
    labels: Path | None = None,
    columns: str | None = None,
    split: Literal["train", "val", "test"] | None = None,
    crops: str = "1",
    ensemble: Annotated[tuple[Path, ...], arg(metavar="MODEL ...")] = (),
    corruptions: bool = False,
    out: Path | None = None,
    force: bool = False,
    json: bool = False,
) -> int:
    """Measure the accuracy and calibration of a model on labeled photos.

    Example: googlenet evaluate runs/photos photos --split val

    Args:
        model: a run folder, a model.safetensors or an exported folder
        data: a folder of class folders, a folder with train/ and val/, or the word digits
        labels: a table (CSV, TSV, JSON lines, Parquet) with a row a photo, in place of class folders
        columns: its columns as FILE,LABEL or FILE,LABEL,SPLIT, unless they have usual names
        split: the split to evaluate; by default val where there is one, else the whole folder
        crops: of each photo, averaged: 1, the paper's 10 or 144, or greedy:N, the best N of the 144
        ensemble: more models of the same classes, averaged with the first
        corruptions: also evaluate each photo with 15 kinds of corruption, each at 5 severities
        out: also write a row a photo to this file: path, label, guess, probabilities, loss; as .csv,
            .jsonl or .parquet
        force: replace the file at --out
        json: print JSON
    """
    protocol = parse_crops(crops)
    if corruptions and (protocol != ONE or ensemble):
        raise InputError("expected --corruptions with one model and one crop, got --crops or --ensemble too")
    if corruptions and out is not None:
        raise InputError("expected --corruptions without --out, got both: there is no row a photo")
    if out is not None:
        photo_scores.check_out(out, force=force)
    table = labels_at(labels, columns)
    paths = loading.resolve_models([model, *ensemble])
    from googlenet.cli import tables
    from googlenet.evaluation import multi_crop, robustness

    models = {str(path): loading.load_predictor(path) for path in paths}
    with progress_bars() as progress:
        options: dict[str, Any] = {"split": split, "labels": table, "workers": cores(), "progress": progress}
        if corruptions:
            damaged = robustness.assess(models[str(paths[0])], data, **options)
            print(json_module.dumps(damaged.as_dict()) if json else tables.format_robustness(damaged))
        else:
            compared = multi_crop.assess(models, data, protocol, **options)
            if out is not None:
                compared.photos.write(out)
            print(json_module.dumps(compared.as_dict()) if json else tables.format_comparison(compared))
    return 0 if data == DIGITS else report_leftovers([data])
