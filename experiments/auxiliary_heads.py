"""Claim: auxiliary heads add to the gradient of the lower stages, and regularise (section 5)."""

import math

import plots
from common import Arm, Column, Comparison, Experiment, Training, main
from drawing import Runs, accuracy_panel
from normalisation import SLOW
from training import ACCURACY, EARLY, GAP, REFERENCE, SCALE, TEST, measure

WITHOUT = "claims_without_heads"


def draw(runs: Runs) -> str:
    """Accuracy, and the gradient at each stage of the arms that have heads."""
    panels = [accuracy_panel("With and without auxiliary heads", runs)]
    for arm, found in runs.items():
        if "without" in arm or not found:
            continue
        stages = list(found[0]["gradients"]["main_alone"])
        series = {
            name: [
                (
                    float(place),
                    math.exp(sum(math.log(run["gradients"][kind][stage]) for run in found) / len(found)),
                )
                for place, stage in enumerate(stages)
            ]
            for name, kind in (("whole loss", "with_heads"), ("the network's own loss", "main_alone"))
        }
        short = [stage.removeprefix("inception_").replace("conv2_reduce", "2r") for stage in stages]
        panels.append(
            plots.curves(f"Gradient at each stage, {arm}", "stage", "norm", series, log_y=True, x_names=short)
        )
    return plots.page(panels)


def _pair(norm: str, column: Column, what: str, paper: str, expected: str) -> Comparison:
    return Comparison(
        what=f"{what}, {norm}",
        column=column,
        mine=f"{norm}, heads",
        theirs=f"{norm}, without",
        paper=paper,
        expected=expected,  # type: ignore[arg-type]
    )


def _gradient(norm: str) -> Comparison:
    return Comparison(
        what=f"gradient below 4a, that of all losses over that of the main loss alone, less 1, {norm}",
        column=EARLY,
        mine=f"{norm}, heads",
        against=1.0,
        paper="heads add to the gradient that flows back",
        expected="higher",
    )


EXPERIMENT = Experiment(
    name="auxiliary_heads",
    title="Auxiliary heads",
    claim="Section 5: heads on 4a and 4d are to make the middle of the network tell classes apart, to add to "
    "the gradient that flows back, and to regularise. The version at CVPR 2015 adds that their effect is "
    "small, about 0.5 %, and that one of them would do.",
    scale=SCALE + " Without heads means that their loss is multiplied by 0.",
    arms={
        "bn, heads": Arm(about="heads at 0.3", borrowed=("reference", "bn"), training=REFERENCE),
        "bn, without": Arm(about="heads at 0", training=Training(recipe=WITHOUT)),
        "lrn, heads": Arm(
            about="as printed, heads at 0.3",
            borrowed=("normalisation", "lrn"),
            training=Training(dialect="paper", options=SLOW),
        ),
        "lrn, without": Arm(
            about="as printed, heads at 0",
            training=Training(dialect="paper", recipe=WITHOUT, options=SLOW),
        ),
    },
    measure=measure,
    columns=(*ACCURACY, EARLY),
    comparisons=tuple(
        comparison
        for norm in ("bn", "lrn")
        for comparison in (
            _pair(norm, TEST, "test accuracy, with heads less without", "about 0.5 higher", "higher"),
            _pair(norm, GAP, "gap of train and test, with heads less without", "they regularise", "lower"),
            _gradient(norm),
        )
    ),
    drawing=draw,
)

if __name__ == "__main__":
    main(EXPERIMENT)
