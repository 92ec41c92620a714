"""Does a map find what a model goes by? Blur that, and see how far the probability falls.

    python experiments/blurring.py RUN DATA [--method cam] [--every 3] [--picture FILE.png]

For each validation photo that the model classifies rightly, the pixels of the square that the network sees
which a map for its class holds most important, a fifth of them, are blurred. The fall of the class's
probability is compared with the mean fall for 20 other masks of the same shape: the same mask shifted around
the edges, half of them mirrored, at random. Methods are those of `googlenet explain`.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from googlenet.calibration.temperature import probabilities
from googlenet.data.splits import choose_split
from googlenet.images.decode import Pixels, preprocess
from googlenet.images.heatmaps import Panel, contact_sheet
from googlenet.inference import loading
from googlenet.inference.predict import Predictor
from googlenet.inference.torch_classifier import Classifier
from googlenet.interpret.attribution import blurred
from googlenet.interpret.attribution import method as by_gradients
from googlenet.interpret.class_maps import CAM, LEGEND, Attribution, occlusion

SHARE = 0.2  # of the pixels
OTHERS = 20
SHOWN = 4  # photos of the picture

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Fall:
    """What blurring does to a photo: by our map, by other masks on average, and what was looked at."""

    name: str
    label: str
    before: float
    ours: float
    others: float
    square: Pixels
    blurred: Pixels
    example: Pixels  # by one of the other masks
    heat: npt.NDArray[np.float32]


def falls(
    predictor: Predictor, source: str, *, method: str = CAM, every: int = 1, seed: int = 0
) -> tuple[str, list[Fall], int]:
    """Measure the photos of the validation split that are classified rightly.

    every    look at each n-th photo alone
    returns  the split in words, the photos, and how many were looked at
    """
    part, index = choose_split(source, predictor.metadata, None)
    generator = np.random.default_rng(seed)
    attribution = chosen(method, predictor)
    found = []
    for number in range(0, len(index), every):
        square = preprocess(index.read(number), predictor.preprocessing)
        label = int(index.labels[number])
        before = _probability(predictor, square[None])[0]
        if before.argmax() != label:
            continue
        heat = attribution(square[None], label)
        mask = most_important(heat, square.shape[0])
        masks = [mask, *(moved(mask, generator) for _ in range(OTHERS))]
        soft = blurred(square[None])[0]
        changed = np.stack([np.where(each[..., None], soft, square) for each in masks])
        after = _probability(predictor, changed)[:, label]
        found.append(
            Fall(
                index.name(number),
                predictor.classes[label],
                float(before[label]),
                float(before[label] - after[0]),
                float(before[label] - after[1:].mean()),
                square,
                changed[0],
                changed[1],
                heat,
            )
        )
    return part, found, len(range(0, len(index), every))


def most_important(heat: npt.NDArray[np.float32], side: int) -> Mask:
    """The fifth of a square's pixels for which a map, enlarged smoothly, is greatest."""
    smooth = np.asarray(Image.fromarray(heat).resize((side, side), Image.Resampling.BICUBIC))
    order = np.argsort(-smooth, axis=None, kind="stable")
    mask = np.zeros(smooth.size, bool)
    mask[order[: round(SHARE * smooth.size)]] = True
    return mask.reshape(smooth.shape)


def moved(mask: Mask, generator: np.random.Generator) -> Mask:
    """The same mask elsewhere: shifted at random around the edges, and mirrored in half of the cases."""
    down, across = generator.integers(0, len(mask), 2)
    turned = mask[:, ::-1] if generator.random() < 0.5 else mask
    return np.roll(turned, (int(down), int(across)), (0, 1))


def chosen(method: str, predictor: Predictor) -> Attribution:
    """A method of `googlenet explain` for a network in torch."""
    assert isinstance(predictor, Classifier)
    if method == CAM:
        return lambda square, label: predictor.class_maps(square)[0][label]
    if method == "occlusion":
        return occlusion(predictor)
    return by_gradients(method, predictor.net, predictor.preprocessing)


def picture(found: Sequence[Fall]) -> Image.Image:
    """Some photos, evenly spread: as seen, the class map, what is left of each, and how sure the model is."""
    chosen = [found[int(i)] for i in np.linspace(0, len(found) - 1, SHOWN)]
    rows = [
        [
            Panel(Image.fromarray(each.square), f"{each.label} {each.before:.0%}"),
            Panel(Image.fromarray(each.square), "the map", each.heat),
            Panel(Image.fromarray(each.blurred), f"by the map: {each.before - each.ours:.0%}"),
            Panel(Image.fromarray(each.example), f"elsewhere, mean of 20: {each.before - each.others:.0%}"),
        ]
        for each in chosen
    ]
    return contact_sheet(rows, side=192)


def _probability(predictor: Predictor, squares: Pixels) -> npt.NDArray[np.float32]:
    return probabilities(predictor.logits(squares), predictor.metadata.temperature)


def main() -> None:
    """Print the figures as JSON, and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data")
    parser.add_argument("--method", choices=list(LEGEND), default=CAM)
    parser.add_argument("--every", type=int, default=1, help="each n-th photo alone")
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    predictor = loading.load_predictor(asked.model)
    part, found, photos = falls(predictor, asked.data, method=asked.method, every=asked.every)
    more = np.array([each.ours > each.others for each in found])
    said = {
        "part": part,
        "method": asked.method,
        "photos": photos,
        "right": len(found),
        "falls_more": round(float(more.mean()), 4),
        "mean_fall": round(float(np.mean([each.ours for each in found])), 4),
        "mean_fall_elsewhere": round(float(np.mean([each.others for each in found])), 4),
    }
    print(json.dumps(said, indent=1))
    if asked.picture is not None:
        picture(found).save(asked.picture)


if __name__ == "__main__":
    main()
