"""The inspection of a data set: unreadable files, workers, copies across splits, notes."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.base import worker_pool
from googlenet.base.errors import DataError, ImageError
from googlenet.data import dataset_inspection, folder, index, inspection_pool
from googlenet.data.image_inspection import ImageInspection
from helpers.painting import COLORS, paint, save_image, smooth_picture


def names(found: index.Index) -> set[str]:
    return {found.name(i) for i in range(len(found))}


def inspect(data: folder.Dataset) -> dataset_inspection.DatasetInspection:
    return dataset_inspection.inspect_dataset(data, ("train", "val"), workers=2)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_see_what_this_one_sees(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(worker_pool, "START_METHOD", method)
    (pictures / "a" / "03.jpg").write_bytes(b"text")
    _, found = folder.open_class_folders(pictures)
    (pictures / "a" / "05.jpg").unlink()  # between the walk and the look
    here = inspection_pool.inspect_images(found, workers=2)
    monkeypatch.setattr(inspection_pool, "FEW", 0)
    count: list[int] = []
    there = inspection_pool.inspect_images(found, workers=2, progress=count.append)
    assert sum(count) == len(found) == len(there)
    for one, other in zip(here, there, strict=True):
        assert str(one.error) == str(other.error)
        assert one[:1] + one[2:7] == other[:1] + other[2:7]
        assert (one.vector is None) == (other.vector is None)
        assert one.vector is None or np.allclose(one.vector, other.vector, atol=1e-5)
    assert {found.name(i): one.error.code for i, one in enumerate(there) if one.error} == {
        "a/03.jpg": "format",
        "a/05.jpg": "unreadable",
    }


@pytest.mark.parametrize("cause", ["exit", "kill"])
def test_a_file_that_ends_its_decoder_is_named(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    plain, here = inspection_pool.inspect_image, os.getpid()

    def inspect(data: bytes) -> ImageInspection:
        if data == b"fatal":
            assert os.getpid() != here
            os._exit(9) if cause == "exit" else os.kill(os.getpid(), signal.SIGKILL)
        return plain(data)

    monkeypatch.setattr(worker_pool, "START_METHOD", "fork")
    monkeypatch.setattr(inspection_pool, "inspect_image", inspect)
    monkeypatch.setattr(inspection_pool, "FEW", 0)
    for name in ("02.jpg", "07.jpg"):
        (pictures / "b" / name).write_bytes(b"fatal")
    _, found = folder.open_class_folders(pictures)
    bad = {
        found.name(i): one.error.code
        for i, one in enumerate(inspection_pool.inspect_images(found, workers=2))
        if one.error
    }
    assert bad == {"b/02.jpg": "damaged", "b/07.jpg": "damaged"}


def test_bad_files_are_found_and_named(photos: Path) -> None:
    broken = photos / "red" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:-300])
    (photos / "blue" / "4.jpg").write_bytes(b"")
    found = inspect(folder.open_data(str(photos)))
    assert {Path(found.path(i)).name: error.code for i, error in found.bad.items()} == {
        "4.jpg": "empty",
        "3.jpg": "truncated",
    }
    assert sum(len(split) for split in found.readable().splits.values()) == 28
    for on_bad, words in (("error", "got 2 that are not"), ("skip", r"got 2 of 30 \(6\.7 %\)")):
        with pytest.raises(DataError, match=words) as caught:
            dataset_inspection.check_bad_images(found, on_bad=on_bad)
        assert "3.jpg: truncated" in str(caught.value) and "--on-bad skip-all" in str(caught.value)
    assert len(dataset_inspection.check_bad_images(found, on_bad="skip-all")) == 2


def test_one_percent_may_be_skipped() -> None:
    digits = folder.open_data("digits")
    found = inspect(digits)
    some = found.images[0]._replace(error=ImageError("empty", "x"))
    for count, stops in ((14, False), (15, True)):  # of 1,438
        worse = dataset_inspection._with_copies(
            digits, found.splits, [some] * count + list(found.images[count:])
        )
        assert dataset_inspection.too_many_bad(worse, "skip") is stops
        assert dataset_inspection.too_many_bad(worse, "error") and not dataset_inspection.too_many_bad(
            worse, "skip-all"
        )


def test_class_without_a_readable_image(photos: Path) -> None:
    for path in (photos / "red").iterdir():
        path.write_bytes(b"text")
    found = inspect(folder.open_data(str(photos)))
    with pytest.raises(DataError, match="class 'red' has no readable image"):
        dataset_inspection.training_data(found)


def test_a_cut_of_ours_keeps_copies_together(pictures: Path) -> None:
    before = folder.open_data(str(pictures))
    for i in range(20):
        image = Image.open(pictures / "a" / f"{i:02}.jpg")
        save_image(image.rotate(90 * (i % 4), expand=True), pictures / "a" / f"copy{i:02}.jpg", quality=60)
    plain = folder.open_data(str(pictures))
    found = inspect(folder.open_data(str(pictures)))
    train, val = names(found.data.split("train")), names(found.data.split("val"))
    assert names(plain.split("val")) & names(before.split("val"))  # or the test tests nothing
    divided = [i for i in range(20) if (f"a/{i:02}.jpg" in train) != (f"a/copy{i:02}.jpg" in train)]
    was = names(plain.split("train"))
    assert not divided and len(train) + len(val) == 60
    assert any((f"a/{i:02}.jpg" in was) != (f"a/copy{i:02}.jpg" in was) for i in range(20))
    assert found.leaks() == []
    again = folder.reopen_data(
        str(pictures), {"share": found.data.val_share, "moved": list(found.data.moved_names)}
    )
    assert names(again.split("train")) == train and names(again.split("val")) == val
    assert index.fingerprint(again.split("train")) == index.fingerprint(found.data.split("train"))


def test_a_damaged_photo_that_gives_pixels_is_told(pictures: Path) -> None:
    pytest.importorskip("simplejpeg")
    file = pictures / "a" / "02.jpg"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    found = inspect(folder.open_data(str(pictures)))
    assert list(found.warned.values()) == ["Corrupt JPEG data: premature end of data segment"]
    assert not found.bad


def test_inner_folders_of_one_name_are_told(photos: Path) -> None:
    for label in ("red", "blue"):
        paint(photos / label / "indoors" / "x.jpg", COLORS[label], seed=ord(label[0]))
    notes = inspect(folder.open_data(str(photos))).notes()
    assert any("'indoors' is a folder in 'blue', 'red'" in note for note in notes)


def test_what_is_cut_off_is_measured(tmp_path: Path) -> None:
    sizes = {"a/1.png": (384, 96), "a/2.png": (100, 100), "b/1.png": (96, 384), "b/2.png": (60, 80)}
    for name, size in sizes.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", size, (len(name), size[0] % 256, 3)).save(path)
    found = dataset_inspection.inspect_dataset(folder.open_data(str(tmp_path)), ("train", "val"))
    assert found.cut_off == pytest.approx((0.75 + 0 + 0.75 + 0.25) / 4)


@pytest.mark.parametrize("alike", [True, False])
def test_inner_folders_of_photos_that_are_alike_are_said(tmp_path: Path, alike: bool) -> None:
    """Eight people, each before one background, or photos that only lie in eight folders."""
    for person in range(8):
        for i in range(8):
            shown = np.asarray(smooth_picture(person if alike else 1000 + 8 * person + i), dtype=float)
            own = np.asarray(smooth_picture(100 + 8 * person + i), dtype=float)
            pixels = (0.55 * shown + 0.45 * own).astype(np.uint8)
            where = tmp_path / ("well" if person % 2 else "ill") / f"subject{person}" / f"{i}.jpg"
            save_image(Image.fromarray(pixels), where, quality=95)
    said = [note for note in inspect(folder.open_data(str(tmp_path))).notes() if "inner folder" in note]
    assert bool(said) == alike
    if alike:
        assert "(23 % by chance)" in said[0] and "--group folder" in said[0]
        grouped = inspect(folder.open_data(str(tmp_path), group="folder"))
        assert not [note for note in grouped.notes() if "inner folder" in note]
