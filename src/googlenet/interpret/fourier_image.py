"""Images as waves in decorrelated colors, seen through small random transformations (Olah et al. 2017)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet.architecture.table1 import PAPER_SIZE

_SHIFT, _TURN, _SCALE = 8.0, 10.0, 0.1  # pixels of 224, degrees, share: at most, either way
_DEVIATION = 0.01  # of the first waves
# How the colors of ImageNet's pixels vary together: the root of their covariance, as lucid has it.
_COLORS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class FourierImages(nn.Module):
    """Images as the coefficients of their Fourier transform, in colors that vary independently."""

    scale: Tensor
    colors: Tensor

    def __init__(self, count: int, size: int, *, generator: torch.Generator) -> None:
        """Start with `count` nearly grey images of `size` x `size` pixels."""
        super().__init__()
        self.size = size
        shape = (count, 3, size, size // 2 + 1, 2)
        self.waves = nn.Parameter(_DEVIATION * torch.randn(shape, generator=generator))
        frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None])
        self.register_buffer("scale", size / frequency.clamp(min=1 / size) / 4)
        colors = torch.tensor(_COLORS)
        self.register_buffer("colors", colors / colors.norm(dim=0).max())

    def forward(self) -> Tensor:
        """Images [N, 3, size, size] from 0 to 1."""
        spectrum = torch.view_as_complex(self.waves) * self.scale
        independent = torch.fft.irfft2(spectrum, s=(self.size, self.size))
        return torch.einsum("ij,njhw->nihw", self.colors, independent).sigmoid()


def randomly_transformed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, rotate and scale images [N, 3, H, W] a little, all alike; the edges are filled with grey."""
    turn, scale, across, down = (2 * torch.rand(4, generator=generator) - 1).tolist()
    angle = math.radians(_TURN * turn)
    factor = 1 / (1 + _SCALE * scale)
    shift = 2 * _SHIFT / PAPER_SIZE
    matrix = [
        [factor * math.cos(angle), -factor * math.sin(angle), shift * across],
        [factor * math.sin(angle), factor * math.cos(angle), shift * down],
    ]
    theta = torch.tensor(matrix, device=images.device).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images - 0.5, grid, align_corners=False) + 0.5
