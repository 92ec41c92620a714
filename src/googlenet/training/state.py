"""Training states on disk: all that a resumed run needs. `files.modelfile` has the container."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from googlenet.base.errors import ModelFileError, TrainingError
from googlenet.files import modelfile
from googlenet.files.atomic import remove_stale_temporaries
from googlenet.files.modelfile import Arrays
from googlenet.files.runfolder import STATE
from googlenet.nn.checkpoint import to_arrays

KEEP = 2  # training states: the newest, and the one before should the newest be damaged


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
        remove_stale_temporaries(folder)
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
