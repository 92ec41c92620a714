"""Which published family a file's arrays belong to, under whatever a program put around their names."""

from collections.abc import Iterable
from typing import NamedTuple

from googlenet.base.errors import ModelFileError
from googlenet.base.text import abbreviate
from googlenet.files.modelfile import Arrays
from googlenet.nn.checkpoint import HEADS
from googlenet.weights.published import FAMILIES, Family, published_names

_COMPILED = "_orig_mod."  # torch.compile puts it before the names of whatever it compiled
_COUNTER = "num_batches_tracked"  # of no use after training
_ANCHOR = "trunk.conv1.conv.weight"
_SEPARATORS = "./"
_SHOWN = 3  # names in a refusal


class Match(NamedTuple):
    """A file's arrays under a family's own names, and what was done to get there, a line each."""

    family: Family
    arrays: Arrays
    notes: list[str]


def match_family(stored: Arrays, wanted: str | None, *, where: str) -> Match:
    """Find the family whose first convolution is among the names of a file, and drop what is in front.

    wanted  the family that it is said to be; None for any
    raises  ModelFileError with the first names and the nearest family if it is none
    """
    arrays = {
        name.replace(_COMPILED, ""): array for name, array in stored.items() if not name.endswith(_COUNTER)
    }
    for family in FAMILIES.values() if wanted is None else (FAMILIES[wanted],):
        prefix = _prefix(arrays, published_names(family)[_ANCHOR])
        if prefix is not None:
            return _without(prefix, arrays, family)
    raise ModelFileError(f"{where}: {_describe_stranger(arrays, wanted)}")


def _prefix(names: Iterable[str], anchor: str) -> str | None:
    """What stands before the name of a family's first convolution; None if it is not there."""
    found = [name.removesuffix(anchor) for name in names if name.endswith(anchor)]
    return min((p for p in found if not p or p[-1] in _SEPARATORS), key=len, default=None)


def _without(prefix: str, arrays: Arrays, family: Family) -> Match:
    if not prefix:
        return Match(family, arrays, [])
    inside = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    notes = [f"its names begin with {prefix!r}"]
    if others := [name for name in arrays if not name.startswith(prefix)]:
        notes.append(
            f"{len(others)} arrays under other names were left out: {abbreviate(others, most=_SHOWN)}"
        )
    return Match(family, inside, notes)


def _describe_stranger(arrays: Arrays, wanted: str | None) -> str:
    shares = {
        name: sum(theirs in arrays for theirs in published_names(family).values())
        for name, family in FAMILIES.items()
    }
    other = next(
        (
            name
            for name, family in FAMILIES.items()
            if _prefix(arrays, published_names(family)[_ANCHOR]) is not None
        ),
        None,
    )
    nearest = other or max(shares, key=shares.__getitem__)
    total = len(published_names(FAMILIES[nearest]))
    hint = (
        f"its names are those of {other}: --from {other}"
        if other
        else f"the nearest is {nearest}, with {shares[nearest]} of its {total} names"
    )
    return (
        f"expected weights of {wanted or ', '.join(FAMILIES)}, got arrays named "
        f"{abbreviate(list(arrays), most=_SHOWN)}; {hint}; nothing was loaded"
    )


def adopt_classifiers(match: Match) -> Match:
    """Give dense layers that fine-tuning replaced or renamed the names that the family has for them.

    A classifier is replaced where there is one other matrix of its input width with a bias beside it, whose
    name begins with the classifier's, or which is the only one left.
    """
    names, arrays, notes = published_names(match.family), dict(match.arrays), list(match.notes)
    known = set(names.values())
    for layer in (name.removesuffix(".weight") for name in names if name.endswith("classifier.weight")):
        weight, bias = names[f"{layer}.weight"], names[f"{layer}.bias"]
        if weight in arrays:
            continue
        suffixes = match.family.dense
        stem = weight.removesuffix(suffixes["weight"])
        pairs = [
            (name, name.removesuffix(suffixes["weight"]) + suffixes["bias"])
            for name, array in arrays.items()
            if name not in known and name.endswith(suffixes["weight"]) and array.ndim == 2
        ]
        pairs = [pair for pair in pairs if pair[1] in arrays]
        near = [pair for pair in pairs if pair[0].startswith(stem)]
        if layer.startswith(HEADS) and not near:
            continue
        if len(chosen := near or pairs) == 1:
            arrays[weight], arrays[bias] = arrays.pop(chosen[0][0]), arrays.pop(chosen[0][1])
            notes.append(f"{chosen[0][0]} was taken for {weight}")
    return Match(match.family, arrays, notes)
