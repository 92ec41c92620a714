"""What a unit looks for: images that excite it most, drawn by gradient ascent.

The recipe is that of Olah et al. 2017, "Feature Visualization": an image as waves in decorrelated colours,
so that no frequency is favoured by the steps, seen through small random shifts, turns and scales, so
that it has to excite the unit however it lies; Adam. Ours runs the network no further than the layer.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet import layers
from googlenet.activations import recording
from googlenet.dialects import Preprocessing
from googlenet.errors import InputError
from googlenet.explanation import LOGITS
from googlenet.image import Pixels
from googlenet.model import GoogLeNet

STEPS, SIZE, RATE = 256, 224, 0.05
AT_ONCE = 8  # channels drawn together
_REDIRECTED = 16  # first steps, in which a ReLU that is off passes on what would switch it on
_SHIFT, _TURN, _SCALE = 8.0, 10.0, 0.1  # pixels of 224, degrees, share: at most, either way
_BEGINS = 0.01  # deviation of the first waves
# How the colours of ImageNet's pixels vary together: the root of their covariance, as lucid has it.
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


Values = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How to draw.

    size       pixels of a side of the images
    steps      of Adam
    variants   images for each unit; several are pushed apart
    diversity  how hard, if there are several
    neuron     excite only the unit in the middle of the map, not the whole channel
    """

    size: int = SIZE
    steps: int = STEPS
    rate: float = RATE
    seed: int = 0
    variants: int = 1
    diversity: float = 0.1
    neuron: bool = False


def visualize(
    net: GoogLeNet,
    layer: str,
    channels: Sequence[int],
    *,
    taken: Preprocessing,
    look: Look = Look(),
    progress: Callable[[int], None] = lambda steps: None,
) -> tuple[Pixels, Values]:
    """Draw what excites channels of a layer.

    layer     a name as `layers.find` takes it, or `logits`, whose channels are the classes
    taken     how the network's input is normalised
    progress  is told of the steps done
    returns   images uint8 [channels * variants, size, size, 3], the variants of a channel one after the
              other; and what each excites its channel by, seen untransformed, float32 [channels * variants]
    raises    InputError for a layer or a channel that there is not, or a size that is too small
    """
    least = net.kind.min_size
    if look.size < least:
        raise InputError(f"expected --size of at least {least}, got {look.size}")
    if look.steps < 1 or look.variants < 1:
        raise InputError(f"expected --steps and --variants of at least 1, got {look.steps}, {look.variants}")
    width = width_of(net, layer)
    for channel in channels:
        if not 0 <= channel < width:
            raise InputError(f"expected a channel of {layer} from 0 to {width - 1}, got {channel}")
    device = next(net.parameters()).device
    ours = _redirecting(net).to(device)
    images, values = [], []
    for start in range(0, len(channels), AT_ONCE):
        some = torch.tensor(channels[start : start + AT_ONCE], device=device)
        drawn, value = _draw(ours, layer, some, taken, look, progress)
        images.append(drawn)
        values.append(value)
    return np.concatenate(images), np.concatenate(values)


def width_of(net: GoogLeNet, layer: str) -> int:
    """How many channels a layer has.

    Raises InputError.
    """
    return net.num_classes if layer == LOGITS else layers.find(net, layer).channels


def _draw(
    net: GoogLeNet,
    layer: str,
    channels: Tensor,
    taken: Preprocessing,
    look: Look,
    progress: Callable[[int], None],
) -> tuple[Pixels, Values]:
    generator = torch.Generator().manual_seed(look.seed)
    waves = Waves(len(channels) * look.variants, look.size, generator=generator).to(channels.device)
    channels = channels.repeat_interleave(look.variants)
    adam = torch.optim.Adam(waves.parameters(), lr=look.rate)
    for step in range(look.steps):
        for module in net.modules():
            if isinstance(module, _RedirectedReLU):
                module.redirects = step < _REDIRECTED
        seen = transformed(waves(), generator)
        maps = _maps(net, layer, _normalised(seen, taken))
        loss = -_excitement(maps, channels, neuron=look.neuron).sum()
        if look.variants > 1:
            loss = loss + look.diversity * _alike(maps, look.variants) * maps.detach().abs().mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        progress(1)
    with torch.inference_mode():
        images = waves()
        value = _excitement(_maps(net, layer, _normalised(images, taken)), channels, neuron=look.neuron)
    pixels = (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    return pixels.cpu().numpy(), value.float().cpu().numpy()


class Waves(nn.Module):
    """Images as the coefficients of their Fourier transform, in colours that vary independently."""

    scale: Tensor
    colours: Tensor

    def __init__(self, count: int, size: int, *, generator: torch.Generator) -> None:
        """Begin with so many nearly grey images of `size` x `size` pixels."""
        super().__init__()
        self.size = size
        shape = (count, 3, size, size // 2 + 1, 2)
        self.waves = nn.Parameter(_BEGINS * torch.randn(shape, generator=generator))
        frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None])
        self.register_buffer("scale", size / frequency.clamp(min=1 / size) / 4)
        colours = torch.tensor(_COLOURS)
        self.register_buffer("colours", colours / colours.norm(dim=0).max())

    def forward(self) -> Tensor:
        """Images [N, 3, size, size] from 0 to 1."""
        spectrum = torch.view_as_complex(self.waves) * self.scale
        independent = torch.fft.irfft2(spectrum, s=(self.size, self.size))
        return torch.einsum("ij,njhw->nihw", self.colours, independent).sigmoid()


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


def _normalised(images: Tensor, taken: Preprocessing) -> Tensor:
    mean = torch.tensor(taken.mean, device=images.device)[:, None, None]
    std = torch.tensor(taken.std, device=images.device)[:, None, None]
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def _maps(net: GoogLeNet, layer: str, images: Tensor) -> Tensor:
    """What a layer gives, the network run no further; logits as maps of one place."""
    if layer == LOGITS:
        return net(images)[:, :, None, None]  # type: ignore[no-any-return]
    name = layers.find(net, layer).name
    last = name.split("/")[0].removesuffix(layers.PRE_RELU)
    with recording(net, [name]) as recorder:
        x = images
        for stage, module in net.trunk.named_children():
            x = module(x)
            if stage == last:
                break
        return recorder[name]


def _excitement(maps: Tensor, channels: Tensor, *, neuron: bool) -> Tensor:
    """Mean of a channel for each image, or its unit in the middle: [N]."""
    own = maps[torch.arange(len(maps), device=maps.device), channels]
    return own[:, own.shape[1] // 2, own.shape[2] // 2] if neuron else own.mean(dim=(1, 2))


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


def _redirecting(net: GoogLeNet) -> GoogLeNet:
    """A copy of a network for inference, its ReLUs able to redirect, its weights still."""
    found = copy.deepcopy(net).eval().requires_grad_(False)
    for module in list(found.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, _RedirectedReLU())
    return found.to(memory_format=torch.channels_last)
