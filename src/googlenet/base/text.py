"""Lists and counts in messages."""

from collections.abc import Sequence


def abbreviate(names: Sequence[str], *, most: int = 5) -> str:
    """The first names of a list, each up to 100 characters, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(name[:100] for name in names[:most]) + more


def indent(lines: Sequence[str], *, most: int) -> list[str]:
    """The first lines of a list, indented, and one that says how many more there are."""
    more = [f"… and {len(lines) - most:,} more"] if len(lines) > most else []
    return [f"  {line}" for line in (*lines[:most], *more)]


def pluralize(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
