"""Several processes that train one network: what they share, and that none waits for one that is gone.

They are started by torchrun, or by anything that sets its variables. The batch of a step stays what it
is; each process takes a stretch of its rows. What one of them decides or finds is given to all.
"""

import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from googlenet.base import machine
from googlenet.base.errors import GoogLeNetError, InputError, TrainingError
from googlenet.training.decision.decide import check_batch

# A process that ends closes its connections, which the others notice at once; these bounds are for one that
# hangs, or whose machine is gone.
STEP = timedelta(seconds=30)  # within a step, where all do the same
PATIENCE = timedelta(minutes=10)  # between steps, where one may read, save or measure while others wait
PREPARING = timedelta(days=1)  # while the first looks through the data, and for the end of a validation
_MEETING = "googlenet"  # what the first looks at while it waits for the others
_ASKED_EVERY = 0.05  # seconds

Result = TypeVar("Result")


class ProcessGroup:
    """The processes that train together; alone, every method gives back what it got."""

    def __init__(
        self,
        device: str,
        *,
        steps: dist.ProcessGroup | None = None,
        between: dist.ProcessGroup | None = None,
    ) -> None:
        """Work on `device`; `steps` is the group that adds up gradients, None for one process alone.

        between  the group that agrees between steps
        """
        self.device, self._steps, self._between = device, steps, between
        self.rank, self.size = (machine.rank(), machine.world_size()) if steps else (0, 1)

    @property
    def is_main(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def part(self, total: int) -> range:
        """Which of `total` things in a row are this process's."""
        return machine.shard_range(total, self.rank, self.size)

    def rows(self, batch: int) -> range:
        """Which rows of a batch are this process's: pairs, whose photos may be mixed with each other.

        Raises InputError if there are too few for so many processes.
        """
        check_batch(batch, self.size)
        pairs = self.part(batch // 2)
        return range(2 * pairs.start, batch if pairs.stop == batch // 2 else 2 * pairs.stop)

    def wrap_ddp(self, net: nn.Module) -> nn.Module:
        """The network so that a backward pass leaves the mean of all processes' gradients in each."""
        if self._steps is None:
            return net
        where = [self.device] if self.device.startswith("cuda") else None
        # 1x1 convolutions give gradients whose strides may be written in two ways: a copy more, no fault
        warnings.filterwarnings("ignore", "Grad strides do not match")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)  # torch before 2.14 has no other name
            # batch statistics are averaged by us: DDP would take those of the first process
            return DistributedDataParallel(
                net, device_ids=where, process_group=self._steps, broadcast_buffers=False
            )

    def broadcast(self, work: Callable[[], Result]) -> Result:
        """Let the first process do a piece of work; all return its result, or raise its error."""
        if self._steps is None:
            return work()
        told: list[Result | GoogLeNetError | None] = [None]
        if self.is_main:
            try:
                told = [work()]
            except GoogLeNetError as error:
                told = [error]
        dist.broadcast_object_list(told, src=0)
        if isinstance(told[0], GoogLeNetError):
            raise told[0]
        return told[0]  # type: ignore[return-value]

    def all_max(self, *numbers: int) -> list[int]:
        """The greatest that any process brings of each number; a process that is busy is waited for."""
        if self._steps is None:
            return list(numbers)
        found = torch.tensor(numbers)
        dist.all_reduce(found, op=dist.ReduceOp.MAX, group=self._between)
        return [int(number) for number in found]

    def gather(self, mine: Result) -> list[Result]:
        """What every process brings, in their order, for the first; for the others nothing."""
        if self._steps is None:
            return [mine]
        everyones: list[Result | None] = [None] * self.size if self.is_main else []
        dist.gather_object(mine, everyones if self.is_main else None, dst=0)
        return everyones  # type: ignore[return-value]

    @torch.no_grad()
    def all_reduce(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The sum over all processes of each tensor, without its graph."""
        if self._steps is None:
            return [tensor.detach() for tensor in tensors]
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(flat, group=self._steps)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    @torch.no_grad()
    def average_statistics(self, net: nn.Module) -> None:
        """Give every process the mean of all processes' running batch statistics."""
        if self._steps is None:
            return
        mine = [tensor for tensor in net.buffers() if tensor.is_floating_point()]
        if mine:
            for tensor, total in zip(mine, self.all_reduce(mine), strict=True):
                tensor.copy_(total / self.size)


@contextmanager
def join_process_group(device: str) -> Iterator[ProcessGroup]:
    """Meet the other processes, if any were launched, and leave them at the end.

    device  `cpu` or `cuda`
    raises  InputError if there is no GPU for this process; TrainingError if another was lost on the way
    """
    if not machine.is_distributed():
        yield ProcessGroup(device)
        return
    own = own_device(device)
    try:
        store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
        own_store = _own_part(store, rank=rank, size=size)
        dist.init_process_group("gloo", store=own_store, rank=rank, world_size=size, timeout=PREPARING)
        backend = "cpu:gloo,cuda:nccl" if own.startswith("cuda") else "gloo"
        steps = dist.new_group(timeout=STEP, backend=backend)
        between = dist.new_group(timeout=PATIENCE, backend="gloo")
        assert isinstance(steps, dist.ProcessGroup) and isinstance(between, dist.ProcessGroup)
        yield ProcessGroup(own, steps=steps, between=between)
    except RuntimeError as error:
        if not _lost(error):
            raise
        said = str(error).splitlines()[0].split(". ")[0].rpartition("] ")[2]  # without gloo's own lines
        raise TrainingError(
            f"expected {machine.world_size()} processes to the end, lost one ({said}); "
            "go on with --resume, with as many processes as you like"
        ) from error
    dist.destroy_process_group()  # not after an error: it would wait for the process that is gone


def _own_part(store: Store, *, rank: int, size: int) -> Store:
    """The part of the launcher's store that these processes alone use, under a name from the first.

    torchrun keeps its store when it starts processes again; in it are still the addresses of those that are
    gone, and neither a count nor a round tells all machines which start this is. So each of the others
    asks for the name by a number that nobody had before it, and takes no other answer.
    """
    if rank > 0:
        mine = uuid.uuid4().hex
        store.set(f"{_MEETING}/{rank}", mine)
        name = store.get(f"{_MEETING}/{mine}").decode()
        store.add(f"{_MEETING}/{name}", 1)
        return PrefixStore(name, store)
    name, end = uuid.uuid4().hex, time.monotonic() + PATIENCE.total_seconds()
    while store.add(f"{_MEETING}/{name}", 0) < size - 1:
        for asking in (f"{_MEETING}/{other}" for other in range(1, size)):
            if store.check([asking]):
                store.set(f"{_MEETING}/{store.get(asking).decode()}", name)
        if time.monotonic() > end:
            raise dist.DistError(f"not all came within {PATIENCE.total_seconds():.0f} s")
        time.sleep(_ASKED_EVERY)
    return PrefixStore(name, store)


def own_device(device: str) -> str:
    """The GPU of this process, one for each process of a machine; or `cpu`.

    Raises InputError if the machine has fewer GPUs than processes.
    """
    if device in ("mps", "xpu"):
        raise InputError(f"expected --device cuda or cpu for several processes, got {device}")
    if not device.startswith("cuda"):
        return device
    if machine.local_rank() >= torch.cuda.device_count():
        raise InputError(
            f"expected a GPU for each process, got {torch.cuda.device_count()} for process "
            f"{machine.local_rank() + 1}; start as many by --nproc-per-node, or use --device cpu"
        )
    own = f"cuda:{machine.local_rank()}"
    torch.cuda.set_device(own)
    return own


def _lost(error: RuntimeError) -> bool:
    """Whether an error says that another process is gone; gloo's have no class of their own."""
    return isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "NCCL"))
