"""Files that others published, read into arrays under the names that stand in them.

Six formats: PyTorch checkpoints (.pth and others, see `checkpoints`), safetensors, Caffe's trained network
(.caffemodel), a frozen TensorFlow graph (.pb, or the .zip that holds one), ONNX and NumPy's .npz. All are
taken for hostile: nothing in them is executed, sizes are bounded, and whatever a reader raises becomes one
line. Those that are protocol buffers are read through descriptors that declare only the fields needed.
"""

import contextlib
import functools
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors

from googlenet.base.errors import MissingExtraError, ModelFileError
from googlenet.files.modelfile import Arrays

Array = npt.NDArray[Any]

MAX_BYTES = 1 << 30  # the largest of the published files has 54 MB
SUFFIXES = {
    ".pth": "pth",
    ".pt": "pth",
    ".ckpt": "pth",
    ".tar": "pth",
    ".bin": "pth",
    ".safetensors": "safetensors",
    ".caffemodel": "caffemodel",
    ".onnx": "onnx",
    ".pb": "graph",
    ".zip": "graph",
    ".npz": "npz",
}
LABELS_NAME = "imagenet_comp_graph_label_strings.txt"  # beside the graph in inception5h.zip

# Message: field: (number, type), a star for a repeated one. Caffe's and TensorFlow's own numbers; a map
# travels as repeated pairs.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "BlobShape": {"dim": (1, "int64*")},
    "BlobProto": {
        "num": (1, "int32"),
        "channels": (2, "int32"),
        "height": (3, "int32"),
        "width": (4, "int32"),
        "data": (5, "float*"),
        "shape": (7, "BlobShape"),
        "double_data": (8, "double*"),
    },
    "LayerParameter": {"name": (1, "string"), "blobs": (7, "BlobProto*")},
    "V1LayerParameter": {"name": (4, "string"), "blobs": (6, "BlobProto*")},
    "NetParameter": {"layers": (2, "V1LayerParameter*"), "layer": (100, "LayerParameter*")},
    "Dim": {"size": (1, "int64")},
    "TensorShapeProto": {"dim": (2, "Dim*")},
    "OnnxTensor": {
        "dims": (1, "int64*"),
        "data_type": (2, "int32"),
        "float_data": (4, "float*"),
        "name": (8, "string"),
        "raw_data": (9, "bytes"),
    },
    "OnnxText": {"key": (1, "string"), "value": (2, "string")},
    "OnnxGraph": {"initializer": (5, "OnnxTensor*")},
    "ModelProto": {"graph": (7, "OnnxGraph"), "metadata_props": (14, "OnnxText*")},
    "TensorProto": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShapeProto"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "float*"),
    },
    "AttrValue": {"tensor": (8, "TensorProto")},
    "AttrEntry": {"key": (1, "string"), "value": (2, "AttrValue")},
    "NodeDef": {"name": (1, "string"), "op": (2, "string"), "attr": (5, "AttrEntry*")},
    "GraphDef": {"node": (1, "NodeDef*")},
}
_TENSORFLOW_FLOAT = 1  # DT_FLOAT
_ONNX_TYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
OWN_METADATA = "googlenet"  # the key of our metadata in an ONNX file of ours


@dataclass(frozen=True)
class Content:
    """What a file holds: floating-point arrays by the names in it, and what it says of itself.

    classes  names of the classes, in order, if it gives them
    header   the metadata of a model that we exported, as JSON types
    notes    what was done to find the arrays, a line each
    """

    arrays: Arrays
    classes: tuple[str, ...] | None = None
    header: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def read(path: Path, format: str) -> Content:
    """Read the floating-point arrays of a published file; integers, such as counters, are left out.

    format   a value of `SUFFIXES`
    returns  arrays by the names in the file; Caffe's blobs as `layer[0]`, `layer[1]`
    raises   ModelFileError in one line if it cannot be read as that format, or holds no arrays
    """
    reader, what = _FORMATS[format]
    expected = f"{path}: expected {what}"
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error
    if not 0 < size <= MAX_BYTES:
        raise ModelFileError(f"{expected} of at most {MAX_BYTES:,} bytes, got {size:,}")
    try:
        found = reader(path)
        content = found if isinstance(found, Content) else Content(found)
        arrays = {name: a for name, a in content.arrays.items() if np.issubdtype(a.dtype, np.floating)}
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"reading {path} needs {error.name}, not installed here: pip install 'googlenet[train]'"
        ) from error
    except ModelFileError:
        raise
    except Exception as error:  # whatever a reader raises on hostile bytes
        raise ModelFileError(
            f"{expected}, got another file or a damaged one ({type(error).__name__}); download it again"
        ) from error
    if not arrays:
        raise ModelFileError(f"{expected}, got a file without weights; is it the right one, and whole?")
    if sum(array.nbytes for array in arrays.values()) > MAX_BYTES:
        raise ModelFileError(f"{expected} of at most {MAX_BYTES:,} bytes, got arrays that claim more")
    return replace(content, arrays=arrays)


def read_labels(path: Path) -> list[str]:
    """Read a text file with a label on each line; empty lines are passed over.

    Raises ModelFileError if it cannot be read.
    """
    try:
        return _lines(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: expected a text file of labels: {error}") from error


def labels_beside(path: Path) -> list[str] | None:
    """Read the labels that lie in a graph's archive or beside the graph, if any do.

    Raises ModelFileError if they cannot be read.
    """
    if not zipfile.is_zipfile(path):
        beside = path.with_name(LABELS_NAME)
        return read_labels(beside) if beside.is_file() else None
    try:
        member = _member(path, ".txt")
        return None if member is None else _lines(member.decode())
    except Exception as error:  # whatever a damaged archive raises
        raise ModelFileError(f"{path}: the labels in it cannot be read: {error}") from error


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _npz(path: Path) -> Arrays:
    _check_unpacked_size(path)
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _caffemodel(path: Path) -> Arrays:
    network = _message("NetParameter").FromString(path.read_bytes())
    return {
        f"{layer.name}[{number}]": _blob(blob)
        for layers in (network.layers, network.layer)  # files of before and after 2014
        for layer in layers
        for number, blob in enumerate(layer.blobs)
    }


def _blob(blob: Any) -> Array:
    if blob.double_data:
        values: Array = np.array(blob.double_data, dtype=np.float64)
    else:
        values = np.array(blob.data, dtype=np.float32)
    if blob.HasField("shape"):
        return values.reshape(tuple(blob.shape.dim))
    # older files pad every shape to four numbers, with ones in front
    shape = [blob.num, blob.channels, blob.height, blob.width]
    while shape and shape[0] == 1:
        del shape[0]
    return values.reshape(shape)


def _onnx(path: Path) -> Content:
    """Initializers; of a model that we exported also its metadata."""
    model = _message("ModelProto").FromString(path.read_bytes())
    arrays = {}
    for tensor in model.graph.initializer:
        if kind := _ONNX_TYPES.get(tensor.data_type):
            values = np.frombuffer(tensor.raw_data, kind) if tensor.raw_data else np.array(tensor.float_data)
            arrays[tensor.name] = values.astype(np.float32).reshape(tuple(tensor.dims))
    texts = {text.key: text.value for text in model.metadata_props}
    header = json.loads(texts[OWN_METADATA]) if OWN_METADATA in texts else None
    return Content(arrays, header=header)


def _safetensors(path: Path) -> Content:
    with safetensors.safe_open(path, framework="pt") as file:  # NumPy has no bfloat16
        arrays = {name: file.get_tensor(name).float().numpy() for name in file.keys()}
        texts = file.metadata() or {}
    return Content(arrays, classes=class_names(texts))


def _pth(path: Path) -> Content:
    from googlenet.weights import checkpoints

    if zipfile.is_zipfile(path):
        _check_unpacked_size(path)
    content = checkpoints.load(path)
    arrays, notes = checkpoints.find_state_dict(content)
    return Content(arrays, classes=class_names(content), notes=tuple(notes))


def class_names(record: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """The names of classes that a checkpoint gives beside its tensors, or None.

    `classes`, `class_names` or `names` as a list or as a dict by number; `class_to_idx` as torchvision's
    ImageFolder has it; as JSON where they are text.
    """
    for key in ("classes", "class_names", "names", "idx_to_class", "class_to_idx"):
        found = record.get(key)
        if isinstance(found, str):
            with contextlib.suppress(ValueError):
                found = json.loads(found)
        if isinstance(found, Mapping) and key == "class_to_idx":
            found = {number: name for name, number in found.items()}
        if isinstance(found, Mapping):
            found = [found[number] for number in sorted(found, key=int)]
        if isinstance(found, list | tuple) and found and all(isinstance(name, str) for name in found):
            return tuple(found)
    return None


def _graph(path: Path) -> Arrays:
    content = _member(path, ".pb") if zipfile.is_zipfile(path) else path.read_bytes()
    if content is None:
        raise ValueError("no graph in the archive")
    return dict(_constants(_message("GraphDef").FromString(content)))


def _constants(graph: Any) -> Iterator[tuple[str, Array]]:
    """The constants of a graph that are floating-point and no scalars: its weights."""
    for node in graph.node:
        for attribute in node.attr if node.op == "Const" else ():
            tensor = attribute.value.tensor
            if attribute.key == "value" and tensor.dtype == _TENSORFLOW_FLOAT and tensor.tensor_shape.dim:
                shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
                if tensor.tensor_content:
                    yield node.name, np.frombuffer(tensor.tensor_content, dtype="<f4").reshape(shape)
                elif len(tensor.float_val) == 1:  # one value stands for all
                    yield node.name, np.broadcast_to(np.float32(tensor.float_val[0]), shape)
                else:
                    yield node.name, np.array(tensor.float_val, dtype=np.float32).reshape(shape)


def _member(path: Path, suffix: str) -> bytes | None:
    """The first file of a .zip whose name ends so."""
    _check_unpacked_size(path)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(suffix):
                return archive.read(name)
    return None


def _check_unpacked_size(path: Path) -> None:
    """Refuse an archive that would unpack to more than we read."""
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ValueError("the archive unpacks to too much")


@functools.cache
def _message(name: str) -> Any:
    """The class of a message, from `_MESSAGES`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    package = "googlenet.weights.readers"
    file = descriptor_pb2.FileDescriptorProto(name="foreign.proto", package=package, syntax="proto2")
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            single = kind.removesuffix("*")
            added = declared.field.add(name=field, number=number)
            added.label = added.LABEL_OPTIONAL if single == kind else added.LABEL_REPEATED
            if single in _MESSAGES:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{package}.{single}"
            else:
                added.type = getattr(added, f"TYPE_{single.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


_FORMATS: dict[str, tuple[Callable[[Path], Arrays | Content], str]] = {
    "pth": (_pth, "a PyTorch checkpoint with a state dict"),
    "safetensors": (_safetensors, "safetensors"),
    "onnx": (_onnx, "an ONNX model with its weights inside"),
    "caffemodel": (_caffemodel, "a trained Caffe network"),
    "graph": (_graph, "a frozen TensorFlow graph"),
    "npz": (_npz, "an .npz of plain arrays"),
}
