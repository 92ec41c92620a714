"""Local response normalisation, as in Figure 3, against batch normalisation (no claim: it came in 2015)."""

from common import Arm, Comparison, Experiment, Training, main
from drawing import accuracies
from training import ACCURACY, REFERENCE, SCALE, STEP, TEST, measure

SLOW = ("--lr", "0.01", "--init", "xavier")  # what a network without batch normalisation bears

EXPERIMENT = Experiment(
    name="normalisation",
    title="Local response normalisation against batch normalisation",
    claim="Figure 3 has local response normalisation at two places; batch normalisation was published "
    "in 2015, by two people of the same company, with the claim that it learns in far fewer steps.",
    scale=SCALE,
    arms={
        "bn": Arm(
            about="batch normalisation, rate 0.05, He's weights",
            borrowed=("reference", "bn"),
            training=REFERENCE,
        ),
        "bn, slow": Arm(
            about="batch normalisation, rate 0.01, Xavier's weights", training=Training(options=SLOW)
        ),
        "lrn": Arm(
            about="as printed: LRN, rate 0.01, Xavier's weights",
            training=Training(dialect="paper", options=SLOW),
        ),
    },
    measure=measure,
    columns=(*ACCURACY, STEP),
    comparisons=(
        Comparison(
            what="test accuracy, batch normalisation less LRN, same rate and weights",
            column=TEST,
            mine="bn, slow",
            theirs="lrn",
            paper="says nothing; Ioffe and Szegedy 2015: higher after as many steps",
            expected="higher",
        ),
        Comparison(
            what="test accuracy, batch normalisation less LRN, each at a rate that it bears",
            column=TEST,
            mine="bn",
            theirs="lrn",
            paper="says nothing; Ioffe and Szegedy 2015: higher after as many steps",
            expected="higher",
        ),
    ),
    drawing=accuracies("Normalisation"),
)

if __name__ == "__main__":
    main(EXPERIMENT)
