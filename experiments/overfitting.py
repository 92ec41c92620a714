"""Claim: a larger network overfits more, most of all where examples are few (section 3)."""

from common import Arm, Comparison, Experiment, Training, main
from drawing import accuracies
from normalisation import SLOW
from training import ACCURACY, GAP, PARAMETERS, TEST, measure

EXPERIMENT = Experiment(
    name="overfitting",
    title="The gap between train and test",
    claim="Section 3: a bigger network has more parameters and overfits more, most of all where "
    "labelled examples are few.",
    scale="A run sees 30,000 images, 64 pixels: 10,000 of CIFAR-10's training split three times, or 2,000 "
    "of them fifteen times; then the whole test split, once. The larger network has a dense layer; "
    "all are trained at a rate of 0.01 from Xavier's weights. Gaps are those after as many steps, not after "
    "as good a fit: compare the accuracy on train.",
    arms={
        "6 M, 10,000 images": Arm(
            about="average pooling", borrowed=("normalisation", "bn, slow"), training=Training(options=SLOW)
        ),
        "57 M, 10,000 images": Arm(
            about="dense layer",
            borrowed=("average_pooling", "dense"),
            training=Training(dialect="dense", options=SLOW),
        ),
        "6 M, 2,000 images": Arm(
            about="average pooling", training=Training(part="cifar10-2k", epochs=15, options=SLOW)
        ),
        "57 M, 2,000 images": Arm(
            about="dense layer",
            training=Training(dialect="dense", part="cifar10-2k", epochs=15, options=SLOW),
        ),
    },
    measure=measure,
    columns=(*ACCURACY, PARAMETERS),
    comparisons=(
        *(
            Comparison(
                what=f"gap, 57 M parameters less 6 M, {images} images",
                column=GAP,
                mine=f"57 M, {images} images",
                theirs=f"6 M, {images} images",
                paper="the larger network overfits more",
                expected="higher",
            )
            for images in ("10,000", "2,000")
        ),
        Comparison(
            what="gap, 2,000 images less 10,000, 6 M parameters",
            column=GAP,
            mine="6 M, 2,000 images",
            theirs="6 M, 10,000 images",
            paper="most where examples are limited",
            expected="higher",
        ),
        Comparison(
            what="test accuracy, 57 M parameters less 6 M, 2,000 images",
            column=TEST,
            mine="57 M, 2,000 images",
            theirs="6 M, 2,000 images",
            paper="lower, by overfitting",
            expected="lower",
        ),
    ),
    drawing=accuracies("The gap between train and test"),
)

if __name__ == "__main__":
    main(EXPERIMENT)
