"""What was decided about labels: a journal that survives anything, and a table to train on."""

import csv
from pathlib import Path

import pytest

from googlenet.base.errors import InputError
from googlenet.crossval.corrections import Corrections, Decision, LabeledPhoto
from googlenet.data.folder import open_data
from googlenet.data.table import Labels
from helpers.folded import make_photos, make_run

PHOTOS = [
    LabeledPhoto(path="a/0.jpg", label="a"),
    LabeledPhoto(path='a/1, "x".jpg', label="a"),
    LabeledPhoto(path="b/0.jpg", label="b"),
]


def table(folder: Path) -> dict[str, dict[str, str]]:
    rows = csv.DictReader((folder / "corrections.csv").read_text(encoding="utf-8").splitlines())
    return {row["path"]: row for row in rows}


def test_decisions_are_kept_at_once_and_taken_back(tmp_path: Path) -> None:
    now = Corrections(tmp_path, PHOTOS)
    now.decide(Decision(path="a/0.jpg", action="correct", label='wörd, "new"'))
    now.decide(Decision(path="b/0.jpg", action="exclude"))
    now.decide(Decision(path=PHOTOS[1].path, action="keep"))
    found = table(tmp_path)
    assert [row["label"] for row in found.values()] == ['wörd, "new"', "a", ""]
    assert [row["given"] for row in found.values()] == ["a", "a", "b"]
    assert [row["decision"] for row in found.values()] == ["correct", "keep", "exclude"]
    assert now.lost() == ("b",)
    again = Corrections(tmp_path, PHOTOS)  # another process, later
    assert again.decisions == now.decisions
    assert again.undo() == PHOTOS[1].path and again.undo() == "b/0.jpg"
    assert table(tmp_path)["b/0.jpg"]["label"] == "b"
    assert again.lost() == ()
    assert Corrections(tmp_path, PHOTOS).undo() == "a/0.jpg"
    assert Corrections(tmp_path, PHOTOS).undo() is None


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    now = Corrections(tmp_path, PHOTOS)
    now.decide(Decision(path="a/0.jpg", action="exclude"))
    journal = tmp_path / "corrections.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"path":"b/0.jpg","act')
    again = Corrections(tmp_path, PHOTOS)
    again.decide(Decision(path="b/0.jpg", action="keep"))
    assert set(Corrections(tmp_path, PHOTOS).decisions) == {"a/0.jpg", "b/0.jpg"}


@pytest.mark.parametrize("label", [None, "", "  ", " a", "a\n", "x" * 201, "\x1b[0m"])
def test_what_is_no_label_is_refused(tmp_path: Path, label: str | None) -> None:
    now = Corrections(tmp_path, PHOTOS)
    with pytest.raises(InputError, match="expected a label of 1 to 200"):
        now.decide(Decision(path="a/0.jpg", action="correct", label=label))
    with pytest.raises(InputError, match="expected a photo of this run"):
        now.decide(Decision(path="../secret", action="exclude"))
    assert not list(tmp_path.iterdir())


def test_the_table_trains_with_the_splits_of_the_data(tmp_path: Path) -> None:
    from googlenet.crossval.assignment import read_table
    from googlenet.crossval.folder import read_cross_validation
    from googlenet.crossval.relabel import all_photos

    photos = make_photos(tmp_path / "photos")
    out = make_run(tmp_path / "run", photos)
    now = Corrections(out, all_photos(read_cross_validation(out), read_table(out / "folds.jsonl", photos)))
    now.decide(Decision(path="train/blue/0.jpg", action="correct", label="red"))
    now.decide(Decision(path="train/red/1.jpg", action="exclude"))
    data = open_data(str(photos), labels=Labels(file=str(out / "corrections.csv")))
    train, val = data.split("train"), data.split("val")
    assert len(train) == 3 * 6 + 1 - 1 and len(val) == 3
    labels = {train.name(i): data.classes[train.labels[i]] for i in range(len(train))}
    assert labels["train/blue/0.jpg"] == "red" and labels["train/blue/copy.jpg"] == "blue"
    assert "train/red/1.jpg" not in labels
    assert any("without a file or a label" in note for note in data.notes)
