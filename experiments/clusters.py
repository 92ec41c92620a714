"""Claim: units that fire together form clusters, which 1x1 convolutions can cover (sections 3 and 4)."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor

import parts
import plots
from common import Arm, Column, Comparison, Experiment, Metrics, Place, main
from drawing import Runs
from googlenet.architecture.dialects import Preprocessing
from googlenet.data.index import Index
from googlenet.images.decode import preprocess
from googlenet.nn.checkpoint import load
from googlenet.nn.model import GoogLeNet, initialize_weights, network_input
from networks import CLAIMS
from stats import Expected
from training import REFERENCE, data_of, trained, values

STAGE = "inception_4a"  # its inputs are the 480 channels of 3b, pooled
CLUSTERS = 48  # ten units each, on average
PHOTOS, SMOKE_PHOTOS = 2000, 50
BATCH = 100
NOTHING = "says nothing"

Matrix = npt.NDArray[np.float64]  # [places of all photos, units]
Maps = npt.NDArray[np.float64]  # [photos, places, units]
Labels = npt.NDArray[np.int64]


def measured(arm: Arm, seed: int, place: Place) -> Metrics:
    """How far the inputs of 4a fall into clusters, and what its 1x1 reduction keeps of them.

    Clusters are found, and linear maps fitted, on one half of the test photos, and measured on the other.

    returns  `units` that ever fire; `together`: mean correlation of two units of one cluster; `shuffled`:
             the same, clusters of the same sizes drawn at random; `rotated`: as `together`, of data with
             the same principal components in random directions: as much structure, no clusters of units;
             `kept_…`: share of the variance (R²) of the units, of their clusters' means (`_common`) and of
             what is left without these (`_rest`), that a linear map recovers from the outputs of the
             3x3 reduction, from as many random projections, or from as many principal components
    """
    index = parts.evenly(
        parts.opened(data_of(REFERENCE, place)).split("test"), SMOKE_PHOTOS if place.smoke else PHOTOS
    )
    firing, reduced = activations(*_network(arm, seed, place), index)
    fit, check = standardised(*_halves(firing))
    generator = np.random.default_rng(seed)
    labels = clusters(fit)
    axes: Matrix = np.linalg.qr(generator.normal(size=(fit.shape[1], fit.shape[1]))).Q
    turned = standardised(fit @ axes, check @ axes)
    return {
        "photos": len(index),
        "units": fit.shape[1],
        "together": together(check, labels),
        "shuffled": together(check, generator.permutation(labels)),
        "rotated": together(turned[1], clusters(turned[0])),
        **_kept_of_all(fit, check, _halves(reduced), labels, generator),
    }


def activations(net: GoogLeNet, preprocessing: Preprocessing, index: Index) -> tuple[Maps, Maps]:
    """Inputs of the stage and what its 3x3 reduction makes of them, both [photos, places, channels]."""
    kept: dict[str, list[Tensor]] = {"in": [], "reduced": []}
    stage = net.trunk.get_submodule(STAGE)
    hooks = [
        stage.register_forward_hook(lambda _, given, out: kept["in"].append(given[0].clone())),
        stage.get_submodule("n3x3_reduce.conv").register_forward_hook(
            lambda _, given, out: kept["reduced"].append(out.clone())
        ),
    ]
    with torch.inference_mode():
        for start in range(0, len(index), BATCH):
            numbers = range(start, min(start + BATCH, len(index)))
            squares = np.stack([preprocess(index.read(number), preprocessing) for number in numbers])
            net(network_input(torch.from_numpy(squares), preprocessing))
    for hook in hooks:
        hook.remove()
    inputs, reduced = (torch.cat(maps).flatten(2).transpose(1, 2).double().numpy() for maps in kept.values())
    return inputs, reduced


def standardised(fit: Matrix, check: Matrix) -> tuple[Matrix, Matrix]:
    """Units that fire on both halves, at mean 0 and variance 1 on the first."""
    centre, scale = fit.mean(axis=0), fit.std(axis=0)
    alive = np.minimum(scale, check.std(axis=0)) > 1e-6 * scale.max()
    first, second = ((part[:, alive] - centre[alive]) / scale[alive] for part in (fit, check))
    return first, second


def clusters(fit: Matrix) -> Labels:
    """A cluster for each unit: complete linkage over 1 less the correlation."""
    distance = 1 - np.corrcoef(fit, rowvar=False)
    made = AgglomerativeClustering(CLUSTERS, metric="precomputed", linkage="complete")
    return np.asarray(made.fit_predict(distance), dtype=np.int64)


def together(units: Matrix, labels: Labels) -> float:
    """Mean correlation of two units of one cluster, over all such pairs."""
    same = labels[:, None] == labels[None, :]
    np.fill_diagonal(same, False)
    return float(np.asarray(np.corrcoef(units, rowvar=False))[same].mean())


def common(units: Matrix, labels: Labels) -> Matrix:
    """The mean of each unit's cluster, in the place of the unit."""
    members = np.eye(labels.max() + 1)[labels]
    return np.asarray(units @ (members / members.sum(axis=0)) @ members.T)


def kept(seen: tuple[Matrix, Matrix], goal: tuple[Matrix, Matrix]) -> float:
    """R² of the best linear map from `seen` to `goal`, fitted on the first halves, on the second ones."""
    centres = [side[0].mean(axis=0) for side in (seen, goal)]
    solution = np.linalg.lstsq(seen[0] - centres[0], goal[0] - centres[1], rcond=None)[0]
    missed = goal[1] - centres[1] - (seen[1] - centres[0]) @ solution
    return float(1 - (missed**2).sum() / ((goal[1] - goal[1].mean(axis=0)) ** 2).sum())


def _kept_of_all(
    fit: Matrix, check: Matrix, reduced: tuple[Matrix, Matrix], labels: Labels, generator: np.random.Generator
) -> dict[str, float]:
    width = reduced[0].shape[1]
    random = generator.normal(size=(fit.shape[1], width))
    principal = np.linalg.eigh(np.cov(fit, rowvar=False))[1][:, -width:]
    seen = {
        "reduction": reduced,
        "random": (fit @ random, check @ random),
        "principal": (fit @ principal, check @ principal),
    }
    means = common(fit, labels), common(check, labels)
    goals = {"": (fit, check), "_common": means, "_rest": (fit - means[0], check - means[1])}
    return {
        f"kept_{name}{what}": kept(sides, goal)
        for name, sides in seen.items()
        for what, goal in goals.items()
    }


def _halves(maps: Maps) -> tuple[Matrix, Matrix]:
    """Places of every other photo, and of the others, [places, channels]."""
    return maps[::2].reshape(-1, maps.shape[2]), maps[1::2].reshape(-1, maps.shape[2])


def _network(arm: Arm, seed: int, place: Place) -> tuple[GoogLeNet, Preprocessing]:
    """The reference model of a seed, or for an arm that is not trained, one as it begins."""
    if arm.training is not None:
        net = load(trained(arm.training, seed, place))
        assert net.metadata is not None
        return net, net.metadata.preprocessing
    torch.manual_seed(seed)
    net = GoogLeNet(parts.CLASSES)
    initialize_weights(net, CLAIMS.init)
    return net.eval(), replace(net.dialect.preprocessing, size=CLAIMS.size, crop=CLAIMS.crop)


def draw(runs: Runs) -> str:
    """Correlation within clusters, and what is kept."""
    rows = {
        f"{arm}: {name}": {"": values(found, metric)}
        for arm, found in runs.items()
        for name, metric in (
            ("clusters", "together"), ("rotated", "rotated"), ("at random", "shuffled"),
        )
    }  # fmt: skip
    shares = {
        f"{arm}: {name}": {
            "of clusters' means": [100 * v for v in values(found, f"kept_{metric}_common")],
            "of the rest": [100 * v for v in values(found, f"kept_{metric}_rest")],
        }
        for arm, found in runs.items()
        for name, metric in (
            ("1x1 reduction", "reduction"), ("random projections", "random"), ("principal", "principal"),
        )
    }  # fmt: skip
    return plots.page(
        [
            plots.dots("Two units of one cluster", "mean correlation", rows),
            plots.dots("What 96 numbers keep of the units", "variance recovered, %", shares),
        ]
    )


def _kept_column(what: str, heading: str) -> Column:
    return Column(f"kept_reduction{what}", heading, 100)


def _against(
    what: str,
    column: Column,
    against: str,
    *,
    mine: str = "trained",
    paper: str = NOTHING,
    expected: Expected = None,
) -> Comparison:
    return Comparison(what=what, column=column, mine=mine, against=against, paper=paper, expected=expected)


TOGETHER = Column("together", "correlation within clusters", 1, 3)
KEPT = _kept_column("", "96 reductions keep, %")
COMMON = _kept_column("_common", "of clusters' means, %")

EXPERIMENT = Experiment(
    name="clusters",
    title="Clusters of correlated units",
    claim="Section 3, after Arora et al.: an optimal network can be built layer by layer, from the "
    "correlations of the units of the last one and clusters of those that go together. Section 4: clusters "
    "within one place are covered by 1x1 convolutions in the next layer.",
    scale="A run takes a model of the reference, or one that is not trained, and 2,000 fixed test images: "
    "the 480 units that enter 4a, at each of the 4x4 places, 48 clusters. Clusters are found and maps fitted "
    "on half of the images, and measured on the other half. Rotated data have the same principal components "
    "in random directions. The untrained network shows whether learning makes the clusters, random "
    "projections whether the reduction keeps more than any would.",
    arms={
        "trained": Arm(about="a model of the reference", training=REFERENCE, note="48 clusters"),
        "not trained": Arm(about="He's initial weights", note="48 clusters"),
    },
    seeds=(0, 1, 2, 3, 4),
    measure=measured,
    columns=(
        TOGETHER,
        Column("rotated", "rotated", 1, 3),
        Column("shuffled", "at random", 1, 3),
        KEPT,
        COMMON,
        _kept_column("_rest", "of the rest, %"),
        Column("kept_random", "96 random projections keep, %", 100),
        Column("kept_principal", "96 principal components keep, %", 100),
    ),
    comparisons=(
        _against(
            "correlation within clusters, less that of rotated data",
            TOGETHER,
            "rotated",
            paper="the Hebbian principle: correlated units form clusters",
            expected="higher",
        ),
        _against("the same, not trained", TOGETHER, "rotated", mine="not trained"),
        Comparison(
            what="correlation within clusters, trained less not trained",
            column=TOGETHER,
            mine="trained",
            theirs="not trained",
            paper=NOTHING,
            expected=None,
        ),
        *(
            _against(
                f"variance of {what}, kept by the reduction less by random projections",
                column,
                f"kept_random{which}",
            )
            for what, column, which in (("all units", KEPT, ""), ("clusters' means", COMMON, "_common"))
        ),
    ),
    drawing=draw,
)

if __name__ == "__main__":
    main(EXPERIMENT)
