"""Going on from weights that exist: what is kept, what is drawn anew, what stays still."""

from googlenet.base.errors import InputError
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import Arrays
from googlenet.nn import checkpoint
from googlenet.nn.checkpoint import HEADS
from googlenet.nn.model import WithAuxiliaryHeads
from googlenet.training.recipe import Recipe


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


def check_stage(net: WithAuxiliaryHeads, stage: str) -> None:
    """Raise InputError for a stage that the network has not, with the list of those it has."""
    stages = [name for name, _ in net.net.trunk.named_children()]
    if stage not in stages:
        raise InputError(f"expected --freeze with a stage among {', '.join(stages)}, got {stage!r}")


def freeze(net: WithAuxiliaryHeads, stage: str) -> None:
    """Keep the network up to and including a stage still: weights and batch statistics.

    raises  InputError for an unknown stage, with the list of those there are
    """
    check_stage(net, stage)
    for name, module in net.net.trunk.named_children():
        module.requires_grad_(False).eval()
        if name == stage:
            break


def describe_transfer(
    where: str, card: ModelMetadata, fresh: tuple[str, ...], *, classes: tuple[str, ...], recipe: Recipe
) -> str:
    """Say in a line what a run begins with."""
    new = "classifier and heads are" if len(fresh) > 1 else "heads are" if fresh else "nothing is"
    why = f" (it knew {len(card.classes):,} classes, this data has {len(classes):,} others)"
    return (
        f"going on from {where}, dialect {card.dialect}: {new} new{why if len(fresh) > 1 else ''}; "
        f"what is kept learns at {recipe.pretrained_lr_factor:g} of the rate of {recipe.lr:g}"
    )
