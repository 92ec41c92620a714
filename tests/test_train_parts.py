"""The pure parts of training: order, augmentation, loss, schedule, averaging, plan."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from googlenet import data, loader, optim, plan, recipe
from googlenet.errors import InputError
from googlenet.model import GoogLeNet, Outputs, WithAuxiliaryHeads

SMOKE = recipe.SMOKE


@pytest.fixture(scope="module")
def index() -> data.Index:
    return data.open_data("digits").split("val")


def test_every_epoch_shows_every_image_once(index: data.Index) -> None:
    batches = loader.Batches(index, SMOKE, sizes=[64] * 40, seed=3)
    places = [batches.place(sample) for sample in range(3 * len(index))]
    for epoch in range(3):
        numbers = [number for e, number in places if e == epoch]
        assert sorted(numbers) == list(range(len(index)))
    assert [n for e, n in places if e == 0] != [n for e, n in places if e == 1]


def test_batches_are_a_function_of_the_step_alone(index: data.Index) -> None:
    batches = loader.Batches(index, SMOKE, sizes=[64] * 12, seed=3)
    straight = list(loader.training_loader(batches, start=0, workers=0))
    forked = list(loader.training_loader(batches, start=0, workers=2))
    resumed = list(loader.training_loader(batches, start=7, workers=1))
    for one, other in zip(straight, forked, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
    assert all(torch.equal(a.images, b.images) for a, b in zip(straight[7:], resumed, strict=True))
    other_seed = loader.Batches(index, SMOKE, sizes=[64] * 12, seed=4)[0]
    assert not torch.equal(straight[0].images, other_seed.images)


def test_loading_leaves_the_global_random_state_alone(index: data.Index) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    loader.Batches(index, SMOKE, sizes=[64], seed=3)[0]
    assert torch.equal(before, torch.get_rng_state())


def test_crops_follow_the_paper(index: data.Index) -> None:
    """Section 6: 8 to 100 % of the area, sides from 3:4 to 4:3, seen in the boxes that are cut."""
    augment = loader.Augmentation(recipe.PAPER)
    torch.manual_seed(0)
    shares, aspects = [], []
    for _ in range(2000):
        left, top, right, bottom = augment._box(500, 375)
        assert 0 <= left < right <= 500
        assert 0 <= top < bottom <= 375
        shares.append((right - left) * (bottom - top) / (500 * 375))
        aspects.append((right - left) / (bottom - top))
    assert 0.075 < min(shares) < 0.1
    assert 0.9 < max(shares) <= 1.0
    assert 0.74 < min(aspects) < 0.76
    assert 1.32 < max(aspects) < 1.35


def test_augmentation_can_be_switched_off(index: data.Index) -> None:
    from dataclasses import replace

    from googlenet.image import preprocess
    from googlenet.spec import Preprocessing

    plain = replace(SMOKE, area=(1.0, 1.0), aspect=(1.0, 1.0), flip=False, photometric=0.0)
    found = loader.Augmentation(plain)(index.read(0), 64).astype(int)
    whole = preprocess(index.read(0), Preprocessing(size=64, crop=1.0)).astype(int)
    assert np.abs(found - whole).mean() < 6  # bilinear against bicubic


def test_loss_is_the_papers_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = Outputs(*(torch.randn(6, 4, generator=generator) for _ in range(3)))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    found = optim.losses(outputs, labels, recipe.PAPER)

    def by_hand(logits: torch.Tensor) -> float:
        return float(-(logits.softmax(1)[range(6), labels]).log().mean())

    one, two, three = map(by_hand, outputs)
    assert found.total.item() == pytest.approx(one + 0.3 * two + 0.3 * three, rel=1e-5)
    assert [x.item() for x in found[1:]] == pytest.approx([one, two, three], rel=1e-5)


def test_losses_follow_their_heads() -> None:
    """torchvision had its two heads swapped for five years: tell them apart by identity."""
    net = WithAuxiliaryHeads(GoogLeNet(3))
    outputs = net(torch.randn(2, 3, 64, 64))
    parts = optim.losses(outputs, torch.tensor([0, 1]), SMOKE)
    parts.aux1.backward()  # type: ignore[no-untyped-call]
    after_4a = net.net.trunk.get_submodule("inception_4b").n1x1.conv.weight.grad  # type: ignore[union-attr]
    assert after_4a is None
    assert net.heads["inception_4a"].classifier.weight.grad is not None  # type: ignore[union-attr]
    assert net.heads["inception_4d"].classifier.weight.grad is None  # type: ignore[union-attr]


def test_papers_schedule_falls_4_percent_every_8_epochs() -> None:
    rates = [
        optim.learning_rate(recipe.PAPER, epoch * 100, steps=25_000, steps_per_epoch=100)
        for epoch in range(250)
    ]
    assert rates[0] == rates[7] == recipe.PAPER.lr
    assert rates[8] == pytest.approx(0.96 * rates[7])
    assert rates[249] == pytest.approx(recipe.PAPER.lr * 0.96**31)


def test_modern_schedule_warms_up_then_falls_to_zero() -> None:
    rates = [optim.learning_rate(recipe.MODERN, s, steps=1000, steps_per_epoch=10) for s in range(1000)]
    peak = int(np.argmax(rates))
    assert peak / 1000 == pytest.approx(recipe.MODERN.warmup, abs=0.01)
    assert rates[peak] == pytest.approx(recipe.MODERN.lr, rel=0.01)
    assert rates[0] < 0.05 * rates[peak]
    assert rates[-1] < 1e-4 * rates[peak]
    assert all(a >= b for a, b in zip(rates[peak:], rates[peak + 1 :], strict=False))


def test_weight_decay_spares_biases_and_norms() -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    decayed, spared = optim.optimiser(net, SMOKE).param_groups
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in spared["params"]} == {1}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (SMOKE.weight_decay, 0.0)


def test_average_is_the_recurrence_by_hand() -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    average = optim.WeightAverage(net, SMOKE, steps=500)
    expected = net.net.classifier.weight.detach().double().clone()
    horizon = SMOKE.average * 500
    for step in range(30):
        with torch.no_grad():
            net.net.classifier.weight.add_(torch.randn_like(net.net.classifier.weight))
        average.update(step)
        keep = min((1 + step) / (10 + step), 1 - 1 / horizon)
        expected = keep * expected + (1 - keep) * net.net.classifier.weight.detach().double()
    torch.testing.assert_close(average.net.net.classifier.weight.double(), expected, rtol=1e-5, atol=1e-5)


def test_optimiser_is_nesterov_by_hand() -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    sgd = optim.optimiser(net, SMOKE)
    weight = net.net.classifier.weight
    start, velocity = weight.detach().clone(), torch.zeros_like(weight)
    for step in range(3):
        gradient = torch.full_like(weight, 0.1 * (step + 1))
        weight.grad = gradient.clone()
        total = gradient + SMOKE.weight_decay * start
        velocity = SMOKE.momentum * velocity + total
        start = start - SMOKE.lr * (total + SMOKE.momentum * velocity)
        sgd.step()
    torch.testing.assert_close(weight.detach(), start)


def test_phases_fill_the_steps() -> None:
    from dataclasses import replace

    phased = replace(SMOKE, sizes=((0.5, 0.6), (0.3, 0.8), (0.2, 1.0)))
    pixels = plan.sizes(phased, size=160, steps=101)
    assert len(pixels) == 101
    assert pixels == sorted(pixels)
    assert set(pixels) == {96, 128, 160}
    assert plan.training_size(64, 0.5) == 64  # never below what the network takes


def test_plan_for_epochs(index: data.Index) -> None:
    fixed = {"precision": "float32", "threads": 2, "seed": 0}
    found = plan.for_epochs(SMOKE, index, epochs=3, size=64, **fixed)
    assert found.steps == math.ceil(3 * 359 / 32)
    assert plan.lengthened(found, SMOKE, epochs=5).steps == math.ceil(5 * 359 / 32)
    with pytest.raises(InputError, match="above the 3"):
        plan.lengthened(found, SMOKE, epochs=3)
    with pytest.raises(InputError, match="at least 64 pixels, got 32"):
        plan.for_epochs(SMOKE, index, epochs=3, size=32, **fixed)


def test_precision_is_explained() -> None:
    chosen, why = plan.choose_precision("auto", "cpu")
    able = any(torch.cpu.get_capabilities().get(name) for name in ("amx_bf16", "avx512_bf16"))
    assert chosen == ("bfloat16" if able else "float32")
    assert "this processor" in why
    assert plan.choose_precision("bfloat16", "cpu") == ("bfloat16", "as asked")


def test_named_recipes() -> None:
    assert set(recipe.RECIPES) == {"modern", "paper", "smoke"}
    for chosen in recipe.RECIPES.values():
        assert recipe.Recipe.from_dict(json.loads(json.dumps(chosen.as_dict()))) == chosen
    with pytest.raises(InputError, match="modern, paper, smoke"):
        recipe.recipe("best")


def test_label_smoothing_is_torchs() -> None:
    logits = torch.randn(4, 3)
    labels = torch.tensor([0, 1, 2, 0])
    found = optim.losses(Outputs(logits, logits, logits), labels, recipe.MODERN)
    assert found.main.item() == pytest.approx(F.cross_entropy(logits, labels, label_smoothing=0.1).item())
