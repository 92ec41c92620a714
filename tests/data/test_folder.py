"""Folders, splits and checks."""

from pathlib import Path

import numpy as np
import pytest

from googlenet.base.errors import DataError
from googlenet.data import folder
from googlenet.data import index as index_of
from helpers.painting import COLORS, paint


def test_class_folder_is_cut_into_splits(photos: Path) -> None:
    found = folder.open_data(str(photos))
    assert found.classes == ("blue", "green", "red")
    assert set(found.splits) == {"train", "val"}
    assert np.bincount(found.split("val").labels, minlength=3).min() >= 1
    assert np.bincount(found.split("train").labels, minlength=3).min() >= 1
    names = {i.name(k) for i in found.splits.values() for k in range(len(i))}
    assert len(names) == 30


def test_adding_photos_moves_no_other_between_splits(photos: Path) -> None:
    def where(split: str) -> set[str]:
        index = folder.open_data(str(photos)).split(split)
        return {index.name(i) for i in range(len(index))}

    train, val = where("train"), where("val")
    stand_ins = {"red": sum(name.startswith("red/") for name in val) == 1}
    for i in range(10, 60):
        paint(photos / "red" / f"{i}.jpg", COLORS["red"], seed=i)
    assert train <= where("train")
    assert len(val - where("val")) <= stand_ins["red"]
    assert len(where("val")) > len(val)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_split_folders_and_labels_by_name(photos: Path, tmp_path: Path, name: str) -> None:
    root = tmp_path / "split"
    (root).mkdir()
    photos.rename(root / "train")
    paint(root / name / "red" / "a.jpg", COLORS["red"], seed=1)  # blue and green have none here
    paint(root / "test" / "green" / "b.jpg", COLORS["green"], seed=2)
    found = folder.open_data(str(root))
    assert found.classes[found.split("val").labels[0]] == "red"
    assert found.classes[found.split("test").labels[0]] == "green"


def test_train_and_test_only_leaves_test_alone(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "split"
    root.mkdir()
    photos.rename(root / "train")
    paint(root / "test" / "red" / "a.jpg", COLORS["red"], seed=1)
    found = folder.open_data(str(root))
    sizes = {name: len(index) for name, index in found.splits.items()}
    assert sizes["train"] + sizes["val"] == 30
    assert sizes["test"] == 1


def test_a_fifth_is_set_apart_on_average() -> None:
    names = [f"class/{i}.jpg" for i in range(20_000)]
    rest, held = index_of.hash_split(np.zeros(20_000, dtype=np.int64), names, share=0.2)
    assert 0.19 < len(held) / 20_000 < 0.21
    assert len(rest) + len(held) == 20_000


@pytest.mark.parametrize("count", [2, 3, 4])
def test_small_classes_keep_one_on_either_side(count: int) -> None:
    for attempt in range(30):
        names = [f"{attempt}-{i}" for i in range(count)]
        rest, held = index_of.hash_split(np.zeros(count, dtype=np.int64), names, share=0.2)
        assert len(rest) >= 1
        assert len(held) >= 1


def test_unlabeled_test_photos_do_not_stop_training(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "split"
    root.mkdir()
    photos.rename(root / "train")
    paint(root / "test" / "1.jpg", COLORS["red"], seed=1)
    assert set(folder.open_data(str(root)).splits) == {"train", "val"}


def test_hidden_folders_and_other_files_are_ignored(photos: Path) -> None:
    paint(photos / ".ipynb_checkpoints" / "x.jpg", (0, 0, 0), seed=1)
    paint(photos / "red" / ".hidden.jpg", (0, 0, 0), seed=1)
    (photos / "red" / "notes.txt").write_text("no photo")
    classes, index = folder.open_class_folders(photos)
    assert classes == ("blue", "green", "red")
    assert len(index) == 30


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        for i in range(5):
            paint(tmp_path / "vehicles" / name / f"{i}.jpg", (i, 0, 0), seed=i)
    assert folder.open_data(str(tmp_path / "vehicles")).classes == ("bus", "train")


def test_index_reads_any_name(tmp_path: Path) -> None:
    names = ["a/ü.jpg", "b/日本 1.jpg", "b/-x.jpg"]
    for i, name in enumerate(names):
        paint(tmp_path / name, (i, 0, 0), seed=i)
    index = index_of.Index(names, [0, 1, 1], root=tmp_path)
    assert [index.name(i) for i in range(3)] == names
    assert all(index.read(i) == (tmp_path / name).read_bytes() for i, name in enumerate(names))
    assert index.keep(np.array([2, 0])).name(0) == names[2]


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda root: root.mkdir(), "got an empty folder"),
        (
            lambda root: [paint(root / f"{i}.jpg", (0, 0, 0), seed=0) for i in range(3)],
            "got 3 images outside",
        ),
        (lambda root: paint(root / "only" / "a.jpg", (0, 0, 0), seed=0), "at least two class folders"),
        (lambda root: [(root / name).mkdir(parents=True) for name in "ab"], "class 'a' has no image"),
        (lambda root: None, "there is no folder"),
        (
            lambda root: [paint(root / n / "a.jpg", (0, 0, 0), seed=0) for n in ("caf\u00e9", "cafe\u0301")],
            "look the same",
        ),
        (
            lambda root: [
                paint(root / part, (0, 0, 0), seed=0)
                for part in ("train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg")
            ],
            "got also 'c'",
        ),
    ],
)
def test_folders_that_cannot_be_right(tmp_path: Path, build, message: str) -> None:  # type: ignore[no-untyped-def]
    build(tmp_path / "data")
    with pytest.raises(DataError, match=message):
        folder.open_data(str(tmp_path / "data"))


def test_digits_are_the_same_60_20_20_every_time() -> None:
    first, second = folder.open_data("digits"), folder.open_data("digits")
    assert {name: len(index) for name, index in first.splits.items()} == {
        "train": 1079,
        "val": 359,
        "test": 359,
    }
    assert index_of.fingerprint(first.split("train")) == index_of.fingerprint(second.split("train"))
    names = [i.name(k) for i in first.splits.values() for k in range(len(i))]
    assert len(set(names)) == 1797


def test_clothing_folder(test_data: Path) -> None:
    found = folder.open_data(str(test_data / "clothing"))
    assert len(found.classes) == 10
    assert len(found.split("train")) == 3068
