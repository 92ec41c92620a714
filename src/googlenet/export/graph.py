"""The network as an ONNX graph, written node by node: it holds what the engines need, and nothing else.

Sizes are fixed but for the batch, so paddings are numbers: no node computes a shape. Batch normalization
is folded into the convolutions, local response normalization is one node, and the weights keep their names.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from googlenet.architecture.dialects import Preprocessing
from googlenet.architecture.table1 import LAST_MAP
from googlenet.files.manifest import InputKind
from googlenet.files.metadata import ModelMetadata
from googlenet.nn.blocks import (
    ConvBlock,
    InceptionBlock,
    NaiveInceptionBlock,
    SameConv2d,
    SameMaxPool2d,
    same_padding,
)
from googlenet.nn.fuse import fold_batch_norm
from googlenet.nn.lrn import LocalResponseNorm
from googlenet.nn.members import same_weights
from googlenet.nn.model import GoogLeNet

OPSET, IR_VERSION = 13, 7  # of 2020: ONNX Runtime, OpenCV 4, onnxruntime-web and others read them
INPUT, LOGITS, MAPS, FEATURES = "images", "logits", "maps", "features"

Array = npt.NDArray[np.float32]


def network_graph(
    net: GoogLeNet,
    preprocessing: Preprocessing,
    *,
    input: InputKind = "uint8-nhwc",
    metadata: dict[str, str] | None = None,
    features: bool = False,
) -> onnx.ModelProto:
    """Build the graph of a network for inference, from pixels to logits, class maps and features.

    Logits are [N, classes]; the mean of a class's map [h, w] is its logit; features are the averages
    [N, channels] that the classifier reads. A network with a dense layer there has neither maps nor features.

    input     `uint8-nhwc`: RGB as decoded, [N, size, size, 3]; `float-nchw`: the same numbers, 0 to 255, as
              float32 [N, 3, size, size]. Both are normalized inside
    metadata  texts for the file's `metadata_props`
    features  end with the features, in place of all three
    """
    writer = _Writer()
    size = preprocessing.size
    pixels = writer.normalized(preprocessing, input)
    folded = fold_batch_norm(net)
    maps, side = writer.trunks(folded, pixels, size)
    if features:
        writer.features(maps)
        outputs: list[tuple[str, list[str | int]]] = [(FEATURES, ["batch", net.classifier.in_features])]
    else:
        outputs = writer.classifier(folded, maps, side)
    uint8 = input == "uint8-nhwc"
    shape: list[str | int] = ["batch", size, size, 3] if uint8 else ["batch", 3, size, size]
    graph = helper.make_graph(
        writer.nodes,
        "GoogLeNet",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8 if uint8 else TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in writer.weights.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="googlenet",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, metadata or {})
    return model


class _Made(NamedTuple):
    """A stage that has its nodes: what leaves it."""

    stage: nn.Module
    maps: str
    side: int


class _Writer:
    """Nodes and weights; every method takes the name of a tensor and returns that of another."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, npt.NDArray[Any]] = {}
        self._made: dict[tuple[str, str], _Made] = {}  # by the name of a stage and of the maps that arrive

    def node(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def weight(self, name: str, array: npt.NDArray[Any]) -> str:
        self.weights[name] = array
        return name

    def normalized(self, preprocessing: Preprocessing, input: InputKind) -> str:
        """Pixels as the network takes them, float32 [N, 3, size, size]."""
        x = INPUT
        if input == "uint8-nhwc":
            x = self.node("Cast", "pixels", x, to=TensorProto.FLOAT)
            x = self.node("Transpose", "nchw", x, perm=(0, 3, 1, 2))
        x = self.node(
            "Sub", "centered", x, self.weight("mean", _channels(255 * np.array(preprocessing.mean)))
        )
        deviation = 255 * np.array(preprocessing.std)
        if np.allclose(deviation, 1, rtol=1e-9):
            return x
        return self.node("Mul", "normalized", x, self.weight("scale", _channels(1 / deviation)))

    def trunks(self, net: GoogLeNet, x: str, side: int) -> tuple[str, int]:
        """All networks side by side; returns the maps that the classifier reads, and their side."""
        maps, after = self.trunk(net.trunk, net.reads, "trunk", "", x, side)
        others = [
            self.trunk(trunk, net.reads, f"others.{number}", f".{number + 2}", x, side)[0]
            for number, trunk in enumerate(net.others)
        ]
        return self.node("Concat", "members", maps, *others, axis=1) if others else maps, after

    def trunk(
        self, trunk: Any, reads: Sequence[str], parameters: str, ending: str, x: str, side: int
    ) -> tuple[str, int]:
        """All stages of one, but for those that one before has with the same weights.

        ending  of the names of its stages
        """
        leaving = {}
        for name, stage in trunk.named_children():
            made = self._made.get((name, x))
            if made is not None and same_weights(made.stage, stage):
                x, side = made.maps, made.side
            else:
                arriving = x
                x, side = self.stage(stage, f"{parameters}.{name}", name + ending, x, side)
                self._made.setdefault((name, arriving), _Made(stage, x, side))
            leaving[name] = x, side
        if len(reads) == 1:
            return x, side
        gathered = [self.averaged(*leaving[name], side, name=f"avgpool_{name}{ending}") for name in reads]
        return self.node("Concat", f"read{ending}", *gathered, axis=1), side

    def stage(self, stage: Any, weights: str, name: str, x: str, side: int) -> tuple[str, int]:
        """A row of the table; returns its maps and their side."""
        match stage:
            case ConvBlock():
                return self.block(stage, weights, name, x, side)
            case InceptionBlock():
                return self.inception(stage, weights, name, x, side), side
            case NaiveInceptionBlock():
                return self.naive(stage, weights, name, x, side), side
            case LocalResponseNorm(size=size, alpha=alpha, beta=beta, k=k):
                return self.node("LRN", name, x, size=size, alpha=alpha, beta=beta, bias=k), side
            case nn.MaxPool2d() | SameMaxPool2d():
                return self.pool(stage, name, x, side)
            case _:
                raise TypeError(f"no ONNX nodes for {stage}")

    def inception(self, module: InceptionBlock, weights: str, stage: str, x: str, side: int) -> str:
        """The module of Figure 2(b)."""
        named = dict(module.named_children())

        def block(part: str, x: str) -> str:
            name = f"{stage}/{part.removeprefix('n')}"
            return self.block(named[part], f"{weights}.{part}", name, x, side)[0]

        pooled, _ = self.pool(module.pool, f"{stage}/pool", x, side)
        leaving = (
            block("n1x1", x),
            block("n3x3", block("n3x3_reduce", x)),
            block("n5x5", block("n5x5_reduce", x)),
            block("pool_proj", pooled),
        )
        return self.node("Concat", stage, *leaving, axis=1)

    def naive(self, module: NaiveInceptionBlock, weights: str, stage: str, x: str, side: int) -> str:
        """The module of Figure 2(a)."""
        convs = [
            self.block(getattr(module, part), f"{weights}.{part}", f"{stage}/{part[1:]}", x, side)[0]
            for part in ("n1x1", "n3x3", "n5x5")
        ]
        pooled, _ = self.pool(module.pool, f"{stage}/pool", x, side)
        return self.node("Concat", stage, *convs, pooled, axis=1)

    def block(self, block: Any, parameters: str, name: str, x: str, side: int) -> tuple[str, int]:
        """A convolution and its ReLU; returns the maps and their side."""
        conv = block.conv
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        if isinstance(conv, SameConv2d):
            begin, end = same_padding(side, kernel, stride)
        else:
            begin = end = conv.padding[0]
        x = self.node(
            "Conv",
            f"{name}:pre_relu",
            x,
            self.weight(f"{parameters}.conv.weight", _array(conv.weight)),
            self.weight(f"{parameters}.conv.bias", _array(conv.bias)),
            kernel_shape=(kernel, kernel),
            strides=(stride, stride),
            pads=(begin, begin, end, end),
        )
        return self.node("Relu", name, x), (side + begin + end - kernel) // stride + 1

    def pool(self, pool: Any, name: str, x: str, side: int) -> tuple[str, int]:
        """Maximum over windows; what is padded never wins. Returns the maps and their side."""
        if isinstance(pool, SameMaxPool2d):
            begin, end = same_padding(side, pool.kernel, pool.stride)
            kernel, stride = pool.kernel, pool.stride
        else:
            kernel, stride, begin = pool.kernel_size, pool.stride, pool.padding
            windows = (math.ceil if pool.ceil_mode else math.floor)((side + 2 * begin - kernel) / stride) + 1
            end = max(begin if not pool.ceil_mode else 0, (windows - 1) * stride + kernel - side - begin)
        x = self.node(
            "MaxPool",
            name,
            x,
            kernel_shape=(kernel, kernel),
            strides=(stride, stride),
            pads=(begin, begin, end, end),
        )
        return x, (side + begin + end - kernel) // stride + 1

    def classifier(self, net: GoogLeNet, maps: str, side: int) -> list[tuple[str, list[str | int]]]:
        """Logits, and class maps where only an average lies between; returns outputs and their shapes."""
        weight, bias = _array(net.classifier.weight), _array(net.classifier.bias)
        logits: tuple[str, list[str | int]] = (LOGITS, ["batch", len(bias)])
        if net.dialect.dense is not None:
            hidden = self.dense(net.hidden[0], self.averaged(maps, side, LAST_MAP, name="avgpool"))
            self.node("Gemm", LOGITS, hidden, *self._parameters("classifier", weight, bias), transB=1)
            return [logits]
        parameters = self._parameters("classifier", weight[:, :, None, None], bias)
        self.node("Conv", MAPS, maps, *parameters, kernel_shape=(1, 1))
        averaged = self.features(maps)
        matrix = self.node(
            "Flatten", "classifier", parameters[0], axis=1
        )  # the same weights, once in the file
        self.node("Gemm", LOGITS, averaged, matrix, parameters[1], transB=1)
        maps_shape: list[str | int] = ["batch", len(bias), side, side]
        return [logits, (MAPS, maps_shape), (FEATURES, ["batch", net.classifier.in_features])]

    def features(self, maps: str) -> str:
        """The average of each map."""
        return self.node("Flatten", FEATURES, self.node("GlobalAveragePool", "avgpool", maps), axis=1)

    def averaged(self, maps: str, side: int, wanted: int, *, name: str) -> str:
        """Maps brought to another side as PyTorch's adaptive average does."""
        if side == wanted:
            return maps
        if side % wanted == 0:
            step = side // wanted
            return self.node("AveragePool", name, maps, kernel_shape=(step, step), strides=(step, step))
        windows = np.zeros((wanted, side), np.float32)  # that overlap: as the rows of a matrix
        for row, line in enumerate(windows):
            window = slice(row * side // wanted, -(-(row + 1) * side // wanted))
            line[window] = 1 / (window.stop - window.start)
        rows = self.node("MatMul", f"{name}/rows", self.weight(f"{name}.rows", windows), maps)
        return self.node("MatMul", name, rows, self.weight(f"{name}.columns", windows.T.copy()))

    def dense(self, layer: Any, maps: str) -> str:
        """The dense layer behind flattened maps, of the dialect `dense`."""
        parameters = self._parameters("hidden.0", _array(layer.weight), _array(layer.bias))
        flat = self.node("Flatten", "flatten", maps, axis=1)
        return self.node("Relu", "hidden", self.node("Gemm", "hidden:pre_relu", flat, *parameters, transB=1))

    def _parameters(self, name: str, weight: Array, bias: Array) -> tuple[str, str]:
        return self.weight(f"{name}.weight", weight), self.weight(f"{name}.bias", bias)


def _array(parameter: Any) -> Array:
    return np.ascontiguousarray(parameter.detach().cpu().numpy())


def _channels(values: npt.NDArray[np.float64]) -> Array:
    return values.astype(np.float32).reshape(1, 3, 1, 1)


def model_texts(card: ModelMetadata, *, input: InputKind) -> dict[str, str]:
    """What a file says of itself in `metadata_props`: for people and other programs, and whole for ours.

    names       a Python dict of class numbers and names, as Ultralytics writes it
    imgsz       [height, width]
    input       how pixels arrive
    temperature what the logits are to be divided by before a softmax
    googlenet   all metadata, as JSON
    """
    size = card.preprocessing.size
    pixels = (
        "uint8 [N, height, width, 3], RGB, 0 to 255"
        if input == "uint8-nhwc"
        else ("float32 [N, 3, height, width], RGB, 0 to 255")
    )
    return {
        "description": f"GoogLeNet (Inception V1), dialect {card.dialect}",
        "task": "classify",
        "names": str(dict(enumerate(card.classes))),
        "imgsz": str([size, size]),
        "channels": "3",
        "input": f"{pixels}; normalized inside the model",
        "temperature": repr(card.temperature),
        "googlenet": json.dumps({**card.as_header(), "input": input}),
    }
