"""Small photos, and the stem of stride 4: the same modules on maps of the same side, at half the pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet.architecture import cost
from googlenet.architecture.dialects import dialect, with_stem
from googlenet.architecture.table1 import Inception
from googlenet.base.errors import InputError
from googlenet.data.folder import open_data
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads
from googlenet.training.decision.decide import choose_recipe, for_small_photos, with_overrides
from googlenet.training.decision.recipe import MODERN
from googlenet.training.decision.settings import Settings, check_settings


def maps(net: GoogLeNet, side: int) -> dict[str, tuple[int, ...]]:
    """Shape that leaves each row."""
    x, found = torch.zeros(1, 3, side, side), {}
    for name, stage in net.trunk.named_children():
        x = stage(x)
        found[name] = tuple(x.shape[1:])
    return found


def test_the_modules_see_the_same_maps() -> None:
    table, small = GoogLeNet(10), GoogLeNet(10, dialect_name="bn-stem4")
    modules = [name for name, row in table.dialect.table.items() if isinstance(row, Inception)]
    assert len(modules) == 9
    theirs, ours = maps(table.eval(), 64), maps(small.eval(), 32)
    assert {name: ours[name] for name in modules} == {name: theirs[name] for name in modules}
    assert {k: v.shape for k, v in table.state_dict().items()} == {
        k: v.shape for k, v in small.state_dict().items()
    }


def test_its_cost_follows_from_its_table() -> None:
    small, table = cost.network("bn-stem4", size=32), cost.network("bn", size=64)
    assert small.parameters == table.parameters
    inside = [
        [row.macs for row in found.rows if row.name.startswith("inception")] for found in (small, table)
    ]
    assert inside[0] == inside[1]


def test_it_takes_images_of_32_pixels_and_no_smaller() -> None:
    net = WithAuxiliaryHeads(GoogLeNet(10, dialect_name="bn-stem4")).eval()
    assert [tuple(part.shape) for part in net(torch.randn(2, 3, 32, 32))] == [(2, 10)] * 3
    with pytest.raises(InputError, match="at least 32, got"):
        net(torch.randn(2, 3, 31, 32))


@pytest.mark.parametrize(("name", "side"), [("bn", 48), ("bn-stem4", 24)])
def test_early_phases_of_training_may_be_smaller(name: str, side: int) -> None:
    net = WithAuxiliaryHeads(GoogLeNet(10, dialect_name=name))
    sum(part.sum() for part in net.train()(torch.randn(2, 3, side, side))).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None for p in net.parameters())
    for smaller in (net.eval(), net.net, net.net.train()):
        with pytest.raises(InputError, match="at least"):
            smaller(torch.randn(2, 3, side, side))
    with pytest.raises(InputError, match=f"at least {side}"):
        net.train()(torch.randn(2, 3, side - 1, side))


@pytest.mark.parametrize("name", ["bn-stem", "bn-stem2", "bn-stem8", "best-stem4", "bn-stem4-stem4", "bn-4"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="dialect among bn, paper"):
        dialect(name)
    assert dialect(with_stem("paper", 4)).stem == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stem": 2}, "--stem among 8, 4, got 2"),
        ({"stem": 4, "weights": "bvlc"}, "--stem or --weights, got both"),
        ({"size": 32}, "at least 64 pixels, got 32"),
        ({"dialect": "bn-stem4", "stem": 8}, "--stem or a dialect with one"),
        ({"size": 31, "dialect": "bn-stem4"}, "at least 32 pixels, got 31"),
        ({"size": 31, "stem": 4}, "at least 32 pixels, got 31"),
        ({"size": 40}, "at least 64 pixels, got 40: .* or --stem 4"),
    ],
)
def test_wrong_choices(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_settings(Settings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("side", "settings", "expected", "small"),
    [
        (32, {}, "bn", True),
        (63, {}, "bn", True),
        (64, {}, "bn", False),
        (32, {"size": 96}, "bn", True),
        (32, {"stem": 4}, "bn-stem4", True),
        (80, {"stem": 4}, "bn-stem4", False),
        (32, {"dialect": "naive"}, "naive", True),
        (32, {"dialect": "paper", "stem": 4}, "paper-stem4", False),
        (32, {"recipe": "smoke"}, "bn", False),
    ],
)
def test_small_photos_are_moved_not_cropped(
    side: int, settings: dict[str, object], expected: str, small: bool, tmp_path: Path
) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(3):
            noise = np.random.default_rng(i).integers(0, 255, (side, side + 9, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / label / f"{i}.png")
    options = Settings(**settings)  # type: ignore[arg-type]
    name, recipe, reasons = choose_recipe(options, open_data(str(tmp_path)), None)
    assert name == expected
    assert (recipe.translate > 0) is small
    assert (f"photos of {side} pixels" in reasons.get("augmentation", "")) is small


@pytest.mark.parametrize(
    ("settings", "samples", "batch", "lr"),
    [
        ({}, 3_000, 64, 0.1),
        ({}, 38_400, 128, 0.2),
        ({}, 200_000, 128, 0.2),
        ({"batch": 48}, 45_000, 48, 0.1),
        ({"lr": 0.03}, 45_000, 128, 0.03),
    ],
)
def test_many_small_photos_come_in_larger_batches_at_a_higher_rate(
    settings: dict[str, object], samples: int, batch: int, lr: float
) -> None:
    options = Settings(**settings)  # type: ignore[arg-type]
    found = for_small_photos(with_overrides(MODERN, options), options, samples=samples)
    assert (found.batch, found.lr) == (batch, pytest.approx(lr))
    if not settings:
        assert found.muon * found.lr == pytest.approx(0.07 * (batch / 64) ** 0.5)
    assert found.translate == 1 / 16
