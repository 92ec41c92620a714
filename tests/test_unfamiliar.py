"""Temperature and energy threshold on their way: model file, export, predictions in every format."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import googlenet as package
from googlenet import checkpoint, cli, export
from googlenet.charts import reliability
from googlenet.confidence import Bin
from googlenet.dialects import Preprocessing
from googlenet.errors import ModelFileError
from googlenet.image import preprocess
from googlenet.model import GoogLeNet, network_input
from googlenet.modelfile import Card, read_card
from painting import paint
from test_model import liven

CARD = Card(classes=("a", "b", "c"), dialect="bn", preprocessing=Preprocessing(size=64), temperature=1.7)


@pytest.fixture(scope="module")
def net() -> GoogLeNet:
    made = GoogLeNet(3).eval()
    liven(made, seed=1)
    return made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    colours = ((200, 40, 40), (10, 10, 10), (40, 60, 200), (250, 250, 250))
    return [paint(folder / f"{i}.jpg", colour, seed=i) for i, colour in enumerate(colours)]


@pytest.fixture(scope="module")
def energies(net: GoogLeNet, pictures: list[Path]) -> np.ndarray:
    """By torch's own logsumexp."""
    squares = np.stack([preprocess(path.read_bytes(), CARD.preprocessing) for path in pictures])
    with torch.inference_mode():
        return -net(network_input(torch.from_numpy(squares), CARD.preprocessing)).logsumexp(1).numpy()


@pytest.fixture(scope="module")
def model(net: GoogLeNet, energies: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model to which half of the pictures are unlike its training data."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    checkpoint.save(path, net, replace(CARD, energy_threshold=float(np.median(energies))))
    return path


def test_a_card_keeps_both(model: Path, energies: np.ndarray) -> None:
    card = read_card(model)
    assert (card.temperature, card.energy_threshold) == (1.7, float(np.median(energies)))
    assert [card.unfamiliar(energy) for energy in sorted(energies)] == [False, False, True, True]
    assert CARD.unfamiliar(1e9) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": "1"},
        {"energy_threshold": float("inf")},
        {"energy_threshold": "-3"},
    ],
)
def test_a_card_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelFileError, match="its header is not that of a model"):
        Card.from_header({**CARD.as_header(), **wrong}, Path("m"))


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "parquet"])
def test_predictions_say_it(
    model: Path, pictures: list[Path], energies: np.ndarray, tmp_path: Path, format: str
) -> None:
    expected = [bool(energy > np.median(energies)) for energy in energies for _ in range(2)]
    out = tmp_path / "out"
    words = ["predict", str(model), *map(str, pictures), "--top", "2", "--format", format, "--out", str(out)]
    assert cli.main(words) == 0
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
    assert cli.main(["predict", str(model), *map(str, pictures)]) == 0
    said = capsys.readouterr()
    assert said.out.count("unlike the training data") == 2
    assert "no threshold" not in said.err


def test_without_a_threshold_nothing_is_marked_and_that_is_said_once(
    net: GoogLeNet, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(tmp_path / "old", net, CARD)
    words = ["predict", str(tmp_path / "old"), *map(str, pictures)]
    assert cli.main([*words, "--format", "jsonl"]) == 0
    said = capsys.readouterr()
    assert not any("unfamiliar" in json.loads(line) for line in said.out.splitlines())
    assert said.err.count("no threshold") == 1
    assert cli.main(words) == 0
    assert "unlike" not in capsys.readouterr().out


def test_an_export_says_the_same(
    model: Path,
    pictures: list[Path],
    energies: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "cache"))
    export.export(model, tmp_path / "out", to="openvino")
    fast, plain = package.load(tmp_path / "out"), package.Classifier(package.load(model))
    assert fast.card == plain.card
    squares = np.stack([preprocess(path.read_bytes(), CARD.preprocessing) for path in pictures])
    for opened in (fast, plain):
        np.testing.assert_allclose(opened.energies(squares), energies, rtol=2e-2)  # bfloat16 on some machines
        logits = torch.from_numpy(opened.logits(squares))
        np.testing.assert_allclose(opened(squares), (logits / 1.7).softmax(1), atol=1e-6)
    marks = [[row.unfamiliar for row in package.classify(map(str, pictures), each)] for each in (fast, plain)]
    assert marks[0] == marks[1]
    assert len(set(marks[0])) == 2


def test_reliability_chart_puts_bins_where_they_belong() -> None:
    before = (Bin(low=8 / 15, count=12_345, confidence=0.56, accuracy=0.25),)
    after = (
        Bin(low=0.0, count=3, confidence=0.0, accuracy=0.0),
        Bin(low=14 / 15, count=40, confidence=1.0, accuracy=1.0),
    )
    chart = reliability(before, after)
    points = [[tuple(map(float, p.split(","))) for p in line.points.split()] for line in chart.lines]
    (x, y), (first, last) = points[0][0], points[2]  # the third line is from 0 to 100 %
    assert points[1] == [first, last]
    assert (x - first[0]) / (last[0] - first[0]) == pytest.approx(0.56, abs=0.001)
    assert (first[1] - y) / (first[1] - last[1]) == pytest.approx(0.25, abs=0.001)
    assert [[text for _, text in row.numbers] for row in chart.counts] == [["12k"], ["3", "40"]]
    centres = [(place - first[0]) / (last[0] - first[0]) for place, _ in chart.counts[1].numbers]
    assert centres == pytest.approx([0.5 / 15, 14.5 / 15])
