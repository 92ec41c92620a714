"""The paper's recipe (section 6) against the package's `modern`, for as many epochs."""

from common import Arm, Comparison, Experiment, Training, main
from drawing import accuracies
from networks import modern_words
from training import ACCURACY, SCALE, TEST, measure

EXPERIMENT = Experiment(
    name="recipes",
    title="The paper's recipe against `modern`",
    claim="Section 6: SGD with momentum 0.9, 4 % off the rate every 8 epochs, averaged weights, crops of 8 "
    "to 100 % of the area, photometric distortions; and that it is hard to give “a definitive guidance to "
    "the most effective single way to train these networks”.",
    scale=SCALE
    + " Each recipe has its own batch: `modern`, the package's at the commit of the run, of 64, and "
    "`paper` of 32. In three epochs the rate of `paper` never falls: this says little about the paper's "
    "recipe at its own length.",
    arms={
        "modern, bn": Arm(
            about="recipe modern, batch normalisation",
            training=Training(recipe="modern"),
            note=modern_words(),
        ),
        "paper, bn": Arm(about="recipe paper, batch normalisation", training=Training(recipe="paper")),
        "paper, lrn": Arm(
            about="recipe paper, network as printed", training=Training(recipe="paper", dialect="paper")
        ),
    },
    measure=measure,
    columns=ACCURACY,
    comparisons=(
        Comparison(
            what="test accuracy, modern less paper, batch normalisation",
            column=TEST,
            mine="modern, bn",
            theirs="paper, bn",
            paper="says nothing",
            expected=None,
        ),
        Comparison(
            what="test accuracy, modern less all of the paper's",
            column=TEST,
            mine="modern, bn",
            theirs="paper, lrn",
            paper="says nothing",
            expected=None,
        ),
    ),
    drawing=accuracies("Recipes, three epochs each"),
)

if __name__ == "__main__":
    main(EXPERIMENT)
