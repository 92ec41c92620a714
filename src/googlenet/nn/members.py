"""Networks side by side as one: an ensemble whose logits are the mean of its members'."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from googlenet.architecture.dialects import side_by_side
from googlenet.base.errors import InputError
from googlenet.nn.model import GoogLeNet


@torch.no_grad()
def join_networks(nets: Sequence[GoogLeNet], temperatures: Sequence[float]) -> GoogLeNet:
    """One network whose logits are the mean of the logits of these, each divided by its temperature.

    Its probabilities are the normalized geometric mean of theirs. Their maps lie side by side before one
    classifier, so that class maps and features are those of any network. Where all have the same weights
    below their classifiers it is a single network, with the mean of these.

    nets    in evaluation mode, of one dialect and number of classes
    raises  InputError for other networks
    """
    first = nets[0]
    kinds = {(net.dialect.name, net.num_classes) for net in nets}
    if len(kinds) > 1 or len(nets) != len(temperatures):
        raise InputError(f"expected networks of one dialect and number of classes, got {sorted(kinds)}")
    shares = [1 / (len(nets) * temperature) for temperature in temperatures]
    weights = [share * net.classifier.weight for share, net in zip(shares, nets, strict=True)]
    alike = all(same_weights(net.trunk, first.trunk) for net in nets)
    kind = first.dialect if alike or len(nets) == 1 else side_by_side(first.dialect, len(nets))
    joint = GoogLeNet(first.num_classes, dialect_name=kind.name)
    for mine, net in zip((joint.trunk, *joint.others), nets, strict=False):
        mine.load_state_dict(net.trunk.state_dict())
    joint.classifier.weight.copy_(_sum(weights) if kind.members == 1 else torch.cat(weights, dim=1))
    biases = [share * net.classifier.bias for share, net in zip(shares, nets, strict=True)]
    joint.classifier.bias.copy_(_sum(biases))
    return joint.eval().requires_grad_(False)


@torch.no_grad()
def mix_networks(first: GoogLeNet, second: GoogLeNet, share: float) -> GoogLeNet:
    """A network for inference whose weights are `1 - share` of the first's and `share` of the second's."""
    mine, theirs = first.state_dict(), second.state_dict()
    mixed = GoogLeNet(first.num_classes, dialect_name=first.dialect.name)
    mixed.load_state_dict(
        {
            name: torch.lerp(array, theirs[name].to(array), share) if array.is_floating_point() else array
            for name, array in mine.items()
        }
    )
    return mixed.eval().requires_grad_(False)


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).sum(dim=0)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules of one kind hold the same numbers."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)
