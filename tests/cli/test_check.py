"""`googlenet check`: its text, its JSON and its exit status."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from googlenet.cli import main
from helpers.painting import Run, save_image, smooth_picture


def test_check_says_what_is_there(pictures: Path, tmp_path: Path, googlenet: Run) -> None:
    root = tmp_path / "split"
    root.mkdir()
    pictures.rename(root / "train")
    save_image(smooth_picture(3).rotate(180), root / "val" / "a" / "turned.jpg", quality=70)
    shutil.copy(root / "train" / "b" / "04.jpg", root / "val" / "a" / "same.jpg")
    save_image(smooth_picture(501), root / "val" / "a" / "new.jpg")
    save_image(smooth_picture(502).convert("L"), root / "val" / "a" / "grey.jpg")
    save_image(smooth_picture(503, (20, 16)), root / "val" / "a" / "tiny.jpg")
    tag = Image.Exif()
    tag[0x0112] = 6
    save_image(smooth_picture(504), root / "val" / "a" / "held.jpg", exif=tag)
    (root / "train" / "b" / "link.jpg").symlink_to("00.jpg")
    done = googlenet("check", root)
    assert done.returncode == 0, done.stderr
    for words in (
        "40 train, 6 val",
        "2 of 6 val photos (33.3 %) have copies in train",
        "val/a/same.jpg = train/b/04.jpg (the same file)",
        "val/a/turned.jpg = train/a/03.jpg",
        "class 'b' without a photo in val",
        "1 group of copies with different classes",
        "1 photos are grey, 1 turned by what their camera noted, 1 tiny",
        "train/b/link.jpg: the same file or folder as b/00.jpg",
        "all 46 photos can be read",
    ):
        assert words in done.stdout
    assert googlenet("check", root, "--fail-on-leak").returncode == 2
    (root / "train" / "b" / "05.jpg").write_bytes(b"")
    done = googlenet("check", root, "--json")
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert found["bad"] == [
        {"path": str(root / "train/b/05.jpg"), "code": "empty", "reason": "the file has no content"}
    ]
    assert found["splits"]["train"] == {"a": 20, "b": 19}
    assert [(leak["split"], leak["in"], leak["photos"], leak["of"]) for leak in found["leaks"]] == [
        ("val", "train", 2, 6)
    ]
    assert googlenet("check", root, "--on-bad", "skip").returncode == 2  # one of 46 is more than 1 %
    assert googlenet("check", root, "--on-bad", "skip-all").returncode == 0


def test_check_of_digits_and_of_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.main(["check", "digits"]) == 0
    assert "1,079 train, 359 val, 359 test" in capfd.readouterr().out
    assert main.main(["check", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capfd.readouterr().err


def test_check_warns_of_what_training_meets(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("simplejpeg")
    damaged = photos / "blue" / "2.jpg"
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    for path in (photos / "red").iterdir():
        path.write_bytes(b"text")
    assert main.main(["check", str(photos), "--on-bad", "skip-all"]) == 2
    page = capsys.readouterr().out
    assert "decoded with a warning:\n  blue/2.jpg: Corrupt JPEG data" in page
    assert "10 of 30 photos cannot be read:" in page
    assert "training would stop: " in page and "class 'red' has no readable image" in page
