"""MODEL as a user names it: what is said of one that is not there."""

from pathlib import Path

import pytest

from googlenet.cli import tables
from helpers.painting import Run


@pytest.mark.parametrize("words", [["predict", "M", "p.jpg"], ["evaluate", "M", "digits"], ["export", "M"]])
@pytest.mark.parametrize("folder", [False, True])
def test_a_missing_model_names_all_kinds(
    googlenet: Run, tmp_path: Path, words: list[str], folder: bool
) -> None:
    if folder:
        (tmp_path / "M").mkdir()
    done = googlenet(*words, *(["--out", "out"] if words[0] == "export" else []))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    for kind in ("a run folder", "a model.safetensors", "an exported folder", "got M"):
        assert kind in done.stderr
    assert not (tmp_path / "out").exists()


def test_long_lists_are_cut_short_for_people() -> None:
    names = [f"class{i}" for i in range(1000)]
    said = tables.format_metadata({"classes": names, "few": names[:13]})
    assert "class11 and 988 more" in said
    assert "class12" in said.splitlines()[1]
    assert "class12" not in said.splitlines()[0]
