"""The arithmetic against the printed table, figures counted by hand, and the built networks."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from googlenet.architecture import cost
from googlenet.architecture.dialects import DIALECTS
from googlenet.base.errors import InputError
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads
from helpers.baselines import NAMES as BASELINES
from helpers.baselines import baseline

# Counted by hand from the published widths: for inference, and with both auxiliary heads.
TOTALS = {
    "bn": (7_005_832, 13_385_816),
    "paper": (6_998_552, 13_378_280),
    "torchvision": (6_624_904, 13_004_888),
    "slim": (6_618_649, None),
    "bvlc": (6_998_552, 13_378_280),
    "inception5h": (7_066_380, 13_461_996),
    "vgg16": (138_357_544, None),
    "vgg19": (143_667_240, None),
    "nin": (7_595_176, None),
}
# Weights, and million multiply-adds at 224 pixels, of the widths that Table 1 prints.
MODULES = {
    "inception_3a": (163_328, 128.05),
    "inception_3b": (388_096, 304.3),
    "inception_4a": (375_552, 73.61),
    "inception_4b": (448_512, 87.9),
    "inception_4c": (509_440, 99.85),
    "inception_4d": (604_672, 118.5),
    "inception_4e": (867_328, 170.0),
    "inception_5a": (1_042_432, 51.08),
    "inception_5b": (1_442_816, 70.7),
}
SIDES = {"conv1": 112, "pool1": 56, "conv2": 56, "pool2": 28, "inception_3b": 28, "inception_4a": 14}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", TOTALS)
def test_totals(name: str) -> None:
    found = cost.network(name)
    inference, training = TOTALS[name]
    assert found.parameters == inference
    assert training in (None, found.training_parameters)


def test_multiply_adds() -> None:
    assert round(cost.network("paper").macs / 1e6, 1) == 1582.7
    assert round(cost.network("inception5h").macs / 1e6, 1) == 1584.9
    assert round(2 * cost.network("bn").macs / 1e9, 2) == 3.17


def test_memory_of_two_images() -> None:
    memory = cost.network().memory(batch=2)
    megabytes = [
        round(x / 1e6, 2) for x in (memory.input, memory.activations, memory.parameters, memory.total)
    ]
    assert megabytes == [1.20, 103.25, 28.02, 132.48]


def test_a_tenth_of_vgg() -> None:
    assert round(cost.network("vgg19").parameters / cost.network().training_parameters, 1) == 10.7


@pytest.mark.parametrize("name, weights, macs", [(k, *v) for k, v in MODULES.items()])
def test_inception_rows_of_table_1(name: str, weights: int, macs: float) -> None:
    rows = {row.name: row for row in cost.network("paper").rows}
    bn = {row.name: row for row in cost.network("bn").rows}
    biases = bn[name].parameters - weights  # a scale and a shift for each output channel
    assert rows[name].parameters - weights == biases / 2
    assert rows[name].macs / 1e6 == pytest.approx(macs, abs=0.06)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_map_sides_of_table_1(dialect: str) -> None:
    rows = {row.name: row.side for row in cost.network(dialect).rows}
    assert {name: rows[name] for name in SIDES} == SIDES
    assert (rows["pool4"], rows["inception_5b"]) == (7, 7)


def test_rows_where_the_paper_disagrees_with_arithmetic() -> None:
    starred = {r.name for r in cost.network().rows if r.printed and r.printed.note}
    assert starred == {"conv1", *(f"inception_{x}" for x in ("4a", "4b", "4c", "4d", "4e", "5a", "5b"))}


def test_printed_columns_are_the_papers() -> None:
    """Their sums: the paper's budget is 1.5 billion multiply-adds."""
    printed = [row.printed for row in cost.network().rows if row.printed]
    assert sum(p.parameters_k for p in printed) == pytest.approx(6797.7)
    assert sum(p.macs_m for p in printed) == 1502


def test_googles_released_widths_give_the_printed_operations() -> None:
    """Why 4a and 5a are starred: with 204 and 48 both printed multiply-adds are right."""
    rows = {row.name: row.printed for row in cost.network("inception5h").rows}
    for name in ("inception_4a", "inception_4b", "inception_5a"):
        found = rows[name]
        assert found is not None
        assert abs(found.macs_m_off) < 0.5
    assert not rows["inception_4a"].parameters_differ  # type: ignore[union-attr]


def test_reduction_before_a_3x3_convolution() -> None:
    """Section 4's argument at 3a."""
    assert cost.reduction_weights() == (221_184, 129_024)


def test_naive_modules_at_the_papers_widths() -> None:
    held = cost.naive_at_paper_widths()
    naive, reduced = (sum(row[i] for row in held.values()) / 1e6 for i in (0, 1))
    assert (round(naive), round(reduced)) == (3881, 1104)
    assert [channels for _, _, channels in held.values()] == [416, 672, 928, 960, 960, 976, 1232, 1536, 1728]


def test_naive_network_blows_up() -> None:
    modules = [row for row in cost.network("naive").rows if row.widths]
    norms = sum(2 * sum(row.widths) for row in modules if row.widths)
    assert sum(row.parameters for row in modules) - norms == 92_451_840
    assert round(sum(row.macs for row in modules) / 1e6) == 12_085
    assert modules[-1].channels == 4944


@pytest.mark.parametrize("dialect", DIALECTS)
def test_built_network_has_the_parameters_row_by_row(dialect: str) -> None:
    built = WithAuxiliaryHeads(GoogLeNet(17, dialect_name=dialect))
    expected = cost.network(dialect, classes=17)
    for row in expected.rows:
        if row.name in dict(built.net.trunk.named_children()):
            assert count(built.net.trunk.get_submodule(row.name)) == row.parameters, row.name
    assert count(built.net) == expected.parameters
    assert count(built) == expected.training_parameters
    assert [count(head) for head in built.heads.values()] == [row.parameters for row in expected.heads]


@pytest.mark.parametrize(
    "dialect, size", [(d, 224) for d in DIALECTS] + [("bn", 130), ("slim", 193), ("bvlc", 193)]
)
def test_built_network_has_the_multiply_adds_row_by_row(dialect: str, size: int) -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        GoogLeNet(1000, dialect_name=dialect).eval()(torch.zeros(1, 3, size, size))
    expected = cost.network(dialect, classes=1000, size=size)
    counted = counter.get_flop_counts()
    for row in expected.rows:
        flops = counted.get(f"GoogLeNet.trunk.{row.name}", {})
        if row.macs and row.name not in ("classifier", "hidden"):
            assert sum(flops.values()) == 2 * row.macs, row.name
    # local response normalization is no layer of Table 1: its products only make it fast
    normalized = sum(sum(counted.get(f"GoogLeNet.trunk.norm{number}", {}).values()) for number in (1, 2))
    assert counter.get_total_flops() - normalized == 2 * expected.macs


@pytest.mark.parametrize("name", BASELINES)
def test_built_baseline_has_the_counts(name: str) -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        built = baseline(name, 12).eval()
        assert built(torch.zeros(2, 3, 224, 224)).shape == (2, 12)
    expected = cost.network(name, classes=12)
    assert count(built) == expected.parameters
    assert counter.get_total_flops() == 2 * 2 * expected.macs


def test_activations_are_what_the_built_layers_put_out() -> None:
    """Batch normalization apart, as torchinfo counts."""
    numbers = 0

    def add(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal numbers
        numbers += output.numel()

    with torch.device("meta"):
        net = GoogLeNet().eval()
        for module in net.modules():
            if next(module.parameters(recurse=False), None) is not None:
                module.register_forward_hook(add)
        net(torch.zeros(2, 3, 224, 224))
    assert 2 * 4 * numbers == cost.network().memory(batch=2).activations


def test_unknown_baseline() -> None:
    with pytest.raises(InputError, match="nin, vgg16, vgg19"):
        baseline("alexnet")


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"size": 32}, "at least 64"),
        ({"classes": 0}, "at least 1"),
        ({"name": "vgg11"}, "bn, paper, .*vgg16"),
        ({"name": "nin", "size": 5}, "maps would be empty"),
        ({"name": "vgg16", "size": 256}, "expected --size 224 for vgg16"),
    ],
)
def test_wrong_numbers_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        cost.network(**wrong)  # type: ignore[arg-type]
