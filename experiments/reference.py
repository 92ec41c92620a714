"""The network that most claims are measured beside: Table 1 with batch normalisation, five seeds."""

from common import Arm, Experiment, main
from drawing import accuracies
from training import ACCURACY, MACS, PARAMETERS, REFERENCE, SCALE, SECONDS, measure

EXPERIMENT = Experiment(
    name="reference",
    title="The reference",
    claim="None: these runs are what the others are set beside, and their models are used again.",
    scale=SCALE,
    arms={"bn": Arm(about="Table 1, batch normalisation", training=REFERENCE)},
    seeds=(0, 1, 2, 3, 4),
    measure=measure,
    columns=(*ACCURACY, PARAMETERS, MACS, SECONDS),
    drawing=accuracies("The reference, five seeds"),
)

if __name__ == "__main__":
    main(EXPERIMENT)
