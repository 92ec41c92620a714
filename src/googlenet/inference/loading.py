"""MODEL, as a user names it: a run folder, a model file, or an exported folder."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from googlenet.base.errors import InputError, MissingExtraError
from googlenet.files.checksum import file_digest
from googlenet.files.manifest import MANIFEST, is_exported, read_manifest
from googlenet.files.modelfile import model_path, read_metadata
from googlenet.inference.engines import ExportedModel, open_exported
from googlenet.inference.predict import Predictor

if TYPE_CHECKING:
    from googlenet.nn.model import GoogLeNet


def load_network(path: Path | str, *, device: str = "cpu") -> "GoogLeNet":
    """Load a run folder or a model file as a torch module: in evaluation mode, with its `card`.

    Raises InputError for an exported folder; ModelFileError if there is no model or it was altered;
    MissingExtraError without torch.
    """
    if is_exported(Path(path)):
        raise InputError(
            f"expected a run folder or a model file, got the exported folder {path}: it has no gradients, "
            "only explain --method cam and occlusion take it; in Python, open it by googlenet.load_predictor"
        )
    _need_torch(path)
    from googlenet.nn.checkpoint import load

    return load(path, device=device)


def load_predictor(path: Path | str) -> Predictor:
    """Open any model for `classify` and `explain`: an exported folder in its engine, others in torch.

    Raises ModelFileError if there is no model or it was altered; MissingExtraError without what runs it.
    """
    if is_exported(Path(path)):
        return open_exported(path)
    file = model_path(Path(path))
    _need_torch(file)
    from googlenet.inference.torch_classifier import Classifier

    return Classifier(load_network(file))


def load(path: Path | str, *, device: str = "cpu") -> Union["GoogLeNet", ExportedModel]:
    """Load a model. Deprecated: its type depends on the path; use `load_network` or `load_predictor`."""
    exported = is_exported(Path(path))
    name = "load_predictor" if exported else "load_network"
    warnings.warn(f"googlenet.load is deprecated; use googlenet.{name}", DeprecationWarning, stacklevel=2)
    return open_exported(path) if exported else load_network(path, device=device)


def resolve_models(paths: Sequence[Path]) -> list[Path]:
    """Check that there are the models of an ensemble, each of them once.

    Raises ModelFileError if one is not there, InputError if one is named twice.
    """
    named: dict[Path, Path] = {}
    for path in paths:
        file = (path if is_exported(path) else model_path(path)).resolve()
        if file in named:
            raise InputError(
                f"expected each model once, got {named[file]} and {path}, which are one file: "
                "it would only cost; leave one out"
            )
        named[file] = path
    return list(named.values())


def describe(path: Path) -> dict[str, Any]:
    """A model's metadata, after checking all of its files, as JSON types.

    Raises ModelFileError.
    """
    if is_exported(path):
        fields = read_manifest(path).as_fields()
        return {"file": str(path), **fields.pop("card"), **fields}
    file = model_path(path)
    return {"file": str(file), **read_metadata(file).as_header()}


def model_sha256(path: Path) -> str:
    """A digest that changes with the model."""
    return file_digest(path / MANIFEST if is_exported(path) else model_path(path))


def _need_torch(path: Path | str) -> None:
    if find_spec("torch") is None:
        raise MissingExtraError(
            f"{path} runs in torch, not installed here: pip install 'googlenet[train]', or make an export "
            "of it where torch is: googlenet export"
        )
