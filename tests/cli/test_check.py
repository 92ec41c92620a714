"""The look at a data set before training: folders, bad files, copies, a cut that keeps them together."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.base import worker_pool
from googlenet.base.errors import DataError, ImageError
from googlenet.cli import checkpage, main
from googlenet.data import dataset_inspection, duplicates, folder, index, inspection_pool
from googlenet.data.image_inspection import ImageInspection
from googlenet.data.scan import scan
from helpers.painting import COLORS, Run, paint


def picture(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Smooth random colors, which have a shape at every scale."""
    random = np.random.default_rng(seed)
    layers = [
        Image.fromarray(random.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        for n in (5, 12, 25)
    ]
    return Image.fromarray(np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8))


def save(image: Image.Image, path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """One folder of two classes, 20 pictures each."""
    for number, name in enumerate(("a", "b")):
        for i in range(20):
            save(picture(100 * number + i), tmp_path / "pictures" / name / f"{i:02}.jpg")
    return tmp_path / "pictures"


def looked(root: Path) -> dataset_inspection.DatasetInspection:
    return dataset_inspection.inspect_dataset(folder.open_data(str(root)), ("train", "val"), workers=2)


def names(found: index.Index) -> set[str]:
    return {found.name(i) for i in range(len(found))}


def test_eight_positions_and_the_bound() -> None:
    grey = np.asarray(picture(1, (32, 32)).convert("L"), dtype=np.float32)
    vector = duplicates.content_vector(grey)
    turned = list(duplicates._symmetries(vector[None]))
    for turn in range(4):
        for laid in (np.rot90(grey, turn), np.rot90(grey, turn).T):
            other = duplicates.content_vector(np.ascontiguousarray(laid))
            assert max(float(one[0] @ other) for one in turned) == pytest.approx(1, abs=1e-5)
            assert (
                float((duplicates._magnitudes(vector[None]) @ duplicates._magnitudes(other[None]).T)[0, 0])
                > 0.999
            )


def test_describe_is_a_cosine_transform() -> None:
    grey = np.random.default_rng(0).uniform(0, 255, (32, 32)).astype(np.float32)
    x = np.arange(32)
    waves = {
        (u, v): sum(
            grey[i] @ np.cos(np.pi * (2 * x + 1) * v / 64) * np.cos(np.pi * (2 * i + 1) * u / 64)
            for i in range(32)
        )
        * (2 if u and v else 2**0.5)
        / 32
        for u in range(17)
        for v in range(17)
        if 3 <= np.hypot(u, v) <= 16
    }
    by_hand = np.array([np.sign(c) * np.sqrt(abs(c) * np.hypot(u, v)) for (u, v), c in waves.items()])
    np.testing.assert_allclose(duplicates.content_vector(grey), by_hand / np.linalg.norm(by_hand), atol=1e-4)


def test_blocks_and_dense_blocks_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(90, duplicates.COEFFICIENTS)).astype(np.float32)
    vectors[40:80] = vectors[:40] + random.normal(scale=0.2, size=(40, duplicates.COEFFICIENTS))
    vectors[85] = 0
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def pairs() -> list[tuple[int, int]]:
        found = [np.stack(block[:2], axis=1) for block in duplicates.similar_pairs(vectors)]
        return sorted(map(tuple, np.concatenate(found).tolist()))

    assert pairs() == [(i, i + 40) for i in range(40)]
    monkeypatch.setattr(duplicates, "_BLOCK", 16)
    assert pairs() == [(i, i + 40) for i in range(40)]
    monkeypatch.setattr(duplicates, "_DENSE", -1.0)
    assert pairs() == [(i, i + 40) for i in range(40)]


def test_groups_follow_from_pairs() -> None:
    digests = [b"x", b"y", b"x", b"z", b"y", b"x", b"w"]
    parts = np.array([0, 0, 0, 1, 1, 1, 1])
    found = duplicates.find_copies(digests, None, parts, count=2)
    assert found.groups() == [[0, 2, 5], [1, 4]]
    assert found.nearest[:, 0].tolist() == [2, -1, 0, -1, 1, 0, -1]
    assert found.nearest[:, 1].tolist() == [5, 4, 5, -1, -1, -1, -1]
    chain = duplicates.find_copies([b"%d" % i for i in range(5)], None, np.zeros(5, dtype=np.int64))
    for i in (3, 0, 1):
        duplicates._add_pairs(
            chain, np.zeros(5, dtype=np.int64), np.array([i]), np.array([i + 1]), np.ones(1, "f4")
        )
    assert chain.groups() == [[0, 1, 2], [3, 4]]


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


def test_bad_files_are_found_and_named(photos: Path) -> None:
    broken = photos / "red" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:-300])
    (photos / "blue" / "4.jpg").write_bytes(b"")
    found = looked(photos)
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
    found = looked_digits(digits)
    some = found.images[0]._replace(error=ImageError("empty", "x"))
    for count, stops in ((14, False), (15, True)):  # of 1,438
        worse = dataset_inspection._with_copies(
            digits, found.splits, [some] * count + list(found.images[count:])
        )
        assert dataset_inspection.too_many_bad(worse, "skip") is stops
        assert dataset_inspection.too_many_bad(worse, "error") and not dataset_inspection.too_many_bad(
            worse, "skip-all"
        )


def looked_digits(digits: folder.Dataset) -> dataset_inspection.DatasetInspection:
    return dataset_inspection.inspect_dataset(digits, ("train", "val"))


def test_class_without_a_readable_image(photos: Path) -> None:
    for path in (photos / "red").iterdir():
        path.write_bytes(b"text")
    found = looked(photos)
    with pytest.raises(DataError, match="class 'red' has no readable image"):
        dataset_inspection.training_data(found)
    assert "class 'red'" in str(checkpage.would_stop(found))


def test_a_cut_of_ours_keeps_copies_together(pictures: Path) -> None:
    before = folder.open_data(str(pictures))
    for i in range(20):
        image = Image.open(pictures / "a" / f"{i:02}.jpg")
        save(image.rotate(90 * (i % 4), expand=True), pictures / "a" / f"copy{i:02}.jpg", quality=60)
    plain = folder.open_data(str(pictures))
    found = looked(pictures)
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


def test_every_class_keeps_one_on_either_side() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2] * 2)
    filenames = [f"{label}/{i}.jpg" for i, label in enumerate(labels)]
    for held in ([0, 6, 9], [1, 2, 7, 10], [5, 8, 9]):
        for groups in ([[0, 1, 2]], [[0, 6]], [[6, 7, 8], [9, 10]], [[0, 9, 10], [6, 7]]):
            after = index.group_split(labels, filenames, np.array(held), groups)
            assert all(len({i in after for i in group}) == 1 for group in groups)
            rest = np.setdiff1d(np.arange(len(labels)), after)
            assert set(labels[rest]) == {0, 1, 2}
            assert {0} <= set(labels[after])


def test_a_large_group_is_trained_on() -> None:
    labels = np.zeros(100, dtype=np.int64)
    filenames = [f"{i:03}" for i in range(100)]
    after = index.group_split(labels, filenames, np.arange(20), [list(range(60))])
    assert not set(after) & set(range(60)) and len(after) >= 1


def test_check_says_what_is_there(pictures: Path, tmp_path: Path, googlenet: Run) -> None:
    root = tmp_path / "split"
    root.mkdir()
    pictures.rename(root / "train")
    save(picture(3).rotate(180), root / "val" / "a" / "turned.jpg", quality=70)
    shutil.copy(root / "train" / "b" / "04.jpg", root / "val" / "a" / "same.jpg")
    save(picture(501), root / "val" / "a" / "new.jpg")
    save(picture(502).convert("L"), root / "val" / "a" / "grey.jpg")
    save(picture(503, (20, 16)), root / "val" / "a" / "tiny.jpg")
    tag = Image.Exif()
    tag[0x0112] = 6
    save(picture(504), root / "val" / "a" / "held.jpg", exif=tag)
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


def test_a_damaged_photo_that_gives_pixels_is_told(pictures: Path) -> None:
    pytest.importorskip("simplejpeg")
    file = pictures / "a" / "02.jpg"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    found = looked(pictures)
    assert list(found.warned.values()) == ["Corrupt JPEG data: premature end of data segment"]
    assert "decoded with a warning" in checkpage.page(found)
    assert not found.bad


def test_inner_folders_of_one_name_are_told(photos: Path) -> None:
    for label in ("red", "blue"):
        paint(photos / label / "indoors" / "x.jpg", COLORS[label], seed=ord(label[0]))
    notes = looked(photos).notes()
    assert any("'indoors' is a folder in 'blue', 'red'" in note for note in notes)


def test_check_of_digits_and_of_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.main(["check", "digits"]) == 0
    assert "1,079 train, 359 val, 359 test" in capfd.readouterr().out
    assert main.main(["check", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capfd.readouterr().err
