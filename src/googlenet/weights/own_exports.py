"""Our own ONNX exports, read back as the network that they were made of.

Batch normalization was folded into the convolutions: here it becomes one that only adds, which computes the
same.
"""

from pathlib import Path

import numpy as np

from googlenet.base.errors import ModelFileError
from googlenet.files import modelfile
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import Arrays
from googlenet.nn.blocks import BATCH_NORM_EPS
from googlenet.nn.checkpoint import COUNTER, HEADS, check_finite, expected_shapes
from googlenet.weights.readers import Content

_NEUTRAL = {"weight": 1.0, "running_mean": 0.0, "running_var": 1.0 - BATCH_NORM_EPS}


def read_own_export(content: Content, path: Path) -> tuple[Arrays, ModelMetadata]:
    """The arrays of a network under our names, and its metadata, from an ONNX file that we wrote.

    Raises ModelFileError for one that was altered.
    """
    header = {name: value for name, value in (content.header or {}).items() if name != "input"}
    card = ModelMetadata.from_header(header, path)
    shapes = {
        name: shape
        for name, shape in expected_shapes(card.dialect, len(card.classes)).items()
        if not name.startswith(HEADS)
    }
    stored = {name.replace(".conv.bias", ".norm.bias"): array for name, array in content.arrays.items()}
    stored = content.arrays | {name: array for name, array in stored.items() if name in shapes}
    found = {name: _array(name, shape, stored) for name, shape in shapes.items()}
    arrays = {name: array for name, array in found.items() if array is not None}
    if wrong := modelfile.describe_mismatch(modelfile.shapes(arrays), shapes):
        raise ModelFileError(f"{path}: not the network that it names: {wrong}; export the model again")
    check_finite(arrays, where=str(path))
    return arrays, card


def _array(name: str, shape: tuple[int, ...], stored: Arrays) -> np.ndarray | None:
    """One array as the network has it; None if the file lacks it."""
    part = name.rpartition(".")[2]
    if part == COUNTER:
        return np.zeros(shape, np.int64)
    if ".norm." in name and part in _NEUTRAL:
        return np.full(shape, _NEUTRAL[part], np.float32)
    array = stored.get(name)
    return array.reshape(shape) if array is not None and array.size == np.prod(shape) else array
