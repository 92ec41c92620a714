"""Exported models, opened and run without torch, by OpenVINO or ONNX Runtime."""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import dialect
from googlenet.base.errors import InputError, MissingExtraError, ModelFileError, one_line
from googlenet.base.machine import cores, cpu_flags, user_cache
from googlenet.files.manifest import FILES, InputKind, Manifest, read_manifest
from googlenet.images.decode import Pixels
from googlenet.inference.predict import ModelPredictor, Outputs

Array = npt.NDArray[np.float32]

_ANY = "any"  # of a length: whatever it is
COMPILED_KEPT = 8  # networks in the cache of compiled ones; 7 MB in int8, 26 MB in float32
COMPILED_BUSY = 3600.0  # seconds since its last use in which one is never removed


class Engine(Protocol):
    """An opened network: uint8 [N, size, size, 3] -> the outputs of its graph, in their order."""

    about: str

    def __call__(self, images: Pixels) -> tuple[Array, ...]:
        """Run one batch."""


class ExportedModel(ModelPredictor):
    """An exported model, a `predict.Predictor`."""

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        """Wrap an opened network; `open_exported` opens one."""
        self.manifest, self.metadata = manifest, manifest.card
        self.about = engine.about  # which engine runs it, in which precision, on how many threads
        self._engine = engine

    predict = ModelPredictor.__call__

    def class_maps(self, images: Pixels) -> Array:
        """uint8 [N, size, size, 3] -> float32 [N, classes, h, w], whose means over h x w are the logits.

        In int8 up to rounding.
        Raises ModelFileError for a model without them.
        """
        maps = self.outputs(images).maps
        if maps is None:
            raise ModelFileError(f"dialect {self.metadata.dialect} has no class maps: a dense layer follows")
        return maps

    def outputs(self, images: Pixels) -> Outputs:
        """uint8 [N, size, size, 3] -> logits, and class maps and features if the export has them.

        Raises InputError for other images; ModelFileError if the engine stops.
        """
        size = self.preprocessing.size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
            raise InputError(
                f"expected uint8 images [N, {size}, {size}, 3], got {images.dtype} {list(images.shape)}"
            )
        try:
            logits, *others = self._engine(images)
        except Exception as error:  # engines have trees of errors of their own
            raise ModelFileError(
                f"{self.about} stopped in a model of {len(self.classes)} classes: {one_line(error)}; "
                "export the model again"
            ) from error
        if logits.shape != (len(images), len(self.classes)):
            raise ModelFileError(f"expected logits of {len(self.classes)} classes, got {logits.shape}")
        maps = others.pop(0) if self.manifest.maps else None
        return Outputs(logits, maps, others.pop(0) if self.manifest.features else None)


def open_exported(folder: Path | str, *, threads: int | None = None, exact: bool = False) -> ExportedModel:
    """Open an exported folder after checking all of it.

    threads  by default the processors that are granted
    exact    float32 also where the processor multiplies bfloat16 natively
    raises   ModelFileError if it was altered or cannot be opened; MissingExtraError
    """
    manifest = read_manifest(Path(folder))
    path = Path(folder) / FILES[manifest.engine][0]
    opened = OpenVinoModel if manifest.engine == "openvino" else OnnxRuntimeModel
    return ExportedModel(manifest, opened(path, manifest, threads=threads or cores(), exact=exact))


class OpenVinoModel:
    """A network run by OpenVINO, in bfloat16 where the processor multiplies it natively."""

    def __init__(self, path: Path, manifest: Manifest, *, threads: int, exact: bool) -> None:
        """Compile it, or take it from the cache of compiled networks."""
        ov = _openvino()
        core = ov.Core()
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        if not exact and (folder := _compiled_folder(manifest)):
            options["CACHE_DIR"] = str(folder)

        def compiled(precision: str) -> Any:
            hint = {"INFERENCE_PRECISION_HINT": "bf16" if "bfloat16" in precision else "f32"}
            return core.compile_model(str(path), "CPU", options | hint)

        self.precision = manifest.precision if exact else precision_here(manifest, core)
        try:
            try:
                self._compiled = compiled(self.precision)
            except RuntimeError:  # oneDNN may be told to use fewer instructions than the processor has
                if self.precision == manifest.precision:
                    raise
                self.precision = manifest.precision
                self._compiled = compiled(self.precision)
            ports = [*self._compiled.inputs, *self._compiled.outputs]
            shapes = [[str(length) for length in port.partial_shape] for port in ports]
        except Exception as error:  # also those of its binding
            raise ModelFileError(f"{path}: OpenVINO cannot open it: {one_line(error)}") from error
        _check_shapes(shapes, manifest, path)
        self._input = manifest.input
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()
        slower = "" if exact else _missing_instructions(self.precision)
        self.about = f"OpenVINO {ov.__version__.split('-')[0]}, {self.precision}{slower}, {threads} threads"

    def __call__(self, images: Pixels) -> tuple[Array, ...]:
        """Run one batch."""
        with self._lock:  # the request's own memory holds inputs and outputs
            results = self._request.infer([engine_input(images, self._input)], share_inputs=True)
            return tuple(np.array(results[output]) for output in self._compiled.outputs)


def _check_shapes(shapes: list[list[str]], manifest: Manifest, path: Path) -> None:
    """Refuse a network with another input size or number of classes than its card says.

    shapes   the lengths of its input, then of each output; names where any length will do
    """
    size, classes = str(manifest.card.preprocessing.size), str(len(manifest.card.classes))
    pixels = [size, size, "3"] if manifest.input == "uint8-nhwc" else ["3", size, size]
    wanted = [pixels, [classes]]
    wanted += [[classes, _ANY, _ANY]] * manifest.maps
    wanted += [[str(dialect(manifest.card.dialect).features)]] * manifest.features
    found = [shape[1:] for shape in shapes]
    if shapes[0][0].isdigit() or len(found) != len(wanted) or not all(map(_alike, found, wanted)):
        raise ModelFileError(
            f"{path}: expected images [any, {', '.join(pixels)}] and {classes} classes, got another network: "
            f"{' -> '.join(str(shape) for shape in shapes)[:200]}; export the model again"
        )


def _alike(found: list[str], wanted: list[str]) -> bool:
    return len(found) == len(wanted) and all(
        want in (_ANY, got) for got, want in zip(found, wanted, strict=True)
    )


def precision_here(manifest: Manifest, core: Any = None) -> str:
    """What `open_exported` calculates in on this machine, if it need not be exact.

    The export's own precision, with bfloat16 for float32 where the processor multiplies it natively; in
    int8 that is for local response normalization.
    """
    int8 = manifest.precision == "int8"
    if manifest.engine != "openvino" or (int8 and dialect(manifest.card.dialect).lrn is None):
        return manifest.precision
    capabilities = (core or _openvino().Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" not in capabilities:
        return manifest.precision
    return "int8 and bfloat16" if int8 else "bfloat16"


def _missing_instructions(precision: str) -> str:
    """Say what would make it faster, if this processor lacks it."""
    if precision == "float32":
        return " (no bfloat16 instructions here)"
    flags = cpu_flags()
    if precision == "int8" and flags and not any("vnni" in name for name in flags):
        return " (no VNNI instructions here)"
    return ""


class OnnxRuntimeModel:
    """A network run by ONNX Runtime."""

    def __init__(self, path: Path, manifest: Manifest, *, threads: int, exact: bool) -> None:
        """Open it."""
        if find_spec("onnxruntime") is None:
            raise MissingExtraError(
                "this export needs onnxruntime, not installed here: pip install 'googlenet[onnx]'"
            )
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        ort.disable_telemetry_events()
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            ports = [*self._session.get_inputs(), *self._session.get_outputs()]
            shapes = [[str(length) for length in port.shape] for port in ports]
        except Exception as error:  # its own tree of errors is not public
            raise ModelFileError(f"{path}: ONNX Runtime cannot open it: {one_line(error)}") from error
        _check_shapes(shapes, manifest, path)
        self._name, self._input = self._session.get_inputs()[0].name, manifest.input
        self.about = f"ONNX Runtime {ort.__version__}, {manifest.precision}, {threads} threads"

    def __call__(self, images: Pixels) -> tuple[Array, ...]:
        """Run one batch."""
        return tuple(self._session.run(None, {self._name: engine_input(images, self._input)}))


def engine_input(images: Pixels, kind: InputKind) -> npt.NDArray[Any]:
    """Images uint8 [N, size, size, 3] as an engine takes them."""
    if kind == "float-nchw":
        images = images.transpose(0, 3, 1, 2).astype(np.float32)
    return np.ascontiguousarray(images)


@contextlib.contextmanager
def hidden_modules(*names: str) -> Iterator[None]:
    """Import a library that does without these modules if it has to."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _openvino() -> Any:
    """Import OpenVINO without what would only cost."""
    hidden = (TELEMETRY, CONVERSION) if "googlenet.cli.main" in sys.modules else (TELEMETRY,)
    with hidden_modules(*hidden):  # a program of the user's may want to convert
        import openvino
    return openvino


# An import of OpenVINO or NNCF alone would send usage statistics with the first; the second, conversion,
# is half of what importing OpenVINO takes.
TELEMETRY, CONVERSION = "openvino_telemetry", "openvino.tools.ovc"


def _compiled_folder(manifest: Manifest) -> Path | None:
    """The cache of this compiled network, marked as used; None where it cannot be written.

    By the files' digests: OpenVINO itself goes by the time and size of one of them.
    """
    name = hashlib.sha256(json.dumps(manifest.files, sort_keys=True).encode()).hexdigest()[:16]
    try:
        cache = user_cache() / "compiled"
        folder = cache / name
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _prune(cache)
        os.utime(folder)
    except (OSError, RuntimeError):  # no home, or none to write to
        return None
    return folder if os.access(folder, os.W_OK) else None


def _prune(cache: Path) -> None:
    """Remove compiled networks but the last ones used.

    A network that another process is about to write or read was marked as used just now, and stays.
    """
    used: dict[Path, float] = {}
    for folder in cache.iterdir():
        with contextlib.suppress(OSError):  # another process removed it
            used[folder] = folder.stat().st_mtime
    for folder in sorted(used, key=used.__getitem__, reverse=True)[COMPILED_KEPT:]:
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > COMPILED_BUSY:
                shutil.rmtree(folder, ignore_errors=True)
