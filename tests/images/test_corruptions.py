"""Fifteen kinds of damage: against arithmetic where there is some, and what all of them must keep to."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.architecture.dialects import Preprocessing
from googlenet.cli import main
from googlenet.data.folder import open_class_folders
from googlenet.evaluation import robustness
from googlenet.files.metadata import ModelMetadata
from googlenet.images.corruptions import KINDS, SEVERITIES, corrupt
from googlenet.images.decode import Pixels, preprocess
from helpers.painting import COLORS

SIZE = 64


@pytest.fixture(scope="module")
def photo() -> Pixels:
    """Large shapes, fine grain, and some black and white."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).astype(float)
    return (smooth + generator.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8)


def away(found: Pixels, photo: Pixels) -> float:
    return float(np.abs(found.astype(float) - photo).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_follows_from_the_name_alone(photo: Pixels, kind: str) -> None:
    found = [corrupt(photo, kind, severity, name="red/1.jpg") for severity in SEVERITIES]
    assert all(each.shape == photo.shape and each.dtype == np.uint8 for each in found)
    for severity, each in zip(SEVERITIES, found, strict=True):
        np.testing.assert_array_equal(corrupt(photo, kind, severity, name="red/1.jpg"), each)
    plain = {"defocus blur", "zoom blur", "brightness", "contrast", "pixelate", "jpeg"}
    other = corrupt(photo, kind, 3, name="red/2.jpg")
    assert np.array_equal(other, found[2]) == (kind in plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [32, 64, 128])
def test_more_severe_is_further_away(kind: str, size: int) -> None:
    generator = np.random.default_rng(1)
    coarse = Image.fromarray(generator.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    photo = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    distances = [away(corrupt(photo, kind, severity, name="a"), photo) for severity in SEVERITIES]
    assert distances[4] > distances[0]
    least = 0.5 if kind == "pixelate" else 0.85  # of few pixels, some numbers divide a square better
    assert all(later > least * earlier for earlier, later in itertools.pairwise(distances))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_blurs_and_moves_keep_a_blank_image(value: int) -> None:
    blank = np.full((SIZE, SIZE, 3), value, np.uint8)
    kinds = ("defocus blur", "glass blur", "motion blur", "zoom blur", "elastic", "pixelate", "contrast")
    for kind in kinds:
        assert away(corrupt(blank, kind, 5, name="a"), blank) <= 1, kind


def test_noise_has_the_spread_that_it_says() -> None:
    grey = np.full((224, 224, 3), 128, np.uint8)
    found = corrupt(grey, "gaussian noise", 2, name="a") / 255
    assert found.std() == pytest.approx(0.12, rel=0.02)
    assert found.mean() == pytest.approx(128 / 255, abs=0.002)
    shot = corrupt(grey, "shot noise", 1, name="a") / 255
    assert shot.std() == pytest.approx(np.sqrt(128 / 255 / 60), rel=0.02)
    salt = corrupt(grey, "impulse noise", 4, name="a")
    assert (salt == 0).mean() == pytest.approx(0.085, rel=0.05)
    assert (salt == 255).mean() == pytest.approx(0.085, rel=0.05)
    small = corrupt(grey[:56, :56], "gaussian noise", 2, name="a") / 255  # a quarter of the side
    assert small.std() == pytest.approx(0.06, rel=0.04)


def test_light_and_contrast_by_hand() -> None:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[:, : SIZE // 2] = (200, 100, 60)
    brighter = corrupt(pixels, "brightness", 1, name="a")
    np.testing.assert_array_equal(brighter[0, 0], [226, 113, 68])  # (200 + 25.5) / 200 times as bright
    np.testing.assert_array_equal(brighter[0, -1], [26, 26, 26])
    np.testing.assert_array_equal(corrupt(pixels, "contrast", 4, name="a")[0, 0], [110, 55, 33])


def test_defocus_of_a_point_is_a_disc() -> None:
    point = np.zeros((225, 225, 3), np.uint8)
    point[112, 112] = 255
    lit = corrupt(point, "defocus blur", 1, name="a")[..., 0] > 4
    rows, columns = np.nonzero(lit)
    assert np.hypot(rows - 112, columns - 112).max() <= 3.5
    assert lit.sum() == pytest.approx(np.pi * 3.2**2, rel=0.2)


class ByColor:
    """A predictor that goes by the mean color."""

    classes = tuple(sorted(COLORS))
    preprocessing = Preprocessing(size=SIZE)
    metadata = ModelMetadata(classes=classes, dialect="bn", preprocessing=preprocessing)

    def logits(self, images: Pixels) -> np.ndarray:
        assert len(images) <= 32
        return images.mean(axis=(1, 2))[:, ::-1].astype(np.float32)  # blue, green, red


def test_the_table_against_a_loop(photos: Path) -> None:
    (photos / "red" / "3.jpg").write_bytes(b"\xff\xd8 nothing more")
    found = robustness.assess(ByColor(), str(photos), workers=2)
    _, index = open_class_folders(photos)
    assert (found.samples, found.unreadable, found.whole) == (29, 1, 1.0)
    hits: dict[str, list[bool]] = {kind: [] for kind in ("fog", "contrast", "impulse noise")}
    for number in range(len(index)):
        if index.name(number) != "red/3.jpg":
            square = preprocess(index.read(number), ByColor.preprocessing)
            for kind, right in hits.items():
                guess = ByColor().logits(corrupt(square, kind, 5, name=index.name(number))[None]).argmax()
                right.append(bool(guess == index.labels[number]))
    for kind, right in hits.items():
        assert found.damaged[kind][4] == pytest.approx(np.mean(right))
    shares = np.array(list(found.damaged.values()))
    assert shares.shape == (15, 5)
    assert found.mean == pytest.approx(shares.mean())
    again = robustness.assess(ByColor(), str(photos), workers=1)
    assert again == found


def test_damage_is_of_one_model_and_one_crop(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["evaluate", str(photos), str(photos), "--corruptions", "--crops", "10"]) == 2
    assert "--corruptions with one model and one crop" in capsys.readouterr().err


def test_text_and_json(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from googlenet.inference import loading

    monkeypatch.setattr(loading, "resolve_models", lambda paths: paths)
    monkeypatch.setattr(loading, "load_predictor", lambda path: ByColor())
    for path in photos.glob("*/[2-9].jpg"):
        path.unlink()
    assert main.main(["evaluate", "m", str(photos), "--corruptions"]) == 0
    text = capsys.readouterr().out
    assert text.count(" %") > 90
    assert all(f" {kind} " in text for kind in KINDS)
    assert main.main(["evaluate", "m", str(photos), "--corruptions", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["damaged"]) == list(KINDS)
    assert found["pixels"][:16] in text
