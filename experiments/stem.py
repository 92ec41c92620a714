"""Claim: plain convolutions below the modules are a matter of memory, not of accuracy (section 4)."""

from common import Arm, Comparison, Experiment, Training, main
from drawing import accuracies
from training import ACCURACY, ACTIVATIONS, MACS, MEMORY, REFERENCE, SCALE, STEP, TEST, measure

EXPERIMENT = Experiment(
    name="stem",
    title="A plain stem against Inception modules from the first layer",
    claim="Section 4: lower layers are plain convolutions for a technical reason, memory in training; this "
    "is not strictly necessary, and due to inefficiencies of the implementation.",
    scale=SCALE + " Modules take the place of plain layers at nearly the same multiply-adds and weights.",
    arms={
        "plain": Arm(about="conv1 and conv2, as printed", borrowed=("reference", "bn"), training=REFERENCE),
        "module at conv2": Arm(
            about="a module for conv2 and its reduction", training=Training(dialect="module_at_conv2")
        ),
        "modules only": Arm(
            about="modules for conv1 and conv2; pool1 5x5/4", training=Training(dialect="modules_only")
        ),
    },
    measure=measure,
    columns=(*ACCURACY, MACS, STEP, ACTIVATIONS, MEMORY),
    comparisons=(
        *(
            Comparison(
                what=f"{what}, {arm} less plain",
                column=column,
                mine=arm,
                theirs="plain",
                paper=paper,
                expected=expected,  # type: ignore[arg-type]
            )
            for arm in ("module at conv2", "modules only")
            for what, column, paper, expected in (
                ("test accuracy", TEST, "a plain stem is not strictly necessary", None),
                ("memory of the training process", MEMORY, "a module takes more", "higher"),
                ("time of a step", STEP, "modules are less efficient there", "higher"),
            )
        ),
    ),
    drawing=accuracies(
        "What the network begins with",
        ("step_ratio", "Time of a training step", "times the reference's", 1),
        ("megabytes", "Memory of the training process", "MB", 1),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT)
