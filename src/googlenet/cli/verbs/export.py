"""`googlenet export`."""

from pathlib import Path
from typing import Literal

from googlenet.cli.common import Model, need
from googlenet.files.modelfile import model_path
from googlenet.files.runfolder import data_of_run


def export(
    model: Model,
    /,
    *,
    out: Path,
    to: Literal["openvino", "onnx", "int8"] | None = None,
    calibrate: str | None = None,
    input: Literal["uint8-nhwc", "float-nchw"] = "uint8-nhwc",
    accept_loss: bool = False,
    force: bool = False,
) -> int:
    """Export a model for a fast engine that needs no torch, and verify that the outputs match.

    Example: googlenet export runs/photos --out photos-export

    Args:
        model: a run folder or a model.safetensors
        out: the folder to create
        to: openvino or onnx in float32, or int8 for OpenVINO; by default int8 if it passes its checks
        calibrate: photos for int8 calibration and, others of them, for the verification: a data set or any
            folder of photos; by default the data of the run
        input: RGB pixels from 0 to 255 as uint8 [N, H, W, 3], or as float32 [N, 3, H, W] for programs that
            expect it; both are normalized inside
        accept_loss: keep int8 even if it loses accuracy, or differs where the model is sure, or calibrate
            it on fewer than 20 photos
        force: replace the export at --out
    """
    model_path(model)
    need("torch", "onnx", extra="train")
    from googlenet.cli import tables
    from googlenet.export.export import export as write

    own, labels = data_of_run(model)
    manifest = write(
        model,
        out,
        to=to,
        calibrate=calibrate,
        training_data=own,
        labels=labels,
        input=input,
        accept_loss=accept_loss,
        force=force,
    )
    print(f"{out}: {tables.format_export(manifest)}")
    return 0
