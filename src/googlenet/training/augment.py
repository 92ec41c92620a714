"""What training makes of a photo: a random crop or shift, and random changes of side and color."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision.transforms import v2

from googlenet.architecture.dialects import Fit, Preprocessing
from googlenet.data.index import Index
from googlenet.images.boxes import Box, mean_color, whole_box
from googlenet.images.decode import Pixels, decode_box, decode_opened, open_image, resize_box, upright_size
from googlenet.training.decision.decide import SMALL_SIZE
from googlenet.training.decision.recipe import Recipe

# arXiv 1409.4842, section 6: "bilinear, area, nearest neighbor and cubic, with equal probability"
INTERPOLATIONS = (
    Image.Resampling.BILINEAR,
    Image.Resampling.BOX,
    Image.Resampling.NEAREST,
    Image.Resampling.BICUBIC,
)

BARS = mean_color(Preprocessing())  # beside padded photos; other publishers' means are a few levels off
TRIES = 10  # for a crop that fits, as torchvision's RandomResizedCrop

# Principal components of the colors of ImageNet's pixels, for the noise of Krizhevsky et al. 2012 that
# Howard 2013 keeps; values as in fb.resnet.torch, for pixels from 0 to 1.
COLOR_DEVIATIONS = np.array([0.2175, 0.0188, 0.0045])
COLOR_AXES = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])

KEPT = 256 << 20  # bytes of decoded small photos that a process keeps at most
_OBJECT = 1024  # bytes that an image takes beside its pixels


class Augmentation:
    """A random crop or shift of a photo, resized, and its random changes of side and color (section 6)."""

    def __init__(self, recipe: Recipe) -> None:
        """Prepare what the recipe switches on."""
        self._recipe = recipe
        factor = recipe.color_jitter
        # ColorJitter applies its three in random order, as Howard 2013 does.
        self._jitter = v2.ColorJitter(factor, factor, factor) if factor else None
        # what is enlarged is blurred by the filter, so there by the one that the finished model will see
        usual = Image.Resampling.BICUBIC if recipe.translate else Image.Resampling.BILINEAR
        self._resamples = INTERPOLATIONS if recipe.random_interpolation else (usual,)

    def __call__(self, data: bytes, size: int) -> Pixels:
        """Bytes of an image file -> uint8 [size, size, 3], by torch's current random state.

        Raises ImageError.
        """
        if self._recipe.translate:
            return self.moved(whole_square(data, size, self._recipe.fit), size)
        opened = open_image(data)
        box = self._box(*upright_size(opened))
        return self._changed(lambda resample: decode_box(opened, box, size, resample=resample, fill=BARS))

    def _box(self, width: int, height: int) -> Box:
        """A random part of a photo; of a square that it is made to fit first, unless that is its middle."""
        recipe = self._recipe
        if recipe.fit == "crop":
            return random_box(width, height, area=recipe.crop_scale, aspect=recipe.crop_ratio)
        side, whole = max(width, height), whole_box(width, height, recipe.fit)
        left, top, right, bottom = whole
        x, y = (right - left) / side, (bottom - top) / side
        for _ in range(TRIES):
            part = random_box(side, side, area=recipe.crop_scale, aspect=recipe.crop_ratio)
            box = left + part[0] * x, top + part[1] * y, left + part[2] * x, top + part[3] * y
            if min(box[2], width) > max(box[0], 0) and min(box[3], height) > max(box[1], 0):
                return box
        return whole  # nothing but bars, so many times

    def moved(self, square: Image.Image, size: int) -> Pixels:
        """A decoded square -> the same, by the recipe's shift."""
        box = 0.0, 0.0, float(square.width), float(square.height)
        pixels = self._changed(lambda resample: resize_box(square, box, size, resample=resample))
        most = round(self._recipe.translate * size)
        across, down = torch.randint(-most, most + 1, (2,)).tolist()
        return _moved(_moved(pixels, down).swapaxes(0, 1), across).swapaxes(0, 1)

    def _changed(self, resized: Callable[[int], Image.Image]) -> Pixels:
        """What becomes of a photo, given how to resize it by a filter."""
        which, side = torch.rand(2).tolist()
        image = resized(self._resamples[int(which * len(self._resamples))])
        pixels = self._lit(np.asarray(self._jitter(image) if self._jitter else image))
        return pixels[:, ::-1] if self._recipe.flip and side < 0.5 else pixels

    def _lit(self, pixels: Pixels) -> Pixels:
        """Shift all pixels by one random color, most along the axes in which photos vary most."""
        if not self._recipe.lighting:
            return pixels
        amounts: npt.NDArray[np.float64] = (
            torch.randn(3, dtype=torch.float64).numpy() * self._recipe.lighting * COLOR_DEVIATIONS
        )
        shifted = pixels + 255 * (COLOR_AXES @ amounts)
        return shifted.round().clip(0, 255).astype(np.uint8)


class SmallPhotos:
    """The squares of photos; small ones, once decoded, are kept for the epochs to come.

    Decoding one takes longer than all else that is done to it. What is kept changes the speed alone.
    """

    def __init__(self, index: Index, fit: Fit) -> None:
        """Keep nothing yet."""
        self._index, self._fit, self._kept, self._room = index, fit, dict[int, Image.Image](), KEPT

    def square(self, number: int, size: int) -> Image.Image:
        """The square of one photo, to be resized to `size`.

        Raises ImageError.
        """
        if number in self._kept:
            return self._kept[number]
        square = whole_square(self._index.read(number), size, self._fit)
        needed = 4 * square.width * square.height + _OBJECT
        if square.width <= SMALL_SIZE and needed <= self._room:
            self._kept[number] = square
            self._room -= needed
        return square


def whole_square(data: bytes, size: int, fit: Fit) -> Image.Image:
    """All that the network could see of a photo, upright, RGB; not resized, but to be a square.

    size    to which it will be: a large JPEG file is decoded at the smallest scale that is enough for it
    raises  ImageError
    """
    opened = open_image(data)
    side = min(upright_size(opened))
    upright = decode_opened(opened, scale=side / size if side > SMALL_SIZE else 1.0)
    if fit != "crop":
        side, box = min(max(upright.size), max(size, SMALL_SIZE)), whole_box(*upright.size, fit)
        return resize_box(upright, box, side, resample=Image.Resampling.BICUBIC, fill=BARS)
    side = min(upright.size)
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    return upright.crop((left, top, left + side, top + side))


def random_box(width: int, height: int, *, area: tuple[float, float], aspect: tuple[float, float]) -> Box:
    """A random rectangle of whole pixels, by torch's current random state.

    area    least and most of the image that it covers
    aspect  least and most of its width over its height, whose logarithm is drawn evenly; where no such
            rectangle fits in `TRIES` draws, the largest in the middle
    """
    (least, most), (narrow, wide) = area, map(math.log, aspect)
    for share, shape, across, down in torch.rand(TRIES, 4, dtype=torch.float64).tolist():
        pixels, ratio = width * height * (least + share * (most - least)), narrow + shape * (wide - narrow)
        w, h = round(math.sqrt(pixels * math.exp(ratio))), round(math.sqrt(pixels / math.exp(ratio)))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(across * (width - w + 1)), int(down * (height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * aspect[1])), min(height, round(width / aspect[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _moved(pixels: Pixels, by: int) -> Pixels:
    """Pixels from row `by` on, as many as there are; beyond an end they are mirrored, its own row once."""
    if by > 0:
        return np.concatenate([pixels[by:], pixels[-2 : -2 - by : -1]])
    return np.concatenate([pixels[-by:0:-1], pixels[:by]]) if by else pixels
