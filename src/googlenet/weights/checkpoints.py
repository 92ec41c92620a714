"""PyTorch checkpoints of any program: the state dict in them, and no more.

A pickle is looked through before torch is given it, which reads it with `weights_only`. Whatever it names
beside plain tensors, such as the settings of the program that saved it, is replaced by an object without
effect, and is not imported.
"""

import io
import pickletools
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch._utils import IMPORT_MAPPING, NAME_MAPPING

from googlenet.base.errors import ModelFileError
from googlenet.files.modelfile import Arrays

# All that a state dict of plain tensors has its pickle ask for. No sparse, nested or quantized tensors and no
# storages from bytes: what torch does with those is not bounded by what lies in the file.
_PLAIN = frozenset(
    [
        "collections OrderedDict",
        *(f"torch._utils _rebuild_{what}" for what in ("tensor", "tensor_v2", "parameter")),
        *(
            f"torch {kind}Storage"
            for kind in "Float Double Half BFloat16 Long Int Short Char Byte Bool".split()
        ),
    ]
)
_TENSORS = ("torch._utils", "torch._tensor", "torch.storage", "torch._C", "torch.jit", "torch.nested")
_TYPES = frozenset(
    "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple".split()
)
_RECORDS = frozenset(  # modules of the standard library whose objects are settings and results
    "argparse collections copyreg datetime decimal enum fractions functools pathlib types typing uuid".split()
)
_CALLS = frozenset("STACK_GLOBAL INST OBJ EXT1 EXT2 EXT4 NEWOBJ_EX".split())  # other ways to name code
_LEGACY_PICKLES = 5  # magic number, version, system, the tensors, their storages; then the numbers
_MAX_STEPS = 1_000_000  # of a pickle; torchvision's checkpoint has 5,000
_DEEPEST = 4  # dictionaries around a state dict


class _Inert:
    """In the place of anything but a tensor: made, filled and called, it does nothing."""

    def __new__(cls, *args: object, **options: object) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *args: object, **options: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def load(path: Path) -> Mapping[Any, Any]:
    """Read a checkpoint without running anything that it names.

    Raises ModelFileError, or whatever torch raises, for what is none.
    """
    inert: list[Any] = [(_Inert, name) for name in sorted(_foreign_names(path))]
    with torch.serialization.safe_globals(inert):
        content = torch.load(path, weights_only=True, map_location="cpu")
    if not isinstance(content, Mapping):
        raise ModelFileError(
            f"{path}: expected a checkpoint with a state dict, got something else; save the model's "
            "state_dict(), not the model"
        )
    return content


def find_state_dict(content: Mapping[Any, Any]) -> tuple[Arrays, list[str]]:
    """The dictionary of a checkpoint that holds the most numbers in tensors, wherever it is.

    returns  its tensors, floating-point ones as float32, and where it lies, in words
    """
    found = list(_state_dicts(content, ()))
    if not found:
        return {}, []
    way, tensors = max(found, key=lambda pair: sum(tensor.numel() for tensor in pair[1].values()))
    arrays = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
        for name, tensor in tensors.items()
    }
    return arrays, [f"its state dict lies under {'.'.join(way)!r}"] if way else []


def _state_dicts(content: Mapping[Any, Any], way: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield way, tensors
    for name, value in content.items():
        if isinstance(value, Mapping) and len(way) < _DEEPEST:
            yield from _state_dicts(value, (*way, str(name)))


def _foreign_names(path: Path) -> set[str]:
    """What the pickles of a checkpoint name beside plain tensors, of torch 1.6 and later or before.

    Raises ModelFileError for one that names code in a way that torch does not write.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return set().union(*(_names(file, path) for _ in range(_LEGACY_PICKLES)))
    with zipfile.ZipFile(path) as archive:
        pickles = [io.BytesIO(archive.read(name)) for name in archive.namelist() if name.endswith(".pkl")]
    return set().union(*(_names(file, path) for file in pickles))


def _names(file: BinaryIO, path: Path) -> set[str]:
    names: set[str] = set()
    for number, (step, argument, _) in enumerate(pickletools.genops(file)):
        if number > _MAX_STEPS:
            raise ValueError("a pickle of too many steps")
        if step.name in _CALLS:
            raise _refused(path, step.name)
        if step.name == "GLOBAL" and argument not in _PLAIN:
            module, name = str(argument).split(" ", 1)
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            if _may_do_something(module, name):
                raise _refused(path, f"{module}.{name}"[:80])
            names.add(f"{module}.{name}")
    return names


def _may_do_something(module: str, name: str) -> bool:
    """Whether a pickle names what nobody saves beside weights, or other tensors than plain ones."""
    root = module.partition(".")[0]
    if module.startswith(_TENSORS) or name.endswith("Storage"):
        return True
    if root == "builtins":
        return name not in _TYPES
    return root in sys.stdlib_module_names and root not in _RECORDS


def _refused(path: Path, asked: str) -> ModelFileError:
    return ModelFileError(
        f"{path}: expected a state dict of plain tensors, got a pickle that asks for {asked!r}; "
        "nothing of it was run; if you trust it, save its state_dict() alone"
    )
