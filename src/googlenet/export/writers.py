"""A network's graph in the file formats of OpenVINO and ONNX."""

import re
import tempfile
from pathlib import Path
from typing import Any

import onnx

from googlenet.base.errors import WriteError, one_line
from googlenet.files.atomic import atomic_write
from googlenet.files.manifest import InputKind
from googlenet.images.decode import Pixels
from googlenet.inference.engines import TELEMETRY, engine_input, hidden_modules


def write_onnx(graph: onnx.ModelProto, path: Path) -> None:
    """Write a graph as one ONNX file in float32.

    Raises WriteError.
    """
    onnx.checker.check_model(graph, full_check=True)
    atomic_write(path, graph.SerializeToString(deterministic=True))


def write_openvino(
    graph: onnx.ModelProto, path: Path, *, calibration: Pixels | None = None, input: InputKind = "uint8-nhwc"
) -> None:
    """Write a graph as OpenVINO's two files.

    calibration  images uint8 [N, size, size, 3] to quantize to int8 with; None for float32
    input        how the graph takes them
    raises       WriteError
    """
    network, ov = read_by_openvino(graph)
    with hidden_modules(TELEMETRY):
        notes = network.inputs[0].get_node().get_rt_info()  # for programs of before 2022
        for name in list(notes.keys()):
            del notes[name]
        if calibration is not None:
            network = _quantize(network, [engine_input(image[None], input) for image in calibration])
        try:
            ov.save_model(network, path, compress_to_fp16=False)
        except RuntimeError as error:  # what it raises where the disk is full
            raise WriteError(f"{path.parent}: could not write the network: {one_line(error)}") from error


def read_by_openvino(graph: onnx.ModelProto) -> tuple[Any, Any]:
    """A graph as OpenVINO has it, and OpenVINO."""
    with hidden_modules(TELEMETRY):
        import openvino as ov
        from openvino.tools.ovc import convert_model

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            file.write_bytes(graph.SerializeToString())
            return convert_model(file), ov


# What stays in floating point beside local response normalization: through a maximum pool behind it its
# output would be rounded before it is pooled, four times the work; and the 1x1 convolution behind the first
# costs less in bfloat16 than rounding its input. Accuracy is the same without either (LOG.md).
_BESIDE_LRN = ("conv2_reduce", "pool2")


def _quantize(network: Any, images: list[Any]) -> Any:
    """Quantize weights and activations to int8 with NNCF, with the ranges seen on real images."""
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(40)  # errors
    parameters = nncf.AdvancedQuantizationParameters(
        # Processors without VNNI add two products in 16 bits, which overflow; with weights of half the
        # range they do not, and every machine gives the same labels.
        overflow_fix=nncf.OverflowFix.ENABLE,
        # The whole range of each activation: its mean, NNCF's default, cuts off unusual photos (LOG.md).
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
    )
    names = [op.get_friendly_name() for op in network.get_ops() if op.get_type_name() != "Constant"]
    normalized = any(op.get_type_name() == "LRN" for op in network.get_ops())
    beside = [name for name in names if re.split("[:/.]", name)[0] in _BESIDE_LRN] if normalized else []
    return nncf.quantize(
        network,
        nncf.Dataset(images),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(types=["LRN"], names=beside, validate=False),
        advanced_parameters=parameters,
    )
