"""Explanations that need gradients, by Captum: Grad-CAM of any layer, and integrated gradients."""

import warnings
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.progress import echo
from googlenet.images.decode import Pixels
from googlenet.images.heatmaps import HeatMap
from googlenet.interpret.class_maps import Attribution
from googlenet.nn import layer_names
from googlenet.nn.model import GoogLeNet, network_input

Baseline = Literal["blur", "grey"]

BLUR = 0.08  # deviation, as a share of the square's side
CELLS = 16  # of integrated gradients as shown, down and across
LAYER = "inception_5b"  # of Grad-CAM, if none is named
COMPLETE = 0.01  # share of the logit's change that integrated gradients may miss
_STEPS, _MOST = 50, 800  # of the integral, at first and at most
_AT_ONCE = 25  # images of the integral in memory


def method(
    name: str,
    net: GoogLeNet,
    preprocessing: Preprocessing,
    *,
    layer: str | None = None,
    baseline: Baseline = "blur",
) -> Attribution:
    """The method of a name, for a network in torch.

    layer     of Grad-CAM
    baseline  of integrated gradients: the photo without its detail, or grey
    raises    InputError for a layer that the network has not
    """
    target = layer_names.find_layer(net, layer or LAYER)
    device = next(net.parameters()).device

    def attribution(square: Pixels, label: int) -> HeatMap:
        images = network_input(torch.from_numpy(square).to(device), preprocessing)
        if name == "gradcam":
            return grad_cam(net, images, label, target)
        start = network_input(torch.tensor(blurred(square), device=device), preprocessing)
        heat, missed = integrated_gradients(
            net, images, label, start=start if baseline == "blur" else torch.zeros_like(images)
        )
        if missed > COMPLETE:
            echo(f"integrated gradients miss {missed:.1%} of the logit's change")
        return coarse(heat)

    return attribution


def grad_cam(net: GoogLeNet, images: Tensor, label: int, layer: layer_names.Layer) -> HeatMap:
    """Maps of a layer, each weighted by its mean gradient (Selvaraju et al. 2017), below zero as well.

    images   normalized [1, 3, H, W]
    returns  float32 [h, w] of the layer's maps
    """
    from captum.attr import LayerGradCam

    parts = [LayerGradCam(net, module).attribute(images, target=label) for module in layer.modules]
    return sum(parts)[0, 0].detach().cpu().numpy()  # type: ignore[no-any-return]


def coarse(heat: HeatMap) -> HeatMap:
    """Sums over CELLS x CELLS cells of a map [H, W]: else single pixels dominate the picture."""
    edges = [np.linspace(0, length, CELLS, endpoint=False).astype(int) for length in heat.shape]
    sums: HeatMap = np.add.reduceat(np.add.reduceat(heat, edges[0], axis=0), edges[1], axis=1)
    return sums


def blurred(squares: Pixels) -> Pixels:
    """Squares uint8 [N, size, size, 3] without their detail."""
    soft = ImageFilter.GaussianBlur(BLUR * squares.shape[1])
    return np.stack([np.asarray(Image.fromarray(square).filter(soft)) for square in squares])


def integrated_gradients(
    net: GoogLeNet, images: Tensor, label: int, *, start: Tensor
) -> tuple[HeatMap, float]:
    """Gradients of a logit, integrated from a baseline to the photo (Sundararajan et al. 2017).

    images   normalized [1, 3, H, W]
    start    the baseline, the same shape. From grey, which is zero, grey parts of the photo get no
             attribution; from the blurred photo it is detail that counts (Sturmfels et al. 2020)
    returns  float32 [H, W], summed over colors; and the share of the logit's change that it misses: steps
             are doubled until it is within COMPLETE
    """
    from captum.attr import IntegratedGradients

    with torch.inference_mode():
        change = float(net(images)[0, label] - net(start)[0, label])
    steps = _STEPS
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that inputs did not require gradients before
            gradients = IntegratedGradients(net).attribute(
                images, start, target=label, n_steps=steps, internal_batch_size=_AT_ONCE
            )
        heat = gradients[0].sum(0).detach().cpu().numpy().astype(np.float32)
        missed = abs(float(heat.sum()) - change) / max(abs(change), 1e-6)
        if missed <= COMPLETE or steps >= _MOST:
            return heat, missed
        steps *= 2
