"""A network's features by the fastest engine that is installed, for training on them."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.machine import cores
from googlenet.export.graph import FEATURES, network_graph
from googlenet.export.writers import read_by_openvino
from googlenet.images.decode import Pixels
from googlenet.nn.model import GoogLeNet, network_input

Features = npt.NDArray[np.float32]


class Extractor:
    """uint8 [N, size, size, 3] -> the averages that the classifier reads, float32 [N, channels]."""

    def __init__(self, about: str, run: Callable[[Pixels], Features]) -> None:
        """Wrap whatever computes them; `about` says what that is."""
        self.about, self._run = about, run

    def __call__(self, images: Pixels) -> Features:
        """Run one batch."""
        return self._run(images)


def feature_extractor(
    net: GoogLeNet, preprocessing: Preprocessing, *, device: str, precision: str
) -> Extractor:
    """The features of a network without a dense layer, by OpenVINO on processors, else by torch.

    device, precision  as for training: `cpu` or a CUDA device; `float32` or `bfloat16`
    """
    if device == "cpu" and find_spec("openvino") is not None:
        return _by_openvino(net, preprocessing, precision)
    return _by_torch(net, preprocessing, device, precision)


def _by_openvino(net: GoogLeNet, preprocessing: Preprocessing, precision: str) -> Extractor:
    network, ov = read_by_openvino(network_graph(net, preprocessing, features=True))
    hint = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": cores(),
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
    }
    request = ov.Core().compile_model(network, "CPU", hint).create_infer_request()

    def run(images: Pixels) -> Features:
        found: dict[Any, Any] = request.infer([np.ascontiguousarray(images)], share_inputs=True)
        return np.array(found[FEATURES])

    return Extractor(f"OpenVINO {ov.__version__.split('-')[0]}, {precision}", run)


def _by_torch(net: GoogLeNet, preprocessing: Preprocessing, device: str, precision: str) -> Extractor:
    net = net.eval()
    lower = torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=precision == "bfloat16")

    @torch.inference_mode()
    def run(images: Pixels) -> Features:
        pixels = network_input(torch.tensor(images, device=device), preprocessing)
        with lower:
            maps = net.maps(pixels)
        averages: Features = maps.float().mean(dim=(2, 3)).cpu().numpy()
        return averages

    return Extractor(f"torch {torch.__version__}, {precision}", run)
