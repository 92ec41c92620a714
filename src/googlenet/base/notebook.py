"""Results as HTML for notebooks: small tables that need no style sheet. No torch."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

Cell = str | int | float | None


class BarCell(NamedTuple):
    """A cell with a share from 0 to 1, drawn as a bar beside its number; None for none."""

    share: float | None


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell | BarCell]], *, caption: str = "") -> str:
    """An HTML table; every text is escaped."""
    said = f"<caption style='text-align: left'>{escape(caption)}</caption>" if caption else ""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table>{said}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Cell | BarCell) -> str:
    if isinstance(value, BarCell):
        if value.share is None:
            return "<td></td>"
        return f"<td><meter value='{value.share:.4f}'></meter> {100 * value.share:.1f} %</td>"
    return f"<td>{'' if value is None else escape(str(value))}</td>"
