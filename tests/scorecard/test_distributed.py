"""Promises 43 to 45: several training processes under torchrun, killed, stopped, restarted, resumed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from googlenet.training import state
from helpers import runs, several
from helpers.card import Measured
from helpers.several import BOUND, at_step, by_hand, family, finished, gone, losses, torchrun, trace

EXACT = 1e-12  # of losses in float64
ROUNDED = 1e-5  # of losses in float32, while rounding has turned no comparison round
SAME_STEPS = 3  # as long as that holds here
BATCH = ("--batch", "9")  # uneven for two processes, and 69 photos are no multiple of it
SMALL = ("--size", "96", *BATCH)
SHORT = (*SMALL, "--epochs", "2", "--workers", "0")  # 16 steps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.tiny(tmp_path_factory.mktemp("photos"), each=23, val=5)


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    finished(torchrun("train", photos, "--out", out, *SHORT))
    return out


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to be cleared away should a test fail."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            for each in reversed(family(process)):
                each.kill()
        process.communicate()


@pytest.mark.promise(43)
@pytest.mark.parametrize("victim", [0, 1])
def test_one_is_killed_under_torchrun(
    photos: Path, tmp_path: Path, started: list[subprocess.Popen[str]], measured: Measured, victim: int
) -> None:
    words = ("train", photos, "--out", tmp_path / "run", *SMALL, "--epochs", "2", "--workers", "1")
    started.append(torchrun(*words, fault=("watched",)))
    pid = at_step(started[0], 3, rank=victim)
    everyone = family(started[0])
    assert len(everyone) >= 5  # torchrun, two trainers, their two loader workers
    os.kill(pid, signal.SIGKILL)
    since = time.monotonic()
    said, _ = started[0].communicate(timeout=BOUND + 10)
    ended = time.monotonic() - since
    assert started[0].returncode != 0 and ended < BOUND, said
    left = gone(everyone, since=since)
    step = state.load_state(tmp_path / "run")[1]["step"]
    assert step >= 2
    resumed = runs.run("train", "--resume", "--out", tmp_path / "run")
    assert resumed.returncode == 0, resumed.stderr
    assert f"going on from step {step}" in resumed.stderr
    measured(
        f"process {victim} killed: torchrun ended after {ended:.0f} s, the last of all after {left:.0f} s"
    )


@pytest.mark.promise(43)
@pytest.mark.parametrize("victim", [0, 1])
def test_one_is_killed_and_nobody_tells_the_other(
    photos: Path, tmp_path: Path, started: list[subprocess.Popen[str]], measured: Measured, victim: int
) -> None:
    started += by_hand("train", photos, "--out", tmp_path / "run", *SHORT, fault=("watched",))
    at_step(started[victim], 3, rank=victim)
    os.kill(started[victim].pid, signal.SIGKILL)
    since = time.monotonic()
    other = started[1 - victim]
    said, _ = other.communicate(timeout=BOUND + 10)
    taken = time.monotonic() - since
    assert other.returncode == 2 and taken < BOUND, said
    assert "lost one" in said and "--resume" in said and "Traceback" not in said
    assert state.load_state(tmp_path / "run")[1]["step"] >= 2
    measured(f"process {victim} killed without torchrun: the other ended after {taken:.1f} s")


@pytest.mark.promise(43)
def test_one_hangs(photos: Path, tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    """A process that does not answer is waited for as long as one may be busy, here made short."""
    words = ("train", photos, "--out", tmp_path / "run", *SHORT)
    started += by_hand(*words, fault=("watched", "patience=8"))
    at_step(started[1], 3, rank=1)
    os.kill(started[1].pid, signal.SIGSTOP)
    said, _ = started[0].communicate(timeout=BOUND)
    assert started[0].returncode == 2 and "lost one" in said, said


@pytest.mark.promise(44)
def test_restarted_by_torchrun(photos: Path, tmp_path: Path, undisturbed: Path, measured: Measured) -> None:
    words = ("train", photos, "--out", tmp_path / "run", *SHORT)
    said = finished(torchrun(*words, restarts=1, fault=("watched", "die-after=5")))
    assert "torchrun started this job again" in said and "going on from step 5" in said, said
    assert runs.model_hash(tmp_path / "run") == runs.model_hash(undisturbed)
    measured("killed after step 5 of 16, restarted: same SHA-256 as undisturbed")


@pytest.mark.promise(44)
def test_restarted_before_anything_was_saved(photos: Path, tmp_path: Path, undisturbed: Path) -> None:
    words = ("train", photos, "--out", tmp_path / "run", *SHORT)
    said = finished(torchrun(*words, restarts=1, fault=("watched", "die-after=0")))
    assert "torchrun started this job again" in said, said
    assert runs.model_hash(tmp_path / "run") == runs.model_hash(undisturbed)


@pytest.mark.promise(44)
def test_terminated(
    photos: Path,
    tmp_path: Path,
    started: list[subprocess.Popen[str]],
    undisturbed: Path,
    measured: Measured,
) -> None:
    started.append(torchrun("train", photos, "--out", tmp_path / "run", *SHORT, fault=("watched",)))
    before: list[str] = []
    at_step(started[0], 4, said=before)
    everyone = family(started[0])
    started[0].terminate()
    since = time.monotonic()
    said, _ = started[0].communicate(timeout=BOUND)
    assert started[0].returncode != 0
    left = gone(everyone, since=since)
    step = state.load_state(tmp_path / "run")[1]["step"]
    assert f"stopped after step {step} of" in said, said
    last = {who: done for who, _, done in several.told("".join(before) + said)}
    assert last == {0: step, 1: step}, "both end after the same step"
    said = finished(torchrun("train", "--resume", "--out", tmp_path / "run"))
    assert f"going on from step {step}" in said
    assert runs.model_hash(tmp_path / "run") == runs.model_hash(undisturbed)
    measured(f"SIGTERM: both ended after step {step}, within {left:.0f} s; resumed: same SHA-256")


@pytest.mark.promise(45)
def test_two_then_one_then_two_take_the_photos_of_one(
    photos: Path, tmp_path: Path, measured: Measured
) -> None:
    """Every photo of every step, as pixels; both splits cut unevenly, nothing twice or left out."""
    traces = {name: tmp_path / f"{name} traced" for name in ("alone", "changing")}
    for folder in traces.values():
        folder.mkdir()
    alone = ("watched", f"traced={traces['alone']}")
    changing = ("watched", f"traced={traces['changing']}")
    out, begun = tmp_path / "run", ("train", photos, "--out", tmp_path / "run", *SHORT)
    finished(several.alone("train", photos, "--out", tmp_path / "one", *SHORT, fault=alone))
    said, _ = torchrun(*begun, fault=(*changing, "stop-after=5")).communicate(timeout=240)
    assert "stopped after step 5 of" in said, said
    resumed = ("train", "--resume", "--out", out)
    lone = several.alone(*resumed, fault=(*changing, "stop-after=10"))
    said, _ = lone.communicate(timeout=240)
    assert lone.returncode == 143 and "going on from step 5 of" in said, said
    said = finished(torchrun(*resumed, fault=changing))
    assert "going on from step 10 of" in said, said
    one, several_of = trace(traces["alone"]), trace(traces["changing"])
    assert one == several_of
    rows = [number for step in sorted(one) for number, _ in one[step].values()]
    assert len(one) == 16 and {len(step) for step in one.values()} == {9}
    assert sorted(rows[:69]) == list(range(69)), "every photo of an epoch, once"
    measured(f"{len(rows)} photos of {len(one)} steps by 2, 1 and 2 processes: the pixels of one process")


@pytest.mark.promise(45)
def test_validation_counts_every_photo_once(undisturbed: Path, photos: Path) -> None:
    """Against `evaluate`, one process: 15 photos, of which two processes take 7 and 8."""
    done = runs.run("evaluate", undisturbed, photos, "--json")
    found = json.loads(done.stdout)
    stored = json.loads(runs.run("info", undisturbed, "--json").stdout)["metrics"]
    assert found["samples"] == stored["samples"] == 15
    assert found["top1"] == stored["top1"]
    logged = runs.events(undisturbed, "val")[-1]
    assert logged["top1"] == found["top1"]
    assert found["ece_raw"] == pytest.approx(stored["ece_raw"], abs=1e-5)


@pytest.mark.promise(45)
@pytest.mark.parametrize("precision", ["double", "float"])
def test_losses_without_batch_statistics_are_those_of_one_process(
    photos: Path, tmp_path: Path, measured: Measured, precision: str
) -> None:
    """In float64 for 20 steps; in float32 until rounding turns the first ReLU or maximum round."""
    small = ("--size", "64", "--batch", "5")  # uneven for two processes, and 69 photos are no multiple of it
    epochs, steps = ("2", 28) if precision == "double" else ("1", 14)
    words = ("train", photos, *small, "--epochs", epochs, "--workers", "0", "--dialect", "paper")
    words += ("--precision", "float32")
    fault = ("watched", "double=yes") if precision == "double" else ("watched",)
    finished(several.alone(*words, "--out", tmp_path / "one", fault=fault))
    finished(torchrun(*words, "--out", tmp_path / "two", fault=fault))
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    apart = {step: max(abs(one[step][name] - two[step][name]) for name in one[step]) for step in one}
    assert sorted(one) == list(range(1, steps + 1))
    if precision == "double":
        assert max(apart[step] for step in range(1, 21)) < EXACT
        measured(f"paper, float64: losses of 20 steps differ by {max(apart.values()):.0e}")
    else:
        assert max(apart[step] for step in range(1, SAME_STEPS + 1)) < ROUNDED
        first = max(apart[step] for step in range(1, SAME_STEPS + 1))
        every = max(apart.values())
        measured(
            f"paper, float32: losses of {SAME_STEPS} steps differ by {first:.0e}, of {steps} by {every:.0e}"
        )
