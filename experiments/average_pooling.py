"""Claim: the mean of each map in place of dense layers gains about 0.6 points (section 5)."""

from common import Arm, Comparison, Experiment, Training, main
from drawing import accuracies
from normalisation import SLOW
from training import ACCURACY, GAP, PARAMETERS, SCALE, STEP, TEST, measure

EXPERIMENT = Experiment(
    name="average_pooling",
    title="Average pooling against a dense layer",
    claim="Section 5: average pooling in the place of fully connected layers gained about 0.6 % of top-1 "
    "accuracy.",
    scale=SCALE + " The dense layer has 1,024 units on the flattened last maps, repeated from 2x2 to 7x7. "
    "Both are trained at a rate of 0.01 from Xavier's weights: at the 0.05 of the others dense units died "
    "(one run, 28.1 % of test).",
    arms={
        "average": Arm(
            about="average pooling", borrowed=("normalisation", "bn, slow"), training=Training(options=SLOW)
        ),
        "dense": Arm(about="a dense layer of 1,024 units", training=Training(dialect="dense", options=SLOW)),
    },
    measure=measure,
    columns=(*ACCURACY, PARAMETERS, STEP),
    comparisons=(
        Comparison(
            what="test accuracy, average less dense",
            column=TEST,
            mine="average",
            theirs="dense",
            paper="about 0.6 higher (ImageNet)",
            expected="higher",
        ),
        Comparison(
            what="gap of train and test, average less dense",
            column=GAP,
            mine="average",
            theirs="dense",
            paper="more parameters overfit more (section 3)",
            expected="lower",
        ),
    ),
    drawing=accuracies("The end of the network"),
)

if __name__ == "__main__":
    main(EXPERIMENT)
