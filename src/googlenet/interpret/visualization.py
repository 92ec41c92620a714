"""What a unit looks for: images that excite it most, drawn by gradient ascent.

The recipe is that of Olah et al. 2017, "Feature Visualization": an image as waves in decorrelated colors,
so that no frequency is favored by the steps, seen through small random shifts, rotations and scales, so
that it has to excite the unit under all of them; Adam. The network runs no further than the layer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError
from googlenet.base.progress import Advance, no_advance
from googlenet.images.decode import Pixels, png_bytes
from googlenet.images.heatmaps import SIDE, Panel, contact_sheet
from googlenet.interpret.fourier_image import FourierImages, randomly_transformed
from googlenet.interpret.objectives import Objective, layer_maps, objective_values, unit
from googlenet.interpret.redirected_relu import set_redirects, with_redirected_relus
from googlenet.nn import layer_names
from googlenet.nn.model import GoogLeNet

AT_ONCE = 8  # channels drawn together
_REDIRECTED = 16  # first steps, in which a ReLU that is off passes on what would switch it on

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DrawingSettings:
    """Options of a drawing.

    size       pixels of a side of the images
    steps      of Adam
    variants   images for each objective; several are made unlike each other
    diversity  weight of that in the loss
    """

    size: int = 224
    steps: int = 256
    rate: float = 0.05
    seed: int = 0
    variants: int = 1
    diversity: float = 0.1


@dataclass(frozen=True, eq=False)
class Drawings:
    """Images of several objectives, the variants of an objective one after the other.

    images  uint8 [N, size, size, 3]
    values  float32 [N]: what each objective is of its image, untransformed
    titles  of the objectives, N of them
    """

    images: Pixels
    values: Values
    titles: tuple[str, ...]

    def panels(self) -> list[Panel]:
        """Each image with its title and value."""
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
    settings: DrawingSettings = DrawingSettings(),
    neuron: bool = False,
    preprocessing: Preprocessing | None = None,
    progress: Advance = no_advance,
) -> Drawings:
    """Draw what excites channels of a layer: `draw` for one channel after the other.

    layer    a name as `layer_names.find_layer` takes it, or `logits`, whose channels are the classes
    neuron   excite only the unit in the middle of the map, not the whole channel
    """
    terms = [unit(net, layer, channel, neuron=neuron) for channel in channels]
    return draw(
        net, [[term] for term in terms], settings=settings, preprocessing=preprocessing, progress=progress
    )


def draw(
    net: GoogLeNet,
    objectives: Sequence[Objective],
    *,
    settings: DrawingSettings = DrawingSettings(),
    preprocessing: Preprocessing | None = None,
    progress: Advance = no_advance,
) -> Drawings:
    """Draw images, each for an objective of its own.

    preprocessing  how the network's input is normalized; by default as its card says
    progress       is called with the steps done
    raises         InputError for a size that is too small
    """
    if settings.size < net.dialect.min_size:
        raise InputError(f"expected --size of at least {net.dialect.min_size}, got {settings.size}")
    if settings.steps < 1 or settings.variants < 1:
        raise InputError(
            f"expected --steps and --variants of at least 1, got {settings.steps}, {settings.variants}"
        )
    preprocessing = input_preprocessing(net, preprocessing)
    redirected = with_redirected_relus(net)
    images, values = [], []
    for start in range(0, len(objectives), AT_ONCE):
        some = [each for each in objectives[start : start + AT_ONCE] for _ in range(settings.variants)]
        drawn, value = _draw(redirected, some, preprocessing, settings, progress)
        images.append(drawn)
        values.append(value)
    titles = tuple(
        " + ".join(term.title for term in objective)
        for objective in objectives
        for _ in range(settings.variants)
    )
    return Drawings(np.concatenate(images), np.concatenate(values), titles)


def count_steps(count: int, settings: DrawingSettings) -> int:
    """The steps that `draw` tells its `progress` of, for so many objectives."""
    return math.ceil(count / AT_ONCE) * settings.steps


def visualize_stages(
    net: GoogLeNet,
    *,
    count: int,
    settings: DrawingSettings,
    progress: Advance = no_advance,
) -> list[tuple[str, Drawings]]:
    """Draw `count` units of each convolution and module of Table 1, their channels evenly spread.

    progress  is called with the steps done, `settings.steps` for each stage if `count` is at most AT_ONCE
    """
    drawn = []
    for name in layer_names.stages(net):
        if name.startswith(("conv", "inception")):
            channels = np.linspace(0, net.channels[name], count, endpoint=False).astype(int).tolist()
            drawn.append((name, visualize(net, name, channels, settings=settings, progress=progress)))
    return drawn


def input_preprocessing(net: GoogLeNet, given: Preprocessing | None = None) -> Preprocessing:
    """The preprocessing that is given, else that of the network's card, else that of its dialect."""
    return given or (net.metadata.preprocessing if net.metadata is not None else net.dialect.preprocessing)


def _draw(
    net: GoogLeNet,
    objectives: Sequence[Objective],
    preprocessing: Preprocessing,
    settings: DrawingSettings,
    progress: Advance,
) -> tuple[Pixels, Values]:
    generator = torch.Generator().manual_seed(settings.seed)
    device = next(net.parameters()).device
    waves = FourierImages(len(objectives), settings.size, generator=generator).to(device)
    names = [term.layer for objective in objectives for term in objective]
    adam = torch.optim.Adam(waves.parameters(), lr=settings.rate)
    for step in range(settings.steps):
        set_redirects(net, step < _REDIRECTED)
        inputs = normalized(randomly_transformed(waves(), generator), preprocessing)
        maps = layer_maps(net, inputs, names)
        loss = -objective_values(maps, objectives).sum()
        if settings.variants > 1:
            first = maps[names[0]]
            loss = (
                loss
                + settings.diversity
                * _style_similarity(first, settings.variants)
                * first.detach().abs().mean()
            )
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        progress(1)
    with torch.inference_mode():
        images = waves()
        value = objective_values(layer_maps(net, normalized(images, preprocessing), names), objectives)
    pixels = (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    return pixels.cpu().numpy(), value.float().cpu().numpy()


def normalized(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Images [N, 3, H, W] from 0 to 1 -> the network's normalized input."""
    mean = torch.tensor(preprocessing.mean, device=images.device)[:, None, None]
    std = torch.tensor(preprocessing.std, device=images.device)[:, None, None]
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def _style_similarity(maps: Tensor, variants: int) -> Tensor:
    """How similar the variants of an objective are in style: cosines of their Gram matrices, summed."""
    flat = maps.flatten(2)
    grams = F.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
    grams = grams.view(-1, variants, grams.shape[1])
    return torch.triu(grams @ grams.transpose(1, 2), diagonal=1).sum()
