"""The network that most claims are measured beside: Table 1 with batch normalisation, five seeds."""

from common import Arm, Experiment, main
from drawing import accuracies
from training import ACCURACY, MACS, PARAMETERS, REFERENCE, SCALE, measure

EXPERIMENT = Experiment(
    name="reference",
    title="The reference",
    claim="No claim: these runs are what the others are compared with, and their models are used again.",
    scale=SCALE,
    arms={"bn": Arm(about="Table 1, batch normalisation", training=REFERENCE)},
    seeds=(0, 1, 2, 3, 4),
    measure=measure,
    columns=(*ACCURACY, PARAMETERS, MACS),
    drawing=accuracies("The reference, five seeds"),
)

if __name__ == "__main__":
    main(EXPERIMENT)
