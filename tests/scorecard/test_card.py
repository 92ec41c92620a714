"""The card itself: a promise is kept only if its tests ran and passed."""

import json
from pathlib import Path

from helpers.card import END, START, Card, write
from helpers.promises import PROMISES


def test_kept_only_by_tests_that_passed(tmp_path: Path) -> None:
    card = Card()
    card.outcomes[1] += ["", ""]
    card.notes[1].append("5 kills")
    card.outcomes[2] += ["", "test_x: assert 1 == 2"]
    page = tmp_path / "reliability.md"
    page.write_text(f"before\n{START}STALE\n{END}\nafter\n")
    write(card, tmp_path / "scorecard.json")
    rows = {row["number"]: row for row in json.loads((tmp_path / "scorecard.json").read_text())}
    assert set(rows) == set(PROMISES)
    assert rows[1]["passed"] and rows[1]["measured"] == "5 kills"
    assert not rows[2]["passed"] and rows[2]["measured"] == "test_x: assert 1 == 2"
    assert not rows[3]["passed"] and rows[3]["measured"] == "no test yet"
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "STALE" not in text
    assert "| 1 | Killed" in text and "| **no** | no test yet |" in text


def test_page_shows_the_committed_card() -> None:
    from helpers.card import PAGE, ROOT, table

    rows = json.loads((ROOT / "docs" / "scorecard.json").read_text(encoding="utf-8"))
    assert table(rows) in PAGE.read_text(encoding="utf-8")
    assert {row["number"]: row["promise"] for row in rows} == PROMISES
