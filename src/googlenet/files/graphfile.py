"""What the network file of an export may refer to, checked before an engine opens it. No engine, no torch.

An engine trusts its files: it opens others that they name, and some malformed ones crash it. So a file
passes only if it is one flat graph, whose weights are in the file itself (ONNX) or in the one beside it
(OpenVINO), and whose numbers and edges make sense. ONNX Runtime refuses operators that do not fit; OpenVINO
crashes on some, so it is given only those listed here. The base install has no library for protocol
buffers; to read the fields of one takes forty lines.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from googlenet.base.errors import ModelFileError, one_line
from googlenet.files.checksum import read_bounded

MAX_GRAPH = 16_000_000  # bytes of OpenVINO's .xml; ours have 0.6 MB at most
_CURE = "it is no export of ours, or a damaged one; export the model again"


def check_graph(files: list[Path]) -> None:
    """Check the files that an engine would open: ONNX's one, or OpenVINO's .xml and .bin.

    Raises ModelFileError in one line for what no export of ours holds.
    """
    path = files[0]
    try:
        if path.suffix == ".onnx":
            _message("model", memoryview(read_bounded(path)))
        else:
            _openvino(read_bounded(path, limit=MAX_GRAPH), files[1].stat().st_size)
    except (ValueError, LookupError, TypeError, struct.error, RecursionError, SyntaxError) as error:
        raise ModelFileError(f"{path}: {one_line(error)}; {_CURE}") from error


# ONNX: a protocol buffer. Message -> number of a field -> the message in it, or "" for plain values. Left
# out, and so refused: data that lies in another file (`external_data`, `data_location`), graphs within
# graphs, functions, sparse tensors, training information.
_ONNX: dict[str, dict[int, str]] = {
    "model": {1: "", 2: "", 3: "", 4: "", 5: "", 6: "", 7: "graph", 8: "opset", 14: "text"},
    "graph": {1: "node", 2: "", 5: "tensor", 10: "", 11: "value", 12: "value", 13: "value", 16: "text"},
    "node": {1: "", 2: "", 3: "", 4: "", 5: "attribute", 6: "", 7: "", 9: "text"},
    "attribute": {1: "", 2: "", 3: "", 4: "", 5: "tensor", 7: "", 8: "", 9: "", 13: "", 20: ""},
    "tensor": {1: "", 2: "", 4: "", 5: "", 7: "", 8: "", 9: "", 10: "", 11: "", 12: "", 16: "text"},
    "value": {1: "", 2: "type", 3: "", 4: "text"},
    "type": {1: "tensor type", 6: ""},
    "tensor type": {1: "", 2: "shape"},
    "shape": {1: "dim"},
    "dim": {1: "", 2: "", 3: ""},
    "opset": {1: "", 2: ""},
    "text": {1: "", 2: ""},
}
_DOMAIN = ("node", 7)  # others than ONNX's own hold operators that open files, such as EPContext


def _message(kind: str, content: memoryview) -> None:
    """Check a message and those in it."""
    for number, value in _fields(content):
        if number not in _ONNX[kind]:
            raise ValueError(f"field {number} of a {kind} is none of a network that stands by itself")
        if (kind, number) == _DOMAIN and (domain := bytes(value or b"")) not in (b"", b"ai.onnx"):
            raise ValueError(f"operators of another domain, {str(domain[:60])[1:]}")
        if inner := _ONNX[kind][number]:
            if value is None:
                raise ValueError(f"field {number} of a {kind} holds no message")
            _message(inner, value)


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """(number, bytes) of each field of a message; None for a number."""
    position, end = 0, len(content)

    def varint() -> int:
        nonlocal position
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                raise ValueError("a message that ends in the middle of a number")
            byte = content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number that does not end")

    while position < end:
        key = varint()
        match key & 7:
            case 0:
                varint()
                length, value = 0, None
            case 1:
                length, value = 8, None
            case 5:
                length, value = 4, None
            case 2:
                length = varint()
                value = content[position : position + length]
            case wire:
                raise ValueError(f"wire type {wire}")
        position += length
        if position > end:
            raise ValueError("a message that ends in the middle of a field")
        yield key >> 3, value


# OpenVINO: XML. Element -> its parents, and the attributes without which OpenVINO would crash or guess.
_ELEMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "net": (("",), ("name", "version")),
    "layers": (("net",), ()),
    "layer": (("layers",), ("id", "name", "type", "version")),
    "data": (("layer",), ()),
    "input": (("layer",), ()),
    "output": (("layer",), ()),
    "port": (("input", "output"), ("id", "precision")),
    "dim": (("port",), ()),
    "edges": (("net",), ()),
    "edge": (("edges",), ("from-layer", "from-port", "to-layer", "to-port")),
}
# OpenVINO 2026.4 ends by SIGSEGV where Assign, ReadValue or an old Broadcast is in the place of a ReLU. Every
# export is opened when it is written, so a layer that a newer OpenVINO adds is refused there, and is to be
# added here.
_LAYERS = frozenset(
    "AdaptiveAvgPool Add AvgPool Clamp Concat Const Convert Convolution Divide FakeConvert FakeQuantize "
    "Floor Gather LRN MatMul MaxPool Maximum Minimum Multiply Pad Parameter Power ReLU ReduceMean Reshape "
    "Result ShapeOf Slice Split Sqrt Squeeze StridedSlice Subtract Transpose Unsqueeze VariadicSplit".split()
)
_BITS = {"f32": 32, "f16": 16, "bf16": 16, "f64": 64, "boolean": 8} | {
    f"{sign}{bits}": bits for sign in "iu" for bits in (8, 16, 32, 64)
}
_PRECISIONS = frozenset("FP32 FP16 BF16 FP64 BOOL I8 I16 I32 I64 U8 U16 U32 U64".split())
_WINDOW = ("strides", "dilations", "pads_begin", "pads_end", "kernel")
_LARGEST = 64  # of a window in pixels; ours have 7


def _openvino(content: bytes, weights: int) -> None:
    """Check an .xml, whose constants lie in so many bytes of weights."""
    if not content.startswith(b'<?xml version="1.0"?>') or b"<!" in content:
        raise ValueError("expected plain XML without entities")
    net = ElementTree.fromstring(content)
    _element(net, "")
    ports: dict[str, set[str]] = {}
    for layer in net.iterfind("layers/layer"):
        if ports.setdefault(layer.attrib["id"], set()):
            raise ValueError(f"two layers of number {layer.attrib['id'][:20]}")
        ports[layer.attrib["id"]] |= {port.attrib["id"] for port in layer.iter("port")}
        _layer(layer, weights)
    for edge in net.iterfind("edges/edge"):
        for end in ("from", "to"):
            if edge.attrib[f"{end}-port"] not in ports[edge.attrib[f"{end}-layer"]]:
                raise ValueError(f"an edge {end} nowhere")


def _element(element: ElementTree.Element, parent: str) -> None:
    """Check names, nesting and numbers of an element and those in it; `rt_info` is text for people."""
    if element.tag == "rt_info" and parent == "net":
        return
    parents, needed = _ELEMENTS[element.tag]
    if parent not in parents:
        raise ValueError(f"<{element.tag}> in <{parent}>")
    if missing := [name for name in needed if name not in element.attrib]:
        raise ValueError(f"<{element.tag}> without {missing[0]}")
    for name, value in element.attrib.items():
        if (name == "id" or element.tag == "edge") and not _whole(value):
            raise ValueError(f"{name} {value[:20]!r} is no number")
    if element.tag == "dim" and not (element.text == "-1" or _whole(element.text or "")):
        raise ValueError(f"dimension {str(element.text)[:20]!r}")
    if element.tag == "port" and element.attrib["precision"] not in _PRECISIONS:
        raise ValueError(f"unknown precision {element.attrib['precision'][:20]!r}")
    for child in element:
        _element(child, element.tag)


def _layer(layer: ElementTree.Element, weights: int) -> None:
    """Check that a layer is a listed one, its window of a sane size, its constants within the weights."""
    kind, data = layer.attrib["type"], layer.find("data")
    if kind not in _LAYERS or not layer.attrib["version"].startswith("opset"):
        raise ValueError(f"unknown layer {kind[:40]!r} of {layer.attrib['version'][:20]!r}")
    given = {} if data is None else data.attrib
    for name in _WINDOW:
        sides = [part.strip() for part in given.get(name, "0").split(",")]
        if not all(_whole(side) and int(side) <= _LARGEST for side in sides):
            raise ValueError(f"{name} {given[name][:40]!r}")
    if kind == "Const":
        shape = [int(part) for part in given["shape"].split(",") if part.strip()]
        offset, size = int(given["offset"]), int(given["size"])
        if min([offset, size, *shape]) < 0 or offset + size > weights:
            raise ValueError("a constant outside of the weights")
        if 8 * size != _BITS[given["element_type"]] * math.prod(shape):
            raise ValueError(f"a constant of {size} bytes for shape {shape}")


def _whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
