"""DeepDream (Mordvintsev et al. 2015): a photo changed to excite a layer more.

Gradient ascent on the pixels, from the smallest of several sizes to the largest: what one size added is
enlarged and continued at the next. Each step shifts the photo at random, so that no grid appears.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError
from googlenet.base.progress import Advance, Progress, no_advance, no_progress
from googlenet.images.decode import Pixels
from googlenet.interpret.objectives import ObjectiveTerm, layer_maps, objective_values
from googlenet.interpret.redirected_relu import with_redirected_relus
from googlenet.interpret.visualization import input_preprocessing, normalized
from googlenet.nn.model import GoogLeNet

SIZE = 640  # pixels of the longer side, unless more are asked for
LONGEST = 4096  # pixels of the longer side at most: memory grows with it
_SHIFT = 32  # pixels at most, either way


@dataclass(frozen=True, kw_only=True)
class DreamSettings:
    """Options of a dream, by default as published.

    octaves  sizes, each `ratio` times the one before; those too small for the network are skipped
    steps    at each size
    rate     of a pixel's change in a step, on average, in 255ths of its range
    """

    octaves: int = 4
    ratio: float = 1.4
    steps: int = 10
    rate: float = 1.5
    seed: int = 0


def dream(
    net: GoogLeNet,
    photo: Pixels,
    term: ObjectiveTerm,
    *,
    settings: DreamSettings = DreamSettings(),
    preprocessing: Preprocessing | None = None,
    progress: Advance = no_advance,
) -> Pixels:
    """Change a photo so that it excites something more.

    photo          uint8 [H, W, 3], sides of the network's least size and up, as `dream_size` gives
    preprocessing  how the network's input is normalized; by default as its card says
    progress       is called with the steps done, `len(octaves(...)) * settings.steps` in all
    returns        uint8 [H, W, 3]
    """
    preprocessing, copied = input_preprocessing(net, preprocessing), with_redirected_relus(net)
    device = next(net.parameters()).device
    generator = torch.Generator().manual_seed(settings.seed)
    original = torch.tensor(photo, device=device).permute(2, 0, 1)[None].float() / 255
    added = torch.zeros_like(original)
    for shape in octaves(original.shape[2], original.shape[3], settings, least=net.dialect.min_size):
        base = _resized(original, shape)
        image = (base + _resized(added, shape)).clamp(0, 1)
        for _ in range(settings.steps):
            image = _step(copied, image, term, preprocessing, settings.rate / 255, generator)
            progress(1)
        added = image - base
    return (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()


def dream_photo(
    net: GoogLeNet,
    photo: Image.Image,
    term: ObjectiveTerm,
    *,
    size: int | None = None,
    settings: DreamSettings = DreamSettings(),
    progress: Progress = no_progress,
) -> tuple[Image.Image, int]:
    """Resize a photo as `dream_size` does, then `dream`; return the image and the number of steps.

    size      pixels of the longer side; by default the photo's own, up to SIZE
    progress  is given a name and the number of steps, and returns what is told of the steps done
    raises    InputError for a size or settings out of range
    """
    least = net.dialect.min_size
    width, height = dream_size(photo.size, size, least=least)
    pixels = np.asarray(photo.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    steps = len(octaves(height, width, settings, least=least)) * settings.steps
    dreamed = dream(net, pixels, term, settings=settings, progress=progress("dreaming", steps))
    return Image.fromarray(dreamed), steps


def octaves(height: int, width: int, settings: DreamSettings, *, least: int) -> list[tuple[int, int]]:
    """The sizes that a photo is dreamt at, smallest first, none with a side below `least`.

    Raises InputError for fewer than one octave or step.
    """
    for name, value in (("--octaves", settings.octaves), ("--steps", settings.steps)):
        if value < 1:
            raise InputError(f"expected {name} of at least 1, got {value}")
    scales = [settings.ratio**octave for octave in range(settings.octaves)]
    shapes = [(round(height / scale), round(width / scale)) for scale in scales]
    return [shape for shape in reversed(shapes) if min(shape) >= least or shape == shapes[0]]


def dream_size(photo: tuple[int, int], size: int | None, *, least: int) -> tuple[int, int]:
    """Width and height of a dream, for a photo's width and height.

    size    pixels of the longer side; by default the photo's own, up to SIZE, or what the network needs
    least   pixels of a side that the network needs
    raises  InputError for a size that is too small or too large
    """
    short, long = sorted(photo)
    needed = -(-least * long // short)
    if size is None:
        size = max(min(long, SIZE), needed)
    if not needed <= size <= LONGEST:
        raise InputError(
            f"expected --size from {needed} to {LONGEST} pixels for a photo of {photo[0]} x {photo[1]}, "
            f"got {size}: the network needs {least} on the shorter side"
        )
    return max(least, round(photo[0] * size / long)), max(least, round(photo[1] * size / long))


def _step(
    net: GoogLeNet,
    image: Tensor,
    term: ObjectiveTerm,
    preprocessing: Preprocessing,
    rate: float,
    generator: torch.Generator,
) -> Tensor:
    """One step of gradient ascent, which changes a pixel by `rate` on average."""
    across, down = torch.randint(-_SHIFT, _SHIFT + 1, (2,), generator=generator).tolist()
    shifted = image.roll((down, across), dims=(2, 3)).requires_grad_()
    maps = layer_maps(net, normalized(shifted, preprocessing), [term.layer])
    (gradient,) = torch.autograd.grad(objective_values(maps, [[term]]).sum(), shifted)
    changed = shifted.detach() + rate * gradient / gradient.abs().mean().clamp(min=1e-12)
    return changed.clamp(0, 1).roll((-down, -across), dims=(2, 3))


def _resized(images: Tensor, shape: tuple[int, int]) -> Tensor:
    if images.shape[2:] == shape:
        return images
    return F.interpolate(images, size=shape, mode="bilinear", antialias=True, align_corners=False)
