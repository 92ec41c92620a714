"""docs/fidelity.md against the code: what it names exists, and no deviation is kept quiet."""

import importlib
import re
from pathlib import Path

import pytest

from googlenet.architecture import cost

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "googlenet"
PAGE = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and "`" in line and line.count("|") == 6
]


def deviations_in_code() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        texts = re.findall(r"# DEVIATION: (.*)", path.read_text(encoding="utf-8"))
        if texts:
            found[".".join(path.relative_to(PACKAGE).with_suffix("").parts)] = texts
    return found


def test_depth() -> None:
    """22 layers with parameters; 27 with the five poolings between them (section 5)."""
    rows = cost.network("paper").rows
    assert sum(row.depth for row in rows) == 22
    assert sum(row.what.startswith(("max", "average")) for row in rows) == 27 - 22


def test_the_page_has_its_claims() -> None:
    assert len(ROWS) >= 25


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:40] for row in ROWS])
def test_code_and_test_of_a_claim_exist(row: list[str]) -> None:
    _, section, code, test, _ = row
    assert section
    package, module, name, *_ = code.strip("`").split(".")
    assert hasattr(importlib.import_module(f"googlenet.{package}.{module}"), name), code
    file, _, name = test.strip("`").partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.M), test


def test_every_deviation_is_told_and_every_told_one_is_in_the_code() -> None:
    told: dict[str, list[str]] = {}
    for module, text in re.findall(r"^\| `([\w.]+)` \| (.*) \|$", PAGE.split("## Deviations")[1], re.M):
        told.setdefault(module, []).append(text)
    assert told == deviations_in_code()
