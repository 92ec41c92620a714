"""MODEL, as a user names it: a run folder, a model file, or an exported folder."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from googlenet.base.errors import InputError, MissingExtraError
from googlenet.files.manifest import MANIFEST, file_sha256, is_exported, read_manifest
from googlenet.files.modelfile import model_path, read_metadata
from googlenet.inference.predict import Predictor

if TYPE_CHECKING:
    from googlenet.inference.engines import ExportedModel
    from googlenet.nn.model import GoogLeNet


def load(path: Path | str, *, device: str = "cpu") -> Union["GoogLeNet", "ExportedModel"]:
    """Load a model: a network in torch from a run folder or a model file, or an exported one without torch.

    The network is in evaluation mode and has a `card`; an exported model has `predict`.
    Raises ModelFileError if there is none, or it was altered; MissingExtraError.
    """
    if is_exported(Path(path)):
        from googlenet.inference.engines import open_exported

        return open_exported(path)
    from googlenet.nn.checkpoint import load as load_network

    return load_network(path, device=device)


def resolve_model(path: Path) -> Path:
    """Check, without opening it, that there is a model: its exported folder or its model file.

    Raises ModelFileError if there is none.
    """
    return path if is_exported(path) else model_path(path)


def resolve_models(paths: Sequence[Path]) -> list[Path]:
    """Check that there are the models of an ensemble, each of them once.

    Raises ModelFileError if one is not there, InputError if one is named twice.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        place = resolve_model(path).resolve()
        if place in found:
            raise InputError(
                f"expected each model once, got {found[place]} and {path}, which are one file: "
                "it would only cost; leave one out"
            )
        found[place] = path
    return list(found.values())


def describe(path: Path) -> dict[str, Any]:
    """What a model says of itself, after checking all of its files, as JSON types.

    Raises ModelFileError.
    """
    if is_exported(path):
        fields = asdict(read_manifest(path))
        return {"file": str(path), **fields.pop("card"), **fields}
    file = model_path(path)
    return {"file": str(file), **read_metadata(file).as_header()}


def model_sha256(path: Path) -> str:
    """A digest that changes with the model."""
    return file_sha256(path / MANIFEST if is_exported(path) else model_path(path))


def open_predictor(path: Path) -> tuple[Predictor, str]:
    """Open a model to predict with, and say in words what runs it.

    Raises ModelFileError or MissingExtraError.
    """
    if is_exported(path):
        from googlenet.inference.engines import open_exported

        exported = open_exported(path)
        return exported, exported.about
    net = load_network(path)
    import torch

    from googlenet.inference.torch_classifier import Classifier

    return Classifier(net), f"torch {torch.__version__}; googlenet export makes a faster model"


def load_network(path: Path) -> "GoogLeNet":
    """Load the network of a run folder or a model file in torch.

    Raises InputError for an exported model, which has no gradients; ModelFileError; MissingExtraError.
    """
    if is_exported(path):
        raise InputError(
            f"expected a run folder or a model file, got the export {path}: it has no gradients, only "
            "explain --method cam and occlusion"
        )
    model_path(path)
    if find_spec("torch") is None:
        raise MissingExtraError(
            f"{path} runs in torch, not installed here: pip install 'googlenet[train]', or make an export "
            "of it where torch is: googlenet export"
        )
    from googlenet.nn import checkpoint

    return checkpoint.load(path)
