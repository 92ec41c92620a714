"""A network in the file formats of OpenVINO and ONNX."""

import warnings
from pathlib import Path
from typing import Any

import torch

from googlenet.base.errors import WriteError, one_line
from googlenet.images.decode import Pixels
from googlenet.inference.engines import TELEMETRY, hidden_modules


def write_openvino(model: torch.nn.Module, path: Path, *, size: int, calibration: Pixels | None) -> None:
    """Write a network as OpenVINO's two files: uint8 [N, size, size, 3] to logits and class maps.

    calibration  images [N, size, size, 3] to quantize to int8 with; None for float32
    """
    with hidden_modules(TELEMETRY), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of the constants that normalization is meant to have
        import openvino as ov
        from openvino.tools.ovc import convert_model

        network = convert_model(model, example_input=torch.zeros(1, size, size, 3, dtype=torch.uint8))
        network.reshape([-1, size, size, 3])
        for output, name in zip(network.outputs, ("logits", "maps"), strict=False):
            output.get_tensor().set_names({name})
        if calibration is not None:
            network = _quantize(network, calibration)
        try:
            ov.save_model(network, path, compress_to_fp16=False)
        except RuntimeError as error:  # what it raises where the disk is full
            raise WriteError(f"{path.parent}: could not write the network: {one_line(error)}") from error


def _quantize(network: Any, images: Pixels) -> Any:
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
    data = nncf.Dataset([image[None] for image in images])
    return nncf.quantize(network, data, subset_size=len(images), advanced_parameters=parameters)


def write_onnx(model: torch.nn.Module, path: Path, *, size: int, maps: bool) -> None:
    """Write a network as one ONNX file in float32: uint8 [N, size, size, 3] to logits, and to class maps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
            input_names=["images"],
            output_names=["logits", "maps"] if maps else ["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    for part in (program.model.graph, *program.model.graph):
        part.metadata_props.clear()  # paths and lines of our source on this machine
    program.save(path, external_data=False)
