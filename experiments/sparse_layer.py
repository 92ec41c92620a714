"""Claim: a sparse layer saves arithmetic but no time, so the module approximates it densely (section 3)."""

import math
import statistics
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

import plots
from common import Arm, Column, Comparison, Experiment, Metrics, Place, main
from drawing import Runs

# The 3x3 convolution of 3b as a matrix, 192 outputs by 9 x 128 inputs, on the 28x28 places of four images.
OUT, IN, PLACES, SMOKE_PLACES = 192, 1152, 4 * 784, 64
DENSITIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
ONE_PERCENT = DENSITIES.index(0.01)
ROUNDS = 7
DENSE, SAME, TORCH, SCIPY = "dense", "dense, as many non-zeros", "sparse, torch", "sparse, scipy"

Work = Callable[[], object]


def measured(arm: Arm, seed: int, place: Place) -> Metrics:
    """Milliseconds of the product at each density, and what follows from them.

    `dense`: the whole matrix; `dense, as many non-zeros`: a smaller one, each side times the root of the
    density; `sparse, …`: the non-zeros in compressed rows, at random places.
    """
    taken: dict[str, list[float]] = {}
    for density in DENSITIES:
        works = products(density, seed=seed, places=SMOKE_PLACES if place.smoke else PLACES)
        for name, seconds in in_turns(works, rounds=2 if place.smoke else ROUNDS).items():
            taken.setdefault(name, []).append(1000 * seconds)
    sparse = [min(pair) for pair in zip(taken[TORCH], taken[SCIPY], strict=True)]
    return {
        "density": list(DENSITIES),
        "milliseconds": taken,
        "gain": taken[DENSE][ONE_PERCENT] / sparse[ONE_PERCENT],
        "against_small": sparse[ONE_PERCENT] / taken[SAME][ONE_PERCENT],
        "break_even": break_even(DENSITIES, sparse, taken[DENSE]),
        "threads": torch.get_num_threads(),
    }


def products(density: float, *, seed: int, places: int) -> dict[str, Work]:
    """The four products, checked to be of one matrix where they should be."""
    generator = torch.Generator().manual_seed(seed)
    weights, maps = torch.randn(OUT, IN, generator=generator), torch.randn(IN, places, generator=generator)
    chosen = torch.randperm(OUT * IN, generator=generator)[: round(density * OUT * IN)]
    mask = torch.zeros(OUT * IN).index_fill_(0, chosen, 1.0).view(OUT, IN)
    thinned = weights * mask
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        compressed = thinned.to_sparse_csr()
    rows = scipy.sparse.csr_matrix(thinned.numpy())
    small_out, small_in = (max(1, round(side * math.sqrt(density))) for side in (OUT, IN))
    small, fewer = weights[:small_out, :small_in].contiguous(), maps[:small_in].contiguous()
    plain: np.ndarray = maps.numpy()
    _check(thinned @ maps, compressed @ maps, torch.from_numpy(rows @ plain))
    return {
        DENSE: lambda: weights @ maps,
        SAME: lambda: small @ fewer,
        TORCH: lambda: compressed @ maps,
        SCIPY: lambda: rows @ plain,
    }


def in_turns(works: dict[str, Work], *, rounds: int) -> dict[str, float]:
    """Median seconds of each work over rounds in which all take turns."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):  # the first is for caches
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if number:
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


def break_even(densities: Sequence[float], sparse: Sequence[float], dense: Sequence[float]) -> float:
    """The density at which the sparse product takes as long as the dense one.

    Between two densities it is interpolated in logarithms; outside it is the end of the range.
    """
    logs = [math.log(s / d) for s, d in zip(sparse, dense, strict=True)]
    if logs[0] >= 0:
        return densities[0]
    for number in range(1, len(logs)):
        if logs[number] >= 0:
            share = -logs[number - 1] / (logs[number] - logs[number - 1])
            low, high = math.log(densities[number - 1]), math.log(densities[number])
            return math.exp(low + share * (high - low))
    return densities[-1]


def _check(expected: Tensor, *found: Tensor) -> None:
    for other in found:
        torch.testing.assert_close(other, expected, rtol=1e-3, atol=1e-3)


def draw(runs: Runs) -> str:
    """Time against density."""
    found = runs["random places"]
    series = {
        name: [
            (100 * density, float(np.mean([run["milliseconds"][name][number] for run in found])))
            for number, density in enumerate(DENSITIES)
        ]
        for name in (DENSE, SAME, TORCH, SCIPY)
    }
    title = "A layer's product, 192 x 1,152 on 3,136 places"
    panel = plots.curves(title, "weights that are not zero, %", "ms", series, log_x=True, log_y=True)
    return plots.page([panel])


GAIN = Column("gain", "dense over sparse at 1 %, times", 1, 2)

EXPERIMENT = Experiment(
    name="sparse_layer",
    title="A sparse against a dense layer",
    claim="Section 3: on machines of 2014 sparse matrices would not pay off even with 100 times fewer "
    "operations, since lookups and cache misses dominate.",
    scale="A run is a random matrix of the size of 3b's 3x3 convolution, float32, all threads, its products "
    "at six densities by torch and by SciPy, in turns; the better of the two counts as sparse.",
    arms={"random places": Arm(about="non-zeros at random places", note="192 x 1152 on 3136")},
    seeds=(0, 1, 2, 3, 4),
    measure=measured,
    columns=(
        GAIN,
        Column("against_small", "sparse over dense of as many non-zeros, at 1 %, times", 1, 2),
        Column("break_even", "break-even density, %", 100, 1),
    ),
    comparisons=(
        Comparison(
            what="time of the dense product over the sparse, 1 % of the weights, less 1",
            column=GAIN,
            mine="random places",
            against=1.0,
            paper="100 times fewer operations would not pay off",
            expected="lower",
        ),
        Comparison(
            what="time of the sparse product over a dense one of as many non-zeros, less 1",
            column=Column("against_small", "", 1, 2),
            mine="random places",
            against=1.0,
            paper="lookups and cache misses dominate",
            expected="higher",
        ),
    ),
    drawing=draw,
)

if __name__ == "__main__":
    main(EXPERIMENT)
