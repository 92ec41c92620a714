"""Claim: averaging over models lowers the error, also on top of crops (section 7, Table 3)."""

from itertools import combinations

import numpy as np

import plots
from common import Arm, Column, Comparison, Experiment, Metrics, Place, main
from crops import PROTOCOLS, averages, named
from drawing import Runs
from training import REFERENCE, values

MEMBERS = 5
BLOCKS = 10


def measured(arm: Arm, block: int, place: Place) -> Metrics:
    """Accuracy on one block of the test photos, of every number of models with every number of crops.

    That of `k` models is the mean over all choices of `k` of the five.
    """
    found = [averages(seed, place) for seed in range(MEMBERS)]
    index = found[0][0]
    members = np.stack([rows for _, rows in found])[:, :, block::BLOCKS]  # [models, protocols, N, classes]
    truth = index.labels[block::BLOCKS]
    return {
        f"models_{models}_crops_{count}": float(
            np.mean(
                [
                    (members[list(chosen), number].mean(axis=0).argmax(axis=1) == truth).mean()
                    for chosen in combinations(range(MEMBERS), models)
                ]
            )
        )
        for models in range(1, MEMBERS + 1)
        for number, count in enumerate(PROTOCOLS)
    }


def draw(runs: Runs) -> str:
    """Error against the number of models, a line for each number of crops."""
    found = runs["bn"]
    series = {
        named(count): [
            (models - 1.0, 100 * (1 - float(np.mean(values(found, f"models_{models}_crops_{count}")))))
            for models in range(1, MEMBERS + 1)
        ]
        for count in PROTOCOLS
    }
    return plots.page(
        [
            plots.curves(
                "Averages over models and crops",
                "models",
                "top-1 error, %",
                series,
                x_names=[str(models) for models in range(1, MEMBERS + 1)],
            )
        ]
    )


def _column(models: int, count: int) -> Column:
    several = "models" if models > 1 else "model"
    return Column(f"models_{models}_crops_{count}", f"{models} {several}, {named(count)}, %", 100)


EXPERIMENT = Experiment(
    name="ensemble",
    title="One to five models",
    claim="Table 3, top-5 error: 10.07 % with one model and one crop, 8.09 % with seven models, 6.67 % with "
    "seven models and 144 crops. The seven had the same initial weights and other orders of the images.",
    scale="The five models of the reference (other initial weights and other orders) and the 2,000 test "
    "images of the crops, in ten blocks of 200. A run here is a block, so that the spread is that between "
    "images, and differences are taken within a block; a figure of fewer models than five is the mean over "
    "all choices among the five.",
    arms={"bn": Arm(about="Table 1, batch normalisation", training=REFERENCE, note="2,000 test images")},
    seeds=tuple(range(BLOCKS)),
    measure=measured,
    columns=(
        *(_column(models, 1) for models in range(1, MEMBERS + 1)),
        _column(1, 144),
        _column(MEMBERS, 144),
    ),
    comparisons=tuple(
        Comparison(
            what=f"test accuracy, {mine[0]} models, {named(mine[1])}, less {theirs[0]}, {named(theirs[1])}",
            column=_column(*mine),
            mine="bn",
            against=_column(*theirs).metric,
            paper=paper,
            expected="higher",
        )
        for mine, theirs, paper in (
            ((5, 1), (1, 1), "1.98 higher with seven (top-5)"),
            ((5, 144), (1, 1), "3.40 higher with seven (top-5)"),
            ((5, 144), (5, 1), "1.42 higher with seven (top-5)"),
        )
    ),
    drawing=draw,
)

if __name__ == "__main__":
    main(EXPERIMENT)
