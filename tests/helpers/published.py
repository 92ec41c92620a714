"""Published files with random weights, written from a table and an encoder of their own.

Nothing here comes from the package: widths and names stand as their publishers wrote them.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Layers = dict[str, tuple[Array, Array]]  # weight (OIHW or [out, in]) and bias

#               1x1  3x3r  3x3  5x5r  5x5  pool
PAPER = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
RELEASED = PAPER | {"4a": (192, 96, 204, 16, 48, 64), "5a": (256, 160, 320, 48, 128, 128)}
BRANCHES = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool")
HEADS = {"4a": "aux1", "4d": "aux2"}


def random_layers(
    widths: dict[str, tuple[int, ...]], *, five: int = 5, classes: int = 1000, seed: int = 0
) -> Layers:
    """He weights and small biases for the whole network, by neutral names such as `3a/5x5_reduce`."""
    random = np.random.default_rng(seed)

    def he(*shape: int) -> tuple[Array, Array]:
        deviation = (2 / np.prod(shape[1:])) ** 0.5
        bias = random.normal(0, 0.2, shape[0]).astype(np.float32)
        return random.standard_normal(shape, np.float32) * np.float32(deviation), bias

    layers = {"conv1": he(64, 3, 7, 7), "conv2_reduce": he(64, 64, 1, 1), "conv2": he(192, 64, 3, 3)}
    channels = 192
    for stage, (n1, r3, n3, r5, n5, pool) in widths.items():
        shapes = (
            (n1, channels, 1, 1),
            (r3, channels, 1, 1),
            (n3, r3, 3, 3),
            (r5, channels, 1, 1),
            (n5, r5, five, five),
            (pool, channels, 1, 1),
        )
        layers |= {f"{stage}/{name}": he(*shape) for name, shape in zip(BRANCHES, shapes, strict=True)}
        channels = n1 + n3 + n5 + pool
        if stage in HEADS:
            head = HEADS[stage]
            layers[f"{head}/conv"] = he(128, channels, 1, 1)
            layers |= {f"{head}/hidden": he(1024, 2048), f"{head}/classifier": he(classes, 1024)}
    layers["classifier"] = he(classes, 1024)
    return layers


# Protocol buffers on the wire.


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes | str | int | float) -> bytes:
    match value:
        case float():
            return varint(number << 3 | 5) + struct.pack("<f", value)
        case int():
            return varint(number << 3) + varint(value % (1 << 64))
        case _:
            content = value.encode() if isinstance(value, str) else value
            return varint(number << 3 | 2) + varint(len(content)) + content


# Caffe.


def caffe_name(layer: str) -> str:
    """What BVLC's network calls a layer."""
    stem = {"conv1": "conv1/7x7_s2", "conv2_reduce": "conv2/3x3_reduce", "conv2": "conv2/3x3"}
    stem["classifier"] = "loss3/classifier"
    if layer in stem:
        return stem[layer]
    first, last = layer.split("/")
    if first in HEADS.values():
        return f"loss{first[-1]}/{ {'conv': 'conv', 'hidden': 'fc', 'classifier': 'classifier'}[last] }"
    return f"inception_{first}/{'pool_proj' if last == 'pool' else last}"


def caffemodel(layers: Layers, *, old: bool = False) -> bytes:
    """A trained network: the `layer` list of today, or the `layers` list of 2014 with its 4-D shapes."""
    parts = [field(1, "GoogLeNet")]
    for layer, (weight, bias) in layers.items():
        blobs = b"".join(field(6 if old else 7, _blob(array, old=old)) for array in (weight, bias))
        if old:
            kind = field(5, 4 if weight.ndim == 4 else 14)  # CONVOLUTION, INNER_PRODUCT
            parts.append(field(2, field(4, caffe_name(layer)) + kind + blobs))
        else:
            kind = field(2, "Convolution" if weight.ndim == 4 else "InnerProduct")
            parts.append(field(100, field(1, caffe_name(layer)) + kind + blobs))
    return b"".join(parts)


def zoo_model(layers: Layers) -> bytes:
    """The ONNX model zoo's GoogLeNet: BVLC's weights by way of Caffe2; no heads, and here no graph."""
    main = {name: pair for name, pair in layers.items() if not name.startswith("aux")}
    tensors = b"".join(
        field(5, _onnx_tensor(f"{caffe_name(layer)}_{part}_0", array, raw=part == "w"))
        for layer, pair in main.items()
        for part, array in zip("wb", pair, strict=True)
    )
    return field(1, 3) + field(7, field(2, "bvlc_googlenet") + tensors)


def _onnx_tensor(name: str, array: Array, *, raw: bool) -> bytes:
    values = array.astype("<f4").tobytes()
    dims = b"".join(field(1, side) for side in array.shape)
    return dims + field(2, 1) + field(9 if raw else 4, values) + field(8, name)


def _blob(array: Array, *, old: bool) -> bytes:
    data = field(5, array.astype("<f4").tobytes())
    if old:
        shape = (1,) * (4 - array.ndim) + array.shape
        return b"".join(field(number, size) for number, size in enumerate(shape, start=1)) + data
    return field(7, field(1, b"".join(map(varint, array.shape)))) + data


def prototxt(*, classes: int = 1000, lrn: bool = True) -> str:
    """BVLC's network without dropout, both heads included, for an engine that reads it."""
    text = ['input: "data" input_dim: 1 input_dim: 3 input_dim: 224 input_dim: 224']

    def layer(kind: str, name: str, bottoms: list[str], parameters: str = "", top: str = "") -> str:
        into = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        text.append(f'layer {{ name: "{name}" type: "{kind}" {into} top: "{top or name}" {parameters} }}')
        return top or name

    def relu(name: str) -> str:
        return layer("ReLU", f"{name}/relu", [name], top=name)

    def conv(name: str, bottom: str, out: int, kernel: int = 1, stride: int = 1) -> str:
        shape = f"num_output: {out} kernel_size: {kernel} stride: {stride} pad: {kernel // 2}"
        return relu(layer("Convolution", name, [bottom], f"convolution_param {{ {shape} }}"))

    def pool(name: str, bottom: str, kernel: int, stride: int, pad: int = 0, kind: str = "MAX") -> str:
        shape = f"pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad}"
        return layer("Pooling", name, [bottom], f"pooling_param {{ {shape} }}")

    def norm(name: str, bottom: str) -> str:
        constants = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
        return layer("LRN", name, [bottom], constants) if lrn else bottom

    def dense(name: str, bottom: str, out: int) -> str:
        return layer("InnerProduct", name, [bottom], f"inner_product_param {{ num_output: {out} }}")

    x = norm("pool1/norm1", pool("pool1/3x3_s2", conv("conv1/7x7_s2", "data", 64, 7, 2), 3, 2))
    x = conv("conv2/3x3", conv("conv2/3x3_reduce", x, 64), 192, 3)
    x = pool("pool2/3x3_s2", norm("conv2/norm2", x), 3, 2)
    for stage, (n1, r3, n3, r5, n5, proj) in PAPER.items():
        name = f"inception_{stage}"
        branches = [
            conv(f"{name}/1x1", x, n1),
            conv(f"{name}/3x3", conv(f"{name}/3x3_reduce", x, r3), n3, 3),
            conv(f"{name}/5x5", conv(f"{name}/5x5_reduce", x, r5), n5, 5),
            conv(f"{name}/pool_proj", pool(f"{name}/pool", x, 3, 1, 1), proj),
        ]
        x = layer("Concat", f"{name}/output", branches)
        if stage in HEADS:
            head = f"loss{HEADS[stage][-1]}"
            y = conv(f"{head}/conv", pool(f"{head}/ave_pool", x, 5, 3, kind="AVE"), 128)
            dense(f"{head}/classifier", relu(dense(f"{head}/fc", y, 1024)), classes)
        if stage in ("3b", "4e"):
            x = pool(f"pool{int(stage[0])}/3x3_s2", x, 3, 2)
    dense("loss3/classifier", pool("pool5/7x7_s1", x, 7, 1, kind="AVE"), classes)
    return "\n".join(text)


# TensorFlow: the graph of 2015.


def tensorflow_name(layer: str) -> str:
    """What inception5h calls a layer."""
    stem = {"conv1": "conv2d0", "conv2_reduce": "conv2d1", "conv2": "conv2d2", "classifier": "softmax2"}
    if layer in stem:
        return stem[layer]
    first, last = layer.split("/")
    if first in HEADS.values():
        number = int(first[-1]) - 1
        return {
            "conv": f"head{number}_bottleneck",
            "hidden": f"nn{number}",
            "classifier": f"softmax{number}",
        }[last]
    renamed = {"3x3_reduce": "3x3_bottleneck", "5x5_reduce": "5x5_bottleneck", "pool": "pool_reduce"}
    return f"mixed{first}_{renamed.get(last, last)}"


def tensorflow_variables(layers: Layers) -> dict[str, Array]:
    """Weights in TensorFlow's order of axes. A head's dense layer reads maps flattened as NHWC."""
    found: dict[str, Array] = {}
    for layer, (weight, bias) in layers.items():
        name = tensorflow_name(layer)
        if layer.endswith("/hidden"):  # [1024, 2048] over c, h, w -> over h, w, c
            weight = weight.reshape(1024, 128, 4, 4).transpose(0, 2, 3, 1).reshape(1024, 2048)
        found[f"{name}_w"] = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        found[f"{name}_b"] = bias
    return found


class Graph:
    """A frozen graph that grows node by node."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def node(self, op: str, name: str, inputs: list[str], **attributes: bytes) -> str:
        body = field(1, name) + field(2, op) + b"".join(field(3, source) for source in inputs)
        for key, value in (attributes | {"T": field(6, 1)}).items():
            body += field(5, field(1, key) + field(2, value))
        self.parts.append(field(1, body))
        return name

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        """Weights as packed bytes, integers as repeated values, as the released graph has both."""
        dims = b"".join(field(2, field(1, size)) for size in array.shape)
        if array.dtype == np.float32:
            kind, content = 1, field(4, np.ascontiguousarray(array).astype("<f4").tobytes())
        else:
            kind, content = 3, b"".join(field(7, int(value)) for value in array.ravel())
        tensor = field(1, kind) + field(2, dims) + content
        return self.node("Const", name, [], value=field(8, tensor), dtype=field(6, kind))


def integers(*values: int) -> bytes:
    return field(1, b"".join(field(3, value) for value in values))


def frozen_graph(layers: Layers) -> bytes:
    """Google's released graph, both heads included."""
    graph = Graph()
    for name, array in tensorflow_variables(layers).items():
        graph.constant(name, array)
    graph.node("Placeholder", "input", [], dtype=field(6, 1))

    def biased(op: str, name: str, bottom: str, **attributes: bytes) -> str:
        product = graph.node(op, f"{name}_pre_relu/{op.lower()}", [bottom, f"{name}_w"], **attributes)
        return graph.node("BiasAdd", f"{name}_pre_relu", [product, f"{name}_b"])

    def conv(name: str, bottom: str, stride: int = 1) -> str:
        strides = integers(1, stride, stride, 1)
        return graph.node(
            "Relu", name, [biased("Conv2D", name, bottom, strides=strides, padding=field(2, "SAME"))]
        )

    def pool(name: str, bottom: str, kernel: int, stride: int, op: str = "MaxPool") -> str:
        shape = {"ksize": integers(1, kernel, kernel, 1), "strides": integers(1, stride, stride, 1)}
        padding = field(2, "SAME" if op == "MaxPool" else "VALID")
        return graph.node(op, name, [bottom], padding=padding, **shape)

    def norm(name: str, bottom: str) -> str:
        constants = {"bias": field(4, 2.0), "alpha": field(4, 1e-4), "beta": field(4, 0.5)}
        return graph.node("LRN", name, [bottom], depth_radius=field(3, 5), **constants)

    def flat(name: str, bottom: str, length: int) -> str:
        shape = graph.constant(f"{name}/reshape/shape", np.array([-1, length], np.int32))
        return graph.node("Reshape", f"{name}/reshape", [bottom, shape])

    def dense(name: str, bottom: str) -> str:
        return biased("MatMul", name, bottom)

    x = norm("localresponsenorm0", pool("maxpool0", conv("conv2d0", "input", 2), 3, 2))
    x = norm("localresponsenorm1", conv("conv2d2", conv("conv2d1", x)))
    x = pool("maxpool1", x, 3, 2)
    for stage in RELEASED:
        name = f"mixed{stage}"
        branches = [
            conv(f"{name}_1x1", x),
            conv(f"{name}_3x3", conv(f"{name}_3x3_bottleneck", x)),
            conv(f"{name}_5x5", conv(f"{name}_5x5_bottleneck", x)),
            conv(f"{name}_pool_reduce", pool(f"{name}_pool", x, 3, 1)),
        ]
        axis = graph.constant(f"{name}/concat_dim", np.array(3, np.int32))
        x = graph.node("Concat", name, [axis, *branches], N=field(3, 4))
        if stage in HEADS:
            number = int(HEADS[stage][-1]) - 1
            y = conv(f"head{number}_bottleneck", pool(f"head{number}_pool", x, 5, 3, "AvgPool"))
            y = graph.node("Relu", f"nn{number}", [dense(f"nn{number}", flat(f"nn{number}", y, 2048))])
            dense(f"softmax{number}", y)
        if stage in ("3b", "4e"):
            x = pool({"3b": "maxpool4", "4e": "maxpool10"}[stage], x, 3, 2)
    x = flat("avgpool0", pool("avgpool0", x, 7, 1, "AvgPool"), 1024)
    graph.node("Softmax", "softmax2", [dense("softmax2", x)])
    return b"".join(graph.parts)


# TF-slim's variables.


def slim_variables(layers: Layers, *, seed: int = 1) -> dict[str, Array]:
    """The variables of `inception_v1`: no scale in batch normalization, no heads, 1,001 outputs."""
    random = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for name, layer in slim_layers():
        weight, bias = layers[layer]
        found[f"{name}/weights"] = weight.transpose(2, 3, 1, 0)
        found[f"{name}/BatchNorm/beta"] = bias
        found[f"{name}/BatchNorm/moving_mean"] = random.normal(0, 0.2, bias.shape).astype(np.float32)
        found[f"{name}/BatchNorm/moving_variance"] = random.uniform(0.7, 1.3, bias.shape).astype(np.float32)
    weight, bias = layers["classifier"]
    logits = "InceptionV1/Logits/Conv2d_0c_1x1"
    return found | {f"{logits}/weights": weight.T[None, None], f"{logits}/biases": bias}


def slim_layers() -> Iterator[tuple[str, str]]:
    """Slim's names of the convolutions, beside the neutral ones."""
    yield "InceptionV1/Conv2d_1a_7x7", "conv1"
    yield "InceptionV1/Conv2d_2b_1x1", "conv2_reduce"
    yield "InceptionV1/Conv2d_2c_3x3", "conv2"
    mixed = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
    for stage, letter in zip(PAPER, mixed, strict=True):
        module = f"InceptionV1/Mixed_{letter}"
        yield f"{module}/Branch_0/Conv2d_0a_1x1", f"{stage}/1x1"
        yield f"{module}/Branch_1/Conv2d_0a_1x1", f"{stage}/3x3_reduce"
        yield f"{module}/Branch_1/Conv2d_0b_3x3", f"{stage}/3x3"
        yield f"{module}/Branch_2/Conv2d_0a_1x1", f"{stage}/5x5_reduce"
        yield f"{module}/Branch_2/Conv2d_{'0a' if letter == '5b' else '0b'}_3x3", f"{stage}/5x5"
        yield f"{module}/Branch_3/Conv2d_0b_1x1", f"{stage}/pool"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def renamed_layer(content: bytes, old: str, new: str) -> bytes:
    """A trained network with a layer under another name, by the same encoding."""
    out, position = b"", 0
    while position < len(content):
        key, after = _varint_at(content, position)
        length, start = _varint_at(content, after)
        inner = content[start : start + length]
        if key >> 3 == 100 and inner.startswith(field(1, old)):
            inner = field(1, new) + inner.removeprefix(field(1, old))
        out += field(key >> 3, inner)
        position = start + length
    return out


def _varint_at(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
