"""The loss, the learning rate, the optimizer and the averaged weights: functions of recipe and step."""

import copy
import functools
import math
from collections.abc import Collection
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet.nn.model import Outputs, WithAuxiliaryHeads
from googlenet.training.decision.recipe import Recipe

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # x, x^3, x^5: Jordan et al. 2024
NEWTON_SCHULZ_STEPS = 3
LOWER_FROM = 128  # least side of a matrix that is turned faster in bfloat16 (LOG.md)


class Losses(NamedTuple):
    """What is minimised, and its three parts before weighting."""

    total: Tensor
    main: Tensor
    aux1: Tensor
    aux2: Tensor


def losses(
    outputs: Outputs,
    labels: Tensor,
    recipe: Recipe,
    *,
    weights: Tensor | None = None,
    whole: Tensor | None = None,
) -> Losses:
    """Cross-entropy of the network plus 0.3 (the recipe's `aux_weight`) times that of each head.

    weights  of the classes, [classes]; each loss is then a mean weighted by the images' own classes
    whole    labels of the batch that these are a part of; each loss is then what the part adds to the mean
             over all of it, so that the losses of the parts add up to that of the batch
    """
    whole = labels if whole is None else whole

    def mean(logits: Tensor | None) -> Tensor:
        if logits is None:
            return outputs.logits.new_zeros((), dtype=torch.float32)
        smoothing = recipe.label_smoothing
        if weights is None:
            share = len(labels) / len(whole)
            return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing) * share
        # PyTorch's own weights also weigh what smoothing gives to other classes: rare ones would win.
        each = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing, reduction="none")
        return (each * weights[labels]).sum() / weights[whole].sum()

    main, aux1, aux2 = map(mean, outputs)
    return Losses(main + recipe.aux_weight * (aux1 + aux2), main, aux1, aux2)


def learning_rate(recipe: Recipe, step: int, *, steps: int, steps_per_epoch: float) -> float:
    """Learning rate of one step of a run of `steps`."""
    if recipe.schedule == "step":
        return recipe.lr * recipe.lr_decay ** (int(step / steps_per_epoch) // recipe.lr_decay_epochs)
    warmup = recipe.warmup * steps
    if step < warmup:
        return recipe.lr * (step + 1) / (warmup + 1)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))


def build_optimizer(
    net: nn.Module, recipe: Recipe, *, kept: Collection[str] = (), precision: str = "float32"
) -> torch.optim.SGD:
    """SGD with momentum, weight decay on weights alone; Muon for convolutions if the recipe has it.

    kept       names of parameters that a run goes on from: they move by SGD, at `pretrained_lr_factor` times
               the rate. Each group carries its own factor on the rate as `factor`. Frozen ones are in none
    precision  `float32` or `bfloat16`, of Muon's larger directions; weights and momentum stay as they are
    """
    # a convolution without a bias has a batch normalization behind it
    turned = {
        id(m.weight) for m in net.modules() if isinstance(m, nn.Conv2d) and m.bias is None and m.groups == 1
    }
    groups: dict[tuple[str, float], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        kind, factor = "decayed" if parameter.ndim > 1 else "spared", 1.0
        if recipe.classifier_lr_factor is not None and name.startswith("net.classifier"):
            factor = recipe.classifier_lr_factor
        elif name in kept:
            factor = recipe.pretrained_lr_factor
        elif recipe.muon and id(parameter) in turned:
            kind, factor = "turned", recipe.muon
        if parameter.requires_grad:
            groups.setdefault((kind, factor), []).append(parameter)
    own: dict[str, dict[str, Any]] = {
        "decayed": {"weight_decay": recipe.weight_decay, "muon": None},
        "spared": {"weight_decay": 0.0, "muon": None},
        # Muon has a momentum of its own, and what it moves has a fixed norm
        "turned": {"weight_decay": 0.0, "momentum": 0.0, "nesterov": False, "muon": recipe.muon_momentum},
    }
    sgd = torch.optim.SGD(
        [
            {"params": found, "factor": factor, **own[kind]}
            for (kind, factor), found in sorted(groups.items())
        ],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        fused=True,
    )
    if recipe.muon:
        sgd.register_step_pre_hook(functools.partial(_turn, lower=precision == "bfloat16"))
    return sgd


@torch.no_grad()
def _turn(sgd: torch.optim.Optimizer, args: object, kwargs: object, *, lower: bool) -> None:
    """Before a step of SGD: put Muon's direction in place of the gradients of its groups.

    A convolution before a batch normalization does the same at any scale, so only its direction counts: it
    is kept at a fixed norm, and the rate is about the angle that a step turns it by.
    """
    for group in sgd.param_groups:
        momentum = group["muon"]
        for parameter in group["params"] if momentum is not None else ():
            gradient, state = parameter.grad, sgd.state[parameter]
            if gradient is None:
                continue
            buffer = state.setdefault("momentum_buffer", torch.zeros_like(parameter))
            buffer.mul_(momentum).add_(gradient)
            parameter.mul_(math.sqrt(len(parameter)) / parameter.norm())
            rows = _rows(gradient.add(buffer, alpha=momentum))
            lowered = lower and min(rows.shape) >= LOWER_FROM
            direction = orthogonal(rows.bfloat16() if lowered else rows).to(rows.dtype)
            parameter.grad = _filters(direction, like=parameter)


def orthogonal(matrix: Tensor) -> Tensor:
    """Bring the singular values of a matrix [m, n] near to 1, its singular vectors kept.

    Source: Jordan et al. 2024, "Muon": a few Newton-Schulz steps of a polynomial of degree five that was
    chosen for its slope at zero, so that values end between about 0.7 and 1.2. PyTorch's own `Muon` takes
    matrices alone, and computes in bfloat16 everywhere, which many processors lack. Here the polynomials are
    multiplied out on the smaller Gram matrix: half the work.
    """
    rows, columns = matrix.shape
    unit = matrix / (matrix.norm() + 1e-7)
    gram: Tensor = unit.t() @ unit if rows > columns else unit @ unit.t()
    product = factor = _factor(gram)
    for _ in range(NEWTON_SCHULZ_STEPS - 1):
        gram = factor @ gram @ factor
        factor = _factor(gram)
        product = factor @ product
    return unit @ product if rows > columns else product @ unit  # type: ignore[no-any-return]


def _factor(gram: Tensor) -> Tensor:
    first, third, fifth = NEWTON_SCHULZ
    factor = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
    factor.diagonal().add_(first)
    return factor


def _rows(filters: Tensor) -> Tensor:
    """[out, C, h, w] -> [out, h * w * C]: a view, where channels come last in memory."""
    return filters.permute(0, 2, 3, 1).flatten(1)


def _filters(rows: Tensor, *, like: Tensor) -> Tensor:
    out, channels, height, width = like.shape
    return rows.view(out, height, width, channels).permute(0, 3, 1, 2)


@torch.no_grad()
def finite_gradients(net: nn.Module) -> bool:
    """Whether every gradient is a finite number."""
    found = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    if torch.stack(torch._foreach_norm(found)).isfinite().all():  # a tenth of the time of the largest
        return True
    return all(bool(gradient.isfinite().all()) for gradient in found)  # a square may be too large alone


class EmaWeights:
    """An exponential moving average of weights and batch statistics (a form of Polyak's)."""

    def __init__(self, net: WithAuxiliaryHeads, recipe: Recipe) -> None:
        """Start from a copy of `net`."""
        self.net = copy.deepcopy(net).requires_grad_(False)
        self._share = recipe.ema_horizon
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
