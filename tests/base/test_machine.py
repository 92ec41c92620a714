"""What a process may use: processors by affinity and by the quota of a container; memory once taken."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet.base import machine

V1 = {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}
V1_JOB = {"cpu/job/cpu.cfs_quota_us": "50000", "cpu/job/cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    "own, files, expected",
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("0::/", {}, None),
        # the least of a group and of all above it, in whichever place
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3.0),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "200000 100000"}, 2.0),
        ("0::/a/b", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "200000 100000"}, 1.0),
        ("0::/a", {"cpu.max": "100000 100000", "a/cpu.max": "200000 100000"}, 1.0),
        ("0::/a", {"a/cpu.max": "max 100000", "b/cpu.max": "100000 100000"}, None),  # another's
        ("4:memory:/job\n2:cpu,cpuacct:/job\n0::/", V1 | V1_JOB, 0.5),
        ("4:memory:/job\n2:cpu,cpuacct:/other\n0::/", V1 | V1_JOB, 4.0),
        ("3:cpuset:/job", V1 | V1_JOB, 4.0),
        # the host's name for a container's group, and a process outside of what is mounted
        ("2:cpu,cpuacct:/docker/1234", V1, 4.0),
        ("0::/../a", {"cpu.max": "300000 100000", "a/cpu.max": "100000 100000"}, 3.0),
        (None, {"cpu.max": "150000 100000"}, 1.5),
    ],
)
def test_quota(tmp_path: Path, own: str | None, files: dict[str, str], expected: float | None) -> None:
    root, names = tmp_path / "cgroup", tmp_path / "own"
    if own is not None:
        names.write_text(own + "\n")
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    # a limit beside the hierarchy, which must not be read
    (tmp_path / "cpu.max").write_text("1000 100000\n")
    assert machine._quota(root, names) == expected


def test_cores_are_the_smaller_of_affinity_and_quota(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert machine.cores() == 8
    for quota, expected in (("250000", 2), ("20000", 1), ("9900000", 8)):
        (tmp_path / "cpu.max").write_text(f"{quota} 100000")
        assert machine.cores() == expected


def test_instructions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "PROCESSOR", place)
    assert machine.cpu_flags() == frozenset()
    place.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\n\nprocessor\t: 1\nflags\t\t: other\n")
    assert machine.cpu_flags() == {"fpu", "avx2", "avx512_vnni"}
    place.write_text("processor\t: 0\nFeatures\t: fp asimd\n")  # not x86
    assert machine.cpu_flags() == frozenset()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_memory_that_is_kept_is_not_taken_page_by_page_again() -> None:
    """Counted by the kernel: the pages taken for a block of 64 MB, forty times over.

    Where the heap ends decides how often a kept block is still laid beside the last one: up to five times.
    """
    program = (
        "import resource, sys, torch\n"
        "from googlenet.base import machine\n"
        "if sys.argv[1] == 'kept': machine.retain_freed_memory()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(40): torch.empty(1 << 26, dtype=torch.uint8).fill_(1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    faults = {
        how: int(subprocess.run([sys.executable, "-c", program, how], capture_output=True, check=True).stdout)
        for how in ("kept", "returned")
    }
    assert faults["kept"] * 3 < faults["returned"]
