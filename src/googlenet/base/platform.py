"""What differs between POSIX systems and Windows, each with its equivalent."""

import os
import sys
from pathlib import Path

_QUERY_PROCESS = 0x1000  # Windows' PROCESS_QUERY_LIMITED_INFORMATION


def process_exists(pid: int) -> bool:
    """Whether a process of that number runs, whoever owns it."""
    if sys.platform == "win32":  # os.kill(pid, 0) would end it there
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(_QUERY_PROCESS, False, pid)
        return bool(handle and ctypes.windll.kernel32.CloseHandle(handle))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def fsync(path: Path) -> None:
    """Make a file's content, or a rename in a folder, survive a power cut; Windows syncs no folders."""
    if sys.platform == "win32" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
