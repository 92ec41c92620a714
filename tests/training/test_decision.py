"""The one decision of a run: a function of settings, data, weights and machine, with its reasons."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError, TrainingError
from googlenet.data.dataset import Dataset
from googlenet.data.folder import open_data
from googlenet.files import runfolder
from googlenet.files.metadata import ModelMetadata
from googlenet.training.decision.decide import Decision, Machine, decide
from googlenet.training.decision.plan import Plan, plan_minutes
from googlenet.training.decision.recipe import MODERN, TRANSFER
from googlenet.training.decision.run_config import RunConfig, StartingWeights, read_run_config
from googlenet.training.decision.settings import Settings

PRETRAINED = ModelMetadata(classes=("cat", "dog"), dialect="bvlc", preprocessing=Preprocessing())


FIXED: dict[str, Any] = {"precision": "float32", "threads": 2, "seed": 0}


class Quadratic:
    """A machine on which an image takes time as its pixels: a twentieth of a second at 96 x 96."""

    def training(self, size: int) -> float:
        return 0.05 * (size / 96) ** 2

    def inference(self, size: int) -> float:
        return self.training(size) / 3


def machine(processes: int = 1) -> Machine:
    return Machine(
        device="cpu",
        precision="float32",
        precision_reason="as asked",
        threads=2,
        processes=processes,
        step_timer=lambda recipe, dialect, data, frozen: Quadratic(),
    )


def photos_of(side: int, root: Path, *, count: int = 40) -> Dataset:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(i).integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return open_data(str(root))


def decided(data: Dataset, pretrained: ModelMetadata | None = None, **settings: object) -> Decision:
    options = Settings(**settings)  # type: ignore[arg-type]
    return decide(options, data, pretrained, machine(), began=time.monotonic())


def test_the_named_recipe_where_nothing_speaks_against_it(tmp_path: Path) -> None:
    data = photos_of(100, tmp_path)
    found = decided(data)
    assert (found.dialect, found.recipe, found.plan.size) == ("bn", MODERN, 128)
    assert found.plan.steps == math.ceil(30 * len(data.split("train")) / 64)
    assert found.reasons == {"recipe": "modern", "precision": "as asked"}
    assert found.lines() == [
        f"recipe modern: {found.plan.steps} steps of 64 images, {found.plan.epochs(MODERN):.1f} epochs, "
        "at 80 then 128 pixels; the finished model is given 128"
    ]


@pytest.mark.parametrize(
    ("settings", "weights", "name", "reason"),
    [
        ({"dialect": "paper"}, None, "learning rate", "0.01, since dialect paper has no batch normalization"),
        (
            {"recipe": "modern"},
            PRETRAINED,
            "learning rate",
            "0.01, since dialect bvlc has no batch normalization",
        ),
    ],
)
def test_each_change_has_its_reason(
    settings: dict[str, object], weights: ModelMetadata | None, name: str, reason: str, tmp_path: Path
) -> None:
    found = decided(photos_of(100, tmp_path), weights, **settings)
    assert found.reasons[name] == reason
    assert found.recipe.lr == 0.01 and found.recipe.init == "xavier" and found.recipe.muon == 0
    assert any(reason in line for line in found.lines())


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    found = decided(photos_of(40, tmp_path), dialect="paper", lr=0.3, init="he", batch=8, size=64, seed=5)
    assert (found.recipe.lr, found.recipe.init, found.recipe.batch) == (0.3, "he", 8)
    assert (found.plan.size, found.plan.seed) == (64, 5)


def test_glyphs_are_not_mirrored() -> None:
    found = decided(open_data("digits"), epochs=1)
    assert not found.recipe.flip and found.recipe.crop_scale == (0.7, 1.0)
    assert "not mirrored" in found.reasons["augmentation"]


@pytest.mark.parametrize(("minutes", "size"), [(0.2, 64), (0.4, 96), (1.5, 128), (30, 224)])
def test_a_budget_buys_a_size_and_is_spent(minutes: float, size: int, tmp_path: Path) -> None:
    found = decided(photos_of(100, tmp_path), minutes=minutes)
    assert found.plan.size == size
    seconds = dict(found.plan.seconds_per_image)
    spent = 64 * sum(seconds[pixels] for pixels in found.pixels())
    available = 60 * minutes * 0.97 - found.plan.closing
    assert 0.95 * available - 64 * max(seconds.values()) < spent <= available


def test_no_budget_makes_a_start_from_weights_longer_than_is_good() -> None:
    long = plan_minutes(
        TRANSFER, 5000, Quadratic(), left=lambda: 36000.0, size=224, stem=8, validation=10, **FIXED
    )
    assert long.steps == long.most_steps == 8 * math.ceil(5000 / 32)
    few = plan_minutes(
        TRANSFER, 60, Quadratic(), left=lambda: 36000.0, size=224, stem=8, validation=10, **FIXED
    )
    assert few.steps == TRANSFER.least_steps


def test_a_budget_that_is_too_small_says_how_much_more(tmp_path: Path) -> None:
    data = photos_of(100, tmp_path)
    with pytest.raises(InputError, match="expected more --minutes"):
        decided(data, minutes=0.05)
    with pytest.raises(InputError, match=r"one epoch at least, \d+ images at 224 pixels; give about"):
        decided(data, minutes=0.2, size=224)


def test_contradictions_are_refused(tmp_path: Path) -> None:
    data = photos_of(100, tmp_path, count=5)
    with pytest.raises(InputError, match="--dialect bvlc for these weights"):
        decided(data, PRETRAINED, dialect="bn")
    with pytest.raises(InputError, match="at least 2 images a process, got 4 for 3"):
        decide(Settings(batch=4), data, None, machine(processes=3), began=time.monotonic())


def config_of(decision: Decision) -> RunConfig:
    return RunConfig(
        data="/photos",
        decision=decision,
        fresh=("heads",),
        weights=StartingWeights(name="bvlc", sha256="ab", data={"sketch": ["c"]}),
        classes=("cat", "dog"),
        fingerprint="f",
        share=0.2,
        moved=("m",),
        unreadable={"train/x.jpg": "empty: no content"},
        notes=("few",),
        versions={"googlenet": "1"},
        job=None,
        identity={"processor": "p"},
    )


def test_a_run_configuration_survives_json(tmp_path: Path) -> None:
    config = config_of(
        decided(photos_of(100, tmp_path / "data"), epochs=2, freeze="inception_3a", weights="w")
    )
    (tmp_path / "run").mkdir()
    runfolder.write_config(tmp_path / "run", config.as_dict())
    assert read_run_config(tmp_path / "run") == config
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert {"dialect", "recipe", "plan", "freeze", "reasons"} <= set(stored)
    assert stored["weights"]["from"] == "bvlc"


def test_a_run_configuration_of_0_1_0_is_read(tmp_path: Path) -> None:
    """Its recipe and its plan have other names for some fields, and it gives no reasons."""
    decision = Decision(
        dialect="bn",
        recipe=replace(MODERN, crop_scale=(0.3, 1.0), pretrained_lr_factor=0.2),
        plan=Plan(
            steps=9, samples=64, size=96, precision="float32", threads=2, validate_every=3, seed=0,
            seconds_per_image=((64, 0.5),),
        ),
    )  # fmt: skip
    text = json.dumps(config_of(decision).as_dict())
    for now, before in {
        "crop_scale": "area", "crop_ratio": "aspect", "color_jitter": "photometric", "translate": "shift",
        "ema_horizon": "average", "pretrained_lr_factor": "kept_rate", "lr_decay": "decay",
        "lr_decay_epochs": "decay_every", "validate_every": "look_every", "seconds_per_image": "paces",
    }.items():  # fmt: skip
        assert f'"{now}"' in text
        text = text.replace(f'"{now}"', f'"{before}"')
    old = json.loads(text)
    del old["reasons"], old["freeze"]
    (tmp_path / "recipe.json").write_text(json.dumps(old))
    assert read_run_config(tmp_path) == config_of(decision)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"plan": {}}')
    with pytest.raises(TrainingError, match="expected a run of this release, got another"):
        read_run_config(tmp_path)
