"""Which photos a model is measured on."""

from pathlib import Path

import pytest

from googlenet.architecture.dialects import Preprocessing
from googlenet.data import folder
from googlenet.data.index import content_sample
from googlenet.data.splits import choose_split
from googlenet.files.metadata import ModelMetadata
from helpers.painting import COLORS, paint


@pytest.mark.parametrize("layout", ["classes", "train only", "train and val"])
def test_the_part_that_is_measured_is_never_called_unseen_when_it_was_seen(
    photos: Path, tmp_path: Path, layout: str
) -> None:
    root = photos
    if layout != "classes":
        root = tmp_path / "root"
        root.mkdir()
        photos.rename(root / "train")
    if layout == "train and val":
        paint(root / "val" / "red" / "new.jpg", COLORS["red"], seed=1)
    trained = folder.open_data(str(root))
    card = ModelMetadata(
        classes=trained.classes,
        dialect="bn",
        preprocessing=Preprocessing(),
        data={"sketch": content_sample(trained.split("train")), "cut": trained.is_our_split},
    )

    def measured(source: Path) -> tuple[str, set[str]]:
        where, index = choose_split(str(source), card, None)
        return where, {index.name(i) for i in range(len(index))}

    train = trained.split("train")
    seen = {train.name(i) for i in range(len(train))}
    where, names = measured(root)
    assert where.startswith("the val split")
    assert not names & seen or layout == "train and val"
    where, names = measured(root if layout == "classes" else root / "train")
    if layout == "train and val":
        assert "trained on" in where
        assert names == seen
    else:
        assert where.startswith("the val split")
        assert not names & seen
    paint(tmp_path / "other" / "red" / "a.jpg", COLORS["red"], seed=77)
    assert measured(tmp_path / "other") == (f"all of {tmp_path / 'other'}", {"red/a.jpg"})
