"""A row a photo: what `evaluate --out` writes."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from googlenet.base.errors import InputError, WriteError
from googlenet.cli import main
from googlenet.data.table import labels_at, read_labels
from googlenet.evaluation.photo_scores import check_out
from helpers.models import save
from helpers.painting import COLORS, paint


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Classes of the model of the tests, with a photo that cannot be read."""
    root = tmp_path / "photos"
    for number, (name, color) in enumerate(COLORS.items()):
        for i in range(4):
            paint(root / name / f"{i}.jpg", color, seed=100 * number + i)
    (root / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return root


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tmp_path / "model.safetensors", "bn")


def rows(path: Path) -> list[dict[str, object]]:
    """The rows of a file, with numbers as numbers and without blanks."""
    if path.suffix == ".parquet":
        found = pq.read_table(path).to_pylist()
    elif path.suffix == ".jsonl":
        found = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        found = list(csv.DictReader(path.read_text().splitlines()))
    flat = []
    for row in found:
        shares = row.pop("probabilities", {})
        row |= {f"p:{name}": share for name, share in shares.items()}
        numbers = {n: float(v) for n, v in row.items() if v not in (None, "") and n[:2] in ("p:", "lo", "pr")}
        flat.append({name: numbers.get(name, v) for name, v in row.items() if v not in (None, "")})
    return flat


def test_every_photo_has_a_row_in_each_format(photos: Path, model: Path, tmp_path: Path) -> None:
    found = {}
    for suffix in ("csv", "jsonl", "parquet"):
        out = tmp_path / f"photos.{suffix}"
        assert main.main(["evaluate", str(model), str(photos), "--out", str(out)]) == 0
        found[suffix] = rows(out)
    assert len(found["csv"]) == 13
    classes = [name for name in found["csv"][0] if name.startswith("p:")]
    for row in found["csv"]:
        if "error" in row:
            assert str(row["path"]).endswith("broken.jpg")
            continue
        shares = np.array([row[name] for name in classes], dtype=float)
        assert shares.sum() == pytest.approx(1, abs=1e-5)
        assert row["guess"] == classes[int(shares.argmax())].removeprefix("p:")
        assert row["probability"] == pytest.approx(shares.max())
        assert row["loss"] == pytest.approx(-np.log(float(row[f"p:{row['label']}"])), abs=1e-5)  # type: ignore[arg-type]
        assert row["label"] == Path(str(row["path"])).parent.name
    for other in ("jsonl", "parquet"):
        for one, two in zip(found["csv"], found[other], strict=True):
            assert one.keys() == two.keys()
            for name, value in one.items():
                assert two[name] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value)


def test_it_is_a_table_of_labels(photos: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "photos.csv"
    assert main.main(["evaluate", str(model), str(photos), "--out", str(out)]) == 0
    table = labels_at(out)
    assert table is not None
    assert len(read_labels(photos, table).paths) == 13


def test_a_table_in_place_of_folders_gives_the_same(
    photos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "red" / "broken.jpg").unlink()
    assert main.main(["evaluate", str(model), str(photos), "--json"]) == 0
    by_folder = json.loads(capsys.readouterr().out)
    lines = [f"{p.relative_to(photos)},{p.parent.name}" for p in sorted(photos.rglob("*.jpg"))]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["Filename,Label", *lines]))
    assert main.main(["evaluate", str(model), str(photos), "--labels", str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == by_folder


def test_where_no_rows_can_be_written_nothing_is_measured(
    photos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"--out with a name in \.csv, \.jsonl, \.parquet, got rows"):
        check_out(Path("rows.txt"), force=False)
    taken = tmp_path / "rows.csv"
    taken.write_text("mine")
    with pytest.raises((InputError, WriteError)):
        check_out(taken, force=False)
    words = ["evaluate", str(model), str(photos), "--out", str(tmp_path / "x.csv"), "--corruptions"]
    assert main.main(words) == 2
    assert "expected --corruptions without --out" in capsys.readouterr().err
