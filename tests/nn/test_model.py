"""The built network against arithmetic, torchvision and a literal forward pass."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from googlenet.architecture.dialects import DIALECTS
from googlenet.base.errors import InputError
from googlenet.nn.blocks import InceptionBlock, pool_to_4x4
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads, initialize_weights
from googlenet.training.decision.recipe import SMOKE
from googlenet.training.optim import build_optimizer, losses
from helpers.models import liven
from helpers.plain import Plain


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def net() -> WithAuxiliaryHeads:
    return WithAuxiliaryHeads(GoogLeNet(1000))


def test_the_number_that_everybody_quotes(net: WithAuxiliaryHeads) -> None:
    assert count(net) == 13_385_816


def agree(mine: Tensor, theirs: np.ndarray, *, within: float = 1e-4) -> bool:
    """Whether two arrays differ by at most a share of the largest value."""
    assert theirs.std() >= 0.1  # else agreement would mean nothing
    return bool(np.abs(mine.numpy() - theirs).max() <= within * np.abs(theirs).max())


@pytest.fixture(scope="module")
def lively() -> tuple[WithAuxiliaryHeads, Tensor, Plain, tuple[np.ndarray, ...]]:
    """The network with weights that keep every stage alive, an image, and numpy's answer."""
    built = WithAuxiliaryHeads(GoogLeNet(11)).eval()
    liven(built)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    plain = Plain({name: tensor.numpy() for name, tensor in built.state_dict().items()})
    return built, image, plain, plain(image[0].numpy())


Lively = tuple[WithAuxiliaryHeads, Tensor, Plain, tuple[np.ndarray, ...]]


def test_forward_is_that_of_plain_numpy(lively: Lively) -> None:
    built, image, _, expected = lively
    with torch.inference_mode():
        found = built(image)
    for mine, theirs in zip(found, expected, strict=True):
        assert agree(mine[0], theirs)


def test_every_stage_is_that_of_plain_numpy(lively: Lively) -> None:
    built, x, plain, _ = lively
    with torch.inference_mode():
        for name, stage in built.net.trunk.named_children():
            x = stage(x)
            assert agree(x[0], plain.stages[name]), name


class Reordered(nn.Module):
    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.order]


@pytest.mark.parametrize("slip", ["branches", "ceil", "heads"])
def test_a_slip_is_noticed(lively: Lively, slip: str) -> None:
    built, image, _, (logits, aux1, _) = lively
    slipped = copy.deepcopy(built)
    trunk = slipped.net.trunk
    if slip == "branches":
        order = [*range(192), *range(224, 256), *range(192, 224)]  # of 3a: 5x5 and pool_proj
        block = trunk.inception_3a
        trunk.inception_3a = nn.Sequential(block, Reordered(order))
    elif slip == "ceil":
        trunk.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
    else:
        slipped.heads["inception_4a"].hidden.weight.data.neg_()
    with torch.inference_mode():
        found = slipped(image)
    assert not (agree(found.logits[0], logits) and agree(found.aux1[0], aux1))


def test_torchvision_blocks_give_the_same_where_they_are_the_same() -> None:
    """torchvision's module differs in one convolution: its 5x5 is a 3x3. Put ours in, and compare."""
    from torchvision.models.googlenet import Inception as Theirs

    from googlenet.architecture.dialects import dialect
    from googlenet.architecture.table1 import TABLE_1, Inception

    row = TABLE_1["inception_3a"]
    assert isinstance(row, Inception)
    ours = liven(InceptionBlock(192, row, dialect=dialect("bn"))).eval()
    theirs = Theirs(192, *row).eval()
    pairs = {
        "n1x1": theirs.branch1,
        "n3x3_reduce": theirs.branch2[0],
        "n3x3": theirs.branch2[1],
        "n5x5_reduce": theirs.branch3[0],
        "n5x5": theirs.branch3[1],
        "pool_proj": theirs.branch4[1],
    }
    theirs.branch3[1].conv = nn.Conv2d(16, 32, 5, padding=2, bias=False)
    for name, block in pairs.items():
        mine = ours.get_submodule(name)
        block.conv.load_state_dict(mine.get_submodule("conv").state_dict())
        block.bn.load_state_dict(mine.get_submodule("norm").state_dict())
    x = torch.randn(2, 192, 14, 14, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)


@pytest.mark.parametrize("size", [64, 65, 96, 128, 160, 193, 224, 299])
def test_any_size_from_64_up_trains(size: int) -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    outputs = net(torch.randn(2, 3, size, size))
    assert [tuple(logits.shape) for logits in outputs] == [(2, 3)] * 3


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_learns_with_its_heads(name: str) -> None:
    """A few steps on one batch: every parameter gets a gradient, and the loss falls."""
    torch.manual_seed(0)
    net = WithAuxiliaryHeads(GoogLeNet(2, dialect_name=name, dropout=0.0), dropout=0.0).train()
    with_norm = net.net.dialect.batch_norm
    initialize_weights(net, "he" if with_norm else "xavier")
    sgd = build_optimizer(net, replace(SMOKE, lr=0.01 if with_norm else 0.005))
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 0, 1])
    seen = []
    for _ in range(8):
        loss = losses(net(images), labels, SMOKE).total
        sgd.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        sgd.step()
        seen.append(loss.item())
    assert min(seen) < 0.97 * seen[0], seen


def test_oblong_images_too() -> None:
    assert WithAuxiliaryHeads(GoogLeNet(3))(torch.randn(2, 3, 96, 160)).aux1.shape == (2, 3)


@pytest.mark.parametrize("side", range(4, 30))
def test_pooling_to_4x4_uses_every_pixel_equally_spaced(side: int) -> None:
    x = torch.randn(1, 1, side, side, dtype=torch.float64)
    pooled = pool_to_4x4(x)
    assert pooled.shape[-2:] == (4, 4)
    stride = max(1, (side - 2) // 4)
    kernel = side - 3 * stride
    by_hand = np.array(
        [
            [
                x[0, 0, i * stride : i * stride + kernel, j * stride : j * stride + kernel].mean()
                for j in range(4)
            ]
            for i in range(4)
        ]
    )
    np.testing.assert_allclose(pooled[0, 0].numpy(), by_hand)


def test_pooling_at_14_is_the_papers() -> None:
    x = torch.randn(1, 8, 14, 14)
    assert torch.equal(pool_to_4x4(x), F.avg_pool2d(x, 5, 3))


def test_return_type_does_not_depend_on_mode() -> None:
    net = GoogLeNet(5)
    x = torch.randn(2, 3, 64, 64)
    assert isinstance(net.train()(x), Tensor)
    assert isinstance(net.eval()(x), Tensor)


def test_dropout_rates_are_arguments() -> None:
    net = WithAuxiliaryHeads(GoogLeNet(5))
    assert net.net.dropout.p == 0.4
    assert [head.dropout.p for head in net.heads.values()] == [0.7, 0.7]  # type: ignore[union-attr]
    assert GoogLeNet(5, dropout=0.1).dropout.p == 0.1


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 64, 64, 3), (3, 64, 64), (1, 3, 64, 63)])
def test_wrong_input_says_what_was_expected(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected images \[N, 3, H, W\]"):
        GoogLeNet(5)(torch.zeros(shape))


def test_unknown_dialect_lists_the_known() -> None:
    with pytest.raises(InputError, match="bn, paper"):
        GoogLeNet(5, dialect_name="caffe")


@pytest.mark.parametrize(
    "how, deviation",
    [("he", (2 / (192 * 9)) ** 0.5), ("truncated", 0.01), ("xavier", (1 / (64 * 9)) ** 0.5)],
)
def test_initial_weights_have_the_spread_of_their_formula(how: str, deviation: float) -> None:
    net = WithAuxiliaryHeads(GoogLeNet(5, dialect_name="paper"))
    initialize_weights(net, how)
    conv = net.net.trunk.get_submodule("conv2.conv")  # 64 channels in, 192 out, 3x3
    assert conv.weight.std().item() == pytest.approx(deviation, rel=0.02)  # type: ignore[union-attr, operator]


def test_papers_dialect_does_not_die_with_its_initial_weights() -> None:
    torch.manual_seed(0)
    net = GoogLeNet(5, dialect_name="paper").eval()
    image = torch.randn(2, 3, 96, 96)
    initialize_weights(net, "xavier")
    assert net.trunk(image).std() > 0.05


def test_unknown_initial_weights() -> None:
    with pytest.raises(InputError, match="default, he, xavier, truncated"):
        initialize_weights(GoogLeNet(5), "zeros")
