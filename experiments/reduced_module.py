"""Claim: 1x1 reductions keep the cost of wide modules in hand (sections 3 and 4, Figure 2)."""

from common import Arm, Comparison, Experiment, Training, main
from drawing import accuracies
from training import ACCURACY, MACS, MEMORY, PARAMETERS, REFERENCE, SCALE, STEP, TEST, measure

BN = ("reference", "bn")

EXPERIMENT = Experiment(
    name="reduced_module",
    title="The module with reductions against the naive one",
    claim="Section 4: without reductions, merging the pooling's output with the convolutions' leads to a "
    "“computational blow up within a few stages”; with them each stage can have many more units without one.",
    scale=SCALE + " The naive network of full width gets one epoch, and so does one of Table 1 beside it.",
    arms={
        "reduced": Arm(about="Table 1, Figure 2(b)", borrowed=BN, training=REFERENCE),
        "naive, same cost": Arm(
            about="Figure 2(a), a quarter of the widths", training=Training(dialect="naive_quarter")
        ),
        "reduced, 1 epoch": Arm(about="Table 1, Figure 2(b)", training=Training(epochs=1)),
        "naive, 1 epoch": Arm(
            about="Figure 2(a), the widths of Table 1", training=Training(dialect="naive", epochs=1)
        ),
    },
    measure=measure,
    columns=(*ACCURACY, PARAMETERS, MACS, STEP, MEMORY),
    comparisons=(
        Comparison(
            what="multiply-adds, naive less reduced, same widths",
            column=MACS,
            mine="naive, 1 epoch",
            theirs="reduced, 1 epoch",
            paper="naive blows up",
            expected="higher",
        ),
        Comparison(
            what="time of a step, naive less reduced, same widths",
            column=STEP,
            mine="naive, 1 epoch",
            theirs="reduced, 1 epoch",
            paper="naive blows up",
            expected="higher",
        ),
        Comparison(
            what="test accuracy, naive less reduced, same widths, same epochs",
            column=TEST,
            mine="naive, 1 epoch",
            theirs="reduced, 1 epoch",
            paper="says nothing",
            expected=None,
        ),
        Comparison(
            what="test accuracy, reduced less naive, same multiply-adds",
            column=TEST,
            mine="reduced",
            theirs="naive, same cost",
            paper="the reduced one uses the computation better",
            expected="higher",
        ),
    ),
    drawing=accuracies(
        "With and without 1x1 reductions",
        ("step_ratio", "Time of a training step", "times the reference's", 1),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT)
