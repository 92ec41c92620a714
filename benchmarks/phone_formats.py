"""HEIC and AVIF photos to a square, beside their libraries alone.

    python benchmarks/phone_formats.py [--rounds 5]

A smooth picture with some grain is written as HEIC and AVIF of 12 megapixels (quality 60) and read in turns:
by `preprocess`, and by pi_heif or Pillow alone, to an image of Pillow's and nothing more. The ratio is theirs
over ours: 1 is level.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import pi_heif
import pillow_heif
from PIL import Image

from googlenet.architecture.dialects import Preprocessing
from googlenet.images.decode import preprocess

SIZE = (4032, 3024)


def files() -> dict[str, bytes]:
    """The same picture in both formats."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC)).astype(np.int16)
    pixels += generator.integers(-6, 7, pixels.shape, dtype=np.int16)
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    heic, avif = io.BytesIO(), io.BytesIO()
    pillow_heif.from_pillow(picture).save(heic, quality=60)
    picture.save(avif, "AVIF", quality=60, speed=8)
    return {"HEIC": heic.getvalue(), "AVIF": avif.getvalue()}


def alone(form: str, data: bytes) -> None:
    """Decode by the library and nothing else."""
    if form == "HEIC":
        pi_heif.open_heif(data).to_pillow()
    else:
        Image.open(io.BytesIO(data), formats=("AVIF",)).load()


def seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    """Measure in turns, and print medians and the spread of the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for form, data in files().items():
        pairs = [
            (seconds(lambda: preprocess(data, Preprocessing())), seconds(lambda: alone(form, data)))  # noqa: B023
            for _ in range(rounds + 1)
        ][1:]
        ratios = sorted(theirs / ours for ours, theirs in pairs)
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{form} of 12 megapixels, {len(data) / 1e6:.1f} MB: {1000 * ours:.0f} ms to a square, the "
            f"library alone {1000 * theirs:.0f} ms; {statistics.median(ratios):.2f} of its speed "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
