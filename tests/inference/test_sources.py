"""Photos from a program: paths, bytes, files, Pillow images and arrays give what the file gives."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError
from googlenet.files.metadata import ModelMetadata
from googlenet.inference.predict import classify

SMALL = Preprocessing(size=32)
METADATA = ModelMetadata(dialect="bn", classes=("a", "b"), preprocessing=SMALL)


@dataclass
class Looking:
    """A predictor that keeps what it is shown."""

    preprocessing: Preprocessing = SMALL
    classes: tuple[str, ...] = ("a", "b")
    metadata: ModelMetadata = METADATA
    about: str = "a test"
    seen: list[np.ndarray] = field(default_factory=list)

    def logits(self, images: np.ndarray) -> np.ndarray:
        self.seen += list(images)
        return np.zeros((len(images), 2), dtype=np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


OPEN: list[Any] = []


def kept_open(path: Path) -> Any:
    OPEN.append(path.open("rb"))
    return OPEN[-1]


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


WAYS: dict[str, Callable[[Path], Any]] = {
    "a string": str,
    "a path": lambda path: path,
    "bytes": lambda path: path.read_bytes(),
    "a memoryview": lambda path: memoryview(path.read_bytes()),
    "a file": lambda path: kept_open(path),
    "a buffer": lambda path: io.BytesIO(path.read_bytes()),
    "a Pillow image": Image.open,
    "a loaded image": lambda path: Image.open(path).convert("RGB"),
    "an image with alpha": lambda path: Image.open(path).convert("RGBA"),
    "an array": lambda path: np.asarray(Image.open(path)),
    "a tensor": lambda path: torch.from_numpy(np.array(Image.open(path))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("several", [False, True])
def test_every_way_gives_the_same_pixels(way: str, several: bool, path: Path) -> None:
    expected, looking = Looking(), Looking()
    list(classify(str(path), expected))
    photo = WAYS[way](path)
    rows = list(classify([photo, WAYS[way](path)] if several else photo, looking, top=1))
    assert len(rows) == len(looking.seen) == 1 + several
    for pixels in looking.seen:
        np.testing.assert_array_equal(pixels, expected.seen[0])


def test_an_array_of_many_is_many(path: Path) -> None:
    looking = Looking()
    rows = list(classify(np.zeros((3, 40, 50, 3), dtype=np.uint8), looking, top=1))
    assert [row.path for row in rows] == ["0", "1", "2"]


def test_grey_arrays_are_grey(path: Path) -> None:
    looking = Looking()
    list(classify(np.full((40, 50), 7, dtype=np.uint8), looking))
    assert (looking.seen[0] == 7).all()


def test_a_pillow_image_is_held_as_its_camera_was(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = path.with_name("turned.png")
    Image.open(path).save(turned, exif=exif)
    by_path, by_image = Looking(), Looking()
    list(classify(turned, by_path))
    list(classify(Image.open(turned), by_image))
    np.testing.assert_array_equal(by_path.seen[0], by_image.seen[0])


def test_names_are_those_of_files_or_numbers(path: Path) -> None:
    photos = [path, path.read_bytes(), kept_open(path), Image.open(path), np.zeros((9, 9, 3), np.uint8)]
    rows = list(classify(photos, Looking(), top=1))
    assert [row.path for row in rows] == [str(path), "1", str(path), str(path), "4"]


def test_a_bad_photo_stops_nothing(path: Path) -> None:
    closed = path.open("rb")
    closed.close()
    cut = Image.open(io.BytesIO(path.read_bytes()[:400]))
    rows = list(classify([b"no photo", closed, cut, path], Looking(), top=1))
    assert [row.error is None for row in rows] == [False, False, False, True]
    assert "unreadable" in str(rows[1].error)


@pytest.mark.parametrize(
    "photos, said",
    [
        (3, r"or several, got int"),
        ([3], r"got int"),
        ([None], r"got NoneType"),
        (np.zeros((3, 9, 9), np.float32), r"got float32 \[3, 9, 9\]"),
        (np.zeros((3, 9, 9), np.uint8), r"got uint8 \[3, 9, 9\]"),
        (np.zeros((0, 9, 3), np.uint8), r"expected an array with pixels"),
    ],
)
def test_what_is_no_photo_is_refused_in_a_line(photos: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        list(classify(photos, Looking()))
