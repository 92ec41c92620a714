"""Networks and recipes that only the experiments need: what one claim changes, and nothing else."""

import json
from dataclasses import dataclass, fields, replace

from googlenet.architecture.dialects import DIALECTS, Dialect
from googlenet.architecture.table1 import TABLE_1, Inception, MaxPool, NaiveInception, TableRow
from googlenet.training.decision.recipe import MODERN, RECIPES, Recipe
from googlenet.training.decision.run_config import RENAMED_RECIPE

# What all arms share unless they say otherwise; spelt out in full, so that tuning `modern` changes no
# claim. It is what `modern` was before Muon, with 64 images a step at one size. Nothing here was chosen by
# looking at an arm's result.
CLAIMS = Recipe(
    name="claims",
    about="SGD with Nesterov momentum, warm-up and cosine, label smoothing, averaged weights; 64 pixels.",
    epochs=3,
    batch=64,
    size=64,
    crop=1.0,
    init="he",
    lr=0.05,
    schedule="cosine",
    warmup=0.1,
    nesterov=True,
    weight_decay=5e-4,
    label_smoothing=0.1,
    aux_weight=0.3,
    dropout=0.1,
    aux_dropout=0.5,
    ema_horizon=0.02,
    crop_scale=(0.45, 1.0),
    color_jitter=0.0,
)
# The heads stay in place and are computed, so that a step takes the same time; their loss counts nothing.
WITHOUT_HEADS = replace(
    CLAIMS, name="claims_without_heads", about="As claims, the heads' loss times 0.", aux_weight=0.0
)

# A module in the place of conv2 and its reduction: 64 channels to 192, 116,480 weights for 114,688.
AT_CONV2 = Inception(32, 80, 112, 32, 32, 16)
# A module in the place of conv1: 3 channels to 64, at stride 1, since a module has no other. pool1 then
# takes both strides, so that all later maps keep their size. 2,595 weights at four times as many places
# as conv1's 9,408: 10 % more multiply-adds.
AT_CONV1 = Inception(16, 6, 24, 3, 16, 8)
POOL1 = MaxPool(5, stride=4)
# Modules of Figure 2(a) at a quarter of Table 1's widths, in steps of 8: 0.8 % more multiply-adds than bn.
QUARTER = {
    name: NaiveInception(*(max(8, 8 * round(width / 32)) for width in (row.n1x1, row.n3x3, row.n5x5)))
    for name, row in TABLE_1.items()
    if isinstance(row, Inception)
}


@dataclass(frozen=True, kw_only=True)
class Variant(Dialect):
    """A dialect that also leaves rows of Table 1 out."""

    dropped: tuple[str, ...] = ()

    @property
    def table(self) -> dict[str, TableRow]:
        """Table 1 as this variant builds it."""
        return {name: row for name, row in super().table.items() if name not in self.dropped}


NETWORKS = (
    Variant(
        name="module_at_conv2",
        about="As bn, an Inception module of nearly the same cost in the place of conv2.",
        padding="floor",
        batch_norm=True,
        rows={"conv2": AT_CONV2},
        dropped=("conv2_reduce",),
    ),
    Variant(
        name="modules_only",
        about="As bn, Inception modules of nearly the same cost in the places of conv1 and conv2.",
        padding="floor",
        batch_norm=True,
        rows={"conv1": AT_CONV1, "pool1": POOL1, "conv2": AT_CONV2},
        dropped=("conv2_reduce",),
    ),
    Variant(
        name="naive_quarter",
        about="As naive, narrowed until it costs as many multiply-adds as bn.",
        padding="floor",
        batch_norm=True,
        rows=QUARTER,
    ),
)


def register() -> None:
    """Let this process know them by name, as it knows the package's own."""
    DIALECTS.update({network.name: network for network in NETWORKS})
    RECIPES.update({recipe.name: recipe for recipe in (CLAIMS, WITHOUT_HEADS)})


def modern_words() -> str:
    """The package's recipe `modern` as it now is: what differs from the defaults of a recipe.

    The names are those of 0.1.0, by which results that are there already are known.
    """
    before = {new: old for old, new in RENAMED_RECIPE.items()}
    chosen = {
        before.get(field.name, field.name): getattr(MODERN, field.name)
        for field in fields(MODERN)
        if field.name != "about" and getattr(MODERN, field.name) != field.default
    }
    return json.dumps(chosen)
