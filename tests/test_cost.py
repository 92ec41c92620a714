"""The arithmetic against the paper's printed table and against figures counted by others."""

import pytest

from googlenet import cost
from googlenet.errors import InputError
from googlenet.spec import TABLE_1 as TABLE

# Rows of Table 1 that agree with arithmetic: weights, and million multiply-adds at 224 pixels.
TABLE_1 = {
    "inception_3a": (163_328, 128.05),
    "inception_3b": (388_096, 304.3),
    "inception_4a": (375_552, 73.61),
    "inception_4b": (448_512, 87.9),
    "inception_4c": (509_440, 99.85),
    "inception_4d": (604_672, 118.5),
    "inception_4e": (867_328, 170.0),
    "inception_5a": (1_042_432, 51.08),
    "inception_5b": (1_442_816, 70.7),
}
SIDES = {"conv1": 112, "pool1": 56, "conv2": 56, "pool2": 28, "inception_3b": 28, "inception_4a": 14}


def test_default_dialect_totals() -> None:
    found = cost.network()
    assert found.training_parameters == 13_385_816
    assert found.parameters == 7_005_832
    assert round(2 * found.macs / 1e9, 2) == 3.17


def test_paper_dialect_totals() -> None:
    found = cost.network("paper")
    assert (found.parameters, found.training_parameters) == (6_998_552, 13_378_280)
    assert round(found.macs / 1e6, 1) == 1582.7


@pytest.mark.parametrize("name, weights, macs", [(k, *v) for k, v in TABLE_1.items()])
def test_inception_rows_of_table_1(name: str, weights: int, macs: float) -> None:
    rows = {row.name: row for row in cost.network("paper").rows}
    bn = {row.name: row for row in cost.network("bn").rows}
    biases = bn[name].parameters - weights  # a scale and a shift for each output channel
    assert rows[name].parameters - weights == biases / 2
    assert rows[name].macs / 1e6 == pytest.approx(macs, abs=0.06)


@pytest.mark.parametrize("dialect", ["bn", "paper"])
def test_map_sides_of_table_1(dialect: str) -> None:
    rows = {row.name: row.side for row in cost.network(dialect).rows}
    assert {name: rows[name] for name in SIDES} == SIDES
    assert (rows["pool4"], rows["inception_5b"]) == (7, 7)


def test_reduction_before_a_3x3_convolution() -> None:
    """Section 4's argument at 3a: 221,184 weights without the reduction, 129,024 with it."""
    _, reduce, conv, *_ = cost.inception_convs(TABLE["inception_3a"], 192)  # type: ignore[arg-type]
    weights = [channels * out * kernel**2 for channels, out, kernel in (reduce, conv)]
    assert sum(weights) == 129_024
    assert reduce[0] * conv[1] * conv[2] ** 2 == 221_184


@pytest.mark.parametrize("wrong", [{"size": 32}, {"classes": 0}])
def test_wrong_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least"):
        cost.network(**wrong)  # type: ignore[arg-type]
