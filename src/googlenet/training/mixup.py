"""Mixup: photos are mixed in pairs, and so are their losses (Zhang et al. 2018, arXiv 1710.09412).

A photo's partner is its neighbor in the batch, rows 0 and 1, 2 and 3 and so on, which is always with the same
process; so a step is the same for any number of processes. The share of a step follows from (seed, step).
"""

import numpy as np
import torch
from torch import Tensor

from googlenet.nn.model import Outputs
from googlenet.training.decision.recipe import Recipe
from googlenet.training.loader import counter_seed
from googlenet.training.optim import Losses, losses


def share(recipe: Recipe, seed: int, step: int) -> float:
    """How much of each photo is its own in this step, 0 to 1; 1 without mixup."""
    if not recipe.mixup:
        return 1.0
    return float(np.random.default_rng(counter_seed(seed, "mixup", step)).beta(recipe.mixup, recipe.mixup))


def mix(images: Tensor, share: float) -> Tensor:
    """Each image [rows, ...] with `1 - share` of its partner."""
    return images if share == 1 else torch.lerp(images[partners(len(images))], images, share)


def mixed_losses(
    outputs: Outputs,
    whole: Tensor,
    rows: range,
    share: float,
    recipe: Recipe,
    *,
    weights: Tensor | None = None,
) -> Losses:
    """The losses of mixed images, each against its own label and its partner's.

    whole    labels of the batch, of which `outputs` are those of `rows`
    weights  as of `optim.losses`
    """
    own = whole[rows.start : rows.stop]
    mine = losses(outputs, own, recipe, weights=weights, whole=whole)
    if share == 1:
        return mine
    other = losses(outputs, own[partners(len(own))], recipe, weights=weights, whole=whole)
    return Losses(*(share * a + (1 - share) * b for a, b in zip(mine, other, strict=True)))


def partners(count: int) -> Tensor:
    """Each row's partner, [count]; the last of an odd number is its own."""
    return torch.arange(count).bitwise_xor(1).clamp(max=count - 1)
