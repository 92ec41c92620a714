"""What several tests share: small folders of images, and the data set that may be at hand."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet.base.machine import cores
from helpers.painting import COLORS, Run, paint, save_image, smooth_picture


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scorecard", metavar="FILE", help="write which promises were kept, as JSON")


def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: a worker for each processor that is granted."""
    return cores()


def pytest_configure(config: pytest.Config) -> None:
    """Give each of several workers a processor of its own: engines that share them wait for one another.

    And Ctrl-C to the programs that are tried: a shell's background jobs, and all below them, ignore it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # programs that tests start find `helpers`
    worker = getattr(config, "workerinput", None)
    if worker and hasattr(os, "sched_setaffinity"):
        mine = int(worker["workerid"].removeprefix("gw"))
        granted = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, granted[mine % len(granted) :: worker["workercount"]] or granted)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three classes, 10 photos each."""
    root = tmp_path / "photos"
    for number, (name, color) in enumerate(COLORS.items()):
        for i in range(10):
            paint(root / name / f"{i}.jpg", color, seed=100 * number + i)
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """One folder of two classes, 20 pictures each."""
    for number, name in enumerate(("a", "b")):
        for i in range(20):
            save_image(smooth_picture(100 * number + i), tmp_path / "pictures" / name / f"{i:02}.jpg")
    return tmp_path / "pictures"


@pytest.fixture
def googlenet(tmp_path: Path) -> Run:
    """Run the command line as a user does: in a process of its own."""

    def run(*words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        settings: dict[str, object] = {"capture_output": True, "text": True, "timeout": 300, "cwd": tmp_path}
        return subprocess.run(
            [sys.executable, "-m", "googlenet", *map(str, words)],
            **{**settings, **options},  # type: ignore[call-overload]
        )

    return run


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real photos, where there is one."""
    place = os.environ.get("GOOGLENET_TEST_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("GOOGLENET_TEST_DATA names no folder of test photos")
    return Path(place)
