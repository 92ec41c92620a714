"""The learning-rate range test: the suggestion by arithmetic, and a real one on the digits."""

import math

import pytest

from googlenet import terminal
from googlenet.errors import InputError
from googlenet.findlr import HIGHEST, LOWEST, RangeTest, range_test
from googlenet.recipe import Settings


def test_the_suggestion_is_where_the_loss_was_lowest() -> None:
    found = RangeTest(rates=(0.001, 0.0123, 0.1, 1.0), losses=(2.3, 1.1, 1.2, 2.0))
    assert found.suggested == 0.012
    assert "try --lr 0.012" in terminal.range_test(found)


def test_on_the_digits() -> None:
    found = range_test("digits", Settings(batch=8, size=32, stem=4))
    assert found.rates[0] == LOWEST
    steps = [math.log(b / a) for a, b in zip(found.rates, found.rates[1:], strict=False)]
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert found.suggested < found.rates[-1] < HIGHEST  # it stopped when the loss had grown
    assert min(found.losses) < math.log(10)  # it learnt something


def test_wrong_choices_are_refused_as_in_training() -> None:
    with pytest.raises(InputError, match="modern, paper, smoke"):
        range_test("digits", Settings(recipe="best"))
