"""Photos of iPhones and other phones: HEIF files with HEVC in them, through libheif.

Decoding a photo takes libheif a buffer of its own and one of RGB. Pillow's image would be a third; so that
photos of 48 megapixels, as phones take them, fit into memory, they are divided where fewer pixels are wanted,
a band at a time, as the JPEG decoder does by itself.
"""

import importlib.util
from typing import Any

from PIL import Image, ImageFile

INSTALLED = importlib.util.find_spec("pi_heif") is not None

_PARTS = (1, 2, 4, 8)  # what a draft divides by, as for JPEG
_BAND = 1 << 20  # pixels divided at a time


class HeifImageFile(ImageFile.ImageFile):
    """The primary image of a HEIF file in Pillow's way: the header when it is opened, the pixels by `load`.

    libheif turns and mirrors it as the container says, and an orientation in EXIF counts for nothing
    (ISO/IEC 23008-12, A.2.1). Colors of 10 and 12 bits become 8.
    """

    format = "HEIF"
    format_description = "HEIF photo"

    def _open(self) -> None:
        import pi_heif

        assert self.fp is not None
        file = pi_heif.HeifFile(self.fp.read(), remove_stride=False)
        if not len(file):
            raise ValueError("the file holds no photo")
        self._photo: Any = file[file.primary_index]
        self._size = self._whole = self._photo.size
        self._mode = self._photo.mode
        self._part = 1
        self.info.update({key: self._photo.info.get(key) for key in ("bit_depth", "chroma")})

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> None:
        """Have the photo divided by 2, 4 or 8 when it is loaded, to `size` pixels at least."""
        wide, high = self._whole
        if size is None or self._mode == "RGBA":  # colors must not be averaged with what cannot be seen
            return
        fitting = [part for part in _PARTS if wide // part >= size[0] and high // part >= size[1]]
        self._part = max(fitting, default=1)
        self._size = -(-wide // self._part), -(-high // self._part)

    def load(self) -> Any:
        """Decode the pixels.

        Raises what libheif raises: ValueError, EOFError, RuntimeError or OSError.
        """
        if self._photo is not None:
            data = self._photo.data  # decoded now
            if self._photo.size != self._whole:  # which libheif tells only then
                raise ValueError(f"its {self._photo.size} pixels are not the {self._whole} of its header")
            self.im = _divided(memoryview(data), self._whole, self._photo.stride, self._mode, self._part).im
            self._photo = None
        return super().load()


def bytes_per_pixel(image: Image.Image) -> float:
    """What libheif needs of memory to decode this image to RGB, as measured (libheif 1.23)."""
    each = 5.0 if image.info.get("chroma") in (420, None) else 10.0
    each += 2.5 * (image.mode == "RGBA")
    return each * (5 / 3 if image.info.get("bit_depth", 8) > 8 else 1)


def _divided(data: memoryview, size: tuple[int, int], stride: int, mode: str, part: int) -> Image.Image:
    """The image of these bytes, rows of `stride`, with each `part` x `part` pixels averaged to one."""
    wide, high = size
    rows = part * max(1, _BAND // (wide * part))
    image = Image.new(mode, (-(-wide // part), -(-high // part)))
    for top in range(0, high, rows):
        count = min(rows, high - top)
        band = data[top * stride : (top + count) * stride]
        strip = Image.frombuffer(mode, (wide, count), band, "raw", mode, stride, 1)  # type: ignore[arg-type]
        image.paste(strip if part == 1 else strip.reduce(part), (0, top // part))
    return image
