"""How fast `googlenet check` is: JPEG files of 500x375, decoded to their last byte, copies included.

    python benchmarks/check.py PHOTOS [--count 2000] [--rounds 3]

PHOTOS is a folder of JPEG files, each repeated with other edges cut off and resized to 500x375, to COUNT. The
first is Pillow alone on one core: every file decoded to all its pixels, nothing else looked at. Speeds are
for each of the cores that the work was done on.
"""

import argparse
import io
import itertools
import tempfile
from pathlib import Path

from PIL import Image

from common import Section, in_turns, seconds, show, speeds
from googlenet.base.machine import cores
from googlenet.data.dataset_inspection import inspect_dataset
from googlenet.data.folder import open_data
from googlenet.images.decode import read_bytes

SIZE = (500, 375)
QUALITY = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    show(measure(**vars(parser.parse_args())))


def measure(photos: Path, *, count: int = 2000, rounds: int = 3) -> list[Section]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = changed(photos, Path(scratch), count)
        files = sorted(folder.glob("*/*.jpg"))
        works = {
            "Pillow, all pixels, one core": lambda: seconds(lambda: [pixels(file) for file in files]),
            f"googlenet check, {cores()} cores": lambda: cores() * seconds(lambda: looked(folder)),
        }
        rows = speeds(in_turns(works, rounds=rounds), count=len(files), unit="files/s")
    return [(f"check: {count} JPEG files of 500x375, for each core, {rounds} rounds", rows)]


def pixels(file: Path) -> None:
    Image.open(io.BytesIO(read_bytes(file))).load()


def looked(folder: Path) -> None:
    data = open_data(str(folder))
    assert not inspect_dataset(data, tuple(data.splits)).bad


def changed(photos: Path, folder: Path, count: int) -> Path:
    """So many files of 500x375 in two classes, no two of the same bytes."""
    originals = [path for path in sorted(photos.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    for label in "ab":
        (folder / label).mkdir()
    for number, path in zip(range(count), itertools.cycle(originals)):
        image = Image.open(path).convert("RGB")
        cut = number // len(originals)
        box = (cut, cut // 2, image.width, image.height)
        image.resize(SIZE, box=box).save(folder / "ab"[number % 2] / f"{number:06}.jpg", quality=QUALITY)
    return folder


if __name__ == "__main__":
    main()
