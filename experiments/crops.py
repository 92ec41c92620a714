"""Claim: averaging over 10 and over 144 crops lowers the error (section 7, Table 3)."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

import parts
import plots
from common import Arm, Column, Comparison, Experiment, Metrics, Place, main
from drawing import Runs
from googlenet.data.index import Index
from googlenet.files.atomic import atomic_replace
from googlenet.images.crops import SQUARES, VIEWS_10, VIEWS_144, View, crop_views
from googlenet.images.decode import decode_opened, open_image
from googlenet.inference.torch_classifier import Classifier
from googlenet.nn.checkpoint import load
from training import REFERENCE, data_of, right, trained, values

PHOTOS, SMOKE_PHOTOS = 2000, 20
KEPT = "crops.npz"
# In a square photo the left, the centre and the right square are the same, so 48 crops differ of the 144,
# and their mean is that of all.
CENTRE = SQUARES[1]
PROTOCOLS: Mapping[int, tuple[View | None, ...]] = {
    1: (None,),
    10: VIEWS_10,
    144: tuple(view for view in VIEWS_144 if view.square == CENTRE),
}


def measured(arm: Arm, seed: int, place: Place) -> Metrics:
    """Accuracy of a reference model on the fixed test photos, averaged over 1, 10 and 144 crops."""
    index, rows = averages(seed, place)
    return {
        "photos": len(index),
        **{
            f"crops_{count}": float(right(found, index).mean())
            for count, found in zip(PROTOCOLS, rows, strict=True)
        },
    }


def averages(seed: int, place: Place) -> tuple[Index, npt.NDArray[np.float32]]:
    """The test photos, and a reference model's mean probabilities [protocols, N, classes].

    They are kept beside the model, for the ensembles.
    """
    folder = trained(REFERENCE, seed, place)
    index = photos(place)
    kept = folder / KEPT
    if not kept.exists():
        classifier = Classifier(load(folder))
        found = np.stack([_of_photo(classifier, index.read(i)) for i in range(len(index))], axis=1)
        with atomic_replace(kept) as temporary, temporary.open("wb") as file:
            np.savez(file, probabilities=found)
    return index, np.load(kept)["probabilities"]


def photos(place: Place) -> Index:
    """The fixed part of the test split, as many of each class."""
    test = parts.opened(data_of(REFERENCE, place)).split("test")
    return parts.evenly(test, SMOKE_PHOTOS if place.smoke else PHOTOS)


def _of_photo(classifier: Classifier, data: bytes) -> npt.NDArray[np.float32]:
    """Mean probabilities of one photo, [protocols, classes]."""
    upright = decode_opened(open_image(data))
    assert upright.width == upright.height, "crops of other shapes are not left out as the same"
    views = list(dict.fromkeys(view for chosen in PROTOCOLS.values() for view in chosen))
    rows = classifier(crop_views(upright, classifier.preprocessing, views))
    means = [rows[[views.index(view) for view in chosen]].mean(axis=0) for chosen in PROTOCOLS.values()]
    return np.stack(means).astype(np.float32)


def named(count: int) -> str:
    """A number of crops in words."""
    return f"{count} crop{'s' * (count > 1)}"


def draw(runs: Runs) -> str:
    """A row for each number of crops."""
    rows: dict[str, dict[str, Sequence[float]]] = {
        named(count): {"": [100 * (1 - v) for v in values(found, f"crops_{count}")]}
        for found in runs.values()
        for count in PROTOCOLS
    }
    return plots.page([plots.dots("Averages over crops, five models", "top-1 error, %", rows)])


COLUMNS = {count: Column(f"crops_{count}", f"test, {named(count)}, %", 100) for count in PROTOCOLS}

EXPERIMENT = Experiment(
    name="crops",
    title="One, ten and 144 crops",
    claim="Table 3, top-5 error of one network on ImageNet's validation images: 10.07 % with one crop, "
    "9.15 % with 10, 7.89 % with 144; and that the benefit of still more crops “becomes marginal”.",
    scale="A run takes a model of the reference and the same 2,000 images (200 a class) of CIFAR-10's test "
    "split. These are square, so that 48 of the 144 crops differ; the model's own crop is the whole image, "
    "and training saw crops of 45 to 100 % of the area. The spread is that between models, not images.",
    arms={"bn": Arm(about="Table 1, batch normalisation", training=REFERENCE, note="2,000 test images")},
    seeds=(0, 1, 2, 3, 4),
    measure=measured,
    columns=tuple(COLUMNS.values()),
    comparisons=tuple(
        Comparison(
            what=f"test accuracy, {more} crops less {fewer}, the same model",
            column=COLUMNS[more],
            mine="bn",
            against=f"crops_{fewer}",
            paper=f"{points} higher (top-5)",
            expected="higher",
        )
        for more, fewer, points in ((10, 1, "0.92"), (144, 1, "2.18"), (144, 10, "1.26"))
    ),
    drawing=draw,
)

if __name__ == "__main__":
    main(EXPERIMENT)
