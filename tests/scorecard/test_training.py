"""Training survives: kills, signals, full disks, damaged files, dead workers and changed surroundings."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from googlenet.base import version
from googlenet.base.errors import TrainingError
from googlenet.cli import main
from googlenet.files import modelfile
from googlenet.training import reproducibility, state
from googlenet.training.decision.recipe import MODERN
from helpers import runs
from helpers.card import Measured
from helpers.painting import COLORS, paint
from helpers.runs import STEPS, TINY, events, model_hash, tiny

KILLED = -signal.SIGKILL
AT_ONCE = "0"  # seconds between two states: one after every step
NEVER = "600"


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("tiny") / "photos")


def train(photos: Path, out: Path, *words: str, workers: int = 0) -> list[str | Path]:
    return ["train", photos, "--out", out, *TINY, "--workers", str(workers), *words]


def resume(out: Path, *words: str) -> list[str | Path]:
    return ["train", "--resume", "--out", out, *words]


def finish(out: Path, *words: str) -> str:
    """Go on with a run to its end; the SHA-256 of the model file."""
    done = runs.run(*resume(out, *words))
    assert done.returncode == 0, done.stderr
    return model_hash(out)


def killed(*words: str | Path, fault: list[str]) -> None:
    """Run in a process group of its own until a fault kills it."""
    with runs.start(*words, fault=fault) as process:
        said = process.communicate(timeout=240)[0]
    assert process.returncode == KILLED, said


def states(out: Path) -> list[int]:
    """The steps whose states are there and whole."""
    paths = sorted((out / "state").glob("step-*.safetensors"))
    return [modelfile.read(path)[1]["step"] for path in paths]


@pytest.fixture(scope="session")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The SHA-256 of the model of a run that nothing stopped, and the notes of its photos."""
    folder = tmp_path_factory.mktemp("whole")
    done = runs.run(*train(photos, folder / "run"), fault=["note-photos", str(folder / "photos")])
    assert done.returncode == 0, done.stderr
    return model_hash(folder / "run"), folder / "photos"


@pytest.fixture(scope="session")
def stopped(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its sixth step: states after the fourth and the fifth."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    killed(*train(photos, out), fault=["kill-in-step", "6", AT_ONCE])
    return out


@pytest.fixture
def copy(stopped: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stopped, tmp_path / "run")


# 1


@pytest.mark.slow
@pytest.mark.promise(1)
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_five_steps(
    photos: Path, whole: tuple[str, Path], tmp_path: Path, workers: int, measured: Measured
) -> None:
    """One run, killed five times in the middle of a step: in the first, the last, and between."""
    out = tmp_path / "run"
    words = train(photos, out, workers=workers)
    for step, every in ((1, NEVER), (4, AT_ONCE), (9, NEVER), (13, AT_ONCE), (STEPS, AT_ONCE)):
        killed(*words, fault=["kill-in-step", str(step), every])
        words = resume(out, "--workers", str(workers))
    assert finish(out, "--workers", str(workers)) == whole[0]
    steps = [event["step"] for event in events(out, "train")]
    assert steps == list(range(1, STEPS + 1))
    measured(f"5 kills with {workers} workers: same SHA-256")


@pytest.mark.slow
@pytest.mark.promise(1)
def test_same_seed_same_bits(
    photos: Path, whole: tuple[str, Path], tmp_path: Path, measured: Measured
) -> None:
    for out, seed, same in ((tmp_path / "again", "0", True), (tmp_path / "other", "1", False)):
        done = runs.run(*train(photos, out, "--seed", seed, workers=2))
        assert done.returncode == 0, done.stderr
        assert (model_hash(out) == whole[0]) is same
    measured("a second run the same, another seed not")


# 2


@pytest.mark.slow
@pytest.mark.promise(2)
def test_other_workers_same_pixels(
    photos: Path, whole: tuple[str, Path], tmp_path: Path, measured: Measured
) -> None:
    out, notes = tmp_path / "run", tmp_path / "photos"
    killed(*train(photos, out), fault=["kill-in-step", "4", AT_ONCE, str(notes)])
    killed(*resume(out, "--workers", "2"), fault=["kill-in-step", "8", AT_ONCE, str(notes)])
    done = runs.run(*resume(out, "--workers", "0"), fault=["note-photos", str(notes)])
    assert done.returncode == 0, done.stderr
    expected = [json.loads(line) for line in whole[1].read_text().splitlines()]
    seen = [json.loads(line) for line in notes.read_text().splitlines()]
    assert {note["step"]: note for note in seen} == {note["step"]: note for note in expected}
    assert all(note == expected[note["step"]] for note in seen)  # those before a kill, too
    epoch = [number for note in expected[: STEPS // 2] for number in note["photos"]]
    assert sorted(epoch) == list(range(72))
    measured("0, then 2, then 0 workers: 144 photos, same pixels")


# 3


@pytest.mark.slow
@pytest.mark.promise(3)
@pytest.mark.parametrize("point", ["before", "writing", "sync", "rename", "folder", "prune"])
def test_killed_in_a_save(
    photos: Path, whole: tuple[str, Path], tmp_path: Path, point: str, measured: Measured
) -> None:
    """The fourth save: after three steps, with the states of the first and the second there."""
    out = tmp_path / "run"
    killed(*train(photos, out), fault=["kill-in-save", point, "4"])
    done = {"folder": [1, 2, 3], "prune": [1, 2, 3]}.get(point, [1, 2])
    assert states(out) == done
    left = list((out / "state").glob(".*.tmp"))
    assert len(left) == (point in ("writing", "sync", "rename"))
    assert state.load_state(out)[1]["step"] == done[-1]
    assert not list((out / "state").glob(".*.tmp"))
    if point == "writing":
        assert finish(out) == whole[0]
    measured(f"{point}: step {done[-1]} loads")


# 4


@pytest.mark.slow
@pytest.mark.promise(4)
def test_order_of_calls(photos: Path, tmp_path: Path, measured: Measured) -> None:
    out, notes = tmp_path / "run", tmp_path / "calls"
    done = runs.run(*train(photos, out, "--epochs", "1"), fault=["note-calls", str(notes)])
    assert done.returncode == 0, done.stderr
    calls = [json.loads(line) for line in notes.read_text().splitlines()]
    there: set[str] = set()
    saves = 0
    for i, (kind, *names) in enumerate(calls):
        if kind == "rename" and names[1].startswith("step-"):
            assert calls[i - 1] == ["sync", names[0]]
            assert calls[i + 1] == ["sync", "state"]
            there.add(names[1])
            saves += 1
        if kind == "remove" and names[0].startswith("step-"):
            assert names[0] < sorted(there)[-2]
            assert calls[i - 1] in (["sync", "state"], ["remove", names[0]])
            there.remove(names[0])
    assert saves == 10 and len(there) == 2
    measured(f"{saves} saves: file synced, renamed, folder synced, then pruned to 2")


# 5

IN_OWN_MOUNTS = """
disk=$1 kept=$2
shift 2
mount -t tmpfs -o size=450m none "$disk" || exit 99
"$@"
code=$?
umount "$disk/run/state" 2>/dev/null
cp -r "$disk/run" "$kept"
exit $code
"""


@pytest.fixture
def mounted(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Train on a small file system of the run's own, which faults fill; it is copied to `kept`, then gone."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-Urm", "true"]).returncode:
        pytest.skip("no mounts of our own in a namespace here")
    disk = tmp_path / "disk"
    disk.mkdir()

    def run(photos: Path, *fault: str) -> subprocess.CompletedProcess[str]:
        program = runs.command(*train(photos, disk / "run"), fault=["disk", *fault])
        command = ["unshare", "-Urm", "sh", "-c", IN_OWN_MOUNTS, "sh", disk, tmp_path / "kept", *program]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=runs.environment())

    return run


NO_ROOM = r"step \d+ was not saved: \S+/step-\d+.safetensors: expected [\d,]+ bytes free, got \d+; free some"
FILL = "cp -r disk/run/state before; dd if=/dev/zero of=disk/filler bs=1M 2>/dev/null; true"


@pytest.mark.slow
@pytest.mark.promise(5)
def test_disk_full_for_a_while(
    photos: Path,
    whole: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mounted: Callable[..., subprocess.CompletedProcess[str]],
    measured: Measured,
) -> None:
    """Full before the fourth step, free again before the seventh: told each time, and no harm done."""
    monkeypatch.chdir(tmp_path)
    done = mounted(photos, FILL, "4", "ls disk/run/state > during; rm disk/filler", "7")
    assert done.returncode == 0, done.stderr
    told = re.findall(NO_ROOM, done.stderr)
    assert len(told) == 3, done.stderr  # after steps 4, 5 and 6
    assert (tmp_path / "during").read_text().split() == [f"step-00000000{n}.safetensors" for n in (2, 3)]
    assert model_hash(tmp_path / "kept") == whole[0]
    assert [event["step"] for event in events(tmp_path / "kept", "train")] == list(range(1, STEPS + 1))
    measured("full disk: told 3 times with path and bytes, then saved again, same SHA-256")


@pytest.mark.slow
@pytest.mark.promise(5)
def test_disk_full_to_the_end(
    photos: Path,
    whole: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mounted: Callable[..., subprocess.CompletedProcess[str]],
    measured: Measured,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = mounted(photos, FILL, str(STEPS - 1), "", "0")
    assert done.returncode == 2, done.stderr
    assert re.match(r"googlenet: \S+: expected [\d,]+ bytes free, got \d+;", done.stderr.splitlines()[-1])
    kept = tmp_path / "kept"
    assert runs.tree(kept / "state").keys() == runs.tree(tmp_path / "before").keys()
    assert states(kept) == [STEPS - 3, STEPS - 2]
    assert not (kept / "model.safetensors").exists()
    assert finish(kept) == whole[0]
    measured("to the end: exit status 2, the two states before are whole, a resume finishes")


@pytest.mark.slow
@pytest.mark.promise(5)
def test_folder_turned_read_only(
    photos: Path,
    whole: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mounted: Callable[..., subprocess.CompletedProcess[str]],
    measured: Measured,
) -> None:
    """By a mount, which stops the superuser too."""
    monkeypatch.chdir(tmp_path)
    folder = "disk/run/state"
    close = f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"
    done = mounted(photos, close, "4", f"umount {folder}", "6")
    assert done.returncode == 0, done.stderr
    told = re.findall(
        r"step-\d+.safetensors: could not write [\d,]+ bytes: Read-only file system", done.stderr
    )
    assert len(told) == 2, done.stderr
    assert model_hash(tmp_path / "kept") == whole[0]
    measured("read-only: told, same SHA-256")


@pytest.mark.slow
@pytest.mark.promise(5)
def test_quota(photos: Path, whole: tuple[str, Path], tmp_path: Path, measured: Measured) -> None:
    """A limit on the size of a file, which only the writing itself meets."""
    out = tmp_path / "run"
    done = runs.run(*train(photos, out), fault=["file-limit", "1000000", "4", "6"])
    assert done.returncode == 0, done.stderr
    told = re.findall(
        r"could not write ([\d,]+) bytes: File too large \([\d,]+ bytes are free\)", done.stderr
    )
    assert len(told) == 2, done.stderr
    assert model_hash(out) == whole[0]
    assert not list((out / "state").glob(".*"))
    measured("quota: told, same SHA-256")


# 6


@pytest.mark.promise(6)
def test_every_damage_is_noticed(tmp_path: Path, measured: Measured) -> None:
    """Of a small state: what reads it does not ask what is in it."""
    net = torch.nn.Linear(8, 8)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for step in (1, 2):
        state.save_state(tmp_path, step=step, net=net, optimizer=sgd, average=net, header={"finished": False})
    newest = sorted((tmp_path / "state").iterdir())[-1]
    good = newest.read_bytes()
    bits = np.random.default_rng(0).choice(8 * len(good), size=200, replace=False)
    flipped = [
        good[: bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1 :] for bit in bits
    ]
    for damaged in [*flipped, *(good[: len(good) * share // 100] for share in (0, 10, 50, 99)), good[:-1]]:
        newest.write_bytes(damaged)
        _, header, warnings = state.load_state(tmp_path)
        assert header["step"] == 1 and len(warnings) == 1 and newest.name in warnings[0]
        with pytest.raises(TrainingError, match=newest.name):
            state.load_state(tmp_path, strict=True)
    newest.write_bytes(good)
    assert state.load_state(tmp_path, strict=True)[1]["step"] == 2
    measured("200 flipped bits and 5 cuts: all noticed")


@pytest.mark.slow
@pytest.mark.promise(6)
def test_a_damaged_state_in_a_resume(whole: tuple[str, Path], copy: Path, measured: Measured) -> None:
    newest = sorted((copy / "state").iterdir())[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    before = runs.tree(copy / "state")
    done = runs.run(*resume(copy, "--strict"))
    assert done.returncode == 2 and "sha256 mismatch" in done.stderr
    assert runs.tree(copy / "state") == before
    done = runs.run(*resume(copy))
    assert done.returncode == 0, done.stderr
    assert re.search(r"warning: .*mismatch.*; going on from the state before it", done.stderr)
    assert "going on from step 4 of 18" in done.stderr
    assert model_hash(copy) == whole[0]
    measured("the state before is taken, same SHA-256; --strict exits with 2")


# 7


def lines_until(process: subprocess.Popen[str], wanted: str) -> str:
    """Read what a process says up to a line; all of it."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if wanted in line:
            return "".join(said)
    raise AssertionError(f"never said {wanted!r}: {''.join(said)}")


def ended(process: subprocess.Popen[str], children: list[psutil.Process]) -> tuple[float, str]:
    """Seconds until a process ended and none of its children was left, and what it still said."""
    began = time.monotonic()
    said = process.communicate(timeout=60)[0]
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive, said
    return time.monotonic() - began, said


@pytest.mark.slow
@pytest.mark.promise(7)
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal(
    photos: Path,
    whole: tuple[str, Path],
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    measured: Measured,
) -> None:
    """To the trainer alone, while its two loader processes work."""
    out = tmp_path / "run"
    with runs.start(*train(photos, out, workers=2), fault=["tell-steps", "0", "0"]) as process:
        lines_until(process, f"step {4 if code == 130 else 11}\n")
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 2
        process.send_signal(number)
        seconds, said = ended(process, children)
    assert process.returncode == code, said
    assert seconds < 10
    assert "googlenet train --resume --out" in said and "Traceback" not in said
    assert states(out)[-1] >= (4 if code == 130 else 11)
    assert finish(out, "--workers", "2") == whole[0]
    measured(f"{number.name}: {seconds:.1f} s, exit status {code}, same SHA-256")


@pytest.mark.slow
@pytest.mark.promise(7)
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_second_signal_stops_at_once(
    photos: Path, tmp_path: Path, number: signal.Signals, code: int, measured: Measured
) -> None:
    """In a step that takes a minute."""
    out = tmp_path / "run"
    with runs.start(*train(photos, out, workers=2), fault=["tell-steps", "2", "60"]) as process:
        lines_until(process, "step 2\n")
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        lines_until(process, "once more to stop at once")
        process.send_signal(number)
        seconds, said = ended(process, children)
    assert process.returncode == code, said
    assert seconds < 5 and states(out) == [0]
    measured(f"twice {number.name}: {seconds:.1f} s")


@pytest.mark.slow
@pytest.mark.promise(7)
def test_a_signal_while_validation_is_looked_at(tmp_path: Path, photos: Path, measured: Measured) -> None:
    """Five batches of photos that take three seconds each."""
    many = shutil.copytree(photos, tmp_path / "photos")
    for i in range(160):
        paint(many / "val" / "red" / f"more{i}.jpg", COLORS["red"], seed=5000 + i)
    out = tmp_path / "run"
    with runs.start(*train(many, out), fault=["slow-validation", "3"]) as process:
        lines_until(process, "validation 1\n")
        process.send_signal(signal.SIGTERM)
        seconds, said = ended(process, [])
    assert process.returncode == 143, said
    assert seconds < 10 and states(out) == [0, 9]
    measured(f"while validation is looked at: {seconds:.1f} s")


@pytest.mark.slow
@pytest.mark.promise(7)
def test_workers_end_with_a_killed_trainer(photos: Path, tmp_path: Path) -> None:
    with runs.start(*train(photos, tmp_path / "run", workers=2), fault=["tell-steps", "3", "60"]) as process:
        lines_until(process, "step 3\n")
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        seconds, _ = ended(process, children)
    assert seconds < 4  # PyTorch's own watch takes five seconds and more


# 8


@pytest.mark.slow
@pytest.mark.promise(8)
@pytest.mark.parametrize(
    "what, said", [("image", "a finite loss, got nan"), ("gradient", "finite gradients")]
)
def test_not_a_number(
    photos: Path, whole: tuple[str, Path], tmp_path: Path, what: str, said: str, measured: Measured
) -> None:
    out = tmp_path / "run"
    done = runs.run(*train(photos, out), fault=["not-finite", what, "5"])
    assert done.returncode == 2
    message = done.stderr.splitlines()[-1]
    expected = json.loads(whole[1].read_text().splitlines()[4])["photos"]
    names = sorted((photos / "train").rglob("*.jpg"), key=str)
    named = [str(names[number].relative_to(photos / "train")) for number in expected]
    assert f"expected {said}" in message and " at step 5 (learning rate 0." in message
    assert ", ".join(named[:4]) in message and "and 4 more" in message
    (event,) = events(out, "stopped")
    assert event["images"] == named
    assert states(out) == [3, 4]
    assert finish(out) == whole[0]
    measured(f"{what}: stopped in step 5, state 4 whole")


# 9


@pytest.mark.slow
@pytest.mark.promise(9)
@pytest.mark.parametrize(
    "what, patience, said", [("kill", "60", "exited with code -9"), ("hang", "4", "for 4 s")]
)
def test_a_lost_worker(
    photos: Path,
    whole: tuple[str, Path],
    tmp_path: Path,
    what: str,
    patience: str,
    said: str,
    measured: Measured,
) -> None:
    """At the sixth photo of the fourth step, which the second of two workers prepares."""
    out = tmp_path / "run"
    fault = ["worker", what, "1", str(8 + 6), patience]  # it prepares the second batch, the fourth, …
    with runs.start(*train(photos, out, workers=2), fault=fault) as process:
        pid = lines_until(process, what).split()[-2]
        children = psutil.Process(process.pid).children(recursive=True)
        seconds, told = ended(process, children)
    number = json.loads(whole[1].read_text().splitlines()[3])["photos"][5]
    photo = sorted((photos / "train").rglob("*.jpg"), key=str)[number]
    assert process.returncode == 2, told
    assert f"worker 1 (process {pid})" in told and said in told and f", at {photo};" in told
    assert seconds < 15
    assert states(out)[-1] <= 3
    assert finish(out, "--workers", "2") == whole[0]
    measured(f"{what}: named with its photo after {seconds:.1f} s (patience {patience} s)")


# 10


def edit_recipe(out: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = out / "recipe.json"
    config = json.loads(path.read_text())
    config["recipe"]["lr"] = 0.01
    path.write_text(json.dumps(config))


def other_version(package: str) -> Callable[[Path, Path, pytest.MonkeyPatch], None]:
    def change(out: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reproducibility, "versions", lambda: {**version.versions(), package: "0.0.1"})

    return change


def remove_photo(out: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "train" / "red" / "3.jpg").unlink()


def change_photo(out: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(photos / "val" / "red" / "v3.jpg", COLORS["blue"], seed=1, size=(50, 60))


def rename_class(out: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "train" / "red").rename(photos / "train" / "scarlet")
    (photos / "val" / "red").rename(photos / "val" / "scarlet")


def change_code(out: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproducibility, "code_digest", lambda: "0123456789abcdef")


def other_processor(out: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "SSE2")


CHANGES: dict[str, tuple[Callable[[Path, Path, pytest.MonkeyPatch], None], str]] = {
    "photo removed": (remove_photo, r"train photos of 'red': 24 \(\w+\) before, 23 \(\w+\) now"),
    "photo of validation": (change_photo, r"val photos of 'red': 4 \(\w+\) before, 4 \(\w+\) now"),
    "class": (rename_class, r"expected the classes .* \(missing 'red', new 'scarlet'\)"),
    "recipe": (edit_recipe, rf"recipe lr: {MODERN.lr} before, 0.01 now"),
    "torch": (other_version("torch"), r"torch: \S+ before, 0.0.1 now"),
    "Pillow": (other_version("Pillow"), r"Pillow: \S+ before, 0.0.1 now"),
    "code": (change_code, r"code of googlenet: \w{16} before, 0123456789abcdef now"),
    "processor": (other_processor, r"processor: .* before, \S+ SSE2 .* now"),
}


@pytest.mark.slow
@pytest.mark.promise(10)
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_refused(
    photos: Path,
    tmp_path: Path,
    copy: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    measured: Measured,
) -> None:
    """Moved data are no change, what is changed in them is."""
    moved = shutil.copytree(photos, tmp_path / "photos")
    change, said = CHANGES[name]
    change(copy, moved, monkeypatch)
    monkeypatch.setattr(main.sys, "argv", ["googlenet"])
    before = runs.tree(copy)
    words = ["train", str(moved), "--resume", "--out", str(copy)]
    assert main.main(words) == 2
    told = capsys.readouterr().err
    assert re.search(said, told)
    assert len(told.splitlines()) == (1 if name == "class" else 2)
    assert {**runs.tree(copy), ".lock": None} == {**before, ".lock": None}
    measured(name)


@pytest.mark.slow
@pytest.mark.promise(10)
def test_an_accepted_change_is_in_the_model(copy: Path, measured: Measured) -> None:
    fault = ["other-versions", "torchvision", "0.0.1"]
    done = runs.run(*resume(copy), fault=fault)
    assert done.returncode == 2
    killed(*resume(copy, "--accept-changes"), fault=["other-versions", "torchvision", "0.0.1", "8"])
    done = runs.run(*resume(copy), fault=fault)  # the state that was saved since knows of it
    assert done.returncode == 0, done.stderr
    (change,) = modelfile.read_metadata(copy / "model.safetensors").data["changes"]
    assert re.fullmatch(r"after step 5: torchvision: \S+ before, 0.0.1 now", change)
    measured("accepted, and in the model file")


@pytest.mark.slow
@pytest.mark.promise(10)
def test_other_threads_same_bits(whole: tuple[str, Path], copy: Path, measured: Measured) -> None:
    """The number that the run began with is taken, whatever the surroundings say."""
    done = runs.run(*resume(copy), env={**runs.environment(), "OMP_NUM_THREADS": "2"})
    assert done.returncode == 0, done.stderr
    assert model_hash(copy) == whole[0]
    measured("with 2 threads granted it goes on with 1")


@pytest.mark.slow
@pytest.mark.promise(10)
def test_a_second_trainer(
    photos: Path, whole: tuple[str, Path], tmp_path: Path, copy: Path, measured: Measured
) -> None:
    with runs.start(*resume(copy), fault=["tell-steps", "8", "120"]) as first:
        lines_until(first, "step 8\n")
        before = runs.tree(copy)
        for words in (resume(copy), train(photos, copy), train(photos, copy, "--force")):
            done = runs.run(*words)
            assert done.returncode == 2
            assert f"process {first.pid} trains here already" in done.stderr
        assert runs.tree(copy) == before
        first.kill()
    assert (copy / ".lock").read_text().strip() == str(first.pid)  # of a process that is dead
    assert finish(copy) == whole[0]
    measured("a second trainer is refused thrice; a dead one's lock means nothing")


# 42


@pytest.mark.slow
@pytest.mark.promise(42)
@pytest.mark.parametrize("workers", [0, 2])
def test_memory_files_and_threads_stay_level(
    photos: Path, tmp_path: Path, workers: int, measured: Measured
) -> None:
    """Three epochs of one size, with validation after each and a state saved after every step.

    The first epoch is for warming up: a state is put together in memory that the process keeps for the next.
    """
    out, notes = tmp_path / "run", tmp_path / "notes"
    done = runs.run(
        *train(photos, out, "--epochs", "3", "--recipe", "smoke", workers=workers),
        fault=["note-resources", str(notes), AT_ONCE],
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    seen = [json.loads(line) for line in notes.read_text().splitlines()][STEPS // 2 :]
    assert len(seen) == STEPS
    memory = np.array([note["rss"] for note in seen], dtype=np.float64)
    slope = np.polyfit(np.arange(STEPS), memory, 1)[0] * STEPS / memory[0]
    files, threads = ({note[what] for note in seen} for what in ("files", "threads"))
    assert slope <= 0.05
    assert max(files) - min(files) <= 4 * workers, files  # batches on their way between processes
    assert len(threads) == 1
    measured(f"{workers} workers, 2 epochs after the first: {100 * slope:+.1f} % memory, {max(files)} files")
