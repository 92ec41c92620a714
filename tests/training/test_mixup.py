"""Mixup in pairs: by the equations, and the same for any number of processes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from googlenet.nn.model import Outputs
from googlenet.training import mixup
from googlenet.training.decision.recipe import SMOKE, TRANSFER
from googlenet.training.distributed import ProcessGroup

LABELS = torch.tensor([0, 1, 2, 0, 1, 1, 2])


def test_without_mixup_nothing_changes() -> None:
    images = torch.randn(5, 3, 4, 4)
    assert mixup.share(SMOKE, 0, 7) == 1
    assert mixup.mix(images, 1.0) is images


def test_the_share_follows_from_seed_and_step() -> None:
    shares = [mixup.share(TRANSFER, 3, step) for step in range(2000)]
    assert shares[:50] == [mixup.share(TRANSFER, 3, step) for step in range(50)]
    assert shares[:50] != [mixup.share(TRANSFER, 4, step) for step in range(50)]
    a = TRANSFER.mixup  # mean and variance of Beta(a, a)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * a + 1)), rel=0.05)


@pytest.mark.parametrize("count", [6, 7])
def test_each_photo_is_mixed_with_its_neighbor(count: int) -> None:
    images = torch.randn(count, 3, 2, 2, dtype=torch.float64)
    found = mixup.mix(images, 0.3)
    for i in range(count):
        partner = i + 1 if i % 2 == 0 else i - 1
        other = images[partner] if partner < count else images[i]
        torch.testing.assert_close(found[i], 0.3 * images[i] + 0.7 * other)


def test_the_loss_is_that_of_mixed_labels() -> None:
    logits = torch.randn(7, 3)
    found = mixup.mixed_losses(Outputs(logits), LABELS, range(7), 0.3, SMOKE)
    soft = 0.3 * F.one_hot(LABELS, 3) + 0.7 * F.one_hot(LABELS[mixup.partners(7)], 3)
    torch.testing.assert_close(found.total, F.cross_entropy(logits, soft.float()))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("batch", [6, 7, 10])
def test_parts_add_up_to_the_batch(batch: int, world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(batch, 3), torch.arange(batch) % 3
    weights = torch.tensor([0.5, 1.0, 3.0])

    def of(rows: range) -> mixup.Losses:
        logits = mixup.mix(images[rows.start : rows.stop], 0.3)
        return mixup.mixed_losses(Outputs(logits), labels, rows, 0.3, SMOKE, weights=weights)

    team = ProcessGroup("cpu")
    parts = []
    for rank in range(world):
        monkeypatch.setattr(team, "rank", rank, raising=False)
        monkeypatch.setattr(team, "size", world, raising=False)
        parts.append(team.rows(batch))
    assert [i for rows in parts for i in rows] == list(range(batch))
    assert all(len(rows) >= 2 for rows in parts)
    torch.testing.assert_close(sum(of(rows).total for rows in parts), of(range(batch)).total)
