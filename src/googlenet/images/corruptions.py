"""Fifteen corruptions of a photo, in five severities (Hendrycks and Dietterich 2019, arXiv 1903.12261).

Written from the paper's descriptions, with the severities of its benchmark where a number carries over.
Glass, snow, frost, fog and elastic differ from it, and all code is our own: the figures compare models
that were measured here, not with published ones.

The severities are for squares of 224 pixels. On smaller ones lengths shrink in proportion, what strikes
single pixels by the square root, and light and contrast stay as they are. What is drawn at random follows
from the photo's name and the kind of damage alone; its five degrees are the same drawing, only stronger.
"""

import hashlib
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from googlenet.architecture.table1 import PAPER_SIZE
from googlenet.images.decode import Pixels

Photo = npt.NDArray[np.float64]  # [size, size, 3], 0..1
Plane = npt.NDArray[np.float64]  # [size, size]
Random = np.random.Generator
Severity = Any  # one of a kind's five

SEVERITIES = (1, 2, 3, 4, 5)
ZOOMS = 11  # pictures that zoom blur averages


def corrupt(pixels: Pixels, kind: str, severity: int, *, name: str) -> Pixels:
    """Corrupt a square image, the network's input.

    pixels    uint8 [size, size, 3]
    kind      one of KINDS
    severity  1 to 5
    name      of the photo; what is random follows from it
    returns   uint8 [size, size, 3]
    """
    function, severities = KINDS[kind]
    key = hashlib.sha256(f"{kind}\0{name}".encode("utf-8", "surrogateescape")).digest()
    damaged = function(
        pixels / 255.0, severities[severity - 1], np.random.default_rng(int.from_bytes(key[:8]))
    )
    return (damaged.clip(0, 1) * 255).round().astype(np.uint8)


def gaussian_noise(x: Photo, spread: float, random: Random) -> Photo:
    """The noise of low light."""
    return x + _weakened(x, spread) * random.standard_normal(x.shape)


def shot_noise(x: Photo, photons: float, random: Random) -> Photo:
    """The noise of light itself: each pixel counts photons, `photons` of them where it is white."""
    most = photons / _weakened(x, 1.0) ** 2
    return random.poisson(x * most) / most


def impulse_noise(x: Photo, share: float, random: Random) -> Photo:
    """Salt and pepper in each color, as of bit errors."""
    drawn = random.random(x.shape)
    share = _weakened(x, share)
    return np.where(drawn < share, (drawn < share / 2).astype(float), x)


def defocus_blur(x: Photo, radius: float, random: Random) -> Photo:
    """Every point becomes a disc."""
    radius = _length(x, radius)
    across = np.arange(-math.ceil(radius), math.ceil(radius) + 1)
    return _convolve(x, (radius + 0.5 - np.hypot(across[:, None], across)).clip(0, 1))


def glass_blur(x: Photo, level: tuple[float, float], random: Random) -> Photo:
    """Frosted glass: each pixel moves to a random position near it, twice."""
    blur, reach = level
    rows, columns = np.indices(x.shape[:2])
    x = _gaussian(x, _length(x, blur))
    for _ in range(2):
        down, right = random.uniform(-1, 1, (2, *x.shape[:2])) * _length(x, reach)
        x = _sample(x, rows + down, columns + right)
    return _gaussian(x, _length(x, blur))


def motion_blur(x: Photo, level: tuple[float, float], random: Random) -> Photo:
    """A camera that moved, at up to 45 degrees from the horizontal, slower and slower."""
    length, spread = level
    return _streak(x, _length(x, length), _length(x, spread), random.uniform(-math.pi / 4, math.pi / 4))


def zoom_blur(x: Photo, largest: float, random: Random) -> Photo:
    """A camera that moved towards the middle."""
    picture, size = _picture(x), len(x)
    borders = [(size - size / zoom) / 2 for zoom in np.linspace(1, largest, ZOOMS)]
    boxes = [(border, border, size - border, size - border) for border in borders]
    zoomed = [picture.resize((size, size), Image.Resampling.BILINEAR, box=box) for box in boxes]
    damaged: Photo = np.mean([np.asarray(each) for each in zoomed], axis=0) / 255
    return damaged


def snow(x: Photo, level: tuple[float, float, float], random: Random) -> Photo:
    """Flakes that fall in streaks over a paler picture."""
    share, size, pale = level
    across = max(2, round(len(x) / max(1.0, _length(x, size))))
    fields = _enlarged(random.random((across, across)), len(x))
    flakes = ((fields - np.quantile(fields, 1 - share)) * 6).clip(0, 1)
    angle = random.uniform(math.pi / 4, 3 * math.pi / 4)
    flakes = _streak(flakes[..., None], _length(x, 12), _length(x, 6), angle)
    white = np.maximum(x, x.mean(axis=2, keepdims=True) * 0.5 + 0.5)
    damaged: Photo = (1 - pale) * x + pale * white + 0.9 * flakes
    return damaged


def frost(x: Photo, level: tuple[float, float], random: Random) -> Photo:
    """Crystals of ice on the lens, before a darker picture."""
    kept, ice = level
    ridges = [1 - abs(2 * _clouds(len(x), random, decay=1.6) - 1) for _ in range(3)]
    crystals = np.max(ridges, axis=0) ** 6 * _clouds(len(x), random, decay=2.0)
    crystals *= 0.2 / crystals.mean()
    tint = np.array([0.84, 0.92, 1.0])
    damaged: Photo = kept * x + ice * (0.25 + crystals[..., None]) * tint
    return damaged


def fog(x: Photo, level: tuple[float, float], random: Random) -> Photo:
    """Clouds before the picture; the brightest point stays as bright as it was."""
    thick, decay = level
    top = max(x.max(), 1e-3)
    damaged: Photo = (x + thick * _clouds(len(x), random, decay=decay)[..., None]) * top / (top + thick)
    return damaged


def brightness(x: Photo, more: float, random: Random) -> Photo:
    """More light: the largest color of each pixel rises, hue and saturation stay."""
    value = x.max(axis=2, keepdims=True)
    brighter = (value + more).clip(0, 1)
    damaged: Photo = np.where(value > 0, x * brighter / np.maximum(value, 1e-9), brighter)
    return damaged


def contrast(x: Photo, kept: float, random: Random) -> Photo:
    """Every color nearer to its mean."""
    mean = x.mean(axis=(0, 1))
    damaged: Photo = (x - mean) * kept + mean
    return damaged


def elastic(x: Photo, level: tuple[float, float], random: Random) -> Photo:
    """Stretched here, squeezed there: pixels moved by a smooth field of `distance` on average."""
    distance, smooth = level
    moves = _gaussian(random.standard_normal((*x.shape[:2], 2)), max(1.0, _length(x, smooth)))
    moves *= _length(x, distance) / np.sqrt((moves**2).sum(axis=2).mean())
    rows, columns = np.indices(x.shape[:2])
    return _sample(x, rows + moves[..., 0], columns + moves[..., 1])


def pixelate(x: Photo, share: float, random: Random) -> Photo:
    """Fewer pixels, enlarged again as squares."""
    small = max(1, round(len(x) * (1 - _weakened(x, 1 - share))))
    picture = _picture(x).resize((small, small), Image.Resampling.BOX)
    return np.asarray(picture.resize((len(x), len(x)), Image.Resampling.NEAREST)) / 255.0


def jpeg(x: Photo, quality: float, random: Random) -> Photo:
    """Saved as a small JPEG file."""
    stored = io.BytesIO()
    _picture(x).save(stored, "JPEG", quality=round(100 - _weakened(x, 100 - quality)))
    return np.asarray(Image.open(stored)) / 255.0


# the function of each kind, and its five severities
KINDS: dict[str, tuple[Callable[[Photo, Severity, Random], Photo], tuple[Severity, ...]]] = {
    "gaussian noise": (gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot noise": (shot_noise, (60, 25, 12, 5, 3)),
    "impulse noise": (impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "defocus blur": (defocus_blur, (3, 4, 6, 8, 10)),
    "glass blur": (glass_blur, ((0.7, 1.5), (0.9, 2), (1, 3), (1.2, 4), (1.5, 5))),
    "motion blur": (motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    "zoom blur": (zoom_blur, (1.11, 1.16, 1.21, 1.26, 1.33)),
    "snow": (snow, ((0.04, 3, 0.15), (0.08, 3, 0.25), (0.12, 4, 0.35), (0.16, 4.5, 0.4), (0.2, 4.5, 0.5))),
    "frost": (frost, ((0.9, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.75), (0.6, 0.8))),
    "fog": (fog, ((1.5, 2), (2, 2), (2.5, 1.7), (3, 1.5), (3.5, 1.4))),
    "brightness": (brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": (contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "elastic": (elastic, ((2, 9), (3, 9), (4.5, 9), (6, 9), (8, 9))),
    "pixelate": (pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg": (jpeg, (25, 18, 15, 10, 7)),
}


def _picture(x: Photo) -> Image.Image:
    return Image.fromarray((x * 255).round().astype(np.uint8))


def _length(x: Photo, pixels: float) -> float:
    """A length in a square of 224 pixels, in one of this size."""
    return pixels * len(x) / PAPER_SIZE


def _weakened(x: Photo, strength: float) -> float:
    """What strikes single pixels covers more of a small square: less of it there."""
    return strength * min(1.0, math.sqrt(len(x) / PAPER_SIZE))


def _gaussian(x: Photo, spread: float) -> Photo:
    across = np.arange(-math.ceil(3 * spread), math.ceil(3 * spread) + 1)
    bell = np.exp(-0.5 * (across / max(spread, 1e-6)) ** 2)
    return _convolve(x, np.outer(bell, bell))


def _streak(x: Photo, length: float, spread: float, angle: float) -> Photo:
    """Every point becomes a line that fades."""
    along = np.arange(0, length + 0.125, 0.25)
    half = math.ceil(length) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    rows, columns = half + along * math.sin(angle), half + along * math.cos(angle)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    weights = np.exp(-0.5 * (along / spread) ** 2)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        near = (1 - abs(rows - top - down)) * (1 - abs(columns - left - right))
        np.add.at(kernel, (top + down, left + right), weights * near)
    return _convolve(x, kernel)


def _convolve(x: Photo, kernel: Plane) -> Photo:
    """Blur by a kernel of odd sides, mirrored at the edges; its sum is made 1."""
    half = len(kernel) // 2
    padded = np.pad(x, ((half, half), (half, half), (0, 0)), mode="symmetric")
    sides = padded.shape[:2]
    waves = np.fft.rfft2(kernel / kernel.sum(), s=sides)[..., None]
    blurred: Photo = np.fft.irfft2(np.fft.rfft2(padded, axes=(0, 1)) * waves, s=sides, axes=(0, 1))
    return blurred[2 * half :, 2 * half :]


def _sample(x: Photo, rows: Plane, columns: Plane) -> Photo:
    """Values between pixels, from the four around; beyond the edge, those of the edge."""
    rows, columns = (places.clip(0, len(x) - 1) for places in (rows, columns))
    top, left = (np.minimum(places.astype(int), max(0, len(x) - 2)) for places in (rows, columns))
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    low, far = np.minimum(top + 1, len(x) - 1), np.minimum(left + 1, len(x) - 1)
    above = x[top, left] * (1 - right) + x[top, far] * right
    below = x[low, left] * (1 - right) + x[low, far] * right
    damaged: Photo = above * (1 - down) + below * down
    return damaged


def _enlarged(grid: Plane, size: int) -> Plane:
    picture = Image.fromarray(grid.astype(np.float32))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float64)


def _clouds(size: int, random: Random, *, decay: float) -> Plane:
    """Noise of every size, each half as large weaker by `decay`; from 0 to 1."""
    total = np.zeros((size, size))
    for octave in range(1, max(2, size.bit_length())):
        total += _enlarged(random.random((2**octave, 2**octave)), size) / decay**octave
    total -= total.min()
    return total / max(total.max(), 1e-9)  # type: ignore[no-any-return]
