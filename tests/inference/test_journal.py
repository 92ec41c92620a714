"""Predictions written as they come: whole or not there, and an interrupted run goes on."""

import csv
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError
from googlenet.files.metadata import ModelMetadata
from googlenet.inference import output
from googlenet.inference.journal import Journal, open_journal
from googlenet.inference.loading import model_sha256
from googlenet.inference.predict import Row
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet
from helpers.painting import Run, paint

ROWS = [
    Row("a.jpg", 1, "cat", 0.75, unfamiliar=False),
    Row("a.jpg", 2, 'dog, "big"', 0.25, unfamiliar=True),
    Row("b.jpg", error="empty: the file has no content"),
    Row("c.jpg", 1, "chat né", 0.5),
]
ABOUT: dict[str, object] = {"model": "abc", "top": 2}


def write(out: Path, rows: list[Row], format: str, *, resume: bool = False) -> set[str]:
    journal = open_journal(out, resume=resume, about=ABOUT)
    before = set(journal.done)
    assert list(journal.keep(iter(rows))) == rows
    journal.finish(out, format)
    return before


def read(out: Path, format: str) -> list[dict[str, object]]:
    if format == "csv":
        with out.open(newline="", encoding="utf-8") as file:
            return [{k: v for k, v in row.items() if v != ""} for row in csv.DictReader(file)]
    if format == "parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(out).to_pylist()
        return [{k: v for k, v in row.items() if v is not None} for row in rows]
    text = out.read_text(encoding="utf-8")
    return json.loads(text) if format == "json" else [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("format", output.FORMATS)
def test_every_format_reads_back(tmp_path: Path, format: str) -> None:
    out = tmp_path / "out"
    write(out, ROWS, format)
    expected = [{k: v for k, v in vars(row).items() if v is not None} for row in ROWS]
    as_text = [{k: str(v) for k, v in row.items()} for row in expected]
    assert read(out, format) == (as_text if format == "csv" else expected)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("cut", [0, 1, 25])
def test_an_interrupted_run_goes_on(tmp_path: Path, cut: int) -> None:
    """Killed while writing: the line that was cut short is done again."""
    out = tmp_path / "out.jsonl"
    journal = open_journal(out, resume=False, about=ABOUT)

    def dying() -> Iterator[Row]:
        yield from ROWS[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(journal.keep(dying()))
    assert not out.exists()
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[: len(content) - cut])
    again = open_journal(out, resume=True, about=ABOUT)
    assert again.done == ({"a.jpg"} if not cut else set())  # b.jpg was not yet known to be whole
    assert again.path.read_bytes().endswith(b"\n")
    rest = [row for row in ROWS if row.path not in again.done]
    list(again.keep(iter(rest)))
    again.finish(out, "jsonl")
    assert [row["path"] for row in read(out, "jsonl")] == [row.path for row in ROWS]


def attempt(out: Path, rows: list[Row], *, resume: bool) -> Journal:
    """A run that is interrupted after these rows."""
    journal = open_journal(out, resume=resume, about=ABOUT)
    list(journal.keep(iter(rows)))
    return journal


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_what_could_not_be_read_is_tried_again_in_its_place(tmp_path: Path, format: str) -> None:
    out = tmp_path / "out"
    lost = [Row(name, error="unreadable: no such file") for name in ("b.jpg", "d.jpg", "e.jpg")]
    attempt(out, [ROWS[0], ROWS[1], lost[0], ROWS[3], *lost[1:]], resume=False)
    second = attempt(out, [Row("b.jpg", 1, "cat", 0.5), Row("b.jpg", 2, "dog", 0.5), lost[1]], resume=True)
    assert second.done == {"a.jpg", "c.jpg"}
    third = open_journal(out, resume=True, about=ABOUT)
    assert third.done == {"a.jpg", "b.jpg", "c.jpg"}  # d failed twice; e was not tried yet
    list(third.keep(iter([Row("d.jpg", 1, "cat", 1.0), Row("f.jpg", 1, "dog", 1.0)])))
    third.finish(out, format)
    rows = read(out, format)
    assert [row["path"][0] for row in rows] == ["a", "a", "b", "b", "c", "d", "e", "f"]  # type: ignore[index]
    assert [row["path"] for row in rows if "error" in row] == ["e.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_long_journal_is_read_line_by_line(tmp_path: Path) -> None:
    """Ten thousand photos with long labels: the names are kept, the labels are not."""
    count, label = 10_000, "x" * 1000
    attempt(tmp_path / "out", [Row(f"{i:06}.jpg", 1, label, 1.0) for i in range(count)], resume=False)
    tracemalloc.start()
    journal = open_journal(tmp_path / "out", resume=True, about=ABOUT)
    held = sum(1 for _ in journal.rows())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held == len(journal.done) == count
    assert journal.path.stat().st_size > 10_000_000
    assert most < 3_000_000


def test_a_journal_of_other_options_is_refused(tmp_path: Path) -> None:
    open_journal(tmp_path / "out", resume=False, about=ABOUT)
    with pytest.raises(InputError, match="--resume"):
        open_journal(tmp_path / "out", resume=False, about=ABOUT)
    with pytest.raises(InputError, match="of another model"):
        open_journal(tmp_path / "out", resume=True, about={**ABOUT, "top": 5})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    card = ModelMetadata(classes=("a", "b"), dialect="bn", preprocessing=Preprocessing(size=64))
    checkpoint.save(path, GoogLeNet(2), card)
    return path


def test_resume_from_the_command_line(googlenet: Run, model: Path, tmp_path: Path) -> None:
    for i in range(4):
        paint(tmp_path / "in" / f"{i}.jpg", (10 * i, 90, 30), seed=i)
    (tmp_path / "in" / "9.jpg").write_bytes(b"no image")
    words = ("predict", model, "in", "--format", "csv", "--out", "out.csv")
    whole = googlenet(*words)
    assert whole.returncode == 2  # one could not be read
    assert "9.jpg: format" in whole.stderr
    expected = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "out.csv").unlink()
    about = {"model": model_sha256(model), "top": 5, "photos": ["in"], "in": str(tmp_path)}
    begun = open_journal(tmp_path / "out.csv", resume=False, about=about)
    with begun.path.open("a") as file:
        for name in ("in/0.jpg", "in/1.jpg"):
            file.write(json.dumps([vars(Row(name, 1, "kept", 1.0))]) + "\n")
        file.write(json.dumps([vars(Row("in/2.jpg", error="unreadable: no such file"))]) + "\n")
    refused = googlenet(*words)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    resumed = googlenet(*words, "--resume")
    assert resumed.returncode == 2
    rows = read(tmp_path / "out.csv", "csv")
    assert [row["label"] for row in rows[:2]] == ["kept", "kept"]
    assert expected.splitlines()[5:] == (tmp_path / "out.csv").read_bytes().splitlines()[3:]


@pytest.mark.parametrize("content", ["", '{"model": "abc", "to'])
def test_a_journal_cut_short_in_its_first_line_begins_again(tmp_path: Path, content: str) -> None:
    (tmp_path / ".out.journal").write_text(content)
    assert write(tmp_path / "out", ROWS, "jsonl", resume=True) == set()
    assert len(read(tmp_path / "out", "jsonl")) == len(ROWS)


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    path = open_journal(tmp_path / "out", resume=False, about=ABOUT).path
    path.write_text(path.read_text() + "[]\n")
    with pytest.raises(InputError, match="damaged"):
        open_journal(tmp_path / "out", resume=True, about=ABOUT)


def test_parquet_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    write(tmp_path / "out", [Row("caf\udce9.jpg", 1, "cat", 1.0)], "parquet")
    assert read(tmp_path / "out", "parquet")[0]["path"] == r"caf\xe9.jpg"


def test_a_mistake_leaves_no_journal(googlenet: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for words in (["--top", "0", "--out", "o.csv"], ["--out", "folder"]):
        done = googlenet("predict", model, "x.jpg", "--format", "csv", *words)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("words", [["--format", "parquet"], ["--resume"]])
def test_options_that_need_a_file(googlenet: Run, model: Path, words: list[str]) -> None:
    done = googlenet("predict", model, "x.jpg", *words)
    assert done.returncode == 2
    assert "expected --out" in done.stderr
