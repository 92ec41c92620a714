"""What a run tells of itself: stuck heads, gradients with and without the auxiliary losses."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from googlenet.files.events import Gradients
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads
from googlenet.report.charts import training_charts
from googlenet.training import diagnostics
from googlenet.training.decision.recipe import SMOKE
from googlenet.training.diagnostics import WINDOW, HeadWatch
from googlenet.training.optim import losses

GUESSING = math.log(10)


def fed(watch: HeadWatch, *, steps: int, **parts: float) -> list[str]:
    return [said for _ in range(steps) for said in watch(parts, rate=0.05)]


def test_a_dead_head_is_named_once_with_what_to_do() -> None:
    watch = HeadWatch(10)
    said = fed(watch, steps=3 * WINDOW, main=1.0, aux1=GUESSING, aux2=1.2)
    assert len(said) == 1
    assert "head on inception_4a" in said[0]
    assert "lower --lr" in said[0]
    assert "xavier" in said[0]


def test_a_dead_classifier_behind_learning_heads_is_named() -> None:
    said = fed(HeadWatch(10), steps=WINDOW, main=GUESSING, aux1=0.5, aux2=GUESSING)
    assert [text.split(" has")[0] for text in said] == ["the classifier", "the head on inception_4d"]


@pytest.mark.parametrize(
    "parts",
    [
        {"main": GUESSING, "aux1": GUESSING, "aux2": GUESSING},  # nothing has learnt yet
        {"main": 1.0, "aux1": 2.0, "aux2": 1.5},  # all learn
    ],
)
def test_no_warning_without_reason(parts: dict[str, float]) -> None:
    assert fed(HeadWatch(10), steps=3 * WINDOW, **parts) == []


def test_no_warning_before_the_window_is_full() -> None:
    assert fed(HeadWatch(10), steps=WINDOW - 1, main=0.1, aux1=GUESSING, aux2=0.1) == []


def test_gradients_are_those_of_the_losses() -> None:
    """Against two separate backward passes; behind 4d the heads change nothing."""
    torch.manual_seed(0)
    net = WithAuxiliaryHeads(GoogLeNet(4, dropout=0.0), dropout=0.0).train()
    images, labels = torch.randn(4, 3, 64, 64), torch.arange(4)
    parts = losses(net(images), labels, SMOKE)
    alone = diagnostics.main_gradients(net, parts)
    parts.total.backward()  # type: ignore[no-untyped-call]
    together = diagnostics.all_gradients(net)

    def norms(loss_of: str) -> dict[str, float]:
        net.zero_grad()
        getattr(losses(net(images), labels, SMOKE), loss_of).backward()
        return {
            name: math.sqrt(sum(float(p.grad.square().sum()) for p in stage.parameters() if p.ndim > 1))
            for name, stage in net.net.trunk.named_children()
            if any(True for _ in stage.parameters())
        }

    assert alone == pytest.approx(norms("main"), rel=1e-3)
    assert together == pytest.approx(norms("total"), rel=1e-3)
    assert together["inception_5b"] == pytest.approx(alone["inception_5b"], rel=1e-6)
    assert together["conv1"] != pytest.approx(alone["conv1"], rel=2e-4)


def test_chart_of_gradients_has_a_point_a_stage() -> None:
    event = Gradients(
        step=0,
        epoch=0,
        with_heads={"conv1": 1.0, "inception_3a": 0.1},
        main_alone={"conv1": 0.01, "inception_3a": 0.0},
    )
    *_, chart = training_charts([event])
    assert [text for _, text in chart.x_ticks] == ["1", "3a"]
    assert all(len(curve.points.split()) == 2 for curve in chart.curves)
    assert training_charts([]) == []


def test_looking_at_gradients_changes_no_weight(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from googlenet.files.modelfile import read
    from googlenet.training.decision.settings import Settings
    from googlenet.training.train import train

    settings = Settings(recipe="smoke", epochs=1, batch=8, workers=0)
    train(str(photos), tmp_path / "looked", settings)
    monkeypatch.setattr(diagnostics, "is_gradient_step", lambda step, steps: False)
    train(str(photos), tmp_path / "not", settings)
    looked, _ = read(tmp_path / "looked" / "model.safetensors")
    other, _ = read(tmp_path / "not" / "model.safetensors")
    assert all((looked[name] == other[name]).all() for name in other)
    logged = [json.loads(line) for line in (tmp_path / "looked" / "metrics.jsonl").read_text().splitlines()]
    assert [event["step"] for event in logged if event["kind"] == "gradients"] == [0]


def test_looks_are_at_the_size_that_training_has_reached_and_not_shortly_before_the_end(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from googlenet.inference import torch_classifier
    from googlenet.training.decision import decide
    from googlenet.training.decision.settings import Settings
    from googlenet.training.train import train

    given: list[int] = []
    original = torch_classifier.Classifier.outputs

    def spied(self: torch_classifier.Classifier, images: Any) -> Any:
        given.append(images.shape[1])
        return original(self, images)

    monkeypatch.setattr(torch_classifier.Classifier, "outputs", spied)
    planned = decide.plan_epochs  # 9 steps, the first 6 at 64 pixels
    monkeypatch.setattr(decide, "plan_epochs", lambda *a, **k: replace(planned(*a, **k), validate_every=4))
    train(str(photos), tmp_path / "run", Settings(size=96, epochs=3, batch=8, workers=0))
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(e["step"], e["size"]) for e in logged if e["kind"] == "val"] == [(4, 64), (9, 96)]
    assert list(dict.fromkeys(given)) == [64, 96]
    said = capfd.readouterr().err
    assert said.count("% at 64 pixels") and "% at 96 pixels" not in said
