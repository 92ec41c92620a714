"""The scorecard: which promises were kept in this run of the tests, as JSON and as a page."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from helpers.promises import GROUPS, PROMISES

Measured = Callable[[str], None]  # the fixture `measured`
ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reliability.md"
START, END = "<!-- scorecard -->\n", "<!-- end of the scorecard -->"


@dataclass
class Card:
    """What each promise's tests found."""

    outcomes: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))  # "" or why it failed
    notes: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def rows(self) -> list[dict[str, object]]:
        """`number`, `promise`, `passed`, `measured` of every promise; one without a test is not kept."""
        return [self._row(number) for number in PROMISES]

    def _row(self, number: int) -> dict[str, object]:
        found = self.outcomes[number]
        failures = [why for why in found if why]
        said = failures or self.notes[number] or [f"{len(found)} tests"]
        return {
            "number": number,
            "promise": PROMISES[number],
            "passed": bool(found) and not failures,
            "measured": "; ".join(dict.fromkeys(said)) if found else "no test yet",
        }


def write(card: Card, path: Path) -> None:
    """Write the JSON file, and the table into the page beside it."""
    rows = card.rows()
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = path.with_name(PAGE.name)
    if page.exists():
        text = page.read_text(encoding="utf-8")
        before, rest = text.split(START)
        page.write_text(before + START + table(rows) + END + rest.split(END)[1], encoding="utf-8")


def table(rows: list[dict[str, object]]) -> str:
    """A Markdown table for each group."""
    by_number = {row["number"]: row for row in rows}
    parts = []
    for group, promises in GROUPS.items():
        lines = [f"\n### {group}\n", "| | promise | kept | measured |", "|---|---|---|---|"]
        for number in promises:
            row = by_number[number]
            kept = "yes" if row["passed"] else "**no**"
            measured = str(row["measured"]).replace("|", "\\|").replace("\n", " ")
            lines.append(f"| {number} | {row['promise']} | {kept} | {measured} |")
        parts.append("\n".join(lines) + "\n")
    return "".join(parts) + "\n"
