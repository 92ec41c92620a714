"""Loggers: TensorBoard's own reader, a recorder, one that fails, and the example for MLflow."""

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from googlenet.cli import main
from googlenet.files.events import TrainingStep, Validation
from googlenet.files.runfolder import RunLog
from googlenet.training import train as training
from googlenet.training.decision.settings import Settings

SMOKE = Settings(recipe="smoke", batch=8, size=64, epochs=2, workers=0)
DOCS = Path(__file__).parents[2] / "docs" / "training.md"


class Recorder:
    def __init__(self, *, fails: str = "") -> None:
        self.seen: list[Any] = []
        self.fails = fails

    def begin(self, run: dict[str, Any], images: Any) -> None:
        self._note("begin", (run, images))

    def event(self, event: Any) -> None:
        self._note("event", event)

    def end(self) -> None:
        self._note("end", None)

    def _note(self, name: str, what: Any) -> None:
        self.seen.append((name, what))
        if name == self.fails:
            raise RuntimeError("the server is gone")


def test_tensorboard_reads_what_was_written(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = "--recipe smoke --batch 8 --size 64 --epochs 2 --workers 0 --log tensorboard".split()
    assert main.main(["train", str(photos), *words, "--out", str(out)]) == 0
    found = EventAccumulator(str(out / "tensorboard"))
    found.Reload()
    tags = found.Tags()
    assert {"loss/total", "loss/aux2", "images a second", "validation/top1"} <= set(tags["scalars"])
    assert "first batch" in tags["images"][0]
    events = RunLog(out).read()
    steps = [event for event in events if isinstance(event, TrainingStep)]
    written = found.Scalars("loss/main")
    assert [each.step for each in written] == [event.step for event in steps]
    assert [each.value for each in written] == pytest.approx([event.main for event in steps])
    rates = [each.value for each in found.Scalars("learning rate")]
    assert rates == pytest.approx([event.rate for event in steps])
    looks = [event.top1 for event in events if isinstance(event, Validation)]
    assert [each.value for each in found.Scalars("validation/top1")] == pytest.approx(looks)


def test_a_logger_is_told_everything_that_the_log_has(photos: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    training.train(str(photos), tmp_path / "run", SMOKE, loggers=[recorder])
    assert recorder.seen[0][0] == "begin" and recorder.seen[-1][0] == "end"
    assert [what for name, what in recorder.seen if name == "event"] == RunLog(tmp_path / "run").read()
    run, images = recorder.seen[0][1]
    assert run["recipe"]["name"] == "smoke"
    assert images.shape[1:] == (64, 64, 3)


@pytest.mark.parametrize("fails", ["begin", "event", "end"])
def test_a_logger_that_fails_costs_nothing(
    photos: Path, tmp_path: Path, fails: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder(fails=fails)
    found = training.train(str(photos), tmp_path / "run", SMOKE, loggers=[recorder])
    assert found is not None and (tmp_path / "run" / "model.safetensors").is_file()
    assert [name for name, _ in recorder.seen].count(fails) == 1
    said = capsys.readouterr().err
    assert f"warning: Recorder.{fails} failed, so the run goes on without it: the server is gone" in said


def test_the_example_for_mlflow_calls_what_mlflow_has(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name: start_run, log_params, log_metrics(metrics, step), end_run; MLflow itself is not installed."""
    calls: list[tuple[str, Any]] = []
    stub: Any = types.ModuleType("mlflow")
    stub.start_run = lambda: calls.append(("start_run", None))
    stub.log_params = lambda params: calls.append(("log_params", params))
    stub.log_metrics = lambda metrics, step: calls.append(("log_metrics", metrics))
    stub.end_run = lambda: calls.append(("end_run", None))
    monkeypatch.setitem(sys.modules, "mlflow", stub)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "mlflow" in block]
    monkeypatch.chdir(tmp_path)
    assert photos == tmp_path / "photos"
    exec(example.replace("Settings(minutes=10)", repr(SMOKE)), {})
    names = [name for name, _ in calls]
    assert names[:2] == ["start_run", "log_params"] and names[-1] == "end_run"
    told = [metrics for name, metrics in calls if name == "log_metrics"]
    assert all(isinstance(value, float) for metrics in told for value in metrics.values())
    assert any("main" in metrics for metrics in told) and any("top1" in metrics for metrics in told)
