"""What a run tells of itself while it learns: a head that is stuck, and the gradient at each stage.

Without batch normalization this network is known for heads, or all of it, that stay at ln(classes),
the loss of guessing, while the rest learns. The gradients show what the auxiliary heads are for
(section 5): they are taken of the whole loss and of the network's own loss alone.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from googlenet.architecture.table1 import AUX_STAGES
from googlenet.nn.model import WithAuxiliaryHeads
from googlenet.training.optim import Losses

WINDOW = 100  # steps that a loss is averaged over
STUCK, LEARNS = 0.99, 0.9  # of ln(classes): above the one, below the other
GRADIENTS_EVERY = 50  # steps at least between two looks, each of which costs about one backward pass
GRADIENT_LOOKS = 20  # of a long run

PARTS = {
    "main": "the classifier",
    **{f"aux{number}": f"the head on {stage}" for number, stage in enumerate(AUX_STAGES, start=1)},
}


class HeadWatch:
    """Notices a classifier that stays at the loss of guessing while another learns."""

    def __init__(self, classes: int) -> None:
        """Watch the three losses of a network for so many classes."""
        self._guessing = math.log(classes)
        self._seen: dict[str, deque[float]] = {name: deque(maxlen=WINDOW) for name in PARTS}
        self._said: set[str] = set()

    def __call__(self, losses: dict[str, float], *, rate: float) -> list[str]:
        """Take the losses `main`, `aux1` and `aux2` of a step; return warnings, each given once."""
        for name, seen in self._seen.items():
            seen.append(losses[name])
        if any(len(seen) < WINDOW for seen in self._seen.values()):
            return []
        means = {name: sum(seen) / WINDOW / self._guessing for name, seen in self._seen.items()}
        stuck = [name for name, mean in means.items() if mean > STUCK and name not in self._said]
        if not stuck or min(means.values()) > LEARNS:
            return []
        self._said.update(stuck)
        return [
            f"{PARTS[name]} has stayed at ln(classes) = {self._guessing:.2f}, the loss of guessing, for "
            f"{WINDOW} steps while another learns: start again with a lower --lr (here {rate:.3g}), "
            "--init xavier, or --dialect bn"
            for name in stuck
        ]


def is_gradient_step(step: int, *, steps: int) -> bool:
    """Whether the gradients of this step, counted from 0, are to be logged."""
    return step % max(GRADIENTS_EVERY, steps // GRADIENT_LOOKS) == 0


def main_gradients(
    net: WithAuxiliaryHeads, parts: Losses, *, add: Callable[[Sequence[Tensor]], list[Tensor]] = list
) -> dict[str, float]:
    """Norm of the gradient at each trained stage by the network's own loss alone.

    The graph is kept for the backward pass that follows. `add` sums over processes.
    """
    weights = _weights(net)
    if not weights:  # all of it is frozen
        return {}
    flat = [parameter for parameters in weights.values() for parameter in parameters]
    found = iter(add(torch.autograd.grad(parts.main, flat, retain_graph=True)))
    return {stage: _norm([next(found) for _ in parameters]) for stage, parameters in weights.items()}


def all_gradients(net: WithAuxiliaryHeads) -> dict[str, float]:
    """Norm of the gradient at each trained stage as a backward pass of the whole loss left it."""
    return {
        stage: _norm([p.grad for p in parameters if p.grad is not None])
        for stage, parameters in _weights(net).items()
    }


def _weights(net: WithAuxiliaryHeads) -> dict[str, list[nn.Parameter]]:
    """Weights of convolutions, by stage; frozen stages and those without weights are left out."""
    stages = {
        name: [p for p in stage.parameters() if p.requires_grad and p.ndim > 1]
        for name, stage in net.net.trunk.named_children()
    }
    return {name: parameters for name, parameters in stages.items() if parameters}


def _norm(gradients: list[Tensor]) -> float:
    return float(torch.nn.utils.get_total_norm(gradients))
