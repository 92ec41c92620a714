"""The plot that most experiments share: accuracy of every run on test and on training images."""

from collections.abc import Mapping, Sequence
from typing import Any

import plots
from training import values

Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def accuracy_panel(title: str, runs: Runs) -> plots.Panel:
    """A row for each arm; the distance of the two colours is the gap."""
    return plots.dots(
        title,
        "accuracy, %",
        {
            arm: {
                "test": [100 * value for value in values(found, "test")],
                "train, not augmented": [100 * value for value in values(found, "train")],
            }
            for arm, found in runs.items()
        },
    )


def accuracies(title: str, *more: tuple[str, str, str, float]) -> Any:
    """A drawing of accuracy, and below it further figures: (metric, title, unit, factor)."""

    def draw(runs: Runs) -> str:
        panels = [accuracy_panel(title, runs)]
        for metric, heading, unit, factor in more:
            rows = {arm: {"": [factor * v for v in values(found, metric)]} for arm, found in runs.items()}
            panels.append(plots.dots(heading, unit, rows))
        return plots.page(panels)

    return draw
