"""Model files as torch modules; `files.modelfile` has the container."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from googlenet.base.errors import ModelFileError
from googlenet.base.text import abbreviate
from googlenet.files import modelfile
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import Arrays
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads

HEADS = "heads."  # before the names of the auxiliary heads' arrays
COUNTER = "num_batches_tracked"  # the one kind of array that holds a whole number


def save(path: Path, net: GoogLeNet, card: ModelMetadata, *, heads: nn.Module | None = None) -> None:
    """Write a network and its card as a model file, with its auxiliary heads if they are given.

    Raises WriteError.
    """
    stored = to_arrays(net.state_dict())
    if heads is not None:
        stored |= to_arrays(heads.state_dict(), HEADS)
    modelfile.write(path, stored, card.as_header())


def load(path: Path | str, *, device: str = "cpu") -> GoogLeNet:
    """Load a network from a run folder or a model file: in evaluation mode, with its `card`.

    Auxiliary heads, which a converted model may hold, are left out.

    Raises ModelFileError if there is no model file, it was altered, or its weights do not fit.
    """
    found = modelfile.model_path(Path(path))
    stored, card = read(found)
    net = GoogLeNet(len(card.classes), dialect_name=card.dialect)
    trunk = {name: array for name, array in stored.items() if not name.startswith(HEADS)}
    load_arrays(net, trunk, where=str(found))
    net.metadata = card
    return net.eval().requires_grad_(False).to(device)


def read(path: Path) -> tuple[Arrays, ModelMetadata]:
    """Read a model file whole and check that it is the network that its card names, before any is made.

    Raises ModelFileError with the first names, shapes and types that differ, or for weights that are not
    finite.
    """
    stored, header = modelfile.read(path)
    card = ModelMetadata.from_header(header, path)
    expected = expected_shapes(card.dialect, len(card.classes))
    if not any(name.startswith(HEADS) for name in stored):
        expected = {name: shape for name, shape in expected.items() if not name.startswith(HEADS)}
    wrong = modelfile.describe_mismatch(modelfile.shapes(stored), expected) or _mistyped(stored)
    if wrong:
        raise ModelFileError(f"{path}: not the network that it names: {wrong}; nothing was loaded")
    check_finite(stored, where=str(path))
    return stored, card


def _mistyped(stored: Arrays) -> str | None:
    """Say which arrays are of another type than `save` writes: to read them would round or cut."""
    wrong = [
        f"{name} {array.dtype} for {kind}"
        for name, array in stored.items()
        if array.dtype != (kind := "int64" if name.endswith(COUNTER) else "float32")
    ]
    return f"mistyped {abbreviate(wrong)}" if wrong else None


def check_finite(stored: Arrays, *, where: str) -> None:
    """Raise ModelFileError if a weight is no number."""
    for name, array in stored.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise ModelFileError(f"{where}: {name} holds values that are not finite; nothing was loaded")


def expected_shapes(dialect_name: str, classes: int) -> dict[str, tuple[int, ...]]:
    """The name and shape of each array of a network, heads included, without making any."""
    with torch.device("meta"):
        net = WithAuxiliaryHeads(GoogLeNet(classes, dialect_name=dialect_name))
    return {name.removeprefix("net."): tuple(array.shape) for name, array in net.state_dict().items()}


def to_arrays(tensors: Mapping[str, Tensor], prefix: str = "") -> Arrays:
    """Name tensors as arrays in plain memory order."""
    return {prefix + name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}


def load_arrays(net: nn.Module, stored: Arrays, *, where: str, prefix: str = "") -> None:
    """Copy stored arrays into a module.

    Raises ModelFileError listing the first names and shapes that differ; then nothing is copied.
    """
    mine = {prefix + name: tensor for name, tensor in net.state_dict().items()}
    theirs = {name: array for name, array in stored.items() if name.startswith(prefix)}
    if wrong := modelfile.describe_mismatch(modelfile.shapes(theirs), modelfile.shapes(mine)):
        raise ModelFileError(f"{where}: weights do not fit: {wrong}; nothing was loaded")
    check_finite(theirs, where=where)
    with torch.no_grad():
        for name, tensor in mine.items():
            tensor.copy_(torch.from_numpy(np.array(theirs[name])))
