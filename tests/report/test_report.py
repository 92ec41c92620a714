"""The pictures of a report, from logits whose outcome is known."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.data.index import Index
from googlenet.evaluation.scoring import SplitScores, measure
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import read_metadata
from googlenet.report.gallery import (
    MAX_CLASSES,
    MAX_EXAMPLES,
    MAX_MISTAKES,
    THUMBNAIL,
    Gallery,
    thumbnail_urls,
)
from googlenet.report.page import Report, render_report
from helpers.models import CLASSES, save

SIZE = 64


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelMetadata:
    return read_metadata(save(tmp_path_factory.mktemp("model") / "model.safetensors", "bn"))


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Sixty photos, twenty of a class, each of one grey."""
    names = [f"{i:02}.png" for i in range(60)]
    for i, name in enumerate(names):
        Image.new("RGB", (100, 80), (4 * i, 4 * i, 4 * i)).save(tmp_path / name)
    return Index(names, np.arange(60) // 20, root=tmp_path)


def scored(guesses: np.ndarray, sure: np.ndarray) -> SplitScores:
    logits = np.zeros((len(guesses), len(CLASSES)), np.float32)
    logits[np.arange(len(guesses)), guesses] = sure
    return SplitScores(logits, np.zeros((len(guesses), 9)), np.arange(len(guesses)), {})


class Halves:
    """A predictor for whose first class the left half speaks, for the others the right."""

    def class_maps(self, squares: np.ndarray) -> np.ndarray:
        maps = np.zeros((len(squares), len(CLASSES), 4, 4), np.float32)
        maps[:, 0, :, :2], maps[:, 1:, :, 2:] = 1, 1
        return maps


def opened(url: str) -> np.ndarray:
    head, _, body = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))), dtype=float)


def test_mistakes_are_the_surest_wrong_guesses_with_both_maps(index: Index, card: ModelMetadata) -> None:
    guesses = np.repeat([1, 1, 2], 20)  # the first twenty are wrong
    found = Gallery(scored(guesses, np.linspace(1, 6, 60)), index, card, Halves()).mistakes()  # type: ignore[arg-type]
    assert [photo.name for photo in found] == [f"{i:02}.png" for i in reversed(range(20))]
    assert {(photo.truth, photo.guess) for photo in found} == {(CLASSES[0], CLASSES[1])}
    logits = np.array([0, np.linspace(1, 6, 60)[19], 0]) / card.temperature
    assert found[0].probability == pytest.approx(np.exp(logits[1]) / np.exp(logits).sum(), abs=1e-5)
    photo, guess, truth = (opened(url) for url in (found[0].picture, found[0].for_guess, found[0].for_truth))
    assert photo.shape == (THUMBNAIL, THUMBNAIL, 3) and photo.mean() == pytest.approx(4 * 19, abs=2)
    edge = THUMBNAIL // 8
    assert np.abs(guess[:, :edge] - photo[:, :edge]).max() < 40 < np.abs(guess - photo)[:, -edge:].max()
    assert np.abs(truth[:, -edge:] - photo[:, -edge:]).max() < 40 < np.abs(truth - photo)[:, :edge].max()
    many = Gallery(scored(1 - guesses.clip(max=1), np.ones(60)), index, card)
    assert len(many.mistakes()) == min(MAX_MISTAKES, 60) and many.mistakes()[0].for_guess == ""


def test_examples_are_the_surest_of_each_class(index: Index, card: ModelMetadata) -> None:
    guesses = np.arange(60) // 20
    guesses[[3, 7]] = 2
    found = Gallery(scored(guesses, np.arange(1, 61) / 10), index, card).examples()
    assert [row.label for row in found] == list(CLASSES)
    assert [photo.name for photo in found[0].right] == ["19.png", "18.png", "17.png", "16.png"][:MAX_EXAMPLES]
    assert [(photo.name, photo.guess) for photo in found[0].wrong] == [
        ("07.png", CLASSES[2]),
        ("03.png", CLASSES[2]),
    ]
    assert found[1].wrong == ()


def test_a_photo_that_is_gone_has_no_picture_and_many_classes_no_examples(
    index: Index, card: ModelMetadata
) -> None:
    (index.root / "00.png").unlink()
    gallery = Gallery(scored(np.ones(60, int), np.linspace(2, 1, 60)), index, card, Halves())  # type: ignore[arg-type]
    assert gallery.mistakes()[0].picture == "" and gallery.mistakes()[1].picture != ""
    many = replace(card, classes=tuple(map(str, range(MAX_CLASSES + 1))))
    logits = np.zeros((60, MAX_CLASSES + 1), np.float32)
    assert Gallery(SplitScores(logits, np.zeros((60, 9)), np.arange(60), {}), index, many).examples() == []


def test_small_images_are_enlarged_by_whole_pixels() -> None:
    (url,) = thumbnail_urls(np.full((1, SIZE, SIZE, 3), 200, np.uint8))
    assert opened(url).shape == (SIZE * (THUMBNAIL // SIZE),) * 2 + (3,)


def test_of_many_classes_those_that_have_no_part_in_it_are_left_out(
    index: Index, card: ModelMetadata
) -> None:
    names = tuple(f"kind {number:04}" for number in range(MAX_CLASSES + 1))
    logits = np.zeros((60, len(names)), np.float32)
    logits[:, 7] = 1
    many, scores = replace(card, classes=names), SplitScores(logits, np.zeros((60, 9)), np.arange(60), {})
    gallery = Gallery(scores, index, many)
    page = render_report(Report(card=many, part="all", metrics=measure(scores, index, many), gallery=gallery))
    table = page.partition("<h2>Classes</h2>")[2].partition("</table>")[0]
    assert [name for name in names if name in table] == [names[number] for number in (0, 1, 2, 7)]
    assert f"Left out: {len(names) - 4} classes" in page
