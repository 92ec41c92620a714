"""`googlenet check`."""

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from googlenet.cli.common import progress_bars


def check(
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    *,
    labels: Path | None = None,
    columns: str | None = None,
    group: str | None = None,
    on_bad: Literal["error", "skip", "skip-all"] = "error",
    fail_on_leak: bool = False,
    json: bool = False,
) -> int:
    """Inspect every photo before training: unreadable and unusual files, classes, copies across splits.

    Nothing is written. The exit status is 2 if a training with the same --on-bad would stop, or if a file
    that looks like a photo would not be read.

    Example: googlenet check photos --fail-on-leak

    Args:
        data: a folder of class folders, a folder with train/ and val/, or the word digits
        labels: a table (CSV, TSV, JSON lines, Parquet) with a row a photo, in place of class folders
        columns: its columns as FILE,LABEL or FILE,LABEL,SPLIT, unless they have usual names
        group: photos that training keeps on one side of its cut: folder (those inside the class folders),
            or a column of --labels
        on_bad: how training treats unreadable photos: error stops; skip ignores up to 1 %; skip-all
            ignores any number
        fail_on_leak: exit with 2 also if a photo has a copy in another split
        json: print JSON
    """
    from googlenet.cli import check_table
    from googlenet.data.dataset_inspection import inspect_dataset, too_many_bad
    from googlenet.data.folder import DIGITS, open_data
    from googlenet.data.table import labels_at
    from googlenet.images.leftovers import find_leftovers

    dataset = open_data(data, labels=labels_at(labels, columns, group), group=group)
    with progress_bars() as progress:
        advance = progress("checking images", sum(map(len, dataset.splits.values())))
        inspection = inspect_dataset(dataset, tuple(dataset.splits), progress=advance)
    leftovers = find_leftovers([] if data == DIGITS else [Path(data)])
    print(
        json_module.dumps({**check_table.as_dict(inspection), "not_taken": leftovers.as_dict()})
        if json
        else check_table.format_inspection(inspection, leftovers)
    )
    stops = too_many_bad(inspection, on_bad) or check_table.training_error(inspection)
    return 2 if stops or leftovers.photos or (fail_on_leak and inspection.leaks()) else 0
