"""What a run does on Linux it does without anything that only POSIX has, through `spawn`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet.cli import main
from helpers.running import Running

HELPER = Path(__file__).parents[1] / "helpers" / "elsewhere.py"


def elsewhere(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HELPER), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_something_is_taken_away() -> None:
    code = (
        "import helpers.elsewhere\n"
        "exec('import os, signal\\ntry:\\n import fcntl\\nexcept ImportError: print(1)\\n"
        'print(hasattr(os, "fork"), hasattr(signal, "SIGHUP"), hasattr(signal, "SIGTERM"))\','
        " {'__name__': 'googlenet.x'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HELPER.parents[1])
    assert done.stdout.split() == ["1", "False", "False", "True"], done.stderr


def test_train_resume_predict_and_serve_need_no_posix(photos: Path, tmp_path: Path) -> None:
    words = ["--recipe", "smoke", "--batch", "8", "--size", "64", "--workers", "1", "--seed", "3"]
    parts = tmp_path / "parts"
    done = elsewhere("train", photos, *words, "--epochs", "1", "--out", parts)
    assert done.returncode == 0, done.stderr
    done = elsewhere("train", "--resume", "--epochs", "2", "--out", parts)
    assert done.returncode == 0, done.stderr
    assert (parts / "report.html").is_file()
    done = elsewhere("predict", parts, photos, "--format", "jsonl", "--top", "1")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 30 and all("label" in row for row in rows)
    done = elsewhere("check", photos)
    assert done.returncode == 0, done.stderr
    photo = next(photos.rglob("*.jpg")).read_bytes()
    with Running(parts, program=[sys.executable, str(HELPER)]) as server:
        status, _, _ = server.ask("POST", "/predictions/googlenet", photo)
        assert status == 200


@pytest.mark.parametrize("name", ["a:b", "con", "x?y"])
def test_names_that_windows_refuses_are_only_read(photos: Path, tmp_path: Path, name: str) -> None:
    """A class may be called so; nothing that we write is."""
    (photos / "red").rename(photos / name)
    out = tmp_path / "run"
    words = ["--recipe", "smoke", "--batch", "8", "--size", "64", "--epochs", "1", "--out", str(out)]
    assert main.main(["train", str(photos), *words]) == 0
    written = {path.name for path in out.rglob("*")}
    assert not [each for each in written if set(each) & set('<>:"|?*') or each.split(".")[0] == "con"]
