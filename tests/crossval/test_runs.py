"""`train --folds`: ordinary runs, each measured on its own fold, and one model of all."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from googlenet.base.errors import GoogLeNetError, InputError
from googlenet.crossval import runs
from googlenet.evaluation.metrics import Metrics
from googlenet.files.modelfile import read_metadata
from googlenet.inference import loading
from googlenet.training.decision.run_config import read_run_config
from googlenet.training.decision.settings import Settings
from helpers.models import save
from helpers.painting import COLORS, Run, paint

SMOKE = ["--recipe", "smoke", "--workers", 0]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three colors, eight photos each; one photo is there twice, under two names."""
    root = tmp_path_factory.mktemp("photos")
    for number, (name, color) in enumerate(COLORS.items()):
        for i in range(8):
            paint(root / name / f"{i}.jpg", color, seed=100 * number + i)
    (root / "red" / "again.jpg").write_bytes((root / "red" / "3.jpg").read_bytes())
    return root


def program(words: list[object], *, first: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own, after these lines."""
    code = f"import sys\n{first}from googlenet.cli.main import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = program(["train", photos, "--folds", 3, *SMOKE, "--out", out])
    assert done.returncode == 0, done.stderr
    assert "out of fold" in done.stdout
    return out


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "out-of-fold.csv").read_text(encoding="utf-8").splitlines()))


def test_each_photo_is_judged_by_the_model_that_has_not_seen_it(whole: Path, photos: Path) -> None:
    table = [json.loads(line) for line in (whole / "folds.jsonl").read_text().splitlines()]
    fold = {row["path"]: row["fold"] for row in table}
    assert len(fold) == 25 and fold["red/again.jpg"] == fold["red/3.jpg"]
    found = {str(Path(row["path"]).relative_to(photos)): row for row in rows(whole)}
    assert found.keys() == fold.keys()
    for number in (1, 2, 3):
        config = read_run_config(whole / f"fold-{number}")
        assert config.decision.plan.samples == sum(own != number for own in fold.values())
        member = loading.load_predictor(whole / f"fold-{number}")
        own = [name for name in fold if fold[name] == number]
        from googlenet import classify

        top = {row.path: row for row in classify([photos / name for name in own], member, top=1)}
        for name in own:
            assert found[name]["guess"] == top[str(photos / name)].label
    right = sum(row["guess"] == row["label"] for row in found.values())
    card = read_metadata(whole / "model.safetensors")
    assert card.metrics["split"] == "out of fold" and card.data["folds"] == 3
    assert card.metrics["top1"] == pytest.approx(right / 25)
    page = (whole / "report.html").read_text(encoding="utf-8")
    assert "Folds" in page and "judged by the model that has not seen it (3 folds)" in page


def test_they_are_one_model(whole: Path, photos: Path, googlenet: Run, tmp_path: Path) -> None:
    card = read_metadata(whole / "model.safetensors")
    assert card.dialect == "3xbn"
    members = [loading.load_predictor(whole / f"fold-{number}") for number in (1, 2, 3)]
    joint = loading.load_predictor(whole)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    each = [member.logits(pixels) / member.metadata.temperature for member in members]
    assert np.abs(joint.logits(pixels) - np.mean(each, axis=0)).max() < 1e-4 * np.abs(each).max()
    done = googlenet("predict", whole, photos / "red" / "0.jpg", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    done = googlenet("evaluate", whole, photos, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["samples"] == 25
    assert "trained on" in json.loads(done.stdout)["part"]
    done = googlenet("info", whole)
    assert "3xbn" in done.stdout
    done = googlenet("train", photos, "--weights", whole, "--out", tmp_path / "next")
    assert done.returncode == 2 and "as RUN/fold-1" in done.stderr
    done = googlenet("report", whole, "--out", tmp_path / "again.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.html").read_bytes() == (whole / "report.html").read_bytes()


KILL = """
import os
from googlenet.{module} import {name} as m
old = m.{function}
def new(*a, **k):
    if {due}:
        os.kill(os.getpid(), 9)
    return old(*a, **k)
m.{function} = new
"""
KILLED = {
    "in the second fold": KILL.format(
        module="training", name="loop", function="_step", due="'fold-2' in str(a[0].folder)"
    ),
    "between two": KILL.format(module="crossval", name="runs", function="echo", due="'fold 3' in a[0]"),
    "at the end": KILL.format(module="crossval", name="outcome", function="compute_metrics", due="True"),
}


@pytest.mark.parametrize("where", KILLED)
def test_killed_anywhere_it_goes_on_to_the_same_bytes(
    whole: Path, photos: Path, tmp_path: Path, where: str
) -> None:
    out = tmp_path / "run"
    words = ["train", photos, "--folds", 3, *SMOKE, "--out", out]
    assert program(words, first=KILLED[where]).returncode == -9
    moved = tmp_path / "moved"
    out.rename(moved)
    done = program(["train", "--resume", "--out", moved])
    assert done.returncode == 0, done.stderr
    for name in ("model.safetensors", "out-of-fold.csv", "folds.jsonl"):
        assert digest(moved / name) == digest(whole / name), name


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_from_weights_the_features_are_made_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from googlenet.training.transfer import features

    made = []
    old = features._made

    def counted(extractor, index, rows, *rest):
        made.extend(rows)
        return old(extractor, index, rows, *rest)

    monkeypatch.setattr(features, "_made", counted)
    weights = save(tmp_path / "weights.safetensors", "bn")
    chosen = Settings(weights=str(weights), dialect=None, folds=3, minutes=0.9, workers=0, batch=8, seed=1)
    others = tmp_path / "photos"
    for folder in photos.iterdir():  # classes that the weights do not know
        shutil.copytree(folder, others / f"of {folder.name}")
    out = tmp_path / "run"
    found = runs.train_folds(str(others), out, chosen)
    assert isinstance(found, Metrics) and found.samples == 25
    assert len(made) == 25
    assert not (out / "features").exists()
    assert all((out / f"fold-{number}" / "model.safetensors").is_file() for number in (1, 2, 3))


def test_a_table_with_groups_and_a_test_split(photos: Path, tmp_path: Path, googlenet: Run) -> None:
    """What instruments give: a flat folder, a table, several photos of each sample, a test of its own."""
    flat = tmp_path / "flat"
    flat.mkdir()
    lines = ["image,species,set,sample"]
    for number, path in enumerate(sorted(photos.rglob("*.jpg"))):
        name = f"{number}.jpg"
        (flat / name).symlink_to(path)
        side = "test" if path.stem == "7" else "train"
        lines.append(f"{name},{path.parent.name},{side},{path.parent.name}{number // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    out = tmp_path / "run"
    words = ["--labels", tmp_path / "labels.csv", "--columns", "image,species,set", "--group", "sample"]
    done = googlenet("train", flat, *words, "--folds", "2", *map(str, SMOKE), "--out", out)
    assert done.returncode == 0, done.stderr
    assert "not used, and left for googlenet evaluate: 3 of test" in " ".join(done.stderr.split())
    found = {Path(row["path"]).name for row in rows(out)}
    table = [json.loads(line) for line in (out / "folds.jsonl").read_text().splitlines()]
    assert len(found) == 22 and found == {row["path"] for row in table}
    sample = {line.split(",")[0]: line.split(",")[3] for line in lines[1:]}
    fold: dict[str, set[int]] = {}
    for row in table:
        fold.setdefault(sample[row["path"]], set()).add(row["fold"])
    assert all(len(numbers) == 1 for numbers in fold.values())
    done = googlenet("evaluate", out, flat, *words[:4], "--split", "test", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["samples"] == 3, done.stderr
    from googlenet.crossval.assignment import read_table
    from googlenet.crossval.corrections import Corrections, Decision
    from googlenet.crossval.folder import read_cross_validation
    from googlenet.crossval.relabel import all_photos

    asked = read_cross_validation(out)
    now = Corrections(out, all_photos(asked, read_table(out / "folds.jsonl", flat)))
    now.decide(Decision(path=table[0]["path"], action="exclude"))
    again = tmp_path / "again"
    words = ["--labels", out / "corrections.csv", "--group", "group"]
    done = googlenet("train", flat, *words, "--folds", "2", *map(str, SMOKE), "--out", again)
    assert done.returncode == 0, done.stderr
    assert len(rows(again)) == 21


def test_unreadable_photos_are_left_out_and_said(photos: Path, tmp_path: Path, googlenet: Run) -> None:
    few = tmp_path / "few"
    shutil.copytree(photos, few)
    (few / "red" / "0.jpg").write_bytes(b"no photo")
    out = tmp_path / "run"
    done = googlenet("train", few, "--folds", "2", *map(str, SMOKE), "--out", out)
    assert done.returncode == 2 and not out.exists()
    words = ["--folds", "2", "--on-bad", "skip-all", *map(str, SMOKE), "--out", out]
    done = googlenet("train", few, *words)
    assert done.returncode == 0, done.stderr
    assert len(rows(out)) == 24
    assert "1 unreadable image left out" in (out / "report.html").read_text(encoding="utf-8")
    (out / "fold-1-notes").mkdir()
    (out / "corrections.csv").write_text("mine")
    before = digest(out / "model.safetensors")
    done = googlenet("train", few, *words, "--force", "--weights", "nothing.safetensors")
    assert done.returncode == 2 and digest(out / "model.safetensors") == before
    done = googlenet("train", few, *words, "--force")
    assert done.returncode == 0 and (out / "fold-1-notes").is_dir()
    assert (out / "corrections.csv").read_text() == "mine"


def test_a_signal_stops_all_and_the_hint_goes_on(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", photos, "--folds", 2, *SMOKE, "--out", out]
    stop = KILL.format(module="training", name="loop", function="_step", due="'fold-2' in str(a[0].folder)")
    done = program(words, first=stop.replace("os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 2)"))
    assert done.returncode == 130
    hints = [line for line in done.stderr.splitlines() if "go on with" in line]
    assert len(hints) == 1 and hints[0].endswith(f"--resume --out {out}")
    done = program(["train", "--resume", "--out", out / "fold-2"])  # by hand, one of them alone
    assert done.returncode == 0, done.stderr
    done = program(["train", "--resume", "--out", out])
    assert done.returncode == 0, done.stderr
    assert len(rows(out)) == 25
    (out / "fold-1" / "report.html").unlink()
    done = program(["train", "--resume", "--out", out])
    assert done.returncode == 0 and (out / "fold-1" / "report.html").is_file(), done.stderr


def test_a_budget_that_is_used_up_leaves_no_fold_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "run", runs._Work.spent
    monkeypatch.setattr(runs._Work, "spent", lambda self: real(self) + 60.0 * (self.asked.size is not None))
    found = runs.train_folds(str(photos), out, Settings(folds=2, minutes=0.9, workers=0, batch=8, size=64))
    assert isinstance(found, Metrics) and found.samples == 25
    second = read_run_config(out / "fold-2").decision.plan
    assert second.epochs(read_run_config(out / "fold-2").decision.recipe) <= 2


def test_weights_that_have_seen_the_photos_are_refused(
    whole: Path, photos: Path, tmp_path: Path, googlenet: Run
) -> None:
    words = ["--weights", whole / "fold-1", "--folds", "2", *map(str, SMOKE)]
    done = googlenet("train", photos, *words, "--out", tmp_path / "run")
    assert done.returncode == 2 and "have not seen these photos" in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()


def test_wrong_input_leaves_nothing(photos: Path, tmp_path: Path, googlenet: Run) -> None:
    for words, expected in {
        ("digits", "--folds", "3"): "expected a folder of photos with --folds, got the word 'digits'",
        (photos, "--folds", "1"): "expected --folds of at least 2, got 1",
        (photos, "--folds", "9"): "expected at least 9 photos",
        (photos / "red" / "0.jpg", "--folds", "3"): "which is no folder",
        (photos, "--folds", "3", "--dialect", "dense"): "without a dense layer",
        (photos, "--folds", "3", "--minutes", "0.1"): "expected more --minutes for 3 folds, got 2 s for each",
    }.items():
        smoke = [] if "--minutes" in words else map(str, SMOKE)
        done = googlenet("train", *words, *smoke, "--out", tmp_path / "run")
        assert done.returncode == 2 and expected in " ".join(done.stderr.split()), done.stderr
        assert not (tmp_path / "run").exists(), words
    with pytest.raises(InputError, match="without --epochs"):
        runs.resume_folds(tmp_path, Settings(epochs=3))
    with pytest.raises(GoogLeNetError):
        runs.resume_folds(tmp_path, Settings())
