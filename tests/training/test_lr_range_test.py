"""The learning-rate range test: the suggestion by arithmetic, and a real one on the digits."""

import math
from dataclasses import replace

import pytest

from googlenet.base.errors import InputError
from googlenet.cli import tables
from googlenet.training.decision.settings import Settings, unused_by_range_test
from googlenet.training.lr_range_test import HIGHEST, LOWEST, RangeTest, range_test


def test_the_suggestion_is_where_the_loss_was_lowest() -> None:
    rates = tuple(10 ** (i / 10 - 4) for i in range(40))
    losses = tuple(2.3 + abs(i - 25) / 25 - 1 for i in range(40))
    found = RangeTest(rates=rates, losses=losses, lost=True)
    assert found.suggested == 0.032
    assert "try --lr 0.032" in tables.format_range_test(found)
    assert "never grew by a quarter" in tables.format_range_test(replace(found, lost=False))


def test_no_suggestion_where_nothing_was_learnt() -> None:
    noise = tuple(2.3 + 0.01 * (-1) ** i for i in range(40))
    found = RangeTest(rates=tuple(range(1, 41)), losses=noise, lost=False)
    assert found.suggested is None
    assert "no rate to suggest" in tables.format_range_test(found)


def test_options_that_mean_nothing_here() -> None:
    assert unused_by_range_test(Settings(minutes=1.0, force=True), resume=False) == ["--minutes", "--force"]
    with pytest.raises(InputError, match="--find-lr without --lr"):
        unused_by_range_test(Settings(lr=0.1), resume=False)
    with pytest.raises(InputError, match="--find-lr without --resume"):
        unused_by_range_test(Settings(), resume=True)


def test_on_the_digits() -> None:
    found = range_test("digits", Settings(batch=8, size=32, stem=4))
    assert found.rates[0] == LOWEST
    steps = [math.log(b / a) for a, b in zip(found.rates, found.rates[1:], strict=False)]
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert found.lost
    assert (
        found.suggested is None or found.suggested <= found.rates[-1] < HIGHEST
    )  # it stopped when the loss had grown
    assert min(found.losses) < math.log(10)  # it learnt something


def test_wrong_choices_are_refused_as_in_training() -> None:
    with pytest.raises(InputError, match="modern, transfer, paper, smoke"):
        range_test("digits", Settings(recipe="best"))
