"""Heat maps over photos, and contact sheets of several with a legend. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from googlenet.images.boxes import Box

HeatMap = npt.NDArray[np.float32]  # [h, w], over the box that the network saw
Color = tuple[int, int, int]

SIDE = 320  # pixels of a photo's longer side on a sheet
GAP, LINE, BAR = 12, 20, 10  # pixels: between pictures, of a line of text, of the legend's height
INK, PAPER, FRAME = (32, 32, 32), (255, 255, 255), (255, 255, 255)
DIMMED = 0.45  # brightness of what the network did not see
STRONGEST = 0.8  # opacity where the heat is greatest
# Dark to light, so that the order is seen without color vision: six colors of matplotlib's inferno (CC0).
RAMP = np.array(
    [[24, 15, 61], [101, 21, 110], [174, 48, 92], [229, 92, 48], [252, 165, 10], [252, 255, 164]], np.float32
)


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet: an upright photo, and the heat that is laid over a part of it."""

    photo: Image.Image
    caption: str
    heat: HeatMap | None = None  # None for the photo as it is
    box: Box | None = None  # of `photo`, in its pixels: what the network saw; None for all of it


def colorize(strength: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Strengths [...] from 0 to 1 -> colors uint8 [..., 3]."""
    steps = np.clip(strength, 0, 1) * (len(RAMP) - 1)
    below = np.minimum(steps.astype(int), len(RAMP) - 2)
    share = (steps - below)[..., None]
    colors = RAMP[below] * (1 - share) + RAMP[below + 1] * share
    return np.round(colors).astype(np.uint8)  # type: ignore[no-any-return]


def overlay(photo: Image.Image, heat: HeatMap, box: Box | None = None) -> Image.Image:
    """Lay heat over the part of an upright photo that the network saw; what it did not see is dimmed.

    Zero and less leaves the photo as it is, the greatest value hides most of it; a map without anything
    above zero shows nothing.
    """
    whole = (0, 0, *photo.size) if box is None else _in_pixels(box)
    seen = _within(whole, photo.size)
    pixels = np.asarray(photo.convert("RGB"), dtype=np.float32)
    blended = pixels * DIMMED
    left, top, right, bottom = seen
    part = pixels[top:bottom, left:right]
    everywhere = _strengths(heat, (whole[2] - whole[0], whole[3] - whole[1]))
    strength = everywhere[top - whole[1] :, left - whole[0] :][: bottom - top, : right - left]
    opacity = STRONGEST * strength[..., None]
    blended[top:bottom, left:right] = part * (1 - opacity) + colorize(strength) * opacity
    image = Image.fromarray(np.round(blended).astype(np.uint8))
    if seen != (0, 0, *photo.size):
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), outline=FRAME)
    return image


def contact_sheet(rows: Sequence[Sequence[Panel]], *, legend: str = "", side: int = SIDE) -> Image.Image:
    """Put pictures beside and below one another, each with its caption; `legend` says what color means.

    A photo is shown with its longer side at `side` pixels; one smaller than that is enlarged.
    """
    wide = max(len(row) for row in rows)
    images = [[_rendered(panel, side) for panel in row] for row in rows]
    tall = [max(image.height for image in row) + LINE for row in images]
    foot = 2 * LINE if legend else 0
    size = (GAP + wide * (side + GAP), GAP + sum(height + GAP for height in tall) + foot)
    page = Image.new("RGB", size, PAPER)
    draw, font, y = ImageDraw.Draw(page), ImageFont.load_default(13), GAP
    for row, rendered, height in zip(rows, images, tall, strict=True):
        for column, (panel, image) in enumerate(zip(row, rendered, strict=True)):
            x = GAP + column * (side + GAP)
            page.paste(image, (x, y + LINE))
            draw.text((x, y), _truncated(panel.caption, font, side), fill=INK, font=font)
        y += height + GAP
    if legend:
        bar = Image.fromarray(np.tile(colorize(np.linspace(0, 1, SIDE // 2)), (BAR, 1, 1)))
        page.paste(bar, (GAP, y + LINE // 4))
        draw.text((2 * GAP + bar.width, y), _truncated(legend, font, size[0]), fill=INK, font=font)
    return page


def _rendered(panel: Panel, side: int) -> Image.Image:
    scale = side / max(panel.photo.size)
    size = tuple(max(1, round(length * scale)) for length in panel.photo.size)
    photo = panel.photo.convert("RGB").resize((size[0], size[1]), Image.Resampling.BICUBIC)
    if panel.heat is None:
        return photo
    box = panel.box and tuple(edge * scale for edge in panel.box)
    return overlay(photo, panel.heat, box)  # type: ignore[arg-type]


def _strengths(heat: HeatMap, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Heat above zero as strengths [height, width] from 0 to 1."""
    above = np.maximum(heat, 0)
    greatest = float(above.max())
    if not greatest > 0 or not math.isfinite(greatest):
        return np.zeros(size[::-1], np.float32)
    image = Image.fromarray((above / greatest).astype(np.float32))
    return np.clip(np.asarray(image.resize(size, Image.Resampling.BICUBIC)), 0, 1)  # type: ignore[no-any-return]


def _in_pixels(box: Box) -> tuple[int, int, int, int]:
    """A box in whole pixels, of one at least; it may reach beyond the photo."""
    left, top = round(box[0]), round(box[1])
    return left, top, max(left + 1, round(box[2])), max(top + 1, round(box[3]))


def _within(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """What of a box is within the photo, one pixel at least."""
    left, top = (min(max(0, box[i]), size[i] - 1) for i in (0, 1))
    right, bottom = (min(max(start + 1, box[i + 2]), size[i]) for i, start in ((0, left), (1, top)))
    return left, top, right, bottom


def _truncated(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> str:
    """As much of a text as there is room for, in pixels."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text}…"
