"""Draw docs/corruptions.png: the fifteen kinds of damage, at the third of five severities."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from googlenet.images.corruptions import KINDS, corrupt

PAGE = Path(__file__).with_name("corruptions.png")
SIDE, SHOWN, LINE, ACROSS = 224, 112, 14, 5


def sheet() -> Image.Image:
    """A picture for each kind, with its name."""
    photo = Image.fromarray(load_sample_image("flower.jpg"))
    square = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(120, 0, 547, 427)))
    rows = -(-len(KINDS) // ACROSS)
    page = Image.new("RGB", (ACROSS * SHOWN, rows * (SHOWN + LINE)), "white")
    for number, kind in enumerate(KINDS):
        left, top = number % ACROSS * SHOWN, number // ACROSS * (SHOWN + LINE)
        damaged = Image.fromarray(corrupt(square, kind, 3, name="flower.jpg"))
        page.paste(damaged.resize((SHOWN, SHOWN), Image.Resampling.BOX), (left, top))
        ImageDraw.Draw(page).text((left + 3, top + SHOWN + 1), kind, fill="black")
    return page.quantize(128)


if __name__ == "__main__":
    sheet().save(PAGE, optimize=True)
