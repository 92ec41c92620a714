"""GoogLeNet's default dialect written out in plain numpy, Figure 3 from bottom to top: no torch.

Arrays are [channels, height, width], one image at a time; weights come by the names of a state dict.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[np.float32]
Weights = dict[str, Array]


def convolve(x: Array, weight: Array, *, stride: int, padding: int) -> Array:
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(weight, windows, axes=([1, 2, 3], [0, 3, 4]))


def max_pool(x: Array, *, kernel: int, stride: int, padding: int) -> Array:
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)), constant_values=-np.inf)
    return sliding_window_view(x, (kernel, kernel), axis=(1, 2))[:, ::stride, ::stride].max(axis=(3, 4))


def average_pool(x: Array, *, kernel: int, stride: int) -> Array:
    return sliding_window_view(x, (kernel, kernel), axis=(1, 2))[:, ::stride, ::stride].mean(axis=(3, 4))


class Plain:
    """The three outputs for one image [3, 224, 224], and every stage's maps on the way."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.stages: dict[str, Array] = {}

    def __call__(self, image: Array) -> tuple[Array, Array, Array]:
        x = self.keep("conv1", self.block("net.trunk.conv1", image, stride=2))
        x = self.keep("pool1", max_pool(x, kernel=3, stride=2, padding=1))
        x = self.keep("conv2_reduce", self.block("net.trunk.conv2_reduce", x))
        x = self.keep("conv2", self.block("net.trunk.conv2", x))
        x = self.keep("pool2", max_pool(x, kernel=3, stride=2, padding=1))
        x = self.inception("3b", self.inception("3a", x))
        x = self.keep("pool3", max_pool(x, kernel=3, stride=2, padding=1))
        x = self.inception("4a", x)
        aux1 = self.head("heads.inception_4a", x)
        x = self.inception("4d", self.inception("4c", self.inception("4b", x)))
        aux2 = self.head("heads.inception_4d", x)
        x = self.inception("4e", x)
        x = self.keep("pool4", max_pool(x, kernel=3, stride=2, padding=1))
        x = self.inception("5b", self.inception("5a", x))
        return self.dense("net.classifier", x.mean(axis=(1, 2))), aux1, aux2

    def keep(self, name: str, x: Array) -> Array:
        self.stages[name] = x
        return x

    def block(self, name: str, x: Array, *, stride: int = 1) -> Array:
        """Convolution without bias, batch normalization by running statistics, ReLU."""
        weight = self.weights[f"{name}.conv.weight"]
        x = convolve(x, weight, stride=stride, padding=weight.shape[2] // 2)
        of: Callable[[str], Array] = lambda part: self.weights[f"{name}.norm.{part}"][:, None, None]  # noqa: E731
        x = (x - of("running_mean")) / np.sqrt(of("running_var") + 0.001) * of("weight") + of("bias")
        return np.maximum(x, 0)

    def inception(self, number: str, x: Array) -> Array:
        name = f"net.trunk.inception_{number}"
        branches = [
            self.block(f"{name}.n1x1", x),
            self.block(f"{name}.n3x3", self.block(f"{name}.n3x3_reduce", x)),
            self.block(f"{name}.n5x5", self.block(f"{name}.n5x5_reduce", x)),
            self.block(f"{name}.pool_proj", max_pool(x, kernel=3, stride=1, padding=1)),
        ]
        return self.keep(f"inception_{number}", np.concatenate(branches))

    def head(self, name: str, x: Array) -> Array:
        x = self.block(f"{name}.conv", average_pool(x, kernel=5, stride=3))
        hidden = np.maximum(self.dense(f"{name}.hidden", x.reshape(-1)), 0)
        return self.dense(f"{name}.classifier", hidden)

    def dense(self, name: str, x: Array) -> Array:
        return self.weights[f"{name}.weight"] @ x + self.weights[f"{name}.bias"]
