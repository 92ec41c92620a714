"""What this process may use of the machine: processors, and a folder to keep things in."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
CACHE = "GOOGLENET_CACHE"


def cores() -> int:
    """Processors granted to this process: its affinity, cut by a container's quota; at least 1."""
    able = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(CGROUP)
    return able if quota is None else max(1, min(able, int(quota)))


def user_cache() -> Path:
    """Where this package keeps what it can get or make again: GOOGLENET_CACHE, or the user's cache.

    Raises RuntimeError if there is no home.
    """
    if own := os.environ.get(CACHE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "googlenet"


def _quota(root: Path) -> float | None:
    """Processors that the container's scheduler grants, if it sets a limit: cgroup 2, then 1."""
    try:
        if (root / "cpu.max").exists():
            granted, period = (root / "cpu.max").read_text().split()
        else:
            granted = (root / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        return float(granted) / float(period) if float(granted) > 0 else None
    except (OSError, ValueError):  # no limit: the word "max", or no such file
        return None
