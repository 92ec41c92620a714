"""Drawing what a unit looks for, against a plain script of the published recipe.

    python benchmarks/visualizing.py MODEL [--size 224] [--steps 256] [--units inception_4a:5,...]

The peer is written here in plain PyTorch, as lucid has it and lucent after it: an image of Fourier
coefficients, deviation 0.01, in decorrelated colours through a sigmoid; padded by 12 pixels of grey,
shifted by up to 8, scaled by 0.9 to 1.1, turned by up to 10 degrees, shifted by up to 4; Adam at 0.05; the
whole network run, the layer seen by a hook. Ours begins from the same coefficients and has as many steps. A
round is one unit; what it is excited by is measured on the finished image, untransformed, by the same code
for both.
"""

import argparse
import math
import random
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common import Row, Section, Times, show, speeds
from googlenet.base.machine import cores
from googlenet.interpret import visualization
from googlenet.nn import layer_names
from googlenet.nn.activations import features
from googlenet.nn.checkpoint import load
from googlenet.nn.model import GoogLeNet

UNITS = "conv2:3,inception_3b:10,inception_4a:5,inception_4c:100,inception_4e:20,inception_5b:7"
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
PEER, OURS = "plain script", "googlenet visualize"


def measure(model: Path, *, size: int = 224, steps: int = 256, units: str = UNITS) -> list[Section]:
    net = load(model)
    taken: Times = {PEER: [], OURS: []}
    gains = []
    for unit in units.split(","):
        layer, _, channel = unit.rpartition(":")
        found = {}
        for name, draw in ((PEER, plain), (OURS, ours)):
            started = time.perf_counter()
            image = draw(net, layer, int(channel), size, steps)
            taken[name].append(time.perf_counter() - started)
            found[name] = excited(net, image, layer, int(channel))
        gains.append((unit, found))
    title = f"One unit, {size} pixels, {steps} steps, {len(gains)} units, {cores()} cores"
    rows = speeds(taken, count=60, unit="images/min")
    quotients = [found[OURS] / found[PEER] for _, found in gains]
    middle = statistics.median(quotients)
    rows.append(
        Row(
            "activation, ours over the script's",
            f"{middle:.2f}x",
            f"{min(quotients):.2f} to {max(quotients):.2f}",
        )
    )
    rows += [
        Row(f"  {unit}", f"{found[OURS]:.3f}", f"{found[PEER]:.3f} by the script") for unit, found in gains
    ]
    return [(title, rows)]


def ours(net: GoogLeNet, layer: str, channel: int, size: int, steps: int) -> np.ndarray:
    look = visualization.DrawingSettings(size=size, steps=steps)
    return visualization.visualize(net, layer, [channel], look=look).images[0]


def excited(net: GoogLeNet, image: np.ndarray, layer: str, channel: int) -> float:
    """Mean of the channel's map for an image uint8 [size, size, 3]."""
    maps = features(net, normalised(net, torch.tensor(image).permute(2, 0, 1)[None] / 255), layers=[layer])
    return float(maps[layer][0, channel].mean())


def plain(net: GoogLeNet, layer: str, channel: int, size: int, steps: int) -> np.ndarray:
    """The published recipe, one image uint8 [size, size, 3]."""
    random.seed(0)
    generator = torch.Generator().manual_seed(0)
    start = 0.01 * torch.randn((1, 3, size, size // 2 + 1, 2), generator=generator)
    spectrum = start.requires_grad_()
    frequency = torch.sqrt(torch.fft.fftfreq(size)[:, None] ** 2 + torch.fft.rfftfreq(size)[None] ** 2)
    scale = (math.sqrt(size * size) / torch.clamp(frequency, min=1 / size))[..., None]
    colours = torch.tensor(COLOURS)
    colours = colours / torch.linalg.norm(colours, dim=0).max()
    seen: list[Tensor] = []
    (module,) = layer_names.find_layer(net, layer).modules
    hook = module.register_forward_hook(lambda module, given, output: seen.append(output))
    adam = torch.optim.Adam([spectrum], lr=0.05)

    def image() -> Tensor:
        waves = torch.fft.irfftn(torch.view_as_complex(scale * spectrum), s=(size, size), norm="backward") / 4
        return torch.sigmoid(torch.einsum("ij,njhw->nihw", colours, waves))

    for _ in range(steps):
        seen.clear()
        adam.zero_grad()
        net(normalised(net, transformed(image())))
        (-seen[0][:, channel].mean()).backward()
        adam.step()
    hook.remove()
    with torch.no_grad():
        return (image()[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def transformed(images: Tensor) -> Tensor:
    images = jittered(F.pad(images, (12,) * 4, value=0.5), 8)
    factor = random.choice([1 + (i - 5) / 50 for i in range(11)])
    images = F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)
    angle = math.radians(random.choice([*range(-10, 11), *5 * [0]]))
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]])
    grid = F.affine_grid(turn[None], list(images.shape), align_corners=False)
    return jittered(F.grid_sample(images, grid, align_corners=False), 4)


def jittered(images: Tensor, by: int) -> Tensor:
    y, x = random.randint(0, by), random.randint(0, by)
    return images[:, :, y : images.shape[2] - by + y, x : images.shape[3] - by + x]


def normalised(net: GoogLeNet, images: Tensor) -> Tensor:
    taken = visualization.normalization(net, None)
    mean, std = (torch.tensor(values)[:, None, None] for values in (taken.mean, taken.std))
    return (images - mean) / std


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--units", default=UNITS)
    chosen = parser.parse_args()
    show(measure(chosen.model, size=chosen.size, steps=chosen.steps, units=chosen.units))
