"""What the benchmarks share: ratios within a round, shares of a limit, one table."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
TAKEN = {"peer": [2.0, 4.0, 6.0], "ours": [1.0, 1.0, 4.0], "edge": [0.5, 0.25, 1.0]}


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "common", raising=False)
    module = importlib.import_module("common")
    monkeypatch.setitem(sys.modules, "common", module)  # forgotten afterwards: others have one of that name
    return module


def test_ratios_are_taken_within_a_round(common: ModuleType) -> None:
    peer, ours, edge = common.speeds(TAKEN, count=8, unit="photos/s", limits={"ours": "edge"})
    assert peer == ("peer", "2.0 photos/s", "1.00x (1.00 to 1.00)", "")
    assert ours == ("ours", "8.0 photos/s", "2.00x (1.50 to 4.00)", "25 %")  # 4, 2, 1.5; 25, 50, 25 %
    assert edge.value == "16.0 photos/s"
    unknown = {**TAKEN, "edge": [0.5, float("nan"), 1.0]}
    found = common.speeds(unknown, count=8, unit="photos/s", limits={"ours": "edge"})
    assert found == [peer, (*ours[:3], ""), ("edge", "not measured", "", "")]


def test_works_take_turns_after_a_first_time(common: ModuleType) -> None:
    order: list[str] = []

    def work(name: str) -> float:
        order.append(name)
        return float(len(order))

    taken = common.in_turns({"a": lambda: work("a"), "b": lambda: work("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert taken == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_the_limit_is_a_matrix_product(
    common: ModuleType, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr(common, "SIDES", (64, 256))
    alone = common.product(precision, 256)
    assert 0 < alone < 1
    if precision != "int8":
        with pytest.raises(KeyError):
            common.product("float8", 256)
    monkeypatch.setattr(common, "product", lambda precision, side: side**3 / (1e9 if side > 100 else 1e8))
    assert common.limit(precision, macs=2e9)() == pytest.approx(2.0)


def test_one_table(common: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    rows = common.speeds(TAKEN, count=8, unit="photos/s")
    common.show([("first part", rows), ("second part", [common.Row("left", "left out: none here")])])
    machine, head, *rest = capsys.readouterr().out.splitlines()
    assert "commit " in machine and "openvino " in machine
    assert head.strip().startswith("median")
    assert [line for line in rest if line.endswith("part")] == ["first part", "second part"]
    ends = {line.index("photos/s") for line in rest if "photos/s" in line}
    assert len(ends) == 1  # in a column


@pytest.mark.parametrize(
    "name",
    [
        "check",
        "dialects",
        "engines",
        "files",
        "preprocessing",
        "serving",
        "training_files",
        "training_step",
        "visualizing",
    ],
)
def test_each_script_measures(common: ModuleType, name: str) -> None:
    assert callable(importlib.import_module(name).measure)
