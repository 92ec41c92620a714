"""Model files and training states on disk, in torch's terms; `modelfile` has the container."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from googlenet.base.errors import ModelFileError, TrainingError
from googlenet.base.text import abbreviate
from googlenet.files import modelfile
from googlenet.files.modelfile import Arrays, ModelMetadata
from googlenet.files.runfolder import STATE
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads

KEEP = 2  # training states: the newest, and the one before should the newest be damaged
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
    net.card = card
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


def save_state(
    run: Path,
    *,
    step: int,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: nn.Module,
    header: dict[str, Any],
) -> None:
    """Write all that a resume needs after `step` steps, then drop states older than the last two.

    Raises TrainingError if a weight is not finite, WriteError if it cannot be written.
    """
    stored = to_arrays(net.state_dict(), "net.") | to_arrays(average.state_dict(), "average.")
    stored |= to_arrays(_momenta(net, optimizer), "momentum.")
    for name, array in stored.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise TrainingError(f"weights stopped being finite before step {step} ({name})")
    folder = run / STATE
    folder.mkdir(exist_ok=True)
    modelfile.write(_state_path(folder, step), stored, {"step": step, **header})
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEEP]:
        old.unlink()


def load_state(run: Path, *, strict: bool = False) -> tuple[Arrays, dict[str, Any], list[str]]:
    """Read the newest training state that is whole: arrays, header, and warnings about others.

    strict  take no other than the newest
    raises  TrainingError if there is none
    """
    for folder in (run, run / STATE):
        modelfile.remove_stale_temporaries(folder, alive=_alive)
    warnings: list[str] = []
    for path in sorted((run / STATE).glob("step-*.safetensors"), reverse=True):
        try:
            stored, header = modelfile.read(path)
            return stored, header, warnings
        except ModelFileError as error:
            if strict:
                raise TrainingError(f"{error}; without --strict the state before it is taken") from error
            warnings.append(f"{error}; going on from the state before it")
    detail = f" ({warnings[0]})" if warnings else ""
    raise TrainingError(
        f"{run}: expected a training state to resume, got none{detail}; train with --force to start over"
    )


def forget_after(run: Path, step: int) -> None:
    """Remove the states after `step`: damaged ones, which else would count among the last two."""
    for path in (run / STATE).glob("step-*.safetensors"):
        if path > _state_path(run / STATE, step):
            path.unlink()


def has_state(run: Path) -> bool:
    """Whether a run has saved a training state, whole or not."""
    return any((run / STATE).glob("step-*.safetensors"))


def restore_momenta(net: nn.Module, optimizer: torch.optim.Optimizer, stored: Arrays) -> None:
    """Give the optimizer back its momentum buffers."""
    for name, parameter in net.named_parameters():
        array = stored.get(f"momentum.{name}")
        if array is not None:
            buffer = torch.empty_like(parameter)
            buffer.copy_(torch.from_numpy(np.array(array)))
            optimizer.state[parameter]["momentum_buffer"] = buffer


def _momenta(net: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        name: optimizer.state[parameter]["momentum_buffer"]
        for name, parameter in net.named_parameters()
        if "momentum_buffer" in optimizer.state[parameter]
    }


def _state_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.safetensors"


def _alive(pid: int) -> bool:
    """Whether another process of that number runs; a file of our own number is a former one's."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
