"""Photo-like images that tests make, and how a test runs the program."""

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

COLORS = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (40, 60, 200)}

Run = Callable[..., subprocess.CompletedProcess[str]]


def paint(path: Path, color: tuple[int, int, int], *, seed: int, size: tuple[int, int] = (90, 70)) -> Path:
    """Write a noisy photo-like JPEG of one color."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 25, (size[1], size[0], 3))
    pixels = (np.array(color) + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=90)
    return path


def photo(width: int = 200, height: int = 120, *, exif: int | None = None) -> bytes:
    """A JPEG file of large random squares, with its EXIF orientation if one is given."""
    pixels = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((width, height))
    tags = Image.Exif()
    if exif is not None:
        tags[0x0112] = exif
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=tags)
    return buffer.getvalue()


def smooth_picture(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Smooth random colors, which have a shape at every scale."""
    random = np.random.default_rng(seed)
    layers = [
        Image.fromarray(random.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        for n in (5, 12, 25)
    ]
    return Image.fromarray(np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8))


def save_image(image: Image.Image, path: Path, **options: object) -> Path:
    """Write an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return path
