"""Mean, spread and difference over seeds, and what a difference says about a claim."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import t as student

LEVEL = 0.95
Expected = Literal["higher", "lower"] | None
Verdict = Literal["same direction", "opposite", "not settled", "too few runs", "no claim"]


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation (n - 1) of a figure over seeds; the deviation is None for one seed."""

    mean: float
    deviation: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """A difference of means, its standard error, and its 95 % interval by Student's t."""

    mean: float
    error: float
    low: float
    high: float


def summarize(values: Sequence[float]) -> Summary:
    """Mean and standard deviation of at least one value."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Summary(statistics.fmean(values), deviation, len(values))


def between(mine: Sequence[float], theirs: Sequence[float]) -> Difference | None:
    """Mean of `mine` less that of `theirs`, independent runs of unequal spread (Welch).

    returns  None for fewer than two values on a side
    """
    if min(len(mine), len(theirs)) < 2:
        return None
    parts = [statistics.variance(side) / len(side) for side in (mine, theirs)]
    error = math.sqrt(sum(parts))
    freedom = (
        sum(parts) ** 2
        / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (mine, theirs), strict=True))
        if error
        else 1.0
    )
    return _interval(statistics.fmean(mine) - statistics.fmean(theirs), error, freedom)


def within(mine: Sequence[float], theirs: Sequence[float]) -> Difference | None:
    """Mean difference of pairs: two figures of each run.

    returns  None for fewer than two pairs
    """
    if len(mine) < 2:
        return None
    pairs = [a - b for a, b in zip(mine, theirs, strict=True)]
    error = statistics.stdev(pairs) / math.sqrt(len(pairs))
    return _interval(statistics.fmean(pairs), error, len(pairs) - 1)


def verdict(found: Difference | None, expected: Expected) -> Verdict:
    """Whether a difference has the sign that the paper leads one to expect; its size is not tested.

    It has a sign only if its whole 95 % interval lies on one side of zero.
    """
    if expected is None:
        return "no claim"
    if found is None:
        return "too few runs"
    if found.low <= 0 <= found.high:
        return "not settled"
    return "same direction" if (found.mean > 0) == (expected == "higher") else "opposite"


def _interval(mean: float, error: float, freedom: float) -> Difference:
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * error
    return Difference(mean, error, mean - reach, mean + reach)
