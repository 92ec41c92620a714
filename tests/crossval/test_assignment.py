"""Which photo is in which fold: each once, each class in each, groups whole."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from googlenet.base.errors import DataError, InputError
from googlenet.crossval.assignment import assign_folds, labels_of_fold, read_table, write_table
from googlenet.data.dataset_inspection import Pool
from googlenet.data.folder import open_data
from googlenet.data.index import Index
from helpers.painting import COLORS, paint

CLASSES = ("a", "b")


def pool(per_class: int, *, groups: dict[int, int] | None = None) -> Pool:
    names = [f"{name}/{i}.jpg" for name in CLASSES for i in range(per_class)]
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    number = np.arange(len(names))
    for photo, other in (groups or {}).items():
        number[photo] = other
    return Pool(Index(names, labels, root=Path("/photos/train")), number, number)


def test_each_photo_is_in_one_fold_and_each_class_in_all() -> None:
    folds = assign_folds(pool(10), CLASSES, count=5, root=Path("/photos"), seed=0)
    assert folds.index.name(0) == "train/a/0.jpg"
    for label in range(2):
        assert np.bincount(folds.fold[folds.index.labels == label], minlength=6).tolist() == [
            0,
            2,
            2,
            2,
            2,
            2,
        ]
    other = assign_folds(pool(10), CLASSES, count=5, root=Path("/photos"), seed=1)
    assert (other.fold != folds.fold).any()
    again = assign_folds(pool(10), CLASSES, count=5, root=Path("/photos"), seed=0)
    assert (again.fold == folds.fold).all()


def test_one_pair_of_copies_changes_little() -> None:
    folds = assign_folds(pool(100, groups={1: 0}), CLASSES, count=5, root=Path("/photos"), seed=0)
    assert folds.fold[0] == folds.fold[1]
    for label in range(2):
        counts = np.bincount(folds.fold[folds.index.labels == label])[1:]
        assert counts.max() - counts.min() <= 1


def test_many_photos_take_seconds() -> None:
    labels = np.random.default_rng(0).integers(0, 1000, 100_000)
    index = Index([f"c/{i}.jpg" for i in range(100_000)], labels, root=Path("/photos"))
    numbers = np.arange(100_000)
    numbers[1] = 0
    began = time.process_time()
    folds = assign_folds(
        Pool(index, numbers, numbers), [f"c{i}" for i in range(1000)], count=5, root=Path("/photos"), seed=0
    )
    assert np.bincount(folds.fold)[1:].max() < 21_000
    assert time.process_time() - began < 60  # a bound against a square, not a measurement


def test_names_that_a_table_would_change_are_refused() -> None:
    root, numbers = Path("/photos"), np.arange(5)
    for name, label in (("a\\b.jpg", "a"), ("a.jpg ", "a"), ("a.jpg", " a")):
        names = [f"{label}/{name}", *(f"{label}/{i}.jpg" for i in range(4))]
        photos = Pool(Index(names, np.zeros(5), root=root), numbers, numbers)
        with pytest.raises(DataError, match="without blanks at their ends"):
            assign_folds(photos, (label,), count=2, root=root, seed=0)


def test_groups_are_in_one_fold() -> None:
    together = {photo: photo // 4 * 4 for photo in range(40)}  # fours of one person
    folds = assign_folds(pool(20, groups=together), CLASSES, count=3, root=Path("/photos"), seed=0)
    for start in range(0, 40, 4):
        assert len(set(folds.fold[start : start + 4].tolist())) == 1
    assert set(folds.fold.tolist()) == {1, 2, 3}


def test_too_few_photos_are_refused() -> None:
    with pytest.raises(DataError, match="at least 5 photos of each class with --folds 5, got 4 of 'a'"):
        assign_folds(pool(4), CLASSES, count=5, root=Path("/photos"), seed=0)
    together = dict.fromkeys(range(9), 0)
    with pytest.raises(DataError, match=r"at least 5 photos or groups of them .* got 2 of 'a'"):
        assign_folds(pool(10, groups=together), CLASSES, count=5, root=Path("/photos"), seed=0)
    with pytest.raises(InputError, match="from 2 to 20, got 21"):
        assign_folds(pool(30), CLASSES, count=21, root=Path("/photos"), seed=0)


def test_the_table_is_the_labels_of_each_run(tmp_path: Path) -> None:
    odd = "wörd, \"x\" 'y'"
    for number, name in enumerate(("a", odd)):
        for i in range(6):
            paint(tmp_path / "photos" / "train" / name / f"{i}, é.jpg", (9, 9, 200), seed=10 * number + i)
    names = [f"{name}/{i}, é.jpg" for name in ("a", odd) for i in range(6)]
    index = Index(names, np.repeat([0, 1], 6), root=tmp_path / "photos" / "train")
    numbers = np.arange(12)
    folds = assign_folds(Pool(index, numbers, numbers), ("a", odd), count=3, root=tmp_path / "photos", seed=0)
    table = tmp_path / "folds.jsonl"
    write_table(table, folds)
    again = read_table(table, tmp_path / "photos")
    assert again.classes == folds.classes and (again.fold == folds.fold).all()
    seen: list[str] = []
    for number in (1, 2, 3):
        data = open_data(str(tmp_path / "photos"), labels=labels_of_fold(table, number))
        val = [data.split("val").name(i) for i in range(len(data.split("val")))]
        train = [data.split("train").name(i) for i in range(len(data.split("train")))]
        assert not set(val) & set(train) and len(val) + len(train) == 12
        assert data.classes == folds.classes
        seen += val
    assert sorted(seen) == sorted(f"train/{name}" for name in names)


def test_copies_are_found_among_the_photos_of_a_folder(tmp_path: Path) -> None:
    from googlenet.training import prepare

    for number, (name, color) in enumerate(COLORS.items()):
        for i in range(4):
            paint(tmp_path / name / f"{i}.jpg", color, seed=10 * number + i)
    (tmp_path / "red" / "copy.jpg").write_bytes((tmp_path / "red" / "0.jpg").read_bytes())
    found, _ = prepare.inspect(open_data(str(tmp_path)), on_bad="error", fit="crop")
    together = found.pool()
    number = {together.index.name(i): i for i in range(len(together.index))}
    assert len(number) == 13
    assert together.copies[number["red/copy.jpg"]] == together.copies[number["red/0.jpg"]]
    assert len(set(together.copies.tolist())) == 12


@pytest.mark.parametrize("text", ["", "no json\n", json.dumps({"path": "a"}) + "\n"])
def test_another_table_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "folds.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"folds\.jsonl: expected the table of a cross-validation's folds"):
        read_table(tmp_path / "folds.jsonl", tmp_path)
