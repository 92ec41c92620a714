"""Going on from weights that exist: what is kept, what is drawn anew, what stays still."""

from googlenet import checkpoint
from googlenet.checkpoint import HEADS
from googlenet.errors import InputError
from googlenet.model import WithAuxiliaryHeads
from googlenet.modelfile import Arrays, Card


def adopt(
    net: WithAuxiliaryHeads, stored: Arrays, card: Card, *, classes: tuple[str, ...]
) -> tuple[str, ...]:
    """Copy weights into a network whose parts were drawn at random.

    The classifier and the heads are kept if both know the same classes, matched by name; the heads
    only if there are any.
    returns  the beginnings of the names of parameters that stay as drawn
    raises   ModelFileError listing the first names and shapes that differ; then nothing is copied
    """
    where = str(card.data.get("name", "weights"))
    heads = {name: array for name, array in stored.items() if name.startswith(HEADS)}
    trunk = {name: array for name, array in stored.items() if name not in heads}
    same = sorted(classes) == sorted(card.classes)
    fresh = [] if same else ["net.classifier"]
    order = [card.classes.index(name) for name in classes] if same else []
    for name, tensor in net.net.classifier.named_parameters(prefix="classifier"):
        trunk[name] = trunk[name][order] if same else checkpoint.arrays({"": tensor})[""]
    if same and heads:
        for name in [name for name in heads if ".classifier." in name]:
            heads[name] = heads[name][order]
        checkpoint.restore(net.heads, heads, where=where, prefix=HEADS)
    else:
        fresh.append("heads")
    checkpoint.restore(net.net, trunk, where=where)
    return tuple(fresh)


def kept(net: WithAuxiliaryHeads, fresh: tuple[str, ...] | None) -> frozenset[str]:
    """Names of the parameters that were not drawn anew; none if everything was (`fresh` is None)."""
    if fresh is None:
        return frozenset()
    return frozenset(name for name, _ in net.named_parameters() if not name.startswith(fresh))


def freeze(net: WithAuxiliaryHeads, stage: str) -> None:
    """Keep the network up to and including a stage still: weights and batch statistics.

    raises  InputError for an unknown stage, with the list of those there are
    """
    stages = dict(net.net.trunk.named_children())
    if stage not in stages:
        raise InputError(f"expected --freeze with a stage among {', '.join(stages)}, got {stage!r}")
    for name, module in stages.items():
        module.requires_grad_(False).eval()
        if name == stage:
            break


def told(card: Card, fresh: tuple[str, ...], *, classes: tuple[str, ...], freeze: str | None) -> str:
    """Say in a line what a run begins with."""
    source = card.data.get("name", "weights")
    new = "classifier and heads are" if "net.classifier" in fresh else "heads are" if fresh else "nothing is"
    why = f" (it knew {len(card.classes)} classes, this data has {len(classes)} others)"
    still = f"; still up to {freeze}" if freeze else ""
    return f"going on from {source}, dialect {card.dialect}: {new} new{why if len(fresh) > 1 else ''}{still}"
