"""What published weights reach on labeled photos: crops, precisions and engines side by side.

Every engine guesses the same photos; its top-1 and top-5 are compared with those of the first, photo by
photo: the difference in points with its 95 % interval, and the share of photos with the same guess.

    python experiments/published_weights.py DATA MODEL EXPORTED ... --crops 144

DATA is a folder of class folders, MODEL runs in torch, each EXPORTED in its engine: as this machine runs it,
and, given as EXPORTED:exact, without bfloat16.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from googlenet.base.errors import ImageError
from googlenet.base.machine import cores
from googlenet.base.progress import progress_bar
from googlenet.base.version import versions
from googlenet.data.index import Index
from googlenet.data.splits import choose_split
from googlenet.evaluation.ensemble import Ensemble
from googlenet.images.crops import ALL, ONE, TEN, Crops
from googlenet.inference.engines import open_exported
from googlenet.inference.loading import load_predictor
from googlenet.inference.predict import Predictor

PROTOCOLS = {"1": (ONE,), "10": (ONE, TEN), "144": (ONE, TEN, ALL)}
EXACT = ":exact"
SURE = 0.9  # the first engine's probability
Z_95 = 1.96

Ranks = npt.NDArray[np.int64]  # [N, protocols]: how many classes come before the true one


def opened(name: str) -> tuple[str, Predictor]:
    """A predictor, and what it runs in."""
    if name.endswith(EXACT):
        exact = open_exported(name.removesuffix(EXACT), exact=True)
        return exact.about, exact
    model = load_predictor(Path(name))
    return getattr(model, "about", "torch, float32"), model


def measured(
    model: Predictor, index: Index, protocols: Sequence[Crops]
) -> tuple[Ranks, npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Ranks [N, protocols], the guesses from one crop [N], and their probabilities [N]."""
    ranks, guesses, sure = [], [], []
    with progress_bar("photos", len(index)) as shown:
        for number, found in Ensemble({"model": model}).scores(index, protocols, workers=cores()):
            assert not isinstance(found, ImageError), found
            rows = found.raw[0]
            ranks.append((rows > rows[:, index.labels[number], None]).sum(axis=1))
            guesses.append(rows[0].argmax())
            sure.append(rows[0].max())
            shown.advance()
    return np.array(ranks), np.array(guesses), np.array(sure)


def difference(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_]) -> str:
    """Points gained, with the 95 % interval of a paired comparison."""
    change = 100 * (after.astype(float) - before.astype(float))
    margin = Z_95 * change.std(ddof=1) / len(change) ** 0.5
    return f"{change.mean():+.1f} ({change.mean() - margin:+.1f} to {change.mean() + margin:+.1f})"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--crops", choices=PROTOCOLS, default="10")
    options = parser.parse_args()
    protocols = PROTOCOLS[options.crops]
    first = None
    print("| engine | crops | top-1 % | top-5 % | top-1 less the first's | top-5 | same guess | where sure |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.models:
        about, model = opened(name)
        what, index = choose_split(options.data, model.metadata, None)
        ranks, guesses, sure = measured(model, index, protocols)
        first = first or (ranks, guesses, sure >= SURE)
        for number, crops in enumerate(protocols):
            right = [ranks[:, number] < top for top in (1, 5)]
            base = [first[0][:, min(number, first[0].shape[1] - 1)] < top for top in (1, 5)]
            same = ""
            if number == 0:
                alike = guesses == first[1]
                same = f"{100 * alike.mean():.1f} | {100 * alike[first[2]].mean():.1f} of {first[2].sum()}"
            print(
                f"| {about} | {crops.count} | {100 * right[0].mean():.1f} | {100 * right[1].mean():.1f} | "
                f"{difference(base[0], right[0])} | {difference(base[1], right[1])} | {same or ' | '} |",
                flush=True,
            )
    print(f"\n{len(guesses)} photos, {what}; {', '.join(f'{k} {v}' for k, v in versions().items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
