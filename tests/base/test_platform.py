"""What differs between systems, as it is on this one."""

import os
import subprocess
import sys
from pathlib import Path

from googlenet.base import platform


def test_which_processes_exist() -> None:
    assert platform.process_exists(os.getpid())
    assert platform.process_exists(1)  # another user's, if need be
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert not platform.process_exists(ended.pid)


def test_files_and_folders_are_synced(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    platform.fsync(tmp_path / "x")
    platform.fsync(tmp_path)
