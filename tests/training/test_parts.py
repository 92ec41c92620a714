"""The pure parts of training: order, augmentation, loss, schedule, averaging, plan."""

import functools
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import v2

from googlenet.base import worker_pool
from googlenet.base.errors import ImageError, InputError, TrainingError
from googlenet.data import folder
from googlenet.data import index as index_of
from googlenet.nn.model import GoogLeNet, Outputs, WithAuxiliaryHeads
from googlenet.training import augment, hardware, loader, optim, state
from googlenet.training.decision import plan, recipe
from googlenet.training.session import BudgetClock

SMOKE = recipe.SMOKE


@pytest.fixture(scope="module")
def index() -> index_of.Index:
    return folder.open_data("digits").split("val")


def test_every_epoch_shows_every_image_once(index: index_of.Index) -> None:
    batches = loader.Batches(index, SMOKE, sizes=[64] * 40, seed=3)
    places = [batches.place(sample) for sample in range(3 * len(index))]
    for epoch in range(3):
        numbers = [number for e, number in places if e == epoch]
        assert sorted(numbers) == list(range(len(index)))
    assert [n for e, n in places if e == 0] != [n for e, n in places if e == 1]


def test_batches_are_a_function_of_the_step_alone(
    index: index_of.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = loader.Batches(index, SMOKE, sizes=[64] * 12, seed=3)
    straight = list(loader.training_loader(batches, start=0, workers=0))
    forked = list(loader.training_loader(batches, start=0, workers=2))
    monkeypatch.setattr(worker_pool, "START_METHOD", "spawn")  # as where there is no fork
    spawned = list(loader.training_loader(batches, start=5, workers=2))
    monkeypatch.undo()
    resumed = list(loader.training_loader(batches, start=7, workers=1))
    for one, other in zip(straight, forked, strict=True):
        assert torch.equal(one.images, other.images)  # type: ignore[union-attr]
        assert torch.equal(one.labels, other.labels)  # type: ignore[union-attr]
    for one, other in zip([*straight[5:], *straight[7:]], [*spawned, *resumed], strict=True):
        assert torch.equal(one.images, other.images)  # type: ignore[union-attr]
    other_seed = loader.Batches(index, SMOKE, sizes=[64] * 12, seed=4)[0]
    assert not torch.equal(straight[0].images, other_seed.images)


@pytest.mark.parametrize("fit", ["squash", "pad"])
def test_training_sees_both_ends_of_a_long_photo(fit: str) -> None:
    """Of 384x96 the middle square has neither end; when all of it is to fit, crops have both."""
    pixels = np.zeros((96, 384, 3), np.uint8)
    pixels[:, :40], pixels[:, -40:] = (255, 0, 0), (0, 0, 255)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    kept = replace(recipe.MODERN, fit=fit, crop_scale=(0.9, 1.0), flip=False)  # type: ignore[arg-type]
    changed = augment.Augmentation(kept)
    for seed in range(20):
        torch.manual_seed(seed)
        found = changed(stream.getvalue(), 64).astype(int)
        assert (found[..., 0] - found[..., 2] > 150).any() and (found[..., 2] - found[..., 0] > 150).any()


@pytest.mark.parametrize("size", [(3000, 60), (60, 3000)])
def test_crops_of_padded_photos_show_something_of_them(size: tuple[int, int]) -> None:
    stream = io.BytesIO()
    Image.new("RGB", size, (255, 0, 0)).save(stream, "PNG")
    changed = augment.Augmentation(replace(recipe.PAPER, fit="pad", lighting=0.0, color_jitter=0.0))
    red = 0
    for seed in range(100):
        torch.manual_seed(seed)
        found = changed(stream.getvalue(), 64).astype(int)
        red += bool((found[..., 0] - found[..., 1] > 100).any())
    assert red >= 95


def test_loading_leaves_the_global_random_state_alone(index: index_of.Index) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    loader.Batches(index, SMOKE, sizes=[64], seed=3)[0]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("width, height", [(500, 375), (32, 32), (300, 40)])
def test_crops_are_those_of_the_paper_and_of_torchvision(width: int, height: int) -> None:
    """Section 6: 8 to 100 % of the area, sides from 3:4 to 4:3; drawn as torchvision's RandomResizedCrop."""
    torch.manual_seed(0)
    theirs = v2.RandomResizedCrop(1, scale=recipe.PAPER.crop_scale, ratio=recipe.PAPER.crop_ratio)
    shape = [torch.empty((3, height, width), device="meta")]
    drawn = [theirs.make_params(shape) for _ in range(3000)]
    wanted = np.array([[one[name] for name in ("left", "top", "width", "height")] for one in drawn])
    boxes = [
        augment.random_box(width, height, area=recipe.PAPER.crop_scale, aspect=recipe.PAPER.crop_ratio)
        for _ in range(3000)
    ]
    left, top, right, bottom = np.array(boxes).T
    assert (left >= 0).all() and (top >= 0).all() and (right <= width).all() and (bottom <= height).all()
    found = np.stack([left, top, right - left, bottom - top], axis=1)
    for ours, others in zip(found.T, wanted.T, strict=True):
        assert ks_2samp(ours, others).pvalue > 0.001
    if (width, height) == (500, 375):
        share = found[:, 2] * found[:, 3] / (width * height)
        assert 0.075 < share.min() < 0.1 and 0.9 < share.max() <= 1


@pytest.mark.parametrize("width, height", [(32, 32), (41, 32), (9, 60), (3, 3)])
def test_moved_photos_are_mirrored_beyond_their_border(width: int, height: int) -> None:
    """Every pixel against a loop, of a photo that is not resized."""
    photo = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "png")
    moved = augment.Augmentation(replace(SMOKE, translate=0.25, flip=False))
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2

    def at(place: int) -> int:
        return abs(place) if place < side else 2 * (side - 1) - place

    def by(across: int, down: int) -> bytes:
        places = [(top + at(down + y), left + at(across + x)) for y in range(side) for x in range(side)]
        return np.array([photo[place] for place in places]).tobytes()

    most = round(side / 4)
    able = {by(x, y): (x, y) for x in range(-most, most + 1) for y in range(-most, most + 1)}
    torch.manual_seed(0)
    seen = {able[moved(stream.getvalue(), side).tobytes()] for _ in range(400)}
    assert {x for x, _ in seen} == {y for _, y in seen} == set(range(-most, most + 1))


def test_the_middle_of_a_photo_is_upright_and_large_enough() -> None:
    """A large JPEG file, turned by its camera, is decoded at a smaller scale; a small one never is."""
    for (width, height), size, wanted in (((640, 400), 64, 100), ((60, 50), 8, 50)):
        image = Image.new("RGB", (width, height), (200, 0, 0))
        image.paste((0, 0, 200), (0, 0, width // 2, height))
        stream, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6  # to be turned to the right: what was left is then above
        image.save(stream, "jpeg", quality=95, exif=exif)
        square = augment.whole_square(stream.getvalue(), size, "crop")
        assert square.size == (wanted, wanted)
        above, below = np.asarray(square)[wanted // 4, wanted // 2], np.asarray(square)[-wanted // 4, 0]
        assert above[2] > 150 > above[0] and below[0] > 150 > below[2]


def test_small_photos_are_decoded_once(index: index_of.Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept are the same pixels, and no more of them than was allowed."""
    read: list[int] = []
    plain = type(index).read

    def noted(self: index_of.Index, number: int) -> bytes:
        read.append(number)
        return plain(self, number)

    monkeypatch.setattr(type(index), "read", noted)
    side = augment.whole_square(plain(index, 0), 64, "crop").width
    monkeypatch.setattr(augment, "SMALL_SIZE", side)
    monkeypatch.setattr(augment, "KEPT", 2 * (4 * side * side + augment._OBJECT))
    photos = augment.SmallPhotos(index, "crop")
    with monkeypatch.context() as larger:  # a large photo is not kept, and takes no room
        larger.setattr(augment, "SMALL_SIZE", side - 1)
        photos.square(2, 64)
        photos.square(2, 64)
    assert read == [2, 2]
    read.clear()
    for _ in range(2):
        for number in range(3):
            expected = augment.whole_square(plain(index, number), 64, "crop")
            assert photos.square(number, 64).tobytes() == expected.tobytes()
    assert read == [0, 1, 2, 2]


def test_half_the_photos_are_mirrored(index: index_of.Index) -> None:
    whole = replace(SMOKE, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), color_jitter=0.0)
    changed, still = augment.Augmentation(whole), augment.Augmentation(replace(whole, flip=False))
    torch.manual_seed(0)
    folder = index.read(0)
    plain = still(folder, 8)
    found = [changed(folder, 8) for _ in range(400)]
    mirrored = sum(np.array_equal(pixels, plain[:, ::-1]) for pixels in found)
    assert mirrored + sum(np.array_equal(pixels, plain) for pixels in found) == 400
    assert 160 < mirrored < 240


def test_augmentation_can_be_switched_off(index: index_of.Index) -> None:
    from googlenet.architecture.dialects import Preprocessing
    from googlenet.images.decode import preprocess

    plain = replace(SMOKE, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=False, color_jitter=0.0)
    found = augment.Augmentation(plain)(index.read(0), 64).astype(int)
    whole = preprocess(index.read(0), Preprocessing(size=64, crop=1.0)).astype(int)
    assert np.abs(found - whole).mean() < 6  # bilinear against bicubic


def test_the_papers_recipe_resizes_in_four_ways_equally_often(
    index: index_of.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def decode_box(image: object, box: object, size: int, *, resample: int, fill: object) -> Image.Image:
        seen.append(resample)
        return Image.new("RGB", (size, size))

    monkeypatch.setattr(augment, "decode_box", decode_box)
    changed = augment.Augmentation(recipe.PAPER)
    torch.manual_seed(0)
    for _ in range(400):
        changed(index.read(0), 8)
    kinds = Image.Resampling
    shares = [seen.count(kind) / 400 for kind in (kinds.BILINEAR, kinds.BOX, kinds.NEAREST, kinds.BICUBIC)]
    assert sum(shares) == 1
    assert all(abs(share - 0.25) < 0.07 for share in shares)


def test_lighting_noise_has_the_spread_of_imagenets_colors(tmp_path: Path) -> None:
    """One shift a photo; its covariance is that of the principal components, times the square of 0.1."""
    from PIL import Image

    Image.new("RGB", (64, 64), (128, 128, 128)).save(tmp_path / "grey.png")
    folder = (tmp_path / "grey.png").read_bytes()
    changed = augment.Augmentation(replace(SMOKE, flip=False, lighting=0.1))
    shifts = []
    torch.manual_seed(0)
    for _ in range(3000):
        pixels = changed(folder, 2).reshape(-1, 3).astype(int)
        assert (pixels == pixels[0]).all()
        shifts.append(pixels[0] - 128)
    scaled = augment.COLOR_AXES * augment.COLOR_DEVIATIONS * 25.5
    np.testing.assert_allclose(np.cov(np.array(shifts).T), scaled @ scaled.T, rtol=0.1, atol=0.3)


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
    decayed, spared = optim.build_optimizer(net, SMOKE).param_groups
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in spared["params"]} == {1}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (SMOKE.weight_decay, 0.0)


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12)])
def test_orthogonal_keeps_singular_vectors_and_evens_out_their_values(shape: tuple[int, int]) -> None:
    """Against the polynomial applied to the singular values themselves, in double precision."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, values, v = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    values /= np.sqrt((values**2).sum())
    for _ in range(optim.NEWTON_SCHULZ_STEPS):
        values = sum(k * values**power for k, power in zip(optim.NEWTON_SCHULZ, (1, 3, 5), strict=True))
    found = optim.orthogonal(matrix)
    np.testing.assert_allclose(found.numpy(), (u * values) @ v, atol=1e-5)
    if shape != (12, 12):  # square ones have values near zero, which a few steps leave small
        assert 0.5 < values.min() and values.max() < 1.3
    lower = optim.orthogonal(matrix.bfloat16())
    assert lower.dtype == torch.bfloat16
    np.testing.assert_allclose(lower.float().numpy(), (u * values) @ v, atol=0.06)


def test_muon_turns_convolutions_and_nothing_else_by_hand() -> None:
    chosen = replace(SMOKE, muon=1.4)
    net = WithAuxiliaryHeads(GoogLeNet(3)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kept = net.net.trunk.get_submodule("conv2.conv").weight
    sgd = optim.build_optimizer(net, chosen, kept={"net.trunk.conv2.conv.weight"})
    turned = {id(p) for group in sgd.param_groups if group["muon"] is not None for p in group["params"]}
    assert turned == {id(p) for p in net.parameters() if p.ndim == 4} - {id(kept)}
    weight = net.net.trunk.get_submodule("conv1.conv").weight
    buffer = torch.zeros_like(weight)
    for step in range(3):
        gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step))
        before = weight.detach().clone()
        weight.grad = gradient.clone()
        for group in sgd.param_groups:
            group["lr"] = 0.5 * chosen.lr * group["factor"]
        sgd.step()
        buffer = 0.6 * buffer + gradient
        direction = optim.orthogonal((gradient + 0.6 * buffer).permute(0, 2, 3, 1).flatten(1))
        direction = direction.view(64, 7, 7, 3).permute(0, 3, 1, 2)
        expected = before * 8 / before.norm() - 0.5 * chosen.lr * 1.4 * direction
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-6)


def test_average_is_the_recurrence_by_hand() -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    average = optim.EmaWeights(net, SMOKE)
    expected = net.net.classifier.weight.detach().double().clone()
    horizon = SMOKE.ema_horizon * 500
    for step in range(30):
        with torch.no_grad():
            net.net.classifier.weight.add_(torch.randn_like(net.net.classifier.weight))
        average.update(step, steps=500)
        keep = min((1 + step) / (10 + step), 1 - 1 / horizon)
        expected = keep * expected + (1 - keep) * net.net.classifier.weight.detach().double()
    torch.testing.assert_close(average.net.net.classifier.weight.double(), expected, rtol=1e-5, atol=1e-5)


def test_optimizer_is_nesterov_by_hand() -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    sgd = optim.build_optimizer(net, SMOKE)
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


@pytest.mark.parametrize("value, finite", [(1.0, True), (3e38, True), (math.inf, False), (math.nan, False)])
def test_one_gradient_that_is_no_number_is_found(value: float, finite: bool) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 5), torch.nn.Linear(5, 2))
    net[0].requires_grad_(False)
    for parameter in net[1:].parameters():
        parameter.grad = torch.ones_like(parameter)
    assert net[1].weight.grad is not None
    net[1].weight.grad[2, 1] = -value
    assert optim.finite_gradients(net) is finite


def test_phases_fill_the_steps() -> None:
    phased = replace(SMOKE, sizes=((0.5, 0.6), (0.3, 0.8), (0.2, 1.0)))
    pixels = plan.sizes(phased, size=160, steps=101, stem=8)
    assert len(pixels) == 101
    assert pixels == sorted(pixels)
    assert set(pixels) == {96, 128, 160}
    assert plan.training_size(SMOKE, 64, 0.5, stem=8) == 64
    small = replace(SMOKE, early_map=6)  # the least that a network in training takes
    assert plan.training_size(small, 64, 0.5, stem=8) == 48
    assert plan.training_size(small, 32, 0.5, stem=4) == 24


def thousand_steps(**settings: Any) -> plan.Plan:
    return plan.Plan(
        steps=1000, samples=32_000, precision="float32", threads=2, validate_every=999, seed=0, **settings
    )


@pytest.mark.parametrize("slower", [0.7, 1.0, 1.9])
def test_a_time_budget_is_planned_anew(slower: float) -> None:
    """A step of 96 pixels takes twice as long as one of 64, which takes a second."""
    phased = replace(SMOKE, sizes=((0.64, 2 / 3), (0.36, 1.0)))
    first = thousand_steps(
        size=96, closing=8.0, seconds_per_image=((64, 1 / phased.batch), (96, 2.0 / phased.batch))
    )
    found = plan.replan(first, phased, step=100, slower=slower, left=900.0, stem=8)
    pixels = plan.sizes(phased, size=96, steps=found.steps, stem=8)[100:]
    rest = sum(slower * (2 if side == 96 else 1) for side in pixels)
    assert 0.96 * 900 - 8 < rest <= 0.97 * 900 - 8
    assert replace(found, steps=1000) == first


def test_a_budget_that_is_over_ends_the_run_with_the_next_step() -> None:
    first = thousand_steps(size=64, seconds_per_image=((64, 0.01),))
    assert plan.replan(first, SMOKE, step=100, slower=1.0, left=-3.0, stem=8).steps == 101
    bounded = replace(first, most_steps=first.steps + 7)
    assert plan.replan(bounded, SMOKE, step=100, slower=1.0, left=9e5, stem=8).steps == first.steps + 7


def test_the_clock_of_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr("googlenet.training.session.time.monotonic", lambda: now[0])
    clock = BudgetClock(end=150.0)
    told = []
    for second in range(51, 151):
        now[0] = float(second)
        if clock.count(0.5):
            told.append(second - 50)
            assert clock.slowdown() == pytest.approx(2)
    assert told == [10, 30, 50, 70, 85, 95]
    assert clock.left == 0


def test_a_plan_survives_json() -> None:
    first = thousand_steps(size=64, seconds_per_image=((48, 0.008), (64, 0.01)))
    assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(first))), plan.Plan) == first


def test_plan_for_epochs(index: index_of.Index) -> None:
    fixed = {"precision": "float32", "threads": 2, "seed": 0}
    found = plan.plan_epochs(SMOKE, len(index), epochs=3, size=64, stem=8, **fixed)
    assert found.steps == math.ceil(3 * 359 / 32)
    assert plan.extend_plan(found, SMOKE, epochs=5).steps == math.ceil(5 * 359 / 32)
    with pytest.raises(InputError, match="above the 3"):
        plan.extend_plan(found, SMOKE, epochs=3)
    assert plan.extend_plan(found, SMOKE, epochs=3, finished=False) == found
    with pytest.raises(InputError, match="at least 64 pixels, got 32"):
        plan.plan_epochs(SMOKE, len(index), epochs=3, size=32, stem=8, **fixed)


def test_a_budget_that_is_gone_already_is_refused() -> None:
    with pytest.raises(InputError, match="expected more --minutes: 11 s more"):
        plan.check_budget(-5.0)


def test_precision_is_explained() -> None:
    chosen, why = hardware.choose_precision("auto", "cpu")
    able = any(torch.cpu.get_capabilities().get(name) for name in ("amx_bf16", "avx512_bf16"))
    assert chosen == ("bfloat16" if able else "float32")
    assert "this processor" in why
    assert hardware.choose_precision("bfloat16", "cpu") == ("bfloat16", "as asked")


def test_named_recipes() -> None:
    assert set(recipe.RECIPES) == {"modern", "transfer", "paper", "smoke"}
    for chosen in recipe.RECIPES.values():
        assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(chosen))), recipe.Recipe) == chosen
    with pytest.raises(InputError, match="modern, transfer, paper, smoke"):
        recipe.named_recipe("best")


def test_label_smoothing_by_hand() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0])
    found = optim.losses(Outputs(logits, logits, logits), labels, recipe.MODERN)
    logs = logits.log_softmax(1)
    target = torch.full((4, 3), 0.1 / 3)
    target[range(4), labels] += 0.9
    assert found.main.item() == pytest.approx(-(target * logs).sum(1).mean().item(), rel=1e-5)


def test_an_unreadable_image_is_returned_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"text")
    index = index_of.Index(["a.jpg"], [0], root=tmp_path)
    batches = loader.Batches(index, SMOKE, sizes=[64], seed=0)
    for workers in (0, 1):
        (found,) = loader.training_loader(batches, start=0, workers=workers)
        assert isinstance(found, ImageError)
        assert "a.jpg" in str(found)


def test_a_damaged_newest_state_gives_way_to_the_one_before(tmp_path: Path) -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    sgd = optim.build_optimizer(net, SMOKE)
    for step in (1, 2, 3):
        state.save_state(tmp_path, step=step, net=net, optimizer=sgd, average=net, header={})
    states = sorted((tmp_path / "state").iterdir())
    assert [path.name for path in states] == ["step-000000002.safetensors", "step-000000003.safetensors"]
    states[-1].write_bytes(states[-1].read_bytes()[:-1000])
    _, header, warnings = state.load_state(tmp_path)
    assert header["step"] == 2
    assert "not a model file" in warnings[0] and "going on from the state before it" in warnings[0]


def test_states_after_the_one_that_was_taken_are_forgotten(tmp_path: Path) -> None:
    """Damaged, they would push the good ones out of the last two."""
    net = torch.nn.Linear(2, 2)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    save = functools.partial(state.save_state, tmp_path, net=net, optimizer=sgd, average=net, header={})
    for step in (7, 8):
        save(step=step)
    newest = tmp_path / "state" / "step-000000008.safetensors"
    newest.write_bytes(b"")
    assert state.load_state(tmp_path)[1]["step"] == 7
    state.forget_after(tmp_path, 7)
    assert not newest.exists()
    save(step=9)
    assert state.load_state(tmp_path)[1]["step"] == 9
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    sgd = optim.build_optimizer(net, SMOKE)
    state.save_state(tmp_path, step=1, net=net, optimizer=sgd, average=net, header={})
    net.net.classifier.weight.data[0, 0] = float("nan")
    with pytest.raises(TrainingError, match="stopped being finite"):
        state.save_state(tmp_path, step=2, net=net, optimizer=sgd, average=net, header={})
    assert state.load_state(tmp_path)[1]["step"] == 1
