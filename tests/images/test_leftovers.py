"""What lies beside photos: nothing of it is passed over in silence."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.cli import main
from googlenet.data.folder import open_data
from googlenet.images.leftovers import PEEKS, find_leftovers

JPEG2000 = b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64)


def photo(path: Path, form: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(
        np.random.default_rng(list(path.name.encode())).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    )
    buffer = io.BytesIO()
    picture.save(buffer, form)
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    """Two classes of six photos, with what people have beside them."""
    root = tmp_path / "untidy"
    for name in ("cat", "dog"):
        for i in range(6):
            photo(root / name / f"{name}{i}.png")
        (root / name / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (root / name / f"._{name}0.png").write_bytes(b"\0\5\x16\7" + bytes(60))
    (root / "cat" / "Thumbs.db").write_bytes(b"\xd0\xcf")
    (root / "cat" / "scan.jp2").write_bytes(JPEG2000)
    (root / "cat" / "raw.CR2").write_bytes(b"II*\0")
    (root / "dog" / "IMG_0001.MOV").write_bytes(b"\0\0\0\x14ftypqt  ")
    (root / "dog" / "notes.txt").write_text("a dog")
    (root / "dog" / "notes2.txt").write_text("two dogs")
    photo(root / "dog" / "download", "JPEG")
    (root / "dog" / "licence").write_text("text")
    photo(root / "__MACOSX" / "cat" / "._cat0.png")
    return root


def test_each_kind_is_told(untidy: Path) -> None:
    found = find_leftovers([untidy])
    assert {Path(path).name: what.split(":")[0] for path, what in found.photos} == {
        "scan.jp2": "a JPEG 2000 image",
        "raw.CR2": "a camera's raw photo",
        "download": "JPEG by its first bytes",
    }
    assert found.videos == [str(untidy / "dog" / "IMG_0001.MOV")]
    assert found.others == {".txt": 2, "": 1}
    assert found.system == 6  # two .DS_Store, two ._, Thumbs.db, __MACOSX
    text = "\n".join(found.lines())
    for part in (
        "3 files not read, though by name or content a photo:",
        "1 video not taken:",
        "3 other files not taken, by suffix: 2 .txt, 1 without a suffix",
        "6 hidden or system files not taken",
    ):
        assert part in text
    json.dumps(found.as_dict())


def test_a_tidy_folder_says_nothing(tmp_path: Path) -> None:
    photo(tmp_path / "cat" / "1.jpg", "JPEG")
    assert find_leftovers([tmp_path]).lines() == []
    assert find_leftovers([tmp_path / "gone"]).lines() == []


def test_few_files_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3 * PEEKS):
        (tmp_path / f"{i}.xml").write_text("<annotation/>")
    looked: list[object] = []
    monkeypatch.setattr("googlenet.images.leftovers._peek", looked.append)
    assert find_leftovers([tmp_path]).others == {".xml": 3 * PEEKS}
    assert len(looked) == PEEKS


def test_check_names_them_and_fails(untidy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["check", str(untidy)]) == 2
    told = capsys.readouterr().out
    assert "scan.jp2: a JPEG 2000 image" in told and "IMG_0001.MOV" in told and "2 .txt" in told
    assert main.main(["check", str(untidy), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)["not_taken"]
    assert (len(found["photos"]), found["system"]) == (3, 6)
    for name in ("cat/scan.jp2", "cat/raw.CR2", "dog/download"):
        (untidy / name).unlink()
    assert main.main(["check", str(untidy)]) == 0


def notes(root: Path) -> str:
    return "\n".join(open_data(str(root)).notes)


def test_folders_beside_train_are_not_forgotten(tmp_path: Path) -> None:
    for name in ("bus", "car", "train/steam", "train/diesel"):
        for i in range(4):
            photo(tmp_path / name / f"{i}.png")
    assert "8 photos not used, in 'bus', 'car' beside the split folders: if these are classes" in notes(
        tmp_path
    )


def test_an_unlabeled_test_folder_is_no_silent_class(tmp_path: Path) -> None:
    for name in ("cat", "dog", "test"):
        for i in range(4):
            photo(tmp_path / name / f"{i}.png")
    photo(tmp_path / "loose.png")
    told = notes(tmp_path)
    assert "'test' is taken for a class; if it is a split or has no labels, move it elsewhere" in told
    assert "1 photo not used: in" in told


def test_photos_without_labels_beside_train_are_told(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "test"):
        for i in range(4):
            photo(tmp_path / name / f"{i}.png")
    assert "4 photos not used, in 'test' beside the split folders" in notes(tmp_path)
