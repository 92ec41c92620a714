"""Published weights under our names: located or downloaded, renamed, checked, and written as a model file."""

import contextlib
import functools
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from googlenet.architecture.dialects import (
    BYTE,
    CAFFE_MEAN,
    HALF,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Dialect,
    Preprocessing,
    dialect,
)
from googlenet.architecture.table1 import AUX_CONV, AUX_POOLED, IMAGENET_CLASSES
from googlenet.base.errors import DownloadError, InputError, MissingExtraError, ModelFileError, one_line
from googlenet.base.progress import Progress, echo, no_progress, progress_bar
from googlenet.base.text import abbreviate
from googlenet.base.version import versions
from googlenet.data.imagenet import imagenet_classes
from googlenet.files import modelfile
from googlenet.files.checksum import file_digest
from googlenet.files.download import fetch
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import MODEL_NAME, Arrays, model_path
from googlenet.files.output_paths import check_output_path
from googlenet.nn import checkpoint
from googlenet.nn.checkpoint import HEADS, expected_shapes
from googlenet.weights import readers
from googlenet.weights.matching import adopt_classifiers, match_family
from googlenet.weights.own_exports import read_own_export
from googlenet.weights.published import FAMILIES, Family, published_names
from googlenet.weights.readers import Array

HUB = "hf:"

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_COUNTER = "norm.num_batches_tracked"  # of no use after training, and not in every file


class Normalization(NamedTuple):
    """What is taken from pixels of 0 to 1, in RGB, and what the rest is divided by."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NORMALIZATIONS = {
    "imagenet": Normalization(IMAGENET_MEAN, IMAGENET_STD),
    "half": Normalization(HALF, HALF),
    "caffe": Normalization(CAFFE_MEAN, BYTE),
    "unit": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


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
        path = locate(source, bars)
    if path.suffix.lower() in readers.SUFFIXES and not modelfile.is_ours(path):
        return read_published(path)
    return PretrainedWeights(*checkpoint.read(path), file_digest(path))


def locate(source: str, progress: Progress = no_progress) -> Path:
    """The path of a file of weights, downloaded if need be.

    source   `torchvision`, `bvlc` or `inception5h`; hf:OWNER/NAME, a repository on the Hugging Face Hub
             that holds a model file of ours; or the path of a published file, a model file or a run
    raises   InputError for another source, DownloadError, MissingExtraError or ModelFileError
    """
    family = FAMILIES.get(source)
    if family is not None and family.url is not None:
        name = family.url.rsplit("/", 1)[-1]
        check = functools.partial(readers.read, format=family.format)
        return fetch(family.url, name=name, digest=family.digest, check=check, progress=progress)
    if source.startswith(HUB):
        return _from_hub(source.removeprefix(HUB))
    path = Path(source)
    if not path.exists():
        names = ", ".join(name for name, family in FAMILIES.items() if family.url is not None)
        raise InputError(
            f"expected weights as one of {names}, {HUB}OWNER/NAME or the path of a file, got {source!r}"
        )
    return model_path(path)


def convert(
    source: Path,
    family: str,
    out: Path,
    *,
    labels: Path | None = None,
    normalization: Normalization | None = None,
    force: bool = False,
) -> PretrainedWeights:
    """Write published weights as a model file of ours, with the heads if they are there.

    normalization  in place of the family's
    force          replace the file that is at `out`
    raises         InputError if something is at `out` that may not be replaced, ModelFileError,
                   MissingExtraError or WriteError
    """
    check_output_path(out, force=force)
    if modelfile.is_ours(source):
        raise InputError(f"{source} is a model file already, which every command takes as it is")
    weights = read_published(source, family, labels=labels, normalization=normalization)
    modelfile.write(out, weights.arrays, weights.card.as_header())
    return weights


def read_published(
    path: Path,
    family: str | None = None,
    *,
    labels: Path | None = None,
    normalization: Normalization | None = None,
) -> PretrainedWeights:
    """Read a published file whole, or not at all; what was done and assumed is said.

    The background class, which slim has before all others, is left out, so that a converted model has
    the same 1,000 classes as the others. Colors are turned to RGB. Counters of batches become 0.

    family         a name in `FAMILIES`; by default the one whose names are in the file
    labels         a text file with the name of a class on each line; by default those in the file, ImageNet's
                   for 1,000 classes, the labels that lie beside a graph, or else numbers
    normalization  what the network takes; by default the family's
    raises         InputError for an unknown family or labels of another number; MissingExtraError;
                   ModelFileError with the first missing, unexpected and misshapen names
    """
    if family is not None and family not in FAMILIES:
        raise InputError(f"expected a family among {', '.join(FAMILIES)}, got {family!r}")
    format = readers.SUFFIXES.get(path.suffix.lower()) or (family and FAMILIES[family].format)
    if not format:
        raise ModelFileError(f"{path}: expected a file ending in {', '.join(readers.SUFFIXES)}")
    content = readers.read(path, format)
    digest = file_digest(path)
    if content.header is not None and family in (None, "onnx"):
        arrays, card = read_own_export(content, path)
        card = replace(
            card,
            classes=_labels(labels, len(card.classes)) if labels else card.classes,
            preprocessing=_normalized(card.preprocessing, normalization),
        )
        return PretrainedWeights(arrays, card, digest)
    match = adopt_classifiers(match_family(content.arrays, family, where=str(path)))
    known, target, stored = match.family, dialect(match.family.dialect), match.arrays
    names = published_names(known)
    outputs = stored.get(names["classifier.bias"])
    count = target.classes if outputs is None else outputs.size
    shapes = expected_shapes(target.name, count)
    stored, dropped = _without_partial_heads(stored, names, shapes)
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
        classes=_classes(path, known, count, labels, content.classes),
        dialect=target.name,
        preprocessing=_normalized(target.preprocessing, normalization),
        data={"name": path.name, "converted_from": known.name, "sha256": digest},
        versions=versions(),
    )
    for note in (*content.notes, *match.notes, *dropped):
        echo(f"{path}: {note}")
    if normalization is None and not _is_published(known, path):
        echo(f"{path}: assumed to be given {describe_preprocessing(target.preprocessing)}; {known.trap}")
    return PretrainedWeights({ours: arrays[ours] for ours in shapes}, metadata, digest)


def _without_partial_heads(
    stored: Arrays, names: dict[str, str], shapes: dict[str, tuple[int, ...]]
) -> tuple[Arrays, list[str]]:
    """Leave auxiliary heads out that are not whole: they are not needed, and fine-tuning may drop one."""
    heads = {ours: name for ours, name in names.items() if ours.startswith(HEADS) and ours in shapes}
    present = [name for name in heads.values() if name in stored]
    if not present or len(present) == len(heads):
        return stored, []
    rest = {name: array for name, array in stored.items() if name not in present}
    return rest, [f"the auxiliary heads are not whole and were left out: {abbreviate(present, most=3)}"]


def _is_published(family: Family, path: Path) -> bool:
    return family.digest is not None and family.digest.matches(path)


def describe_preprocessing(kind: Preprocessing) -> str:
    """In words, what the network takes."""
    if kind.std == BYTE:
        mean = ", ".join(f"{255 * value:.0f}" for value in kind.mean)
        return f"pixels from 0 to 255 less {mean}"
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (kind.mean, kind.std))
    return f"pixels from 0 to 1 less {mean}, divided by {std}"


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
        raise ModelFileError(f"{path}: not the weights of {family.name}: {wrong}; nothing was loaded")
    endless = [name for name in expected if not np.isfinite(stored[name].astype(np.float32)).all()]
    if endless:
        raise ModelFileError(f"{path}: expected finite weights, got others in {endless[0]}")


def _normalized(kind: Preprocessing, normalization: Normalization | None) -> Preprocessing:
    return replace(kind, **normalization._asdict()) if normalization else kind


def _labels(path: Path, count: int) -> tuple[str, ...]:
    """So many names of classes from a file of the user's."""
    given = readers.read_labels(path)
    if len(given) != count:
        raise InputError(f"{path}: expected {count:,} labels, one a line, got {len(given):,}")
    return unique(given)


def _classes(
    path: Path, family: Family, count: int, labels: Path | None, stored: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Names of so many classes: the user's, the file's, ImageNet's, or numbers."""
    if labels is not None:
        return _labels(labels, count)
    if stored is not None and len(stored) == count:
        return unique(stored)
    if count == IMAGENET_CLASSES:
        return tuple(imagenet_classes().values())
    beside = (readers.labels_beside(path) or []) if family.format == "graph" else []
    if len(beside) < count:  # inception5h has outputs at the end that stand for nothing
        echo(
            f"{path}: no names for {count - len(beside):,} of {count:,} classes, so they are numbered; "
            "convert --labels gives them names"
        )
    return unique([*beside[:count], *(f"class {number:04d}" for number in range(len(beside), count))])


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
