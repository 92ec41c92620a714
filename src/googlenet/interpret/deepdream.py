"""A photo changed so that a layer sees more of what it sees in it: DeepDream (Mordvintsev et al. 2015).

Gradient ascent on the pixels, from the smallest of several sizes to the largest: what was added at one is
enlarged and gone on with at the next. Each step sees the photo shifted, so that no grid stays.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError
from googlenet.base.progress import Advance, no_advance
from googlenet.images.decode import Pixels
from googlenet.interpret.objectives import Term, excitement, maps
from googlenet.interpret.visualization import normalization, normalized, redirecting
from googlenet.nn.model import GoogLeNet

SIZE = 640  # pixels of the longer side, unless more are asked for
LONGEST = 4096  # pixels of the longer side at most: memory grows with it
OCTAVES, RATIO, STEPS, RATE = 4, 1.4, 10, 1.5  # as published; the rate in 255ths of a pixel's range
_SHIFT = 32  # pixels at most, either way


@dataclass(frozen=True, kw_only=True)
class DreamSettings:
    """How to dream.

    octaves  sizes, each `ratio` times the one before; those in which the network would see nothing are left
    steps    at each size
    rate     of a pixel's change in a step, on average, in 255ths of its range
    """

    octaves: int = OCTAVES
    ratio: float = RATIO
    steps: int = STEPS
    rate: float = RATE
    seed: int = 0


def dream(
    net: GoogLeNet,
    photo: Pixels,
    term: Term,
    *,
    how: DreamSettings = DreamSettings(),
    taken: Preprocessing | None = None,
    progress: Advance = no_advance,
) -> Pixels:
    """Change a photo so that it excites something more.

    photo     uint8 [H, W, 3], as `fitted` makes it: sides of the network's least size and up
    taken     how the network's input is normalized; by default as its card says
    progress  is told of the steps done, `octaves(...)` times `how.steps` in all
    returns   uint8 [H, W, 3]
    """
    pixels, ours = normalization(net, taken), redirecting(net)
    device = next(net.parameters()).device
    generator = torch.Generator().manual_seed(how.seed)
    whole = torch.tensor(photo, device=device).permute(2, 0, 1)[None].float() / 255
    added = torch.zeros_like(whole)
    for shape in octaves(whole.shape[2], whole.shape[3], how, least=net.kind.min_size):
        base = _resized(whole, shape)
        image = (base + _resized(added, shape)).clamp(0, 1)
        for _ in range(how.steps):
            image = _step(ours, image, term, pixels, how.rate / 255, generator)
            progress(1)
        added = image - base
    return (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()


def octaves(height: int, width: int, how: DreamSettings, *, least: int) -> list[tuple[int, int]]:
    """The sizes that a photo is dreamt at, smallest first, none with a side below `least`.

    Raises InputError for a number that cannot be right.
    """
    for name, value in (("--octaves", how.octaves), ("--steps", how.steps)):
        if value < 1:
            raise InputError(f"expected {name} of at least 1, got {value}")
    shapes = [
        (round(height / how.ratio**octave), round(width / how.ratio**octave)) for octave in range(how.octaves)
    ]
    return [shape for shape in reversed(shapes) if min(shape) >= least or shape == shapes[0]]


def fitted(photo: tuple[int, int], size: int | None, *, least: int) -> tuple[int, int]:
    """Width and height that a photo of a width and height is dreamt at.

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
    term: Term,
    taken: Preprocessing,
    rate: float,
    generator: torch.Generator,
) -> Tensor:
    """One step uphill: every step changes a pixel by `rate` on average."""
    across, down = torch.randint(-_SHIFT, _SHIFT + 1, (2,), generator=generator).tolist()
    shifted = image.roll((down, across), dims=(2, 3)).requires_grad_()
    value = excitement(maps(net, normalized(shifted, taken), [term.layer]), [[term]]).sum()
    (uphill,) = torch.autograd.grad(value, shifted)
    found = shifted.detach() + rate * uphill / uphill.abs().mean().clamp(min=1e-12)
    return found.clamp(0, 1).roll((-down, -across), dims=(2, 3))


def _resized(images: Tensor, shape: tuple[int, int]) -> Tensor:
    if images.shape[2:] == shape:
        return images
    return F.interpolate(images, size=shape, mode="bilinear", antialias=True, align_corners=False)
