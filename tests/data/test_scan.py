"""What a walk through a folder takes and passes over."""

import os
from pathlib import Path

import pytest

from googlenet.base.errors import DataError
from googlenet.data import folder
from googlenet.data.scan import scan
from helpers.painting import paint


def test_links_and_odd_entries(tmp_path: Path) -> None:
    root = tmp_path / "data"
    paint(root / "a" / "1.jpg", (9, 9, 9), seed=1)
    paint(root / "b" / "inner" / "2.jpg", (9, 9, 9), seed=2)
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "0.jpg").symlink_to("1.jpg")  # sorts first, and yet the file counts
    (root / "b" / "gone.jpg").symlink_to("nowhere")
    (root / "b" / "me.jpg").symlink_to("me.jpg")
    os.link(root / "a" / "1.jpg", root / "b" / "same.jpg")
    os.mkfifo(root / "b" / "pipe.jpg")
    (root / "whole").symlink_to("a")
    (root / "self").symlink_to(".")
    (root / "a" / "notes.txt").write_text("no photo")
    outside = paint(tmp_path / "elsewhere" / "3.jpg", (9, 9, 9), seed=3).parent
    (root / "c").symlink_to(outside)
    found = scan(root)
    assert found.images == {"a": ["a/1.jpg"], "b": ["b/inner/2.jpg"], "c": ["c/3.jpg"]}
    assert [path for path, _ in found.skipped] == [
        "a/0.jpg",
        "a/loop",
        "b/gone.jpg",
        "b/me.jpg",
        "b/pipe.jpg",
        "b/same.jpg",
        "self",
        "whole",
    ]


@pytest.mark.parametrize("pair", [("caf\u00e9", "cafe\u0301"), ("Cat", "cat"), ("dog", "dog ")])
def test_names_that_only_look_alike(tmp_path: Path, pair: tuple[str, str]) -> None:
    for name in pair:
        paint(tmp_path / "one" / name / "1.jpg", (0, 0, 0), seed=1)
    with pytest.raises(DataError, match="look the same") as caught:
        folder.open_data(str(tmp_path / "one"))
    assert all(ascii(name) in str(caught.value) for name in pair)
    for split, name in zip(("train", "val"), pair, strict=True):
        for label in (name, "other"):
            paint(tmp_path / "two" / split / label / "1.jpg", (0, 0, 0), seed=1)
    with pytest.raises(DataError, match="look the same"):
        folder.open_data(str(tmp_path / "two"))
