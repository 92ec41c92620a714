"""MODEL as a user names it: what each way of loading returns and refuses."""

from pathlib import Path

import numpy as np
import pytest

import googlenet as package
from googlenet.cli import tables
from googlenet.inference.engines import ExportedModel
from helpers import golden
from helpers.models import save, squares
from helpers.painting import Run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "model.safetensors", "bn")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.unpacked(golden.versions()[-1], tmp_path_factory.mktemp("golden")) / "onnx"


def test_each_function_has_one_return_type(model: Path, exported: Path) -> None:
    network, predictor = package.load_network(model), package.load_predictor(model.parent)
    assert isinstance(network, package.GoogLeNet) and not network.training
    assert isinstance(predictor, package.Classifier)
    assert network.card is network.metadata and predictor.card is predictor.metadata  # the former name
    assert predictor.about.startswith("torch ")
    np.testing.assert_array_equal(predictor.logits(squares()), package.Classifier(network).logits(squares()))
    opened = package.load_predictor(str(exported))
    assert isinstance(opened, ExportedModel) and opened.card is opened.metadata
    assert opened.about.startswith("ONNX Runtime")


def test_an_export_is_no_torch_module(exported: Path) -> None:
    with pytest.raises(package.GoogLeNetError, match="load_predictor") as caught:
        package.load_network(exported)
    assert "\n" not in str(caught.value) and str(exported) in str(caught.value)


def test_the_former_load_works_and_names_its_successors(model: Path, exported: Path) -> None:
    with pytest.warns(DeprecationWarning, match="googlenet.load_network") as told:
        assert isinstance(package.load(model), package.GoogLeNet)
    assert told[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="googlenet.load_predictor"):
        assert isinstance(package.load(exported), ExportedModel)


@pytest.mark.parametrize("words", [["predict", "M", "p.jpg"], ["evaluate", "M", "digits"], ["export", "M"]])
@pytest.mark.parametrize("folder", [False, True])
def test_a_missing_model_names_all_kinds(
    googlenet: Run, tmp_path: Path, words: list[str], folder: bool
) -> None:
    if folder:
        (tmp_path / "M").mkdir()
    done = googlenet(*words, *(["--out", "out"] if words[0] == "export" else []))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    for kind in ("a run folder", "a model.safetensors", "an exported folder", "got M"):
        assert kind in done.stderr
    assert not (tmp_path / "out").exists()


def test_long_lists_are_cut_short_for_people() -> None:
    names = [f"class{i}" for i in range(1000)]
    said = tables.format_metadata({"classes": names, "few": names[:13]})
    assert "class11 and 988 more" in said
    assert "class12" in said.splitlines()[1]
    assert "class12" not in said.splitlines()[0]
