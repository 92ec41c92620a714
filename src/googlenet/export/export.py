"""Write a trained network for an inference engine.

The files are written to a temporary folder, opened by the engine, compared with torch on real images, and
moved to their place only if they pass.
"""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from googlenet.base.errors import InputError, MissingExtraError, ModelFileError, WriteError
from googlenet.base.platform import fsync
from googlenet.base.progress import echo
from googlenet.export.calibration_data import Samples, check_calibration, collect_samples
from googlenet.export.graph import model_texts, network_graph
from googlenet.export.verification import check_parity, measure_parity
from googlenet.export.writers import write_onnx, write_openvino
from googlenet.files.checksum import file_digest
from googlenet.files.manifest import FILES, Engine, InputKind, Manifest, is_exported
from googlenet.files.modelfile import model_path
from googlenet.files.output_paths import check_output_path
from googlenet.nn.checkpoint import load
from googlenet.nn.model import GoogLeNet

_PACKAGES = {"onnx": ("onnxruntime",), "int8": ("nncf",)}  # that each needs


def export(
    source: Path,
    out: Path,
    *,
    to: str | None = None,
    calibrate: str | None = None,
    training_data: str | None = None,
    labels: Any = None,
    input: InputKind = "uint8-nhwc",
    accept_loss: bool = False,
    force: bool = False,
) -> Manifest:
    """Write a model for an engine and verify that the outputs match.

    source         a run folder or a model file
    out            a folder that does not exist yet
    to             `openvino` or `onnx` in float32, `int8` for OpenVINO; by default int8 if it passes its
                   checks, else `openvino`
    calibrate      images for int8 and for the verification: a data set or any images
    training_data  the data set that the model was trained on: used where `calibrate` is not given
    labels         the record of that data set's table of labels; None where class folders have them
    input          how the engine is to be given pixels, see `graph.network_graph`
    accept_loss    keep int8 even if it loses accuracy or predicts other classes
    force          replace the export that is at `out`
    raises         InputError if something is at `out` or there is nothing to calibrate on; ModelFileError
                   if the outputs differ: then nothing is left behind; MissingExtraError; WriteError
    """
    if not (force and is_exported(out) and not out.is_symlink()):
        check_output_path(out)
    if missing := [package for package in _PACKAGES.get(to or "", ()) if find_spec(package) is None]:
        raise MissingExtraError(
            f"--to {to} needs {', '.join(missing)}, not installed here: pip install 'googlenet[{to}]'"
        )
    path = model_path(source)
    net = load(path)
    assert net.metadata is not None
    int8 = to in (None, "int8")
    samples = collect_samples(
        net.metadata, calibrate=calibrate, training_data=training_data, labels=labels, int8=int8
    )
    if to == "int8" and not len(samples.calibration):
        raise InputError(
            f"expected --calibrate DATA for int8, got none, and {source} has no training data here; "
            "a few hundred photos like those it will classify are enough"
        )
    if to == "int8":
        check_calibration(samples, few=accept_loss)
    echo(f"calibrating and verifying on {samples.source}")
    write = functools.partial(_write, net, path, out, input=input, accept_loss=accept_loss, force=force)
    if to is None and _can_quantize(samples):
        try:
            return write("int8", samples)
        except ModelFileError as error:
            echo(f"int8 rejected, falling back to float32: {error}")
    return write(to or "openvino", samples)


def _can_quantize(samples: Samples) -> bool:
    if not len(samples.calibration):
        echo("int8 skipped: no images to calibrate on; --calibrate DATA gives some")
    elif find_spec("nncf") is None:
        echo("int8 skipped: nncf is not installed; pip install 'googlenet[int8]'")
    else:
        try:
            check_calibration(samples, few=False)
            return True
        except InputError as error:
            echo(f"int8 skipped: {error}")
    return False


def _write(
    net: GoogLeNet,
    path: Path,
    out: Path,
    target: str,
    samples: Samples,
    *,
    input: InputKind,
    accept_loss: bool,
    force: bool,
) -> Manifest:
    """Write the files of one target to `out`, unless their outputs differ: ModelFileError."""
    card = net.metadata
    assert card is not None
    int8 = target == "int8"
    engine: Engine = "onnx" if target == "onnx" else "openvino"
    with _new_folder(out, force=force) as folder:
        graph = network_graph(net, card.preprocessing, input=input, metadata=model_texts(card, input=input))
        if engine == "onnx":
            write_onnx(graph, folder / FILES[engine][0])
        else:
            calibration = samples.calibration if int8 else None
            write_openvino(graph, folder / FILES[engine][0], calibration=calibration, input=input)
        manifest = Manifest(
            card=card,
            engine=engine,
            precision="int8" if int8 else "float32",
            maps=net.dialect.dense is None,
            features=net.dialect.dense is None,
            input=input,
            source=file_digest(path),
            files={file.name: file_digest(file) for file in sorted(folder.iterdir())},
        )
        manifest.write(folder)
        parity = measure_parity(net, folder, samples)
        check_parity(parity, accept_loss=accept_loss)
        manifest = replace(manifest, parity=parity)
        manifest.write(folder)
        for file in folder.iterdir():
            fsync(file)
    return manifest


@contextlib.contextmanager
def _new_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """A temporary folder that becomes `out` at the end, or is removed if anything fails.

    force  it takes the place of an export that is at `out`
    """
    folder = old = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
        yield folder
        folder.chmod(0o755)
        fsync(folder)
        if force and out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
            out.rename(old / out.name)
        try:
            folder.rename(out)
        except OSError:
            if old:
                (old / out.name).rename(out)
            raise
        fsync(out.parent)
    except OSError as error:
        raise WriteError(f"{out}: could not write it: {error.strerror or error}") from error
    finally:
        for leftover in (folder, old):
            if leftover:
                shutil.rmtree(leftover, ignore_errors=True)
