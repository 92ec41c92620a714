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
    now.decide(Decision(path="a/0.jpg", action="keep"))  # after another thought
    again = Corrections(tmp_path, PHOTOS)  # another process, later
    assert again.decisions == now.decisions and again.decisions["a/0.jpg"].action == "keep"
    assert again.undo() == "a/0.jpg" and again.decisions["a/0.jpg"].action == "correct"
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


@pytest.mark.parametrize("label", [None, "", "  ", " a", "a\n", "x" * 201, "\x1b[0m", "A", "\u2028x"])
def test_what_is_no_label_is_refused(tmp_path: Path, label: str | None) -> None:
    now = Corrections(tmp_path, PHOTOS)
    with pytest.raises(InputError, match="expected a label"):
        now.decide(Decision(path="a/0.jpg", action="correct", label=label))
    with pytest.raises(InputError, match="expected a photo of this run"):
        now.decide(Decision(path="../secret", action="exclude"))
    assert [path.name for path in tmp_path.iterdir()] == ["folds.jsonl"]


def test_any_class_that_there_is_can_be_taken(tmp_path: Path) -> None:
    odd = "\u062e\u0627\u0646\u0647\u200c\u0647\u0627"  # Persian, with a joiner
    now = Corrections(tmp_path, [*PHOTOS, LabeledPhoto(path="c.jpg", label=odd)])
    now.decide(Decision(path="a/0.jpg", action="correct", label=odd))
    assert table(tmp_path)["a/0.jpg"]["label"] == odd


def test_decisions_of_other_folds_are_set_aside(tmp_path: Path) -> None:
    now = Corrections(tmp_path, PHOTOS)
    now.decide(Decision(path="a/0.jpg", action="exclude"))
    (tmp_path / "folds.jsonl").write_text("of another run")
    assert Corrections(tmp_path, PHOTOS).decisions == {}
    aside = sorted(path.name for path in tmp_path.iterdir() if "-" in path.name)
    assert len(aside) == 2 and not (tmp_path / "corrections.csv").exists()


def test_the_table_is_written_again_after_a_kill(tmp_path: Path) -> None:
    Corrections(tmp_path, PHOTOS).decide(Decision(path="a/0.jpg", action="exclude"))
    (tmp_path / "corrections.csv").unlink()
    Corrections(tmp_path, PHOTOS)
    assert table(tmp_path)["a/0.jpg"]["label"] == ""


def test_ten_thousand_decisions_are_read_again_at_once(tmp_path: Path) -> None:
    import time

    photos = [LabeledPhoto(path=f"{i}.jpg", label="ab"[i % 2]) for i in range(10_000)]
    now = Corrections(tmp_path, photos)
    now.decide(Decision(path="0.jpg", action="keep"))
    with (tmp_path / "corrections.jsonl").open("a") as file:
        file.writelines(
            f'{{"path": "{i}.jpg", "action": "exclude", "label": null}}\n' for i in range(1, 9999)
        )
    began = time.process_time()
    assert len(Corrections(tmp_path, photos).decisions) == 9999
    assert time.process_time() - began < 10  # a bound against a square


@pytest.fixture(autouse=True)
def folds(tmp_path: Path) -> None:
    (tmp_path / "folds.jsonl").write_text("some folds")


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
    assert "given" in (out / "corrections.csv").read_text(encoding="utf-8").splitlines()[0]
    labels = {train.name(i): data.classes[train.labels[i]] for i in range(len(train))}
    assert labels["train/blue/0.jpg"] == "red" and labels["train/blue/copy.jpg"] == "blue"
    assert "train/red/1.jpg" not in labels
    assert any("without a file or a label" in note for note in data.notes)
