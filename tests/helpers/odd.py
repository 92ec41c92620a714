"""Images of every shape and kind that people have, and images that are no photos."""

from pathlib import Path

import numpy as np
from PIL import Image

MODES = {  # mode: formats that keep it
    "RGB": ("jpg", "png", "webp", "bmp", "tif"),
    "L": ("jpg", "png", "tif", "gif"),
    "RGBA": ("png", "webp", "tif"),
    "P": ("png", "gif", "bmp"),
    "LA": ("png",),
    "CMYK": ("jpg", "tif"),
    "I;16": ("png", "tif"),
    "1": ("png", "tif"),
}
SHAPES = ((64, 64), (37, 91), (500, 375), (375, 500), (1024, 96), (81, 640), (333, 334), (1280, 853))
ORIENTATION = 0x0112


def photos(folder: Path, *, count: int) -> Path:
    """Write images of many shapes, modes, formats and orientations, all different."""
    folder.mkdir(parents=True)
    kinds = [(mode, suffix) for mode, suffixes in MODES.items() for suffix in suffixes]
    for number in range(count):
        mode, suffix = kinds[number % len(kinds)]
        picture = scene(SHAPES[number % len(SHAPES)], seed=number)
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
        else:
            picture = picture.convert(mode)
        exif = Image.Exif()
        exif[ORIENTATION] = number % 8 + 1
        options = {"exif": exif} if suffix in ("jpg", "png", "webp") else {}
        picture.save(folder / f"{number:03d}-{mode.replace(';', '')}.{suffix}", **options)
    return folder


def scene(size: tuple[int, int], *, seed: int) -> Image.Image:
    """Large shapes and fine grain, so that no two ways to resize it agree."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(float)
    grain = generator.normal(0, 25, smooth.shape)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def strange(kind: str, *, count: int, size: int) -> np.ndarray:
    """uint8 [count, size, size, 3]: `blank`, `noise` or `checker`, in any colors."""
    generator = np.random.default_rng(3)
    if kind == "blank":
        colors = generator.integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
        return np.tile(colors, (1, size, size, 1))
    if kind == "noise":
        grey = generator.normal(128, 60, (count // 2, size, size, 1)).clip(0, 255).astype(np.uint8)
        color = generator.integers(0, 256, (count - count // 2, size, size, 3), dtype=np.uint8)
        return np.concatenate([np.tile(grey, (1, 1, 1, 3)), color])
    rows, columns = np.indices((size, size))
    boards = []
    for _ in range(count):
        side = int(generator.integers(1, size // 2 + 1))
        colors = generator.integers(0, 256, (2, 3), dtype=np.uint8)
        boards.append(colors[(rows // side + columns // side) % 2])
    return np.stack(boards)
