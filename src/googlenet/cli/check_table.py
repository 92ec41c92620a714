"""What `googlenet check` found, as text for people and as JSON types for machines. No torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from googlenet.base.errors import DataError
from googlenet.base.text import pluralize
from googlenet.cli.tables import numeric_table, render_table
from googlenet.data.dataset_inspection import DatasetInspection, training_data
from googlenet.data.duplicates import MAX_COMPARED, SIDE
from googlenet.data.scan import on_one_line
from googlenet.images.leftovers import Leftovers

_MAX_CLASSES = 40  # in the table; of more, the largest and the smallest
_ENDS = 8  # of each
_MAX_LISTED = 20  # pairs, warnings and names that were passed over; JSON has all


def format_inspection(inspection: DatasetInspection, leftovers: Leftovers) -> str:
    """The whole inspection, the worst last: there a reader of a terminal looks first."""
    parts = [_heading(inspection), _class_table(inspection), _unusual(inspection), *leftovers.lines()[::-1]]
    parts += [*_warnings(inspection), *_copies(inspection)]
    if notes := inspection.notes():
        parts.append("\n".join(["worth a look:", *(f"  {note}" for note in notes)]))
    parts.append(_unreadable(inspection))
    if error := training_error(inspection):
        parts.append(f"training would stop: {error}")
    return "\n\n".join(parts)


def as_dict(inspection: DatasetInspection) -> dict[str, Any]:
    """The whole inspection as JSON types; paths are those of the files."""
    data, path = inspection.data, inspection.path
    return {
        "data": data.name,
        "classes": list(data.classes),
        "splits": {
            split: dict(zip(data.classes, inspection.counts(split).tolist(), strict=True))
            for split in inspection.splits
        },
        "cut_by_us": data.is_our_split,
        "photos": len(inspection.images),
        "bad": [
            {"path": path(i), "code": error.code, "reason": error.reason}
            for i, error in inspection.bad.items()
        ],
        "warnings": [{"path": path(i), "text": text} for i, text in inspection.warned.items()],
        "passed_over": [{"path": name, "reason": reason} for name, reason in data.skipped],
        "odd": count_unusual(inspection),
        "cut_off": inspection.cut_off,
        "alike_compared": inspection.compared,
        "copies": [[path(i) for i in group] for group in inspection.copies.groups()],
        "contradictions": [[path(i) for i in group] for group in inspection.contradictions()],
        "leaks": [
            {
                "split": leak.split,
                "in": leak.source,
                "photos": len(leak.pairs),
                "of": leak.photos,
                "share": leak.share,
                "pairs": [list(pair) for pair in leak.pairs],
            }
            for leak in inspection.leaks()
        ],
        "notes": inspection.notes(),
        "would_stop": training_error(inspection),
    }


def count_unusual(inspection: DatasetInspection) -> dict[str, int]:
    """How many photos are unusual, but valid."""
    names = ("grey", "turned", "tiny", "huge")
    return {name: sum(getattr(image, name) for image in inspection.images) for name in names}


def training_error(inspection: DatasetInspection) -> str | None:
    """Why training would stop even without the unreadable files; None if it would not."""
    try:
        training_data(inspection)
    except DataError as error:
        return str(error)
    return None


def _heading(inspection: DatasetInspection) -> str:
    data = inspection.data
    counts = ", ".join(f"{len(data.split(split)):,} {split}" for split in inspection.splits)
    cut = " (val is cut from train by googlenet)" if data.is_our_split else ""
    return f"{data.name}: {len(data.classes)} classes, {counts} photos{cut}"


def _class_table(inspection: DatasetInspection) -> str:
    table = numeric_table("class", *inspection.splits, left=1)
    counts = np.stack([inspection.counts(split) for split in inspection.splits], axis=1)
    order = np.argsort(-counts[:, 0], kind="stable").tolist()
    rows = order if len(order) <= _MAX_CLASSES else [*order[:_ENDS], None, *order[-_ENDS:]]
    for i in rows:
        if i is None:
            table.add_row(f"… {len(order) - 2 * _ENDS} more")
        else:
            name = on_one_line(inspection.data.classes[i])
            table.add_row(Text(name), *(f"{count:,}" for count in counts[i]))
    return render_table(table)


def _unusual(inspection: DatasetInspection) -> str:
    count = count_unusual(inspection)
    return (
        f"{count['grey']:,} photos are grey, {count['turned']:,} turned by what their camera noted, "
        f"{count['tiny']:,} tiny (a side under {SIDE} pixels), {count['huge']:,} huge; "
        f"{100 * inspection.cut_off:.0f} % of their area is cut off where only the middle square is seen "
        "(--fit)"
    )


def _warnings(inspection: DatasetInspection) -> Iterator[str]:
    if skipped := inspection.data.skipped:
        yield _format_list("passed over:", [f"{_shorten(path)}: {reason}" for path, reason in skipped])
    if inspection.warned:
        lines = [f"{_name(inspection, i)}: {warning}" for i, warning in inspection.warned.items()]
        yield _format_list("decoded with a warning:", lines)


def _copies(inspection: DatasetInspection) -> Iterator[str]:
    groups = inspection.copies.groups()
    limit = (
        "" if inspection.compared else f"; more than {MAX_COMPARED:,} photos: only identical files were found"
    )
    if not groups:
        yield f"no copies{limit}"
        return
    yield _format_list(
        f"copies: {sum(map(len, groups)):,} photos in {pluralize(len(groups), 'group')}{limit}",
        [_format_group(inspection, group) for group in groups],
    )
    for leak in inspection.leaks():
        pairs = [
            f"{_relative(inspection, photo)} = {_relative(inspection, copy)} ({_format_similarity(alike)})"
            for photo, copy, alike in leak.pairs
        ]
        yield _format_list(f"{leak.describe()}:", pairs)


def _format_group(inspection: DatasetInspection, group: Sequence[int]) -> str:
    """A group of copies; of two, also how similar they are."""
    names = " = ".join(_name(inspection, i) for i in group[:_MAX_LISTED])
    if len(group) > _MAX_LISTED:
        return f"{names} and {len(group) - _MAX_LISTED:,} more"
    if len(group) > 2:
        return names
    return f"{names} ({_format_similarity(float(inspection.copies.similarity[group[0]].max()))})"


def _format_similarity(alike: float) -> str:
    return "the same file" if alike == 1 else f"{100 * alike:.0f} % alike"


def _unreadable(inspection: DatasetInspection) -> str:
    if not inspection.bad:
        return f"all {len(inspection.images):,} photos can be read"
    lines = [f"  {_name(inspection, i)}: {error}" for i, error in inspection.bad.items()]
    heading = f"{len(inspection.bad):,} of {len(inspection.images):,} photos cannot be read:"
    return "\n".join([heading, *lines])


def _name(inspection: DatasetInspection, i: int) -> str:
    return _relative(inspection, inspection.path(i))


def _relative(inspection: DatasetInspection, path: str) -> str:
    """A path within the data folder, which the heading names."""
    return on_one_line(path.removeprefix(f"{inspection.data.name}/"))


def _format_list(title: str, lines: Sequence[str]) -> str:
    more = [f"  … and {len(lines) - _MAX_LISTED:,} more"] if len(lines) > _MAX_LISTED else []
    return "\n".join([title, *(f"  {line}" for line in lines[:_MAX_LISTED]), *more])


def _shorten(path: str) -> str:
    """A path, a very long one cut in its middle."""
    path = on_one_line(path)
    return path if len(path) <= 200 else f"{path[:80]}…{Path(path).name[-80:]}"
