"""The network that a run begins with: new, or pretrained with parts initialized again and parts frozen."""

import torch

from googlenet.base.text import abbreviate
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import Arrays
from googlenet.nn import checkpoint
from googlenet.nn.checkpoint import HEADS
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads, initialize_weights
from googlenet.training.decision.decide import Decision
from googlenet.training.decision.recipe import Recipe
from googlenet.training.loader import counter_seed


def new_network(recipe: Recipe, dialect: str, *, classes: int, seed: int) -> WithAuxiliaryHeads:
    """Build a network with its heads, and draw its initial weights from the seed."""
    torch.manual_seed(counter_seed(seed, "weights"))
    net = build_network(recipe, dialect, classes=classes)
    initialize_weights(net, recipe.init)
    return net


def build_network(recipe: Recipe, dialect: str, *, classes: int) -> WithAuxiliaryHeads:
    """Build a network with its heads, if they count; its weights are PyTorch's initial ones."""
    net = GoogLeNet(classes, dialect_name=dialect, dropout=recipe.dropout)
    return WithAuxiliaryHeads(net, dropout=recipe.aux_dropout, heads=recipe.aux_weight > 0)


def load_pretrained(
    net: WithAuxiliaryHeads, stored: Arrays, card: ModelMetadata, *, classes: tuple[str, ...], where: str
) -> tuple[str, ...]:
    """Copy weights, whole as their card says, into a network whose parts were drawn at random.

    The classifier and the heads are kept if both know the same classes, matched by name; the heads
    only if there are any.
    returns  the beginnings of the names of parameters that stay as drawn
    raises   ModelFileError listing the first names and shapes that differ
    """
    same = sorted(classes) == sorted(card.classes)
    with_heads = same and any(name.startswith(HEADS) for name in stored)
    fresh = [name for name, new in (("net.classifier", not same), ("heads", not with_heads)) if new]
    mine = checkpoint.to_arrays(net.net.state_dict()) | checkpoint.to_arrays(net.heads.state_dict(), HEADS)
    wanted = {}
    order = [card.classes.index(name) for name in classes] if same else []
    for name, array in mine.items():
        if f"net.{name}".startswith(tuple(fresh)) or name.startswith(tuple(fresh)):
            wanted[name] = array
        elif name in stored:
            last = name.rpartition(".")[0].endswith("classifier")
            wanted[name] = stored[name][order] if last else stored[name]
    heads = {name: array for name, array in wanted.items() if name.startswith(HEADS)}
    checkpoint.load_arrays(net.net, {n: a for n, a in wanted.items() if n not in heads}, where=where)
    checkpoint.load_arrays(net.heads, heads, where=where, prefix=HEADS)
    return tuple(fresh)


def pretrained_parameters(net: WithAuxiliaryHeads, fresh: tuple[str, ...] | None) -> frozenset[str]:
    """Names of the parameters that were not drawn anew; none if everything was (`fresh` is None)."""
    if fresh is None:
        return frozenset()
    return frozenset(name for name, _ in net.named_parameters() if not name.startswith(fresh))


def freeze(net: WithAuxiliaryHeads, stage: str) -> None:
    """Freeze the network up to and including a stage: weights and batch statistics."""
    for name, module in net.net.trunk.named_children():
        module.requires_grad_(False).eval()
        if name == stage:
            break


def describe_transfer(
    where: str, card: ModelMetadata, fresh: tuple[str, ...], decision: Decision
) -> list[str]:
    """What people are told of a start from pretrained weights; `fresh` as `load_pretrained` gave it."""
    recipe = decision.recipe
    lines = [
        f"starting from {where}, dialect {card.dialect}, pretrained on {len(card.classes):,} classes",
        f"stage 1: a classifier on its features at {decision.plan.size} pixels; it reads "
        f"{abbreviate([*recipe.reads, 'inception_5b'])}",
    ]
    if not decision.first_stage:
        new = {0: "nothing", 1: "the heads"}.get(len(fresh), "the classifier and the heads")
        factor = f"pretrained layers use {recipe.pretrained_lr_factor:g}x the learning rate of {recipe.lr:g}"
        lines = [f"{lines[0]}: {new} newly initialized; {factor}"]
    if decision.freeze is not None:
        when = "in stage 2 " if decision.first_stage else ""
        lines.append(f"frozen {when}up to and including {decision.freeze} (batch statistics too)")
    return lines
