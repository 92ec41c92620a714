"""The loss, the learning rate, the optimiser and the averaged weights: functions of recipe and step."""

import copy
import math
from collections.abc import Collection
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet.model import Outputs, WithAuxiliaryHeads
from googlenet.recipe import Recipe


class Losses(NamedTuple):
    """What is minimised, and its three parts before weighting."""

    total: Tensor
    main: Tensor
    aux1: Tensor
    aux2: Tensor


def losses(outputs: Outputs, labels: Tensor, recipe: Recipe, *, weights: Tensor | None = None) -> Losses:
    """Cross-entropy of the network plus 0.3 (the recipe's `aux_weight`) times that of each head.

    weights  of the classes, [classes]; each loss is then a mean weighted by the images' own classes
    """

    def mean(logits: Tensor) -> Tensor:
        smoothing = recipe.label_smoothing
        if weights is None:
            return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        # PyTorch's own weights also weigh what smoothing gives to other classes: rare ones would win.
        each = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing, reduction="none")
        return (each * weights[labels]).sum() / weights[labels].sum()

    main, aux1, aux2 = map(mean, outputs)
    return Losses(main + recipe.aux_weight * (aux1 + aux2), main, aux1, aux2)


def learning_rate(recipe: Recipe, step: int, *, steps: int, steps_per_epoch: float) -> float:
    """Learning rate of one step of a run of `steps`."""
    if recipe.schedule == "step":
        return recipe.lr * recipe.decay ** (int(step / steps_per_epoch) // recipe.decay_every)
    warmup = recipe.warmup * steps
    if step < warmup:
        return recipe.lr * (step + 1) / (warmup + 1)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))


def optimiser(net: nn.Module, recipe: Recipe, *, kept: Collection[str] = ()) -> torch.optim.SGD:
    """SGD with momentum; weight decay on weights of convolutions and dense layers alone.

    kept  names of parameters that a run goes on from: they move at the recipe's `kept_rate` of the rate;
          each group carries its factor as `factor`. Frozen parameters are in no group
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            factor = recipe.kept_rate if name in kept else 1.0
            groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    return torch.optim.SGD(
        [
            {"params": group, "factor": factor, "weight_decay": recipe.weight_decay * decayed}
            for (factor, decayed), group in sorted(groups.items(), key=lambda item: not item[0][1])
        ],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        fused=True,
    )


class WeightAverage:
    """An exponential moving average of weights and batch statistics (a form of Polyak's)."""

    def __init__(self, net: WithAuxiliaryHeads, recipe: Recipe) -> None:
        """Start from a copy of `net`."""
        self.net = copy.deepcopy(net).requires_grad_(False)
        self._share = recipe.average
        self._mine = _floats(self.net)
        self._theirs = _floats(net)

    @torch.no_grad()
    def update(self, step: int, *, steps: int) -> None:
        """Move towards the trained weights; faster at first, so that the start is forgotten.

        steps  of the whole run: the horizon is the recipe's share of them
        """
        keep = min((1 + step) / (10 + step), 1 - 1 / max(1.0, self._share * steps))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - keep)


def _floats(net: nn.Module) -> list[Tensor]:
    return [t for t in net.state_dict().values() if t.is_floating_point()]
