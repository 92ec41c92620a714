"""Rare classes: weights of the loss and the order of the sampler, against arithmetic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet.base.errors import InputError
from googlenet.data.folder import open_data
from googlenet.data.index import Index, inverse_frequency_weights
from googlenet.nn.model import Outputs
from googlenet.training import optim
from googlenet.training.decision import recipe
from googlenet.training.decision import settings as options
from googlenet.training.loader import Batch, Batches

COUNTS = (900, 90, 10)
LABELS = np.repeat(np.arange(3), COUNTS)


def test_weights_even_the_classes_out() -> None:
    weights = inverse_frequency_weights(LABELS, classes=3, power=1.0)
    assert weights * COUNTS == pytest.approx([1000 / 3] * 3)
    assert inverse_frequency_weights(LABELS, classes=3, power=0.0) == pytest.approx([1, 1, 1])
    half = inverse_frequency_weights(LABELS, classes=3, power=0.5)
    assert half[2] / half[0] == pytest.approx(90**0.5)
    assert half[LABELS].mean() == pytest.approx(1)


@pytest.mark.parametrize("chosen", [recipe.PAPER, recipe.MODERN])
def test_the_loss_is_a_weighted_mean(chosen: recipe.Recipe) -> None:
    """With label smoothing too: an image weighs by its own class, whatever is smoothed to others."""
    generator = torch.Generator().manual_seed(0)
    outputs = Outputs(*(torch.randn(6, 3, generator=generator) for _ in range(3)))
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    weights = torch.tensor([0.5, 1.0, 3.0])
    found = optim.losses(outputs, labels, chosen, weights=weights)

    logs = outputs.logits.log_softmax(1)
    smoothing = chosen.label_smoothing
    each = -(1 - smoothing) * logs[range(6), labels] - smoothing * logs.mean(1)
    by_hand = (each * weights[labels]).sum() / weights[labels].sum()
    assert found.main.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_photo_that_is_drawn_again_is_cut_otherwise() -> None:
    digits = open_data("digits").split("val")
    few = digits.keep(
        np.concatenate([np.flatnonzero(digits.labels == 0)[:2], np.flatnonzero(digits.labels == 1)])
    )
    chosen = replace(recipe.MODERN, balance="sampler", batch=len(few))
    batch = Batches(few, chosen, sizes=[64], seed=0)[0]
    assert isinstance(batch, Batch)
    again = np.flatnonzero(batch.numbers == 0)
    assert len(again) > 3
    different = {batch.images[i].numpy().tobytes() for i in again}
    assert len(different) >= len(again) - 1  # of eight pixels, two may be cut alike by chance


def sampled(power: float, epochs: int = 20) -> tuple[list[int], Batches]:
    index = Index([f"{i}.png" for i in range(1000)], LABELS, root=Path())
    chosen = replace(recipe.SMOKE, balance="sampler", balance_power=power)
    batches = Batches(index, chosen, sizes=[64], seed=1)
    return [batches.place(sample)[1] for sample in range(1000 * epochs)], batches


def test_the_sampler_draws_every_class_alike() -> None:
    drawn, batches = sampled(1.0)
    shares = np.bincount(LABELS[drawn]) / len(drawn)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.01)
    one_epoch = np.bincount(drawn[:1000], minlength=1000)
    assert set(one_epoch[LABELS == 2]) <= {33, 34}  # 333 draws among ten photos
    assert set(one_epoch[LABELS == 0]) <= {0, 1}
    assert len({*drawn}) == 1000  # in twenty epochs every photo came up
    assert batches.place(1234)[1] == drawn[1234]


def test_the_sampler_without_power_shows_every_photo_once() -> None:
    drawn, _ = sampled(0.0, epochs=1)
    assert sorted(drawn) == list(range(1000))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"balance": "focal"}, "--balance among none, loss, sampler, got 'focal'"),
        ({"balance": "loss", "balance_power": 1.5}, "--balance-power from 0 to 1, got 1.5"),
        ({"balance_power": 0.5}, "--balance loss or sampler with --balance-power"),
    ],
)
def test_wrong_choices(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        options.check_settings(options.Settings(**settings))  # type: ignore[arg-type]
