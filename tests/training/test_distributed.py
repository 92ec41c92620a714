"""What several training processes are made of, without starting any: parts of a batch, a loss, a split."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed import TCPStore

from googlenet.architecture.dialects import DIALECTS
from googlenet.base import machine
from googlenet.base.errors import ImageError, InputError
from googlenet.base.progress import echo
from googlenet.data.folder import open_data
from googlenet.evaluation import scoring
from googlenet.files import runfolder
from googlenet.files.events import Warned
from googlenet.nn.blocks import Dropout
from googlenet.nn.model import GoogLeNet, Outputs, WithAuxiliaryHeads
from googlenet.training.decision.recipe import MODERN, SMOKE
from googlenet.training.distributed import ProcessGroup, _own_part
from googlenet.training.loader import Batch, Batches
from googlenet.training.optim import losses
from googlenet.training.session import take_part

LAUNCHED = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "1"}


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the second of two processes."""
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("total, world", [(9, 2), (8, 2), (7, 3), (2, 3), (0, 2), (5, 1)])
def test_parts_are_stretches_that_meet(total: int, world: int) -> None:
    parts = [machine.shard_range(total, rank, world) for rank in range(world)]
    assert [i for part in parts for i in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_is_launched_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (machine.is_distributed(), machine.rank(), machine.world_size()) == (False, 0, 1)
    for name in machine.LAUNCHED[1:]:  # a cluster may set some of them for purposes of its own
        monkeypatch.setenv(name, "3")
    assert (machine.is_distributed(), machine.rank(), machine.world_size()) == (False, 0, 1)


@pytest.mark.usefixtures("second")
def test_processes_of_one_machine_share_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: range(9), raising=False)
    monkeypatch.setattr(machine, "_quota", lambda root, own: None)
    assert machine.cores() == 9
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert machine.cores() == 2


@pytest.mark.usefixtures("second")
def test_the_second_is_silent_and_writes_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    echo("once is enough")
    runfolder.RunLog(tmp_path).write(Warned(step=1, epoch=0.5, text="x"))
    assert capsys.readouterr().err == "" and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "begun_by, name, restarts, same",
    [
        ("7f", "7f", "0", True),  # a named job that a cluster started again
        ("7f", "7f", "1", True),
        ("7f", "80", "1", False),
        ("none", "none", "1", True),
        ("none", "none", "0", False),  # another command that was given no name either
        (None, "none", "1", False),
    ],
)
@pytest.mark.usefixtures("second")
def test_a_job_knows_its_own_run(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    begun_by: str | None,
    name: str,
    restarts: str,
    same: bool,
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", name)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restarts)
    runfolder.write_config(tmp_path, {"plan": {}, "job": begun_by})
    assert runfolder.was_started_by_this_job(tmp_path) == same


def test_a_run_of_one_process_belongs_to_no_job(tmp_path: Path) -> None:
    runfolder.write_config(tmp_path, {"plan": {}, "job": None})
    assert not runfolder.was_started_by_this_job(tmp_path)
    assert not runfolder.was_started_by_this_job(tmp_path / "nothing")


def test_alone_everything_is_as_it_was() -> None:
    team = ProcessGroup("cpu")
    net, tensors = torch.nn.Linear(2, 2), [torch.ones(2)]
    assert team.is_main and team.rows(3) == range(3) and team.wrap_ddp(net) is net
    assert team.all_max(2, 0) == [2, 0] and team.gather("mine") == ["mine"] and team.broadcast(lambda: 5) == 5
    assert torch.equal(team.all_reduce(tensors)[0], tensors[0])


def test_too_few_rows_for_so_many_processes() -> None:
    team = ProcessGroup("cpu")
    team.rank, team.size = 0, 4
    assert team.rows(8) == range(2)
    with pytest.raises(InputError, match="at least 2 images a process, got 7 for 4"):
        team.rows(7)


def test_processes_started_again_find_nothing_of_the_former_ones() -> None:
    """torchrun keeps its store: without a name of their own they would call those that are gone."""
    kept = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=20))
    for attempt in ("first", "second"):
        other = TCPStore("127.0.0.1", kept.port, is_master=False, timeout=timedelta(seconds=20))
        with ThreadPoolExecutor(2) as pool:
            meeting = [pool.submit(_own_part, s, rank=r, size=2) for r, s in enumerate((kept, other))]
            one, two = (each.result(timeout=30) for each in meeting)
        assert not one.check(["address"])
        one.set("address", attempt)
        assert two.get("address") == attempt.encode()


@pytest.mark.parametrize("weighted", [False, True])
def test_losses_and_gradients_of_parts_add_up(weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 9, 4, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.randint(0, 4, (9,), generator=generator)
    weights = torch.tensor([0.2, 1.0, 1.5, 3.0]) if weighted else None
    whole = losses(Outputs(*logits), labels, MODERN, weights=weights)
    expected = torch.autograd.grad(whole.total, logits)[0]
    found, gradient = torch.zeros(4), torch.zeros_like(logits)
    for rank in range(2):
        rows = machine.shard_range(9, rank, 2)
        mine = slice(rows.start, rows.stop)
        parts = losses(Outputs(*logits[:, mine]), labels[mine], MODERN, weights=weights, whole=labels)
        gradient += torch.autograd.grad(parts.total, logits)[0]
        found += torch.stack(parts).detach()
    assert torch.allclose(found, torch.stack(whole).float(), atol=1e-6)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_dropout_of_parts_is_that_of_the_batch() -> None:
    x = torch.randn(9, 50)
    plain, parted = torch.nn.Dropout(0.7), Dropout(0.7)
    torch.manual_seed(3)
    whole = plain(x)
    assert 0 < (whole == 0).float().mean() < 1
    torch.manual_seed(3)
    assert torch.equal(parted(x), whole)
    for rank in range(2):
        rows = machine.shard_range(9, rank, 2)
        parted.part = (rows, 9)
        torch.manual_seed(3)
        assert torch.equal(parted(x[rows.start : rows.stop]), whole[rows.start : rows.stop])
    parted.eval()
    assert torch.equal(parted(x), x)


def test_every_dropout_of_the_network_takes_its_part() -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    take_part(net, range(4, 9), 9)
    found = [module.part for module in net.modules() if isinstance(module, torch.nn.Dropout)]
    assert found == [(range(4, 9), 9)] * 3


def test_rows_of_a_batch_are_those_of_the_whole() -> None:
    index = open_data("digits").split("train")
    chosen = replace(SMOKE, batch=9)
    whole = Batches(index, chosen, sizes=[64] * 3, seed=1)[2]
    assert isinstance(whole, Batch) and whole.rows == range(9)
    for rank in range(2):
        rows = machine.shard_range(9, rank, 2)
        part = Batches(index, chosen, sizes=[64] * 3, seed=1, rows=rows)[2]
        assert isinstance(part, Batch) and part.rows == rows
        assert torch.equal(part.images, whole.images[rows.start : rows.stop])
        assert torch.equal(part.labels, whole.labels) and np.array_equal(part.numbers, whole.numbers)


def test_scored_parts_come_back_in_order() -> None:
    def scored(numbers: list[int], bad: list[int]) -> scoring.SplitScores:
        logits = np.array(numbers, dtype=np.float32)[:, None].repeat(2, axis=1)
        figures = logits[:, :1].astype(np.float64).repeat(9, axis=1)
        return scoring.SplitScores(
            logits,
            figures,
            np.array(numbers),
            {i: ImageError("empty", "no") for i in bad},
            distances=logits[:, 0] / 2 if numbers else None,
            features={i: logits[0] + i for i in numbers if i % 2 == 0},
        )

    found = scoring.merge_scores([scored([4, 5], []), scored([0, 2, 3], [1]), scored([], [6])])
    assert found.numbers.tolist() == [0, 2, 3, 4, 5] and found.logits[:, 0].tolist() == [0, 2, 3, 4, 5]
    assert found.figures[:, 8].tolist() == [0, 2, 3, 4, 5]
    assert list(found.bad) == [1, 6]
    assert found.distances is not None and found.distances.tolist() == [0, 1, 1.5, 2, 2.5]
    assert list(found.features) == [0, 2, 4]  # whoever had them: a detector is fitted on them in this order


@pytest.mark.parametrize("name", [name for name, kind in DIALECTS.items() if kind.dense is None])
def test_every_parameter_gets_a_gradient(name: str) -> None:
    """Otherwise several processes would wait for one that never comes."""
    net = WithAuxiliaryHeads(GoogLeNet(3, dialect_name=name)).train()
    size = max(64, net.net.dialect.min_size)
    losses(net(torch.randn(2, 3, size, size)), torch.tensor([0, 1]), SMOKE).total.backward()
    assert not [name for name, parameter in net.named_parameters() if parameter.grad is None]


def test_a_network_travels_between_processes() -> None:
    net = WithAuxiliaryHeads(GoogLeNet(3))
    other = pickle.loads(pickle.dumps(net))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
