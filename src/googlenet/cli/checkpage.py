"""What `googlenet check` found, as text for people and as JSON types for machines. No torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from googlenet.base.errors import DataError
from googlenet.base.text import indent, pluralize
from googlenet.cli.terminal import right, text
from googlenet.data.dataset_inspection import (
    DatasetInspection,
    Leak,
    training_data,
)
from googlenet.data.duplicates import MAX_COMPARED, SIDE
from googlenet.data.scan import on_one_line

_CLASSES = 40  # in the table; of more, the largest and the smallest
_ENDS = 8  # of each
_SHOWN = 20  # pairs, warnings and names that were passed over; JSON has all


def page(found: DatasetInspection) -> str:
    """What was found, the worst last: there a reader of a terminal looks first."""
    parts = [_head(found), _classes(found), _odd(found), *_passed(found), *_warned(found), *_copies(found)]
    if notes := found.notes():
        parts.append("\n".join(["worth a look:", *(f"  {note}" for note in notes)]))
    parts.append(_bad(found))
    if stop := would_stop(found):
        parts.append(f"training would stop: {stop}")
    return "\n\n".join(parts)


def as_dict(found: DatasetInspection) -> dict[str, Any]:
    """Everything that was found as JSON types; paths as the files' own."""
    data = found.data
    return {
        "data": data.name,
        "classes": list(data.classes),
        "splits": {
            split: dict(zip(data.classes, found.counts(split).tolist(), strict=True))
            for split in found.splits
        },
        "cut_by_us": data.is_our_split,
        "photos": len(found.images),
        "bad": [
            {"path": found.path(i), "code": error.code, "reason": error.reason}
            for i, error in found.bad.items()
        ],
        "warnings": [{"path": found.path(i), "text": text} for i, text in found.warned.items()],
        "passed_over": [{"path": path, "reason": reason} for path, reason in data.skipped],
        "odd": odd(found),
        "alike_compared": found.compared,
        "copies": [[found.path(i) for i in group] for group in found.copies.groups()],
        "contradictions": [[found.path(i) for i in group] for group in found.contradictions()],
        "leaks": [_leak(leak) for leak in found.leaks()],
        "notes": found.notes(),
        "would_stop": would_stop(found),
    }


def odd(found: DatasetInspection) -> dict[str, int]:
    """How many photos are unlike most, but no mistake."""
    return {
        name: sum(getattr(look, name) for look in found.images) for name in ("grey", "turned", "tiny", "huge")
    }


def would_stop(found: DatasetInspection) -> str | None:
    """Why training would stop even without the bad files."""
    try:
        training_data(found)
    except DataError as error:
        return str(error)
    return None


def _leak(leak: Leak) -> dict[str, Any]:
    return {
        "split": leak.split,
        "in": leak.source,
        "photos": len(leak.pairs),
        "of": leak.photos,
        "share": leak.share,
        "pairs": [list(pair) for pair in leak.pairs],
    }


def _head(found: DatasetInspection) -> str:
    counts = ", ".join(f"{len(found.data.split(split)):,} {split}" for split in found.splits)
    cut = " (val is cut from train by googlenet)" if found.data.is_our_split else ""
    return f"{found.data.name}: {len(found.data.classes)} classes, {counts} photos{cut}"


def _classes(found: DatasetInspection) -> str:
    table = right(Table("class", *found.splits, box=None), first=1)
    counts = np.stack([found.counts(split) for split in found.splits], axis=1)
    order = np.argsort(-counts[:, 0], kind="stable")
    few = len(order) <= _CLASSES
    for i in order if few else order[:_ENDS]:
        table.add_row(Text(on_one_line(found.data.classes[i])), *(f"{count:,}" for count in counts[i]))
    if not few:
        table.add_row(f"… {len(order) - 2 * _ENDS} more", *("" for _ in found.splits))
        for i in order[-_ENDS:]:
            table.add_row(Text(on_one_line(found.data.classes[i])), *(f"{count:,}" for count in counts[i]))
    return text(table)


def _odd(found: DatasetInspection) -> str:
    count = odd(found)
    return (
        f"{count['grey']:,} photos are grey, {count['turned']:,} turned by what their camera noted, "
        f"{count['tiny']:,} tiny (a side under {SIDE} pixels), {count['huge']:,} huge"
    )


def _passed(found: DatasetInspection) -> Iterator[str]:
    if found.data.skipped:
        yield _listed("passed over:", [f"{_shown(path)}: {reason}" for path, reason in found.data.skipped])


def _warned(found: DatasetInspection) -> Iterator[str]:
    if found.warned:
        lines = [f"{_short(found, found.path(i))}: {said}" for i, said in found.warned.items()]
        yield _listed("decoded with a warning:", lines)


def _copies(found: DatasetInspection) -> Iterator[str]:
    groups = found.copies.groups()
    how = "" if found.compared else f"; more than {MAX_COMPARED:,} photos: only same files were looked for"
    if not groups:
        yield f"no copies{how}"
        return
    yield _listed(
        f"copies: {sum(map(len, groups)):,} photos in {pluralize(len(groups), 'group')}{how}",
        [_group(found, group) for group in groups],
    )
    for leak in found.leaks():
        yield _listed(
            f"{leak.describe()}:",
            [
                f"{_short(found, photo)} = {_short(found, copy)} ({_how(alike)})"
                for photo, copy, alike in leak.pairs
            ],
        )


def _group(found: DatasetInspection, group: list[int]) -> str:
    """A group of copies; of two, also how alike they are."""
    said = " = ".join(_short(found, found.path(i)) for i in group[:_SHOWN])
    if len(group) > _SHOWN:
        return f"{said} and {len(group) - _SHOWN:,} more"
    return f"{said} ({_how(float(found.copies.similarity[group[0]].max()))})" if len(group) == 2 else said


def _how(alike: float) -> str:
    return "the same file" if alike == 1 else f"{100 * alike:.0f} % alike"


def _short(found: DatasetInspection, path: str) -> str:
    """A path within the data folder, whose name stands above."""
    return on_one_line(path.removeprefix(f"{found.data.name}/"))


def _bad(found: DatasetInspection) -> str:
    if not found.bad:
        return f"all {len(found.images):,} photos can be read"
    lines = [f"  {_short(found, found.path(i))}: {error}" for i, error in found.bad.items()]
    return "\n".join([f"{len(found.bad):,} of {len(found.images):,} photos cannot be read:", *lines])


def _listed(title: str, lines: list[str]) -> str:
    return "\n".join([title, *indent(lines, most=_SHOWN)])


def _shown(path: str) -> str:
    """A path, a very long one cut in its middle."""
    path = on_one_line(path)
    return path if len(path) <= 200 else f"{path[:80]}…{Path(path).name[-80:]}"
