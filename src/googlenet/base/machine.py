"""What this process may use of the machine, and which of several processes it is that torchrun started."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
PROCESSOR = Path("/proc/cpuinfo")
CACHE = "GOOGLENET_CACHE"
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun, and by some clusters
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's malloc.h
NAMELESS = "none"  # torchrun's name of every job that was given none


def cores() -> int:
    """Processors granted to this process: its affinity, cut by a container's quota; at least 1.

    Processes that torchrun started on one machine share what is granted to all of them.
    """
    able = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(CGROUP, OWN_GROUPS)
    granted = able if quota is None else min(able, int(quota))
    return max(1, granted // (int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if is_distributed() else 1))


def is_distributed() -> bool:
    """Whether this is one of several processes that are to work together."""
    return all(os.environ.get(name) for name in LAUNCHED)


def world_size() -> int:
    """How many processes work together; 1 unless they were launched so."""
    return int(os.environ["WORLD_SIZE"]) if is_distributed() else 1


def rank() -> int:
    """Number of this process among them, from 0; the first writes and speaks for all."""
    return int(os.environ["RANK"]) if is_distributed() else 0


def local_rank() -> int:
    """Number of this process among those on its machine."""
    return int(os.environ.get("LOCAL_RANK", 0)) if is_distributed() else 0


def job_id() -> str | None:
    """The name that torchrun gives to the processes of one job, however often it starts them."""
    return os.environ.get("TORCHELASTIC_RUN_ID") if is_distributed() else None


def is_same_job(name: str | None) -> bool:
    """Whether processes of that job are earlier ones of this job: torchrun started it anew."""
    again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    return name is not None and name == job_id() and (again or name != NAMELESS)


def retain_freed_memory() -> None:
    """Let this process keep the memory that it frees, for what is as large a moment later.

    glibc otherwise gives every block above 32 MB back at once, and a training step takes it anew, page by
    page (LOG.md has the figures). Where there is another C library, nothing happens.
    """
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, 1 << 30)
        library.mallopt(TRIM_THRESHOLD, (1 << 31) - 1)


def shard_range(total: int, rank: int, world: int) -> range:
    """Which of `total` things in a row are one process's: a stretch, at most 1 longer than another's."""
    return range(total * rank // world, total * (rank + 1) // world)


def cpu_flags() -> frozenset[str]:
    """The processor's instruction sets as Linux names them on x86; empty elsewhere, where it is not known."""
    try:
        with PROCESSOR.open() as file:  # one line of the many that each processor has
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(flags.partition(":")[2].split())


def user_cache() -> Path:
    """Where this package keeps what it can get or make again: GOOGLENET_CACHE, or the user's cache.

    Raises RuntimeError if there is no home.
    """
    if own := os.environ.get(CACHE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "googlenet"


def _quota(root: Path, own: Path) -> float | None:
    """Processors that the scheduler grants to this process's groups and to those above: the least.

    root  where the groups are mounted
    own   the file that names this process's groups
    None if nothing limits them.
    """
    limits = [_limit(folder) for folder in _groups(root, own)]
    return min((limit for limit in limits if limit is not None), default=None)


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """The group of this process and all above it, of version 2 and of version 1.

    In a container the path in `own` may be the host's, which is not there: the root is the container's.
    """
    yield from (root, root / "cpu")
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers or "cpu" in controllers.split(","):
            group = (root / "cpu" if controllers else root) / path.strip("/")
            if ".." not in group.parts:  # outside of what is mounted here
                yield from (folder for folder in (group, *group.parents) if root in folder.parents)


def _limit(group: Path) -> float | None:
    """Processors granted to one group, if it has a limit."""
    try:
        if (group / "cpu.max").exists():
            granted, period = (group / "cpu.max").read_text().split()
        else:
            granted = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return float(granted) / float(period) if float(granted) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no limit: the word "max", or no such file
        return None
