"""Published weights under our names: located or downloaded, renamed, checked, and written as a model file."""

import contextlib
import functools
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from googlenet.architecture.dialects import Dialect, dialect
from googlenet.architecture.table1 import AUX_CONV, AUX_POOLED, IMAGENET_CLASSES
from googlenet.base.errors import DownloadError, InputError, MissingExtraError, ModelFileError, one_line
from googlenet.base.progress import Progress, echo, no_progress, progress_bar
from googlenet.base.version import versions
from googlenet.files import modelfile
from googlenet.files.checksum import file_digest
from googlenet.files.download import fetch
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import MODEL_NAME, Arrays, model_path
from googlenet.files.output_paths import check_output_path
from googlenet.nn import checkpoint
from googlenet.nn.checkpoint import HEADS, expected_shapes
from googlenet.weights import readers
from googlenet.weights.published import FAMILIES, Family, published_names
from googlenet.weights.readers import Array

HUB = "hf:"

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_COUNTER = "norm.num_batches_tracked"  # of no use after training, and not in every file


class PretrainedWeights(NamedTuple):
    """Weights under our names, those of the heads included where the file has them, and their metadata."""

    arrays: Arrays
    card: ModelMetadata
    sha256: str = ""  # of the file that they came in

    @property
    def has_heads(self) -> bool:
        """Whether the auxiliary heads came along."""
        return any(name.startswith(HEADS) for name in self.arrays)

    @property
    def parameters(self) -> int:
        """How many numbers training would change: all but the statistics of batch normalization."""
        return sum(array.size for name, array in self.arrays.items() if not name.endswith(_STATISTICS))


def load(source: str, progress: Progress | None = None) -> PretrainedWeights:
    """Read the weights of a `source` as `locate` takes it; by default with a bar on the terminal.

    Raises InputError, DownloadError, MissingExtraError or ModelFileError.
    """
    with contextlib.ExitStack() as stack:
        bars = progress or (lambda name, total: stack.enter_context(progress_bar(name, total)).advance)
        path, family = locate(source, bars)
    if family is not None:
        return read_published(path, family)
    return PretrainedWeights(*checkpoint.read(path), file_digest(path))


def locate(source: str, progress: Progress = no_progress) -> tuple[Path, str | None]:
    """The path of a file of weights, downloaded if need be, and its family; None for a model file of ours.

    source   `torchvision`, `bvlc` or `inception5h`; hf:OWNER/NAME, a repository on the Hugging Face Hub
             that holds a model file of ours; or the path of a published file, a model file or a run
    raises   InputError for another source, DownloadError, MissingExtraError or ModelFileError
    """
    family = FAMILIES.get(source)
    if family is not None and family.url is not None:
        name = family.url.rsplit("/", 1)[-1]
        check = functools.partial(readers.read, format=family.format)
        return fetch(family.url, name=name, digest=family.digest, check=check, progress=progress), source
    if source.startswith(HUB):
        return _from_hub(source.removeprefix(HUB)), None
    path = Path(source)
    if not path.exists():
        names = ", ".join(name for name, family in FAMILIES.items() if family.url is not None)
        raise InputError(
            f"expected weights as one of {names}, {HUB}OWNER/NAME or the path of a file, got {source!r}"
        )
    if path.is_file() and path.suffix.lower() in readers.SUFFIXES:
        return path, guess_family(path)
    return model_path(path), None


def guess_family(path: Path) -> str:
    """Say whose weights a published file holds, by its suffix and the names in it.

    Raises ModelFileError if they are nobody's that we know.
    """
    format = readers.SUFFIXES.get(path.suffix.lower())
    if format is None:
        raise ModelFileError(f"{path}: expected a file ending in {', '.join(readers.SUFFIXES)}")
    family = _recognize(readers.read(path, format))
    if family is None:
        raise ModelFileError(
            f"{path}: expected weights of {', '.join(FAMILIES)}, got names of none of them; "
            "a file of ours ends in .safetensors"
        )
    return family


def convert(
    source: Path, family: str, out: Path, *, labels: Path | None = None, force: bool = False
) -> PretrainedWeights:
    """Write published weights as a model file of ours, with the heads if they are there.

    force    replace the file that is at `out`
    raises   InputError if something is at `out` that may not be replaced, ModelFileError, MissingExtraError
             or WriteError
    """
    check_output_path(out, force=force)
    weights = read_published(source, family, labels=labels)
    modelfile.write(out, weights.arrays, weights.card.as_header())
    return weights


def read_published(path: Path, family: str, *, labels: Path | None = None) -> PretrainedWeights:
    """Read a published file whole, or not at all.

    The background class, which slim has before all others, is left out, so that a converted model has
    the same 1,000 classes as the others. Colors are turned to RGB. Counters of batches become 0.

    family   a name in `FAMILIES`
    labels   a text file with the name of a class on each line; by default ImageNet's names for 1,000
             classes, the labels that lie beside a graph, or else numbers
    raises   InputError for an unknown family or labels of another number; MissingExtraError;
             ModelFileError with the first missing, unexpected and misshapen names
    """
    if family not in FAMILIES:
        raise InputError(f"expected a family among {', '.join(FAMILIES)}, got {family!r}")
    known = FAMILIES[family]
    target = dialect(known.dialect)
    stored = readers.read(path, known.format)
    names = published_names(known)
    outputs = stored.get(names["classifier.bias"])
    count = target.classes if outputs is None else outputs.size
    shapes = expected_shapes(target.name, count)
    if not any(name in stored for ours, name in names.items() if ours.startswith(HEADS)):
        shapes = {ours: shape for ours, shape in shapes.items() if not ours.startswith(HEADS)}
    wanted = {ours: names[ours] for ours in shapes if not ours.endswith(_COUNTER)}
    expected = {name: _published_shape(known, ours, shapes[ours]) for ours, name in wanted.items()}
    _check_arrays(stored, expected, path, known)
    arrays = {ours: _to_our_layout(known, target, ours, stored[name]) for ours, name in wanted.items()}
    if known.background and count == target.classes:
        count -= 1
        arrays |= {f"classifier.{part}": arrays[f"classifier.{part}"][1:] for part in ("weight", "bias")}
    arrays |= {ours: np.zeros((), np.int64) for ours in shapes if ours.endswith(_COUNTER)}
    metadata = ModelMetadata(
        classes=_classes(path, known, count, labels),
        dialect=target.name,
        preprocessing=target.preprocessing,
        data={"name": path.name, "converted_from": family, "sha256": file_digest(path)},
        versions=versions(),
    )
    return PretrainedWeights({ours: arrays[ours] for ours in shapes}, metadata, metadata.data["sha256"])


def _published_shape(family: Family, ours: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that an array of ours has in the published file."""
    if not family.channels_last or len(shape) == 1:
        return shape
    if len(shape) == 2:
        return (1, 1, shape[1], shape[0]) if family.dense_is_conv else (shape[1], shape[0])
    out, arriving, height, width = shape
    return height, width, arriving, out


def _to_our_layout(family: Family, target: Dialect, ours: str, array: Array) -> Array:
    """One array in our order of axes and colors, as float32."""
    if family.channels_last and array.ndim > 1:
        if ours.startswith(HEADS) and ours.endswith("hidden.weight"):  # it reads maps flattened as NHWC
            array = array.reshape(AUX_POOLED, AUX_POOLED, AUX_CONV, -1).transpose(3, 2, 0, 1)
            array = array.reshape(len(array), -1)
        elif ours.endswith("conv.weight"):
            array = array.transpose(3, 2, 0, 1)
        else:
            array = array.reshape(array.shape[-2:]).T
    if target.channel_order == "BGR" and ours == "trunk.conv1.conv.weight":
        array = array[:, ::-1]
    return np.array(array, dtype=np.float32, order="C")


def _check_arrays(stored: Arrays, expected: dict[str, tuple[int, ...]], path: Path, family: Family) -> None:
    """Refuse a file whose arrays are not exactly the expected ones, in the file's own names."""
    if wrong := modelfile.describe_mismatch(modelfile.shapes(stored), expected):
        other = _recognize(stored)
        hint = f"; its names are those of {other}" if other not in (None, family.name) else ""
        raise ModelFileError(f"{path}: not the weights of {family.name}: {wrong}{hint}; nothing was loaded")
    endless = [name for name in expected if not np.isfinite(stored[name].astype(np.float32)).all()]
    if endless:
        raise ModelFileError(f"{path}: expected finite weights, got others in {endless[0]}")


def _recognize(stored: Arrays) -> str | None:
    """The family that names its first convolution as the file does."""
    for name, family in FAMILIES.items():
        if published_names(family)["trunk.conv1.conv.weight"] in stored:
            return name
    return None


def _classes(path: Path, family: Family, count: int, labels: Path | None) -> tuple[str, ...]:
    if labels is not None:
        given = readers.read_labels(labels)
        if len(given) != count:
            raise InputError(f"{labels}: expected {count:,} labels, one a line, got {len(given):,}")
        return unique(given)
    if count == IMAGENET_CLASSES:
        return unique(imagenet_classes())
    beside = (readers.labels_beside(path) or []) if family.format == "graph" else []
    if len(beside) < count:  # inception5h has outputs at the end that stand for nothing
        echo(
            f"{path}: no names for {count - len(beside):,} of {count:,} classes, so they are numbered; "
            "convert --labels gives them names"
        )
    return unique([*beside[:count], *(f"class {number:04d}" for number in range(len(beside), count))])


def imagenet_classes() -> list[str]:
    """The names of ImageNet's 1,000 classes, in the order that all published weights share."""
    from torchvision.models import GoogLeNet_Weights

    return list(GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"])


def unique(labels: Iterable[str]) -> tuple[str, ...]:
    """Number labels that occur again: `crane`, `crane (2)`."""
    names: dict[str, None] = {}
    for label in labels:
        name, number = label, 1
        while name in names:
            number += 1
            name = f"{label} ({number})"
        names[name] = None
    return tuple(names)


def _from_hub(repository: str) -> Path:
    if find_spec("huggingface_hub") is None:
        raise MissingExtraError(
            "this needs huggingface_hub, not installed here: pip install 'googlenet[hub]'"
        )
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, MODEL_NAME))
    except Exception as error:  # its own, its HTTP library's, and the system's
        expected = f"expected a repository OWNER/NAME that holds a {MODEL_NAME}"
        raise DownloadError(f"{HUB}{repository}: {expected}: {one_line(error)}") from error
