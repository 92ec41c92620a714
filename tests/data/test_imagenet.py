"""ImageNet's classes: by name or by WordNet id, and twins that a model knows apart."""

from pathlib import Path

import pytest
from torchvision.datasets.imagenette import Imagenette
from torchvision.models import GoogLeNet_Weights

from googlenet.architecture.dialects import DIALECTS
from googlenet.base.errors import DataError
from googlenet.data.folder import open_data
from googlenet.data.imagenet import imagenet_classes, translate_ids
from googlenet.data.splits import choose_split
from googlenet.files.metadata import ModelMetadata
from helpers.painting import COLORS, paint

NAMES = tuple(imagenet_classes().values())
CARD = ModelMetadata(classes=NAMES, dialect="bvlc", preprocessing=DIALECTS["bvlc"].preprocessing)


def folder_of(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        paint(root / name / "0.jpg", COLORS["red"], seed=number)
    return root


def labels(root: Path) -> list[int]:
    return [int(label) for label in choose_split(str(root), CARD, None)[1].labels]


def test_the_list_is_torchvisions() -> None:
    assert list(NAMES) == GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"]
    ids = list(imagenet_classes())
    assert len(ids) == 1000 and ids == sorted(ids)  # the challenge numbers them so
    names = {wordnet: classes[0] for wordnet, classes in Imagenette._WNID_TO_CLASS.items()}
    assert {imagenet_classes()[wordnet] for wordnet in names} == set(names.values())


def test_folders_by_wordnet_id_are_measured(tmp_path: Path) -> None:
    assert labels(folder_of(tmp_path / "ids", "n01440764", "n02113186", "n02963159")) == [0, 264, 474]
    assert labels(folder_of(tmp_path / "names", "tench", "Cardigan", "cardigan")) == [264, 474, 0]
    with pytest.raises(DataError, match="got also 'n01440764'"):
        labels(folder_of(tmp_path / "both", "n01440764", "goldfish"))


def test_ids_that_a_model_calls_its_classes_stay() -> None:
    assert translate_ids(["n01440764"], ["n01440764", "x"]) == ["n01440764"]
    assert translate_ids(["n00000000"], NAMES) == ["n00000000"]
    assert translate_ids([], NAMES) == []


def test_twins_that_the_model_does_not_know_are_refused(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "twins", "Tench", "tench")
    with pytest.raises(DataError, match="look the same"):
        labels(root)
    with pytest.raises(DataError, match="which look the same; merge them"):
        open_data(str(folder_of(tmp_path / "dogs", "Cardigan", "cardigan")))  # to train on
