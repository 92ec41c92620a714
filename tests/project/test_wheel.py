"""The built wheel in a fresh environment, without any extra."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console command of a base-only installation."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(place), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    venv.create(place / "venv", with_pip=True)
    (wheel,) = place.glob("*.whl")
    pip = [place / "venv" / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(pip, check=True)
    return place / "venv" / "bin" / "googlenet"


def run(command: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([command, *words], capture_output=True, text=True, cwd=command.parent)


def test_base_install_helps_and_counts_without_torch(fresh: Path) -> None:
    assert "train" in run(fresh, "--help").stdout
    assert run(fresh, "--version").stdout.startswith("googlenet ")
    found = json.loads(run(fresh, "cost", "--json").stdout)
    assert found["training_parameters"] == 13_385_816
    listed = run(fresh.with_name("pip"), "list", "--format", "freeze").stdout.lower()
    assert "torch" not in listed


def test_base_install_names_the_extra_that_is_missing(fresh: Path) -> None:
    done = run(fresh, "train", "digits", "--out", "r")
    assert done.returncode == 2
    assert "pip install 'googlenet[train]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
