"""Promises about data: bad files, folders that are odd, names, splits, copies."""

import csv
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from googlenet.files.runfolder import read_config
from helpers.card import Measured
from helpers.runs import environment, run, tiny, tree
from helpers.scenes import NAMES, copy_of, corrupt, encoded, photo, tangle

QUICK = ("--size", "96", "--batch", "8", "--epochs", "1", "--workers", "0")
WAYS = ("exact", "encoded", "resized", "png", "turned", "upside_down", "mirrored")


def checked(folder: Path, *words: str) -> tuple[int, dict[str, object]]:
    """Exit status and JSON of `googlenet check`."""
    done = run("check", folder, "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Two classes of 24 good photos each, and every corrupt file in the first."""
    for label in range(2):
        folder = tmp_path / "faulty" / "ab"[label]
        folder.mkdir(parents=True)
        for i in range(24):
            (folder / f"{i}.jpg").write_bytes(encoded(photo(100 * label + i, (100, 80))))
    for name, (content, _) in corrupt().items():
        (tmp_path / "faulty" / "a" / name).write_bytes(content)
    return tmp_path / "faulty"


@pytest.mark.promise(11)
def test_every_corrupt_file_is_listed_with_its_code(faulty: Path, measured: Measured) -> None:
    pytest.importorskip("simplejpeg")
    expected = {name: code for name, (_, code) in corrupt().items()}
    status, found = checked(faulty)
    assert status == 2
    said = {Path(row["path"]).name: row["code"] for row in found["bad"]}  # type: ignore[attr-defined]
    said |= {Path(row["path"]).name: "warning" for row in found["warnings"]}  # type: ignore[attr-defined]
    assert said == expected
    assert len(expected) >= 40
    assert all(row["reason"] for row in found["bad"])  # type: ignore[attr-defined]
    measured(f"{len(expected)} corrupt files, each with its code")


@pytest.mark.promise(11)
@pytest.mark.slow
def test_training_stops_or_leaves_them_out(faulty: Path, tmp_path: Path, measured: Measured) -> None:
    bad = {f"a/{name}" for name, (_, code) in corrupt().items() if code != "warning"}
    usable = {f"a/{i}.jpg" for i in range(24)} | {f"b/{i}.jpg" for i in range(24)}
    usable |= {f"a/{name}" for name, (_, code) in corrupt().items() if code == "warning"}
    out = tmp_path / "run"
    for words in ((), ("--on-bad", "skip")):
        done = run("train", faulty, "--out", out, *QUICK, *words)
        assert done.returncode == 2 and not out.exists()
        assert all(f"{faulty / name}: " in done.stderr for name in bad)
        assert "--on-bad skip-all" in done.stderr
    done = run("train", faulty, "--out", out, *QUICK, "--on-bad", "skip-all")
    assert done.returncode == 0, done.stderr
    config = read_config(out)
    assert {name.split("/", 1)[1] for name in config["unreadable"]} == bad
    held = json.loads(run("evaluate", out, faulty, "--json").stdout)
    assert config["plan"]["samples"] + held["samples"] == len(usable)  # none stands in for another
    assert f"{len(bad)} unreadable images were left out" in (out / "report.html").read_text(encoding="utf-8")
    measured(f"{len(bad)} left out of {len(bad) + len(usable)}, none replaced")


@pytest.mark.promise(11)
@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_photo_that_vanishes_is_named(tmp_path: Path, workers: int) -> None:
    data = tiny(tmp_path / "data")
    victim = data / "train" / "red" / "5.jpg"
    content = victim.read_bytes()
    program = (  # in the second step of an epoch
        "import itertools; from pathlib import Path; from googlenet.training import loop\n"
        "plain = loop.mixup.mixed_losses\n"
        "calls = itertools.count(1)\n"
        f"gone = lambda: next(calls) == 2 and Path({str(victim)!r}).unlink()\n"
        "loop.mixup.mixed_losses = lambda *given, **named: (plain(*given, **named), gone())[0]\n"
        "from googlenet.cli.main import run; run()"
    )
    out = tmp_path / "run"
    words = ("train", data, "--out", out, *QUICK[:-1], str(workers), "--epochs", "2")
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 2, done.stderr
    assert str(victim) in done.stderr.splitlines()[-1] and "unreadable" in done.stderr
    victim.write_bytes(content)
    assert run("train", "--resume", "--out", out, "--workers", "0").returncode == 0


@pytest.mark.promise(12)
@pytest.mark.slow
def test_no_command_writes_into_the_data(tmp_path: Path, measured: Measured) -> None:
    data = tiny(tmp_path / "data")
    shutil.copy(data / "train" / "red" / "1.jpg", data / "val" / "red" / "copy.jpg")
    (data / "train" / "red" / "bad.jpg").write_bytes(b"text")
    for path in [*data.rglob("*"), data]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(tmp_path / "data"), data.stat().st_mtime_ns
    out, exported = tmp_path / "run", tmp_path / "exported"
    quick = ("--on-bad", "skip-all")
    commands = [
        ("check", data),
        ("check", data, "--json", "--fail-on-leak"),
        ("train", data, "--out", out, *QUICK),
        ("train", data, "--out", out, *QUICK, *quick),
        ("train", "--resume", "--out", out, "--epochs", "2"),
        ("train", data, "--find-lr", "--batch", "8", "--size", "64", *quick),
        ("evaluate", out, data),
        ("evaluate", out, data, "--split", "train", "--crops", "10"),
        ("predict", out, data / "val"),
        ("predict", out, data / "val", "--format", "csv", "--out", tmp_path / "guesses.csv"),
        ("export", out, "--out", exported, "--to", "openvino", "--calibrate", data),
        ("evaluate", exported, data),
        ("predict", exported, data / "train"),
        ("explain", exported, data / "val", "--out", tmp_path / "why.png"),
        ("info", out),
    ]
    try:
        for words in commands:
            done = run(*words, cwd=data if words[0] != "train" else tmp_path)
            assert done.returncode in (0, 2), done.stderr
            assert (tree(tmp_path / "data"), data.stat().st_mtime_ns) == before, words
    finally:
        for path in [data, *data.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    measured(f"{len(commands)} commands, nothing changed")


@pytest.mark.promise(17)
def test_a_tangle_of_links_ends(tmp_path: Path, measured: Measured) -> None:
    tangle(tmp_path / "tangle")
    began = time.monotonic()
    status, found = checked(tmp_path / "tangle")
    took = time.monotonic() - began
    assert found["photos"] == 2 and status == 2  # each class has one photo, so there is none to validate on
    assert found["classes"] == ["a", "b"] and took < 5
    passed = {row["path"].split("/deep")[0]: row["reason"] for row in found["passed_over"]}  # type: ignore[attr-defined]
    assert set(passed) == {
        "a",  # …/deepdeep…
        "a/to_root",
        "a/to_self",
        "b/another_name.jpg",
        "b/hard.jpg",
        "b/in_a_circle.jpg",
        "b/pipe.jpg",
        "b/socket.jpg",
        "b/to_nothing.jpg",
        "c_is_a",
        "d_is_all",
    }
    measured(f"2 photos among {len(passed)} other things, {took:.1f} s with the start of the program")


@pytest.mark.promise(18)
@pytest.mark.slow
def test_class_names_survive_to_the_table(tmp_path: Path, measured: Measured) -> None:
    data, out, exported = tmp_path / "data", tmp_path / "run", tmp_path / "exported"
    for number, name in enumerate(NAMES):
        (data / name).mkdir(parents=True)
        for i in range(4):
            (data / name / f"{i}.jpg").write_bytes(encoded(photo(10 * number + i, (70, 70))))
    (data / ".ipynb_checkpoints").mkdir()
    (data / ".ipynb_checkpoints" / "x.jpg").write_bytes(encoded(photo(999)))
    assert run("train", data, "--out", out, *QUICK).returncode == 0
    done = run("export", out, "--out", exported, "--to", "openvino")
    assert done.returncode == 0, done.stderr
    for model in (out, exported):
        table = tmp_path / "guesses.csv"
        table.unlink(missing_ok=True)
        words = (
            "predict",
            model,
            data / "plain",
            "--top",
            str(len(NAMES)),
            "--format",
            "csv",
            "--out",
            table,
        )
        done = run(*words)
        assert done.returncode == 0, done.stderr
        with table.open(encoding="utf-8", newline="") as file:
            labels = {row["label"] for row in csv.DictReader(file)}
        assert {label.encode() for label in labels} == {os.fsencode(name) for name in NAMES}
    assert json.loads(run("info", exported, "--json").stdout)["classes"] == sorted(NAMES)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<b>bold" not in page and "&lt;b&gt;bold" in page
    measured(f"{len(NAMES)} names, byte for byte, of a run and of an export")


@pytest.mark.promise(18)
@pytest.mark.parametrize("pair", [("caf\u00e9", "cafe\u0301"), ("Cat", "cat"), ("dog", "dog ")])
def test_names_that_only_look_alike_are_an_error(tmp_path: Path, pair: tuple[str, str]) -> None:
    for name in (*pair, "other"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.jpg").write_bytes(encoded(photo(1)))
    done = run("check", tmp_path / "data")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert all(ascii(name) in done.stderr for name in pair)


def split_tree(root: Path, folders: dict[str, int]) -> Path:
    """Photos in folders, so many in each; all different."""
    seeds = itertools.count()
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True)
        for i in range(count):
            (root / folder / f"{i}.jpg").write_bytes(encoded(photo(next(seeds), (80, 60))))
    return root


@pytest.mark.promise(19)
@pytest.mark.slow
def test_splits_are_matched_by_name(tmp_path: Path, measured: Measured) -> None:
    root = split_tree(
        tmp_path / "data",
        {"train/10": 8, "train/2": 8, "train/bird": 8, "train/lone": 1, "val/bird": 3, "val/2": 2},
    )
    status, found = checked(root)
    assert status == 0
    assert found["splits"] == {
        "train": {"10": 8, "2": 8, "bird": 8, "lone": 1},
        "val": {"10": 0, "2": 2, "bird": 3, "lone": 0},
    }
    notes = "\n".join(found["notes"])  # type: ignore[arg-type]
    assert "class 'lone' with one training photo" in notes
    assert "classes '10', 'lone' without a photo in val" in notes
    done = run("train", root, "--out", tmp_path / "run", *QUICK)
    assert done.returncode == 0 and "classes '10', 'lone' without a photo in val" in done.stderr
    metrics = json.loads(run("evaluate", tmp_path / "run", root, "--json").stdout)
    assert {row["label"]: row["support"] for row in metrics["per_class"]} == found["splits"]["val"]  # type: ignore[index]
    measured("2 of 4 classes in val, counted for their own names")


@pytest.mark.slow
@pytest.mark.promise(19)
@pytest.mark.parametrize(
    "folders, message",
    [
        ({"train/a": 2, "train/b": 2, "val/a": 1, "val/c": 1}, "got also 'c'"),
        ({"train/a": 2, "train/b": 2, "train/c": 0, "val/a": 1}, "class 'c' has no image"),
        ({"a": 2, "b": 2, "c": 0}, "class 'c' has no image"),
    ],
)
def test_a_class_too_many_or_an_empty_one(tmp_path: Path, folders: dict[str, int], message: str) -> None:
    root = split_tree(tmp_path / "data", folders)
    for words in (("check", root), ("train", root, "--out", tmp_path / "run")):
        done = run(*words)
        assert done.returncode == 2 and message in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.promise(19)
def test_one_name_in_two_branches_is_told(tmp_path: Path) -> None:
    folders = {"animals/cat": 3, "animals/dog": 3, "toys/cat": 3, "cat": 3}
    _, found = checked(split_tree(tmp_path / "data", folders))
    assert found["classes"] == ["animals", "cat", "toys"]
    notes = "\n".join(found["notes"])  # type: ignore[arg-type]
    assert "'cat' is a folder in 'animals', 'toys' besides the class of that name" in notes


def originals(folder: str) -> list[bytes]:
    """200 different pictures: drawn, or real photos where there are some."""
    if folder == "drawn":
        return [encoded(photo(i, (180, 130)), quality=88) for i in range(200)]
    place = Path(os.environ.get("GOOGLENET_TEST_DATA", "/nowhere"))
    files = sorted((place / "photos").glob("*.JPEG"))
    files += sorted((place / "clothing" / "train").glob("*/*.jpg"))[:: max(1, 3000 // 100)][:100]
    return [file.read_bytes() for file in files]


@pytest.mark.promise(20)
@pytest.mark.slow
def test_planted_copies_are_found(tmp_path: Path, measured: Measured) -> None:
    for kind in ("drawn", "real"):
        pictures = originals(kind)
        if not pictures:
            continue
        root = tmp_path / kind
        for i, content in enumerate(pictures):
            path = root / ("val" if i % 4 == 3 else "train") / "ab"[i % 2] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (root / "val" / "a").mkdir(exist_ok=True)
        planted = {}
        for number, how in zip(range(20), itertools.cycle(WAYS), strict=False):
            i = 8 * number  # in train
            copy = root / "val" / "a" / f"{how}{i}.jpg"
            copy.write_bytes(copy_of(pictures[i], how))
            planted[str(copy)] = str(root / "train" / "a" / f"{i}.jpg")
        status, found = checked(root, "--fail-on-leak")
        assert status == 2
        (leak,) = found["leaks"]  # type: ignore[misc]
        said = {photo: copy for photo, copy, _ in leak["pairs"]}
        false = {photo: copy for photo, copy in said.items() if planted.get(photo) != copy}
        recall = (len(said) - len(false)) / len(planted)
        groups = [group for group in found["copies"] if not set(group) & set(planted)]  # type: ignore[attr-defined]
        assert recall >= 0.95 and not false and not groups
        assert leak["of"] == len(pictures) // 4 + 20 and leak["share"] == len(said) / leak["of"]
        measured(f"{len(said)} of {len(planted)} found among {len(pictures)} {kind} pictures, none false")


@pytest.mark.promise(20)
@pytest.mark.slow
def test_a_split_of_ours_keeps_copies_together(tmp_path: Path, measured: Measured) -> None:
    root = tmp_path / "data"
    for number, label in enumerate(("a", "b")):
        (root / label).mkdir(parents=True)
        for i in range(20):
            content = encoded(photo(50 * number + i, (120, 90)))
            (root / label / f"{i}.jpg").write_bytes(content)
            (root / label / f"again{i}.jpg").write_bytes(copy_of(content, WAYS[i % len(WAYS)]))
    status, found = checked(root, "--fail-on-leak")
    assert status == 0 and len(found["copies"]) == 40 and not found["leaks"]  # type: ignore[arg-type]
    assert run("train", root, "--out", tmp_path / "run", *QUICK).returncode == 0
    config = read_config(tmp_path / "run")
    assert config["moved"]  # by their names alone, some copies would have been divided
    val = found["splits"]["val"]  # type: ignore[index]
    metrics = json.loads(run("evaluate", tmp_path / "run", root, "--json").stdout)
    assert {row["label"]: row["support"] for row in metrics["per_class"]} == val
    assert metrics["part"] == f"the val split of {root}"
    trained = json.loads(run("info", tmp_path / "run", "--json").stdout)["metrics"]
    assert (trained["samples"], trained["top1"]) == (metrics["samples"], metrics["top1"])
    assert run("train", "--resume", "--out", tmp_path / "run", "--epochs", "2").returncode == 0
    measured(f"40 pairs, {len(config['moved'])} photos moved, none divided")
