"""Temperature, and what photos look like, on their way: model file, export, predictions in every format."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

import googlenet as package
from googlenet.architecture.dialects import Preprocessing, dialect
from googlenet.base.errors import ModelFileError
from googlenet.calibration import ood
from googlenet.calibration.ood import OutlierDetector
from googlenet.calibration.temperature import Bin
from googlenet.cli import main
from googlenet.export import export
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import read_metadata
from googlenet.images.decode import preprocess
from googlenet.inference.torch_classifier import Classifier
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet
from googlenet.report.charts import reliability_chart
from helpers.models import liven
from helpers.painting import paint

CARD = ModelMetadata(
    classes=("a", "b", "c"), dialect="bn", preprocessing=Preprocessing(size=64), temperature=1.7
)


@pytest.fixture(scope="module")
def net() -> GoogLeNet:
    made = GoogLeNet(3).eval()
    liven(made, seed=1)
    return made


@pytest.fixture(scope="module")
def usual() -> OutlierDetector:
    """What 24 photos of one color look like."""
    rng = np.random.default_rng(7)
    noisy = np.array([200, 40, 40]) + rng.normal(0, 10, (24, 64, 64, 3)) * rng.uniform(
        0.5, 1.5, (24, 1, 1, 1)
    )
    found = ood.fit_detector(ood.image_statistics(noisy.clip(0, 255).astype(np.uint8)))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    colors = ((200, 40, 40), (10, 10, 10), (40, 60, 200), (250, 250, 250))
    return [paint(folder / f"{i}.jpg", color, seed=i) for i, color in enumerate(colors)]


@pytest.fixture(scope="module")
def marks(usual: OutlierDetector, pictures: list[Path]) -> list[bool]:
    """By scipy's Mahalanobis distance, from a border that leaves half of the pictures outside."""
    squares = np.stack([preprocess(path.read_bytes(), CARD.preprocessing) for path in pictures])
    inverse = np.array(usual.precision)
    away = [mahalanobis(each, usual.mean, inverse) ** 2 for each in ood.image_statistics(squares)]
    return [bool(each > np.median(away)) for each in away]


@pytest.fixture(scope="module")
def model(
    net: GoogLeNet, usual: OutlierDetector, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model to which half of the pictures are unlike its training data."""
    squares = np.stack([preprocess(path.read_bytes(), CARD.preprocessing) for path in pictures])
    border = float(np.median(usual.distances(ood.image_statistics(squares))))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    checkpoint.save(path, net, replace(CARD, energy_threshold=1e9, familiar=replace(usual, threshold=border)))
    return path


def test_a_card_keeps_both(model: Path, usual: OutlierDetector) -> None:
    card = read_metadata(model)
    assert card.temperature == 1.7
    assert card.familiar == replace(usual, threshold=card.familiar.threshold)  # every bit of 90 numbers


def test_either_view_marks_a_photo(usual: OutlierDetector) -> None:
    looks = np.array([usual.mean, np.array(usual.mean) + 100])
    energies = np.array([-4.0, -4.0], np.float32)
    assert CARD.are_outliers(looks, energies) is None
    both = replace(CARD, energy_threshold=-3.5, familiar=usual)
    for card, expected in (
        (both, [False, True]),
        (replace(both, energy_threshold=-4.5), [True, True]),
        (replace(both, familiar=None), [False, False]),
        (replace(both, energy_threshold=None), [False, True]),
    ):
        found = card.are_outliers(looks, energies)
        assert found is not None
        assert found.tolist() == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": "1"},
        {"energy_threshold": float("inf")},
        {"familiar": {"mean": [0.0] * 9, "precision": [[0.0] * 9] * 9, "threshold": float("inf")}},
        {"familiar": {"mean": [0.0] * 8, "precision": [[0.0] * 8] * 8, "threshold": 1.0}},
        {"familiar": {"mean": [float("nan")] * 9, "precision": [[0.0] * 9] * 9, "threshold": 1.0}},
        {"familiar": {"mean": [0.0] * 9, "threshold": 1.0}},
        {"familiar": 3},
        {"familiar_features": {"mean": "AACAPw==", "deviation": "AACAPw==", "threshold": 1.0}},  # of 1,024
        {"familiar_features": {"mean": "AACAPw==", "deviation": "AACAPwAAgD8=", "threshold": 1.0}},
        {"familiar_features": {"mean": "AACAPw==", "deviation": "AAAAAA==", "threshold": 1.0}},
        {"familiar_features": {"mean": "AADAfw==", "deviation": "AACAPw==", "threshold": 1.0}},  # NaN
        {"familiar_features": {"mean": "no Base64", "deviation": "AACAPw==", "threshold": 1.0}},
        {"familiar_features": {"mean": "", "deviation": "", "threshold": 1.0}},
    ],
)
def test_a_card_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelFileError, match="its header is not that of a model"):
        ModelMetadata.from_header({**CARD.as_header(), **wrong}, Path("m"))


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "parquet"])
def test_predictions_say_it(
    model: Path, pictures: list[Path], marks: list[bool], tmp_path: Path, format: str
) -> None:
    expected = [mark for mark in marks for _ in range(2)]
    out = tmp_path / "out"
    words = ["predict", str(model), *map(str, pictures), "--top", "2", "--format", format, "--out", str(out)]
    assert main.main(words) == 0
    if format == "parquet":
        pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        rows = pq.read_table(out).to_pylist()
    elif format == "csv":
        with out.open(newline="") as file:
            rows = [{**row, "unfamiliar": row["unfamiliar"] == "True"} for row in csv.DictReader(file)]
        assert list(rows[0]) == ["path", "rank", "label", "probability", "error", "unfamiliar"]
    else:
        text = out.read_text()
        rows = json.loads(text) if format == "json" else [json.loads(line) for line in text.splitlines()]
    assert [row["unfamiliar"] for row in rows] == expected


def test_the_table_marks_them(model: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["predict", str(model), *map(str, pictures)]) == 0
    said = capsys.readouterr()
    assert said.out.count("unlike the training data") == 2
    assert "has no out-of-distribution detector" not in said.err


def test_without_a_threshold_nothing_is_marked_and_that_is_said_once(
    net: GoogLeNet, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(tmp_path / "old", net, CARD)
    words = ["predict", str(tmp_path / "old"), *map(str, pictures)]
    assert main.main([*words, "--format", "jsonl"]) == 0
    said = capsys.readouterr()
    assert not any("unfamiliar" in json.loads(line) for line in said.out.splitlines())
    assert said.err.count("has no out-of-distribution detector") == 1
    assert main.main(words) == 0
    assert "unlike" not in capsys.readouterr().out


def test_an_export_says_the_same(
    model: Path,
    pictures: list[Path],
    marks: list[bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "cache"))
    export.export(model, tmp_path / "out", to="openvino")
    fast, plain = package.load_predictor(tmp_path / "out"), package.load_predictor(model)
    assert fast.metadata == plain.metadata
    squares = np.stack([preprocess(path.read_bytes(), CARD.preprocessing) for path in pictures])
    for opened in (fast, plain):
        logits = torch.from_numpy(opened.logits(squares))
        np.testing.assert_allclose(opened(squares), (logits / 1.7).softmax(1), atol=1e-6)
    for each in (fast, plain):
        assert [row.unfamiliar for row in package.classify(map(str, pictures), each, top=1)] == marks
    assert len(set(marks)) == 2


@pytest.mark.parametrize("dialect_name", ["bn", "bvlc+4e+5a", "dense"])
@pytest.mark.parametrize("target", ["openvino", "onnx", "int8"])
def test_features_mark_the_same_photos_in_every_engine(
    dialect_name: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty photos of one color are known; the border is between them and four of another."""
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "cache"))
    net = GoogLeNet(3, dialect_name=dialect_name).eval()
    liven(net, seed=1)
    card = replace(CARD, dialect=dialect_name)
    known = [paint(tmp_path / "known" / f"{i}.jpg", (200, 40, 40), seed=i) for i in range(60)]
    other = [paint(tmp_path / "other" / f"{i}.jpg", (10, 60, 200), seed=i) for i in range(4)]

    def squares(files: list[Path]) -> np.ndarray:
        return np.stack([preprocess(path.read_bytes(), card.preprocessing) for path in files])

    found = Classifier(net, card).outputs(squares(known)).features
    if dialect_name == "dense":
        assert found is None
        usual = None
    else:
        assert found is not None and found.shape == (60, dialect(dialect_name).features)
        usual = ood.fit_feature_detector(found[::2])
        assert usual is not None
    card = replace(card, familiar_features=usual)
    checkpoint.save(tmp_path / "m.safetensors", net, card)
    if target == "int8":
        pytest.importorskip("nncf")
    export.export(
        tmp_path / "m.safetensors",
        tmp_path / "out",
        to=target,
        calibrate=str(tmp_path / "known"),
        accept_loss=True,
    )
    opened = package.load_predictor(tmp_path / "out")
    assert opened.metadata == card
    for each in (package.load_predictor(tmp_path / "m.safetensors"), opened):
        rows = list(package.classify(map(str, [*known[1::2], *other]), each, top=1))
        marks = [row.unfamiliar for row in rows]
        if dialect_name == "dense":
            assert marks == [None] * 34
        else:
            assert marks[30:] == [True] * 4
            # painted photos are so alike that int8's rounding is far away for them
            assert target == "int8" or sum(map(bool, marks[:30])) <= 3
            values = each.outputs(squares(known[:8])).features
            assert values is not None and found is not None
            scale = np.abs(found).max(axis=1, keepdims=True)
            assert np.abs(values - found[:8]).max() < (0.1 if target == "int8" else 0.02) * scale.max()


def test_reliability_chart_puts_bins_where_they_belong() -> None:
    before = (Bin(low=8 / 15, count=12_345, confidence=0.56, accuracy=0.25),)
    after = (
        Bin(low=0.0, count=3, confidence=0.0, accuracy=0.0),
        Bin(low=14 / 15, count=40, confidence=1.0, accuracy=1.0),
    )
    chart = reliability_chart(before, after)
    points = [[tuple(map(float, p.split(","))) for p in curve.points.split()] for curve in chart.curves]
    (x, y), (first, last) = points[0][0], points[2]  # the third curve is from 0 to 100 %
    assert points[1] == [first, last]
    assert (x - first[0]) / (last[0] - first[0]) == pytest.approx(0.56, abs=0.001)
    assert (first[1] - y) / (first[1] - last[1]) == pytest.approx(0.25, abs=0.001)
    assert [[text for _, text in row.numbers] for row in chart.counts] == [["12k"], ["3", "40"]]
    centers = [(place - first[0]) / (last[0] - first[0]) for place, _ in chart.counts[1].numbers]
    assert centers == pytest.approx([0.5 / 15, 14.5 / 15])
