"""The ONNX graph against the network in torch: every dialect, size and input; nothing superfluous in it."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from googlenet.architecture.dialects import DIALECTS, Preprocessing
from googlenet.export.graph import network_graph
from googlenet.inference.engines import engine_input
from googlenet.nn.model import GoogLeNet, network_input
from helpers.models import liven

DIALECT_NAMES = (*DIALECTS, "bn-stem4", "bvlc+4c+4e+5a", "slim+3a+4e")
KINDS = {
    "Cast",
    "Transpose",
    "Sub",
    "Mul",
    "Conv",
    "Relu",
    "MaxPool",
    "Concat",
    "GlobalAveragePool",
    "Flatten",
    "Gemm",
}


def lively(dialect: str) -> GoogLeNet:
    return liven(GoogLeNet(7, dialect_name=dialect)).eval()


def run(graph: onnx.ModelProto, images: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    return session.run(None, {"images": images})


@pytest.mark.parametrize("size", [96, 107])
@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_the_same_function(dialect: str, size: int) -> None:
    net, preprocessing = lively(dialect), Preprocessing(size=size, std=(0.5, 0.4, 0.3))
    images = np.random.default_rng(size).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = net(network_input(torch.from_numpy(images), preprocessing)).numpy()
    assert expected.std() > 0.1
    graph = network_graph(net, preprocessing)
    onnx.checker.check_model(graph, full_check=True)
    found, *others = run(graph, images)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert len(others) == (0 if dialect == "dense" else 2)
    if others:
        maps, features = others
        assert np.abs(maps.mean((2, 3)) - expected).max() <= 1e-5 * np.abs(expected).max()
        weight, bias = (part.detach().numpy() for part in net.classifier.parameters())
        assert np.abs(features @ weight.T + bias - expected).max() <= 1e-5 * np.abs(expected).max()


def test_pixels_as_float_nchw() -> None:
    net, preprocessing = lively("bn"), Preprocessing(size=96)
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    plain = run(network_graph(net, preprocessing), images)
    floats = network_graph(net, preprocessing, input="float-nchw")
    for one, other in zip(plain, run(floats, engine_input(images, "float-nchw")), strict=True):
        assert np.abs(one - other).max() <= 1e-5 * np.abs(one).max()


@pytest.mark.parametrize("dialect", ["bn", "bvlc", "inception5h"])
def test_nothing_superfluous_is_in_it(dialect: str) -> None:
    graph = network_graph(lively(dialect), DIALECTS[dialect].preprocessing).graph
    kinds = Counter(node.op_type for node in graph.node)
    assert set(kinds) <= KINDS | ({"LRN"} if dialect != "bn" else set())
    assert kinds["Conv"] == 3 + 9 * 6 + 1  # the stem, the modules, and the maps
    assert kinds["LRN"] == (2 if dialect != "bn" else 0)
    assert kinds["Mul"] == (dialect == "bn")  # the others take pixels from 0 to 255, less a mean
    assert {array.name for array in graph.initializer} >= {"trunk.inception_3a.n5x5_reduce.conv.weight"}
