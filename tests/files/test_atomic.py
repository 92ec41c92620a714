"""Atomic writes: the old file or the whole new one, whatever fails."""

import errno
import os
from pathlib import Path

import pytest

from googlenet.base.errors import WriteError
from googlenet.files import atomic


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "x").write_bytes(b"old")
    return tmp_path / "x"


def test_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        atomic.atomic_write(path, b"new")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_only_plain_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("link", "."):
        with pytest.raises(WriteError, match="expected a plain file"):
            atomic.atomic_write(tmp_path / name, b"x")
    assert (tmp_path / "target").read_text() == "precious"


def test_a_full_disk_is_told_in_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(WriteError, match="bytes free, got 10"):
        atomic.atomic_write(tmp_path / "x", b"0123456789")


def test_a_write_that_fails_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    sync, failures = os.fsync, [OSError(errno.EIO, "Input/output error")]

    def failing(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        sync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", failing)
    atomic.atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    failures += 2 * [OSError(errno.EIO, "Input/output error")]
    with pytest.raises(
        WriteError, match=r"could not write 5 bytes: Input/output error \([\d,]+ bytes are free"
    ):
        atomic.atomic_write(path, b"newer")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_temporary_file_of_a_former_process_of_our_number_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".x.{os.getpid()}.tmp").write_bytes(b"half")
    atomic.atomic_write(tmp_path / "x", b"whole")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_only_the_temporaries_of_writers_that_ended_are_removed(tmp_path: Path) -> None:
    for pid in (os.getpid(), os.getppid(), 2**22 + 1):
        (tmp_path / f".x.{pid}.tmp").touch()
    (tmp_path / ".x.y.tmp").touch()
    atomic.remove_stale_temporaries(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".x.{os.getppid()}.tmp", ".x.y.tmp"]
