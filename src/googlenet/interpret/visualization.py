"""What a unit looks for: images that excite it most, drawn by gradient ascent.

The recipe is that of Olah et al. 2017, "Feature Visualization": an image as waves in decorrelated colors,
so that no frequency is favored by the steps, seen through small random shifts, turns and scales, so
that it has to excite the unit however it lies; Adam. Ours runs the network no further than the layer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError
from googlenet.base.progress import Advance, no_advance
from googlenet.images.decode import Pixels, png_bytes
from googlenet.images.heatmaps import SIDE, Panel, contact_sheet
from googlenet.interpret.objectives import Objective, excitement, maps, unit
from googlenet.nn import layer_names
from googlenet.nn.convolution import for_input_gradients
from googlenet.nn.fuse import fold_batch_norm
from googlenet.nn.model import GoogLeNet

STEPS, SIZE, RATE = 256, 224, 0.05
AT_ONCE = 8  # channels drawn together
_REDIRECTED = 16  # first steps, in which a ReLU that is off passes on what would switch it on
_SHIFT, _TURN, _SCALE = 8.0, 10.0, 0.1  # pixels of 224, degrees, share: at most, either way
_BEGINS = 0.01  # deviation of the first waves
# How the colors of ImageNet's pixels vary together: the root of their covariance, as lucid has it.
_COLORS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


Values = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DrawingSettings:
    """How to draw.

    size       pixels of a side of the images
    steps      of Adam
    variants   images for each objective; several are pushed apart
    diversity  how hard, if there are several
    """

    size: int = SIZE
    steps: int = STEPS
    rate: float = RATE
    seed: int = 0
    variants: int = 1
    diversity: float = 0.1


@dataclass(frozen=True, eq=False)
class Drawings:
    """Images that excite something most, the variants of an objective one after the other.

    images  uint8 [N, size, size, 3]
    values  float32 [N]: by how much, seen untransformed
    titles  of the objectives, N of them
    """

    images: Pixels
    values: Values
    titles: tuple[str, ...]

    def panels(self) -> list[Panel]:
        """Each image with what it is of and how far it excites that."""
        return [
            Panel(Image.fromarray(image), f"{title}  {value:.2f}")
            for image, title, value in zip(self.images, self.titles, self.values, strict=True)
        ]

    def sheet(self, *, across: int | None = None, side: int | None = None) -> Image.Image:
        """All of them on one picture, so many in a row, each `side` pixels."""
        panels = self.panels()
        wide = across or min(8, math.ceil(math.sqrt(len(panels))))
        rows = [panels[start : start + wide] for start in range(0, len(panels), wide)]
        return contact_sheet(rows, side=side or min(self.images.shape[1], SIDE))

    def _repr_png_(self) -> bytes:
        """Show them in a notebook."""
        return png_bytes(np.asarray(self.sheet()))


def visualize(
    net: GoogLeNet,
    layer: str,
    channels: Sequence[int],
    *,
    look: DrawingSettings = DrawingSettings(),
    neuron: bool = False,
    taken: Preprocessing | None = None,
    progress: Advance = no_advance,
) -> Drawings:
    """Draw what excites channels of a layer: `draw` for one channel after the other.

    layer    a name as `layers.find` takes it, or `logits`, whose channels are the classes
    neuron   excite only the unit in the middle of the map, not the whole channel
    """
    terms = [unit(net, layer, channel, neuron=neuron) for channel in channels]
    return draw(net, [[term] for term in terms], look=look, taken=taken, progress=progress)


def draw(
    net: GoogLeNet,
    objectives: Sequence[Objective],
    *,
    look: DrawingSettings = DrawingSettings(),
    taken: Preprocessing | None = None,
    progress: Advance = no_advance,
) -> Drawings:
    """Draw images, each for an objective of its own.

    taken     how the network's input is normalized; by default as its card says
    progress  is told of the steps done
    raises    InputError for a size that is too small
    """
    least = net.kind.min_size
    if look.size < least:
        raise InputError(f"expected --size of at least {least}, got {look.size}")
    if look.steps < 1 or look.variants < 1:
        raise InputError(f"expected --steps and --variants of at least 1, got {look.steps}, {look.variants}")
    pixels = normalization(net, taken)
    ours = redirecting(net)
    images, values = [], []
    for start in range(0, len(objectives), AT_ONCE):
        some = [each for each in objectives[start : start + AT_ONCE] for _ in range(look.variants)]
        drawn, value = _draw(ours, some, pixels, look, progress)
        images.append(drawn)
        values.append(value)
    titles = tuple(
        " + ".join(term.title for term in objective) for objective in objectives for _ in range(look.variants)
    )
    return Drawings(np.concatenate(images), np.concatenate(values), titles)


def of_stages(
    net: GoogLeNet, *, count: int, look: DrawingSettings, progress: Advance = no_advance
) -> list[tuple[str, Drawings]]:
    """Draw `count` units of each convolution and module of Table 1, their channels evenly spread.

    progress  is told of the steps done, `look.steps` for each stage if `count` is at most AT_ONCE
    """
    wanted = [name for name in layer_names.stages(net) if name.startswith(("conv", "inception"))]
    found = []
    for name in wanted:
        channels = np.linspace(0, net.channels[name], count, endpoint=False).astype(int).tolist()
        found.append((name, visualize(net, name, channels, look=look, progress=progress)))
    return found


def normalization(net: GoogLeNet, taken: Preprocessing | None) -> Preprocessing:
    """How a network's input is normalized: as given, as its card says, or as its dialect does."""
    if taken is not None:
        return taken
    return net.card.preprocessing if net.card is not None else net.kind.preprocessing


def _draw(
    net: GoogLeNet,
    objectives: Sequence[Objective],
    taken: Preprocessing,
    look: DrawingSettings,
    progress: Advance,
) -> tuple[Pixels, Values]:
    generator = torch.Generator().manual_seed(look.seed)
    device = next(net.parameters()).device
    waves = Waves(len(objectives), look.size, generator=generator).to(device)
    names = [term.layer for objective in objectives for term in objective]
    adam = torch.optim.Adam(waves.parameters(), lr=look.rate)
    for step in range(look.steps):
        redirect(net, step < _REDIRECTED)
        given = maps(net, normalized(transformed(waves(), generator), taken), names)
        loss = -excitement(given, objectives).sum()
        if look.variants > 1:
            first = given[names[0]]
            loss = loss + look.diversity * _alike(first, look.variants) * first.detach().abs().mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        progress(1)
    with torch.inference_mode():
        images = waves()
        value = excitement(maps(net, normalized(images, taken), names), objectives)
    pixels = (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    return pixels.cpu().numpy(), value.float().cpu().numpy()


class Waves(nn.Module):
    """Images as the coefficients of their Fourier transform, in colors that vary independently."""

    scale: Tensor
    colors: Tensor

    def __init__(self, count: int, size: int, *, generator: torch.Generator) -> None:
        """Begin with so many nearly grey images of `size` x `size` pixels."""
        super().__init__()
        self.size = size
        shape = (count, 3, size, size // 2 + 1, 2)
        self.waves = nn.Parameter(_BEGINS * torch.randn(shape, generator=generator))
        frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None])
        self.register_buffer("scale", size / frequency.clamp(min=1 / size) / 4)
        colors = torch.tensor(_COLORS)
        self.register_buffer("colors", colors / colors.norm(dim=0).max())

    def forward(self) -> Tensor:
        """Images [N, 3, size, size] from 0 to 1."""
        spectrum = torch.view_as_complex(self.waves) * self.scale
        independent = torch.fft.irfft2(spectrum, s=(self.size, self.size))
        return torch.einsum("ij,njhw->nihw", self.colors, independent).sigmoid()


def transformed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, turn and scale images [N, 3, H, W] a little, all in the same way; grey comes in at the edges."""
    turn, scale, across, down = (2 * torch.rand(4, generator=generator) - 1).tolist()
    angle = math.radians(_TURN * turn)
    factor = 1 / (1 + _SCALE * scale)
    shift = 2 * _SHIFT / SIZE
    matrix = [
        [factor * math.cos(angle), -factor * math.sin(angle), shift * across],
        [factor * math.sin(angle), factor * math.cos(angle), shift * down],
    ]
    theta = torch.tensor(matrix, device=images.device).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images - 0.5, grid, align_corners=False) + 0.5


def normalized(images: Tensor, taken: Preprocessing) -> Tensor:
    """Images [N, 3, H, W] from 0 to 1 as the network's input."""
    mean = torch.tensor(taken.mean, device=images.device)[:, None, None]
    std = torch.tensor(taken.std, device=images.device)[:, None, None]
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def _alike(maps: Tensor, variants: int) -> Tensor:
    """How alike the variants of a channel are in style: cosines of their Gram matrices, summed."""
    flat = maps.flatten(2)
    grams = F.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
    grams = grams.view(-1, variants, grams.shape[1])
    return torch.triu(grams @ grams.transpose(1, 2), diagonal=1).sum()


class _RedirectedReLU(nn.Module):
    """A ReLU that, while it redirects, lets a gradient through where it is off, if that would switch it on.

    From grey a unit may be off everywhere, and a plain ReLU then tells nothing of how to excite it.
    """

    redirects = False

    def forward(self, x: Tensor) -> Tensor:
        return _Redirect.apply(x) if self.redirects else F.relu(x)


class _Redirect(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.relu(x)

    @staticmethod
    def backward(ctx: Any, outgoing: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        plain = outgoing * (x > 0)
        redirected = torch.where((x < 0) & (outgoing > 0), torch.zeros_like(outgoing), outgoing)
        off = plain.flatten(1).abs().amax(dim=1) == 0  # images in which nothing came through
        return torch.where(off.view(-1, *[1] * (x.ndim - 1)), redirected, plain)


def redirecting(net: GoogLeNet) -> GoogLeNet:
    """A copy of a network for inference, its ReLUs able to redirect, its weights still."""
    found = fold_batch_norm(net).requires_grad_(False)
    for module in list(found.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, _RedirectedReLU())
    return for_input_gradients(found.to(memory_format=torch.channels_last))


def redirect(net: GoogLeNet, on: bool) -> None:
    """Switch the ReLUs of a copy that `redirecting` gave."""
    for module in net.modules():
        if isinstance(module, _RedirectedReLU):
            module.redirects = on
