"""Labels in a table, as competitions and labeling tools write them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from googlenet.base.errors import DataError, InputError
from googlenet.data.dataset import Dataset
from googlenet.data.folder import open_data, reopen_data
from googlenet.data.splits import hold_out
from googlenet.data.table import Labels, labels_at

PHOTOS = {f"{'ab'[i % 2]}{i}.png": ("cat", "dog", "owl")[i % 3] for i in range(24)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty-four photos in two folders that say nothing of their classes."""
    root = tmp_path / "photos"
    for number, name in enumerate(PHOTOS):
        path = root / ("one" if number < 12 else "two") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 9, 0, 0)).save(path)
    return root


def rows(root: Path) -> list[dict[str, str]]:
    return [
        {"file": path.relative_to(root).as_posix(), "label": PHOTOS[path.name]}
        for path in sorted(root.rglob("*.png"))
    ]


def write(path: Path, found: list[dict[str, str]]) -> Path:
    """The same rows in the format of the suffix."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(found), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, found)) + "\n\n")
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]), delimiter="\t" if path.suffix == ".tsv" else ";")
            writer.writeheader()
            writer.writerows(found)
    return path


def opened(root: Path, table: Path, **options: str) -> Dataset:
    return open_data(str(root), labels=labels_at(table, **options))


def labels_of(data: Dataset) -> dict[str, str]:
    return {
        index.name(i): data.classes[index.labels[i]]
        for index in data.splits.values()
        for i in range(len(index))
    }


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_data(photos: Path, tmp_path: Path, suffix: str) -> None:
    data = opened(photos, write(tmp_path / f"labels{suffix}", rows(photos)))
    assert data.classes == ("cat", "dog", "owl")
    assert labels_of(data) == {row["file"]: row["label"] for row in rows(photos)}
    assert set(data.splits) == {"train", "val"} and data.is_our_split
    assert not data.notes


def test_the_order_of_the_rows_does_not_matter(photos: Path, tmp_path: Path) -> None:
    found = rows(photos)
    one = opened(photos, write(tmp_path / "one.csv", found))
    two = opened(photos, write(tmp_path / "two.csv", found[::-1]))
    for split in one.splits:
        names = [[d.split(split).name(i) for i in range(len(d.split(split)))] for d in (one, two)]
        assert names[0] == names[1]


@pytest.mark.parametrize(
    "name",
    [
        "{file}",
        "./{file}",
        "{stem}",
        "{base}",
        "/home/anna/photos/{file}",
        "C:\\data\\{windows}",
        "{absolute}",
    ],
)
def test_files_are_found_whatever_they_are_called(photos: Path, tmp_path: Path, name: str) -> None:
    found = [
        {
            "image": name.format(
                file=row["file"],
                stem=Path(row["file"]).stem,
                base=Path(row["file"]).name,
                windows=row["file"].replace("/", "\\"),
                absolute=photos / row["file"],
            ),
            "class": row["label"],
        }
        for row in rows(photos)
    ]
    data = opened(photos, write(tmp_path / "labels.csv", found))
    assert labels_of(data) == {row["file"]: row["label"] for row in rows(photos)}
    elsewhere = name.startswith(("/home", "C:"))
    assert [note for note in data.notes if "is not here, so paths count from behind it" in note] == (
        list(data.notes) if elsewhere else []
    )
    assert len(data.notes) == elsewhere


def test_photos_without_a_suffix_are_taken_where_they_are_named(photos: Path, tmp_path: Path) -> None:
    (photos / "one" / "a0.png").rename(photos / "one" / "a0")
    found = [*rows(photos), {"file": "one/a0", "label": "cat"}]
    data = opened(photos, write(tmp_path / "labels.csv", found))
    assert labels_of(data)["one/a0"] == "cat"


def test_a_split_column_decides(photos: Path, tmp_path: Path) -> None:
    words = ["train", "Training", "train", "val", "dev", "valid", "test"]
    found = [{**row, "split": words[(i // 3) % 7]} for i, row in enumerate(rows(photos))]
    data = opened(photos, write(tmp_path / "labels.csv", found))
    assert {name: len(index) for name, index in data.splits.items()} == {"train": 12, "val": 9, "test": 3}
    assert not data.is_our_split
    assert labels_of(data) == {row["file"]: row["label"] for row in found}


def test_numbers_stay_names(photos: Path, tmp_path: Path) -> None:
    numbers = {"cat": 10, "dog": 2, "owl": 0}
    found = [{"id": row["file"], "target": float(numbers[row["label"]])} for row in rows(photos)]
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.Table.from_pylist(found), path)
    assert opened(photos, path).classes == ("0", "10", "2")


def test_the_metadata_of_imagefolder_needs_no_option(photos: Path) -> None:
    found = [{"file_name": row["file"], "label": row["label"]} for row in rows(photos)]
    for path in (photos / "one", photos / "two"):  # no folder may look like a class
        for photo in path.iterdir():
            photo.rename(photos / photo.name)
        path.rmdir()
    write(photos / "metadata.csv", [{**row, "file_name": Path(row["file_name"]).name} for row in found])
    assert open_data(str(photos)).classes == ("cat", "dog", "owl")


def test_each_split_may_have_its_own_metadata(photos: Path) -> None:
    (photos / "one").rename(photos / "train")
    (photos / "two").rename(photos / "test")
    for split in ("train", "test"):
        found = [
            {"file_name": Path(row["file"]).name, "label": row["label"]}
            for row in rows(photos)
            if row["file"].startswith(split)
        ]
        write(photos / split / "metadata.jsonl", found)
    data = open_data(str(photos))
    assert {name: len(index) for name, index in data.splits.items() if name == "test"} == {"test": 12}
    assert len(data.split("train")) + len(data.split("val")) == 12


def test_what_predict_wrote_is_a_table(photos: Path, tmp_path: Path) -> None:
    found = []
    for row in rows(photos):
        for rank, label in enumerate((row["label"], "wrong"), start=1):
            found.append(
                {"path": str(photos / row["file"]), "rank": str(rank), "label": label, "probability": "0.5"}
            )
    found.append({"path": "gone.png", "rank": "", "label": "", "probability": ""})
    data = opened(photos, write(tmp_path / "predictions.csv", found))
    assert data.classes == ("cat", "dog", "owl")
    assert any("1 row left out without a file or a label" in note for note in data.notes)


def test_what_is_left_out_is_said(photos: Path, tmp_path: Path) -> None:
    found = rows(photos)
    told = [*found[:-2], found[0], {"file": "gone.png", "label": "cat"}, {"file": "one/a2.png", "label": " "}]
    notes = "\n".join(opened(photos, write(tmp_path / "labels.csv", told)).notes)
    assert "1 row left out whose file is not there: 'gone.png'" in notes
    assert "1 row left out without a file or a label" in notes
    assert "1 row left out that say the same of a photo again" in notes
    assert f"2 photos in {photos} not used: without a row in labels.csv" in notes


Rows = list[dict[str, str]]
WRONG: dict[str, Callable[[Rows], Rows]] = {
    "a column with the file, got the columns 'x', 'label'": lambda found: [
        {"x": row["file"], "label": row["label"]} for row in found
    ],
    "a column with the label, got the columns 'file', 'z'": lambda found: [
        {"file": row["file"], "z": row["label"]} for row in found
    ],
    "one label a photo, got for one/a0.png 'cat' in row 2 and 'owl' in row 26": lambda found: [
        *found,
        {**found[0], "label": "owl"},
    ],
    "'Cat' and 'cat', which look the same": lambda found: [*found[:-1], {**found[-1], "label": "Cat"}],
    "got none, as 'no/one/a0.png.gone'": lambda found: [
        {**row, "file": f"no/{row['file']}.gone"} for row in found
    ],
    "row 2: expected a split among train, val and test, got 'fold 1'": lambda found: [
        {**row, "split": "fold 1"} for row in found
    ],
    "expected rows of the split train, got only test": lambda found: [
        {**row, "split": "test"} for row in found
    ],
}


@pytest.mark.parametrize("said", WRONG)
def test_what_cannot_be_right_is_refused(photos: Path, tmp_path: Path, said: str) -> None:
    table = write(tmp_path / "labels.csv", WRONG[said](rows(photos)))
    with pytest.raises(DataError) as caught:
        opened(photos, table)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("labels.csv", b"", "expected a table, got an empty file"),
        ("labels.csv", b"\xef\xbb\xbf\r\n", "expected a table, got an empty file"),
        ("labels.csv", b"\xff\xfe", "expected a table, got an empty file"),
        ("labels.csv", "file,label\nä.png,x".encode("latin-1"), "expected UTF-8 text, got byte 11"),
        ("labels.xlsx", b"PK", "expected a table with a name in .csv, .tsv"),
        ("labels.jsonl", b"[1]\n", "line 1: expected a JSON object, got '[1]'"),
        ("labels.jsonl", b'{"file": "a"}\n{"fi', "line 2: expected a JSON object"),
        ("labels.parquet", b"PAR1", "is no Parquet file"),
    ],
)
def test_what_is_no_table_is_refused(
    photos: Path, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        opened(photos, tmp_path / name)
    assert said in str(caught.value)


def test_a_name_of_several_files_is_refused(photos: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        Image.new("RGB", (8, 8)).save(photos / folder / "same.png")
    table = write(tmp_path / "labels.csv", [{"file": "same", "label": "cat"}])
    with pytest.raises(
        DataError, match="row 2: expected a path, got 'same', which is the name of several files"
    ):
        opened(photos, table)


def test_columns_need_a_table() -> None:
    with pytest.raises(InputError, match="expected --labels FILE with --columns, got none"):
        labels_at(None, "a,b")
    assert labels_at(None) is None


def test_a_file_outside_of_the_folder_is_not_taken(photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    table = write(tmp_path / "labels.csv", [*rows(photos), {"file": "../secret.png", "label": "cat"}])
    assert "../secret.png" not in labels_of(opened(photos, table))


def test_a_record_names_its_table(photos: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "labels.csv", rows(photos))
    record = {"labels": {"file": str(table), "columns": ["file", "label"]}}
    assert reopen_data(str(photos), record).labels == Labels(file=str(table), columns=("file", "label"))
    with pytest.raises(DataError, match="expected a table of labels in the record"):
        reopen_data(str(photos), {"labels": {"file": 3}})
    assert np.array_equal(
        reopen_data(str(photos), record).split("val").labels, opened(photos, table).split("val").labels
    )


def test_a_group_is_on_one_side(photos: Path, tmp_path: Path) -> None:
    found = [{**row, "who": f"person {i % 8}"} for i, row in enumerate(rows(photos))]
    table = write(tmp_path / "labels.csv", found)
    data = open_data(str(photos), labels=labels_at(table, group="who"))
    who = {row["file"]: row["who"] for row in found}
    sides = [
        {who[data.split(split).name(i)] for i in range(len(data.split(split)))} for split in ("train", "val")
    ]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    assert data.grouped_by == "who"
    with pytest.raises(DataError, match="expected a column 'camera', got the columns 'file', 'label', 'who'"):
        open_data(str(photos), labels=labels_at(table, group="camera"))


def test_inner_folders_may_be_groups(tmp_path: Path) -> None:
    for label in ("sick", "well"):
        for subject in range(6):
            for i in range(4):
                path = tmp_path / label / f"subject{subject:02}" / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (subject * 9, i, 0)).save(path)
    data = open_data(str(tmp_path), group="folder")
    sides = [
        {data.split(split).name(i).split("/")[1] for i in range(len(data.split(split)))}
        for split in ("train", "val")
    ]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    (tmp_path / "flat").mkdir()
    for name in ("a", "b"):
        (tmp_path / "well" / f"subject0{'ab'.index(name)}").rename(tmp_path / "flat" / name)
    with pytest.raises(DataError, match="expected folders inside the class folders with --group folder"):
        open_data(str(tmp_path / "flat"), group="folder")


def test_a_rank_of_another_kind_is_no_guess(photos: Path, tmp_path: Path) -> None:
    found = [{**row, "rank": "species"} for row in rows(photos)]
    assert len(labels_of(opened(photos, write(tmp_path / "labels.csv", found)))) == 24


def test_a_missing_file_is_not_another_of_its_name(photos: Path, tmp_path: Path) -> None:
    found = [*rows(photos), {"file": "three/a0.png", "label": "owl"}, {"file": "x" * 300, "label": "owl"}]
    data = opened(photos, write(tmp_path / "labels.csv", found))
    assert labels_of(data) == {row["file"]: row["label"] for row in rows(photos)}
    assert "2 rows left out whose file is not there: 'three/a0.png'" in "\n".join(data.notes)


def test_one_file_by_two_names_is_one(photos: Path, tmp_path: Path) -> None:
    found = [*rows(photos), {"file": "one//a0.png", "label": "owl"}]
    with pytest.raises(DataError, match=r"one label a photo, got for one/a0\.png 'cat' in row 2 and 'owl'"):
        opened(photos, write(tmp_path / "labels.csv", found))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_separators_of_lines_in_names_are_kept(photos: Path, tmp_path: Path, suffix: str) -> None:
    found = [{**row, "label": row["label"].replace("owl", "New\u2028York")} for row in rows(photos)]
    path = tmp_path / f"labels{suffix}"
    if suffix == ".csv":
        write(path, found)
    else:
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in found), encoding="utf-8")
    assert opened(photos, path).classes == ("New\u2028York", "cat", "dog")


def test_pictures_in_parquet_are_not_read(photos: Path, tmp_path: Path) -> None:
    found = [{**row, "image": {"bytes": b"x" * 99}, "taken": 1} for row in rows(photos)]
    table = pa.Table.from_pylist(found)
    table = table.set_column(3, "taken", pa.array([1] * 24, pa.timestamp("ns")))
    pq.write_table(table, tmp_path / "labels.parquet")
    assert len(labels_of(opened(photos, tmp_path / "labels.parquet"))) == 24


def test_a_model_split_by_a_column_needs_it_again(photos: Path, tmp_path: Path) -> None:
    found = [{**row, "who": f"person {i % 8}"} for i, row in enumerate(rows(photos))]
    table = write(tmp_path / "labels.csv", found)
    first = open_data(str(photos), labels=labels_at(table, group="who"))
    record = {"share": first.val_share, "moved": [], "group": "who", "labels": {"file": str(table)}}
    again = reopen_data(str(photos), record)
    assert [again.split("val").name(i) for i in range(len(again.split("val")))] == [
        first.split("val").name(i) for i in range(len(first.split("val")))
    ]
    other = write(tmp_path / "other.csv", rows(photos))
    with pytest.raises(DataError, match="expected --labels with the column 'who'"):
        reopen_data(str(photos), {**record, "labels": {"file": str(other)}})
    own = write(
        tmp_path / "own.csv", [{**row, "split": ("train", "val")[i % 2]} for i, row in enumerate(found)]
    )
    assert not reopen_data(str(photos), {**record, "labels": {"file": str(own)}}).is_our_split


def test_blanks_are_no_group(photos: Path, tmp_path: Path) -> None:
    found = [{**row, "who": "" if i % 2 else f"person {i}"} for i, row in enumerate(rows(photos))]
    data = open_data(str(photos), labels=labels_at(write(tmp_path / "labels.csv", found), group="who"))
    assert data.groups is not None and len(set(data.groups.values())) == 24


def test_groups_are_kept_out_together(photos: Path, tmp_path: Path) -> None:
    found = [{**row, "who": f"person {i % 8}"} for i, row in enumerate(rows(photos))]
    table = write(tmp_path / "labels.csv", found)
    data = hold_out(open_data(str(photos), labels=labels_at(table, group="who")), 0.3)
    who = {row["file"]: row["who"] for row in found}
    sides = [
        {who[data.split(split).name(i)] for i in range(len(data.split(split)))}
        for split in ("train", "held-out", "val")
    ]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


def test_where_each_class_is_one_group_none_is_held_out(photos: Path, tmp_path: Path) -> None:
    found = [{**row, "who": row["label"]} for row in rows(photos)]
    table = write(tmp_path / "labels.csv", found)
    data = open_data(str(photos), labels=labels_at(table, group="who"))
    assert "held-out" not in hold_out(data, 0.01).splits
