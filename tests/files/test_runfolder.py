"""A run's folder: one trainer at a time, and a log that outlives a full disk."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet.base.errors import TrainingError, WriteError
from googlenet.files import runfolder
from googlenet.files.events import Warned

HOLD = "from googlenet.files import runfolder; from pathlib import Path; import sys\n"
HOLD += "with runfolder.lock_run(Path(sys.argv[1])):\n    print('held', flush=True); input()"


def test_one_trainer_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "held\n"
        for refusing in (
            lambda: runfolder.lock_run(out).__enter__(),
            lambda: runfolder.check_run_folder(out, force=True),
        ):
            with pytest.raises(TrainingError, match=f"process {other.pid} trains here already"):
                refusing()
        other.kill()
    with runfolder.lock_run(out):
        assert (out / runfolder.LOCK).read_text().strip() == str(os.getpid())
    runfolder.check_run_folder(out, force=False)  # a lock alone is no run


FORK = """
import os, signal, sys, time
from pathlib import Path
from googlenet.files import runfolder
with runfolder.lock_run(Path(sys.argv[1])):
    loader = os.fork()
    if not loader:
        os.close(1)
        time.sleep(60)
    print(loader, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_loader_processes_that_outlive_a_trainer_hold_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path)], stdout=subprocess.PIPE, timeout=60, text=True
    )
    loader = int(done.stdout)
    os.kill(loader, 0)  # it lives
    with runfolder.lock_run(tmp_path):
        os.kill(loader, signal.SIGKILL)


def test_where_there_are_no_locks_it_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with runfolder.lock_run(tmp_path):
        pass
    said = capsys.readouterr().err
    assert "no lock: No locks available; let no second process work here" in said and said.count("\n") == 1


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("1\n")
    (tmp_path / runfolder.LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(WriteError), runfolder.lock_run(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "1\n"


def test_a_new_run_clears_away_what_was_half_written(tmp_path: Path) -> None:
    (tmp_path / ".recipe.json.1.tmp").write_bytes(b"half")
    runfolder.create_run_folder(tmp_path, {"plan": {}})
    assert [path.name for path in tmp_path.iterdir()] == [runfolder.CONFIG]


def test_lines_wait_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = runfolder.RunLog(tmp_path)
    log.write(Warned(step=1, epoch=0, text="x"))
    place = tmp_path / runfolder.METRICS
    (tmp_path / "kept").write_bytes(place.read_bytes())
    place.unlink()
    place.symlink_to("/dev/full")
    log.write(Warned(step=2, epoch=0, text="x"))
    log.write(Warned(step=3, epoch=0, text="x"))
    assert capsys.readouterr().err.count("No space left on device; its lines wait") == 1
    place.unlink()
    (tmp_path / "kept").rename(place)
    log.write(Warned(step=4, epoch=0, text="x"))
    assert [json.loads(line)["step"] for line in place.read_text().splitlines()] == [1, 2, 3, 4]
    assert (tmp_path / runfolder.LOG).read_text().count("\n") == 4
