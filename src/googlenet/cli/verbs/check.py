"""`googlenet check`."""

import json as json_module
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from googlenet.cli.common import progress_bars


def check(
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    *,
    on_bad: Literal["error", "skip", "skip-all"] = "error",
    fail_on_leak: bool = False,
    json: bool = False,
) -> int:
    """Inspect every photo before training: unreadable and unusual files, classes, copies across splits.

    Nothing is written. The exit status is 2 if a training with the same --on-bad would stop.

    Example: googlenet check photos --fail-on-leak

    Args:
        data: a folder of class folders, a folder with train/ and val/, or the word digits
        on_bad: how training treats unreadable photos: error stops; skip ignores up to 1 %; skip-all
            ignores any number
        fail_on_leak: exit with 2 also if a photo has a copy in another split
        json: print JSON
    """
    from googlenet.cli import check_table
    from googlenet.data.dataset_inspection import inspect_dataset, too_many_bad
    from googlenet.data.folder import open_data

    dataset = open_data(data)
    with progress_bars() as progress:
        advance = progress("checking images", sum(map(len, dataset.splits.values())))
        inspection = inspect_dataset(dataset, tuple(dataset.splits), progress=advance)
    print(
        json_module.dumps(check_table.as_dict(inspection))
        if json
        else check_table.format_inspection(inspection)
    )
    stops = too_many_bad(inspection, on_bad) or check_table.training_error(inspection)
    return 2 if stops or (fail_on_leak and inspection.leaks()) else 0
