"""A trained network as files for an engine, and the proof that they say the same.

The files are written beside their place, opened by `runtime`, compared with torch on real images, and
moved to their place only if they pass.
"""

import contextlib
import math
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from googlenet.architecture.dialects import dialect
from googlenet.base.errors import MissingExtraError, ModelFileError, WriteError, one_line
from googlenet.base.platform import fsync
from googlenet.base.progress import echo
from googlenet.export.calibration_data import Samples, gather
from googlenet.files.checksum import file_digest
from googlenet.files.manifest import FILES, Manifest
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import model_path
from googlenet.files.output_paths import check_output_path
from googlenet.images.decode import Pixels
from googlenet.inference.engines import TELEMETRY, Array, hidden_modules, open_exported, precision_here
from googlenet.nn.checkpoint import load
from googlenet.nn.fuse import exportable
from googlenet.nn.model import GoogLeNet, network_input

TARGETS = ("openvino", "onnx", "int8")
BATCH = 16
TOLERANCE = 1e-4  # between logits in float32; of logits under 1, their share
LARGE = 25.0  # a logit beyond which TOLERANCE grows with it: float32 has no more digits
BATCHES = (1, 3, 8)  # tried besides BATCH: an engine may take another way for each
MOST_LOSS = 0.005  # of accuracy, that int8 may lose
LEAST_AGREEMENT = 0.99  # of int8 with the network
BROKEN = 0.9  # an agreement below which a loss cannot be accepted
TWO_SIDED = 1.96  # standard deviations of a 95 % interval


def export(
    source: Path, out: Path, *, to: str | None = None, calibrate: str | None = None, accept_loss: bool = False
) -> Manifest:
    """Write a model for an engine and prove it.

    source       a run folder or a model file
    out          a folder that does not exist yet
    to           `openvino` or `onnx` in float32, `int8` for OpenVINO; by default int8 if it passes its
                 checks, else `openvino`
    calibrate    images for int8 and for the proof: a data set or any images; by default the run's own
    accept_loss  keep int8 even if it loses accuracy or guesses otherwise
    raises       InputError if something is at `out` or there is nothing to calibrate on; ModelFileError
                 if the proof fails: then nothing is left behind; MissingExtraError; WriteError
    """
    check_output_path(out)
    for target in ("onnx", "int8"):
        if to == target:
            _need(target)
    path = model_path(source)
    net = load(path)
    card = net.metadata
    assert card is not None
    samples = gather(source, card, calibrate, needed=to == "int8")
    echo(f"proof and calibration on {samples.what}")
    wanted = [to] if to else ["int8", "openvino"] if _can_quantize(samples) else ["openvino"]
    for target in wanted:
        try:
            return _one(net, card, path, out, target, samples, accept_loss=accept_loss)
        except ModelFileError as error:
            if target == wanted[-1]:
                raise
            echo(f"not in int8: {error}")
    raise AssertionError("one of the targets was tried")


def _one(
    net: GoogLeNet,
    card: ModelMetadata,
    path: Path,
    out: Path,
    to: str,
    samples: Samples,
    *,
    accept_loss: bool,
) -> Manifest:
    with _in_place(out) as folder:
        engine = "onnx" if to == "onnx" else "openvino"
        model = exportable(net, card.preprocessing)
        if engine == "onnx":
            write_onnx(model, folder / FILES["onnx"][0], card)
        else:
            write_openvino(model, folder / FILES["openvino"][0], card, samples if to == "int8" else None)
        manifest = Manifest(
            card=card,
            engine=engine,
            precision="int8" if to == "int8" else "float32",
            maps=net.dialect.dense is None,
            merged=model.merged,
            source=file_digest(path),
            files={file.name: file_digest(file) for file in sorted(folder.iterdir())},
        )
        manifest.write(folder)
        manifest = replace(manifest, parity=prove(net, folder, samples))
        judge(manifest, accept_loss=accept_loss)
        manifest.write(folder)
        for file in folder.iterdir():
            fsync(file)
    return manifest


def prove(net: GoogLeNet, folder: Path, samples: Samples) -> dict[str, Any]:
    """Compare an exported folder with the network that it came from, on the same images.

    Where `runtime` would run it in another precision on this machine, that one's agreement is told too.
    """
    exported = open_exported(folder, exact=True)
    images = np.concatenate([samples.calibration, samples.validation])

    def in_torch(batch: Pixels) -> Array:
        with torch.inference_mode():
            return net(network_input(torch.from_numpy(batch), exported.preprocessing)).numpy()  # type: ignore[no-any-return]

    ours, plain = _in_batches(exported.logits, images), _in_batches(in_torch, images)
    largest = float(np.abs(plain).max())
    found: dict[str, Any] = {
        "images": samples.what,
        "count": len(images),
        "largest_difference": float(np.abs(ours - plain).max()) / largest,
        "agreement": _agreement(ours, plain),
    }
    if exported.manifest.precision == "float32":
        more = _batches_apart(exported.logits, in_torch, images)
        found |= {
            "largest_logit": largest,
            "logit_difference": float(np.max([np.abs(ours - plain).max(), more])),
            "agreement": _agreement(ours, plain, tie=2 * TOLERANCE),
        }
    if (here := precision_here(exported.manifest)) != exported.manifest.precision:
        quick = _in_batches(open_exported(folder).logits, images)
        found |= {"precision_here": here, "agreement_here": _agreement(quick, plain)}
    if samples.labels is not None:
        count = len(samples.labels)
        right = [logits[-count:].argmax(axis=1) == samples.labels for logits in (plain, ours)]
        found |= paired(*right)
    return found


def _in_batches(run: Callable[[Pixels], Array], images: Pixels) -> Array:
    return np.concatenate([run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])


def _batches_apart(run: Callable[[Pixels], Array], other: Callable[[Pixels], Array], images: Pixels) -> float:
    """The largest difference in batches of 1, 3 and 8, of noise and of real images."""
    ends = np.cumsum(BATCHES)
    noise = np.random.default_rng(1).integers(0, 256, (ends[-1], *images.shape[1:]), dtype=np.uint8)
    parts = [part for some in (noise, images[: ends[-1]]) for part in np.split(some, ends[:-1]) if len(part)]
    return float(np.max([np.abs(run(part) - other(part)).max() for part in parts]))  # not finite stays so


def _agreement(logits: Array, reference: Array, *, tie: float = 0.0) -> float:
    """The share of images with the same guess; one that is not finite agrees with nothing.

    tie  what a guess may be behind the best of the reference and still count as the same
    """
    guessed = np.take_along_axis(reference, logits.argmax(axis=1)[:, None], axis=1)[:, 0]
    same = (logits.argmax(axis=1) == reference.argmax(axis=1)) | (guessed > reference.max(axis=1) - tie)
    return float((same & np.isfinite(logits).all(axis=1)).mean())


def paired(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Accuracy before and after on the same images, and the 95 % interval of what was lost."""
    lost = before.astype(float) - after.astype(float)
    spread = TWO_SIDED * float(lost.std(ddof=1)) / math.sqrt(len(lost)) if len(lost) > 1 else 1.0
    mean = float(lost.mean())
    return {
        "labeled": len(lost),
        "top1_before": float(before.mean()),
        "top1_after": float(after.mean()),
        "loss": mean,
        "loss_at_least": mean - spread,
        "loss_at_most": mean + spread,
    }


def judge(manifest: Manifest, *, accept_loss: bool) -> None:
    """Refuse an export that does not say what the network says.

    Raises ModelFileError for float32 that differs, or for int8 that guesses otherwise or loses accuracy,
    unless its loss is accepted.
    """
    if manifest.precision == "float32":
        _judge_float(manifest.parity)
    else:
        _judge_int8(manifest.parity, accept_loss=accept_loss)


def _judge_float(parity: dict[str, Any]) -> None:
    largest = parity["largest_logit"]
    allowed = TOLERANCE * min(largest, max(1.0, largest / LARGE))
    if not parity["logit_difference"] <= allowed:
        raise ModelFileError(
            f"expected logits within {allowed:.2g} (the largest is {largest:.3g}), got "
            f"{parity['logit_difference']:.2g} off on {parity['count']} images; nothing was written"
        )
    if parity["agreement"] < 1:
        raise ModelFileError(
            f"expected the same guess for each of {parity['count']} images, got "
            f"{100 * parity['agreement']:.2f} %; nothing was written"
        )


def _judge_int8(parity: dict[str, Any], *, accept_loss: bool) -> None:
    least = BROKEN if accept_loss else LEAST_AGREEMENT
    if not parity["agreement"] >= least:
        raise ModelFileError(
            f"expected int8 to guess the same for {100 * least:g} % of {parity['count']} images, got "
            f"{100 * parity['agreement']:.1f} %; nothing was written; --to openvino keeps float32"
            + (f", --accept-loss this from {100 * BROKEN:g} % on" if not accept_loss else "")
        )
    if parity.get("loss", 0.0) > MOST_LOSS and not accept_loss:
        raise ModelFileError(
            f"expected int8 to lose at most {100 * MOST_LOSS:g} points of accuracy, got "
            f"{100 * parity['loss']:.1f} (95 % interval {100 * parity['loss_at_least']:.1f} to "
            f"{100 * parity['loss_at_most']:.1f}; {100 * parity['top1_before']:.1f} % to "
            f"{100 * parity['top1_after']:.1f} % of {parity['labeled']} images); nothing was written; "
            "--to openvino keeps float32, --accept-loss this"
        )


def write_openvino(model: torch.nn.Module, path: Path, card: ModelMetadata, samples: Samples | None) -> None:
    """Write a network as OpenVINO's two files, in float32, or in int8 if there are samples."""
    size = card.preprocessing.size
    with hidden_modules(TELEMETRY), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of the constants that normalization is meant to have
        import openvino as ov
        from openvino.tools.ovc import convert_model

        network = convert_model(model, example_input=torch.zeros(1, size, size, 3, dtype=torch.uint8))
        network.reshape([-1, size, size, 3])
        for output, name in zip(network.outputs, ("logits", "maps"), strict=False):
            output.get_tensor().set_names({name})
        if samples is not None:
            network = _quantized(network, samples.calibration)
        try:
            ov.save_model(network, path, compress_to_fp16=False)
        except RuntimeError as error:  # what it raises where the disk is full
            raise WriteError(f"{path.parent}: could not write the network: {one_line(error)}") from error


def _quantized(network: Any, images: Pixels) -> Any:
    """int8 weights and activations, ranges taken from real images (NNCF)."""
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(40)  # errors
    data = nncf.Dataset([image[None] for image in images])
    careful = nncf.AdvancedQuantizationParameters(
        # Processors without VNNI add two products in 16 bits, which overflow; with weights of half the
        # range they do not, and every machine gives the same labels.
        overflow_fix=nncf.OverflowFix.ENABLE,
        # The whole range of each activation: its mean, NNCF's default, cuts off unusual photos (LOG.md).
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
    )
    return nncf.quantize(network, data, subset_size=len(images), advanced_parameters=careful)


def write_onnx(model: torch.nn.Module, path: Path, card: ModelMetadata) -> None:
    """Write a network as one ONNX file in float32."""
    size = card.preprocessing.size
    names = ["logits", "maps"] if dialect(card.dialect).dense is None else ["logits"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
            input_names=["images"],
            output_names=names,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    for part in (program.model.graph, *program.model.graph):
        part.metadata_props.clear()  # where our source lies on this machine, line by line
    program.save(path, external_data=False)


def _can_quantize(samples: Samples) -> bool:
    if not len(samples.calibration):
        echo("not in int8: no images to calibrate on; --calibrate DATA gives some")
        return False
    if find_spec("nncf") is None:
        echo("not in int8: nncf is not installed; pip install 'googlenet[int8]'")
        return False
    return True


def _need(target: str) -> None:
    packages = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "int8": ("nncf",)}[target]
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f"--to {target} needs {', '.join(missing)}, not installed here: pip install 'googlenet[{target}]'"
        )


@contextlib.contextmanager
def _in_place(out: Path) -> Iterator[Path]:
    """A new folder that becomes `out` at the end, or nothing if it fails."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    except OSError as error:
        raise WriteError(f"{out}: could not write it: {error.strerror or error}") from error
    try:
        yield folder
        folder.chmod(0o755)
        fsync(folder)
        folder.rename(out)
        fsync(out.parent)
    except OSError as error:
        raise WriteError(f"{out}: could not write it: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
