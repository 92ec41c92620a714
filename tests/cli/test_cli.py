"""The command line as a user meets it: real processes, real folders, one line for a mistake."""

import csv
import hashlib
import io
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from googlenet.cli import main
from googlenet.files import modelfile
from helpers.painting import COLORS, Run, paint

QUICK = ("--recipe", "smoke", "--size", "64", "--workers", "0")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def model(workplace: Path) -> Path:
    """A run on digits of a few dozen steps: enough to be far above chance."""
    out = workplace / "runs" / "digits"
    command = [
        sys.executable,
        "-m",
        "googlenet",
        "train",
        "digits",
        "--out",
        str(out),
        *QUICK,
        "--epochs",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "validation" in done.stdout
    return out


def test_trained_model_is_far_above_chance(model: Path, googlenet: Run) -> None:
    done = googlenet("evaluate", model, "digits", "--split", "test", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["samples"] == 359
    assert found["top1"] > 0.5  # chance is 0.1; random weights stay below 0.2
    assert {"top5", "balanced_accuracy", "classes", "confusion", "ece"} <= set(found)
    assert sum(map(sum, found["confusion"])) == 359


def test_run_folder_holds_what_it_should(model: Path) -> None:
    names = {path.name for path in model.iterdir()}
    ours = {"model.safetensors", "recipe.json", "metrics.jsonl", "report.html", "state", "log.txt", ".lock"}
    assert names == ours
    events = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["kind"] == "train"]
    assert {"main", "aux1", "aux2", "total"} <= set(steps[0])
    for event in steps:
        assert event["total"] == pytest.approx(
            event["main"] + 0.3 * (event["aux1"] + event["aux2"]), rel=1e-4
        )
    assert steps[-1]["main"] < steps[0]["main"]


def test_model_file_has_no_heads_and_tells_about_itself(model: Path, googlenet: Run) -> None:
    import safetensors.numpy

    arrays = safetensors.numpy.load_file(model / "model.safetensors")
    assert not [name for name in arrays if "head" in name]
    done = googlenet("info", model, "--json")
    said = json.loads(done.stdout)
    assert said["classes"] == list("0123456789")
    assert said["dialect"] == "bn"
    assert said["preprocessing"]["size"] == 64
    assert said["metrics"]["top1"] > 0.5
    assert "classes" in googlenet("info", model).stdout


def test_confidence_is_fitted_on_validation_and_stored(model: Path, googlenet: Run) -> None:
    said = json.loads(googlenet("info", model, "--json").stdout)
    assert said["temperature"] != 1
    assert len(said["familiar"]["mean"]) == 9
    stored = said["metrics"]
    done = googlenet("evaluate", model, "digits", "--split", "val", "--json")
    found = json.loads(done.stdout)
    assert found["ece_raw"] == pytest.approx(stored["ece_raw"], abs=1e-5)
    assert found["ece_band"] == pytest.approx(stored["ece_band"], abs=0.01)
    assert found["loss"] < stored["loss"] + 1e-6  # fitted on these photos, where the stored is cross-fitted
    assert found["unfamiliar"] == pytest.approx(0.05, abs=0.02)  # cross-fitted: not exactly 5 %
    bins = found["reliability"]
    assert sum(each["count"] for each in bins) == found["samples"]
    assert found["ece"] == pytest.approx(
        sum(each["count"] * abs(each["confidence"] - each["accuracy"]) for each in bins) / found["samples"]
    )
    text = googlenet("evaluate", model, "digits", "--split", "val").stdout
    assert re.search(r"balanced accuracy \d+\.\d %", text)
    assert re.search(r"calibration error 0\.\d{3} \(0\.\d{3} without the temperature\); perfect", text)
    assert "of the photos are unlike the training data" in text


def test_report_is_self_contained(model: Path) -> None:
    page = (model / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("<polyline") == 10  # three losses, two accuracies, two gradients, three of reliability
    assert len(re.findall(r'<polyline [^>]*stroke="#[0-9a-f]{6}"', page)) == 10
    assert "Worst mistakes" in page
    assert page.count("data:image/jpeg") >= 1
    assert "What the network was given" in page and "What its units look for" not in page


def test_report_again_and_for_other_photos(
    model: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("googlenet.report.build.STEPS", 1)
    before = (model / "report.html").read_text()
    figures = before[: before.index("<h2>How it was made")]
    assert main.main(["report", str(model), "--units", "0"]) == 0
    again = (model / "report.html").read_text()
    assert again[: again.index("<h2>How it was made")] == figures
    assert main.main(["report", str(model), "--units", "2"]) == 0
    page = (model / "report.html").read_text()
    assert page.startswith(figures.rstrip())
    assert page.count("data:image/jpeg") == figures.count("data:image/jpeg") + 24
    out = workplace / "test.html"
    words = ["report", str(model), "digits", "--split", "test", "--units", "0", "--out", str(out)]
    assert main.main(words) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"{out}: ") and "of 359 images" in said
    page = out.read_text()
    assert "All figures below are of the test split of digits" in page and "359</b>images measured" in page
    for wrong, text in (
        (words, "--force replaces it"),
        (words[:-2], "expected --out FILE.html"),
        (["report", str(model), "--units", "9"], "expected --units from 0 to 8"),
        (["report", str(model / "model.safetensors")], "expected --out FILE.html"),
        (["report", str(model / "model.safetensors"), "--out", str(workplace / "x.html")], "expected DATA"),
        (["report", str(workplace), "digits", "--out", str(workplace / "x.html")], "no model"),
    ):
        assert main.main(wrong) == 2
        assert text in capsys.readouterr().err
    assert not (workplace / "x.html").exists()


@pytest.fixture(scope="module")
def pictures(workplace: Path) -> Path:
    from googlenet.data.folder import open_data

    index = open_data("digits").split("test")
    folder = workplace / "pictures"
    folder.mkdir()
    for i in range(3):
        (folder / f"{index.labels[i]}-{i}.png").write_bytes(index.read(i))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    (folder / "notes.txt").write_text("not a photo, and not asked for")
    return folder


def test_predict_reports_the_bad_file_and_goes_on(model: Path, pictures: Path, googlenet: Run) -> None:
    done = googlenet("predict", model, pictures, "--format", "jsonl", "--top", "3")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2
    assert "broken.jpg" in done.stderr
    assert [row["path"] for row in rows if "error" in row] == [str(pictures / "broken.jpg")]
    good = [row for row in rows if "error" not in row]
    assert len(good) == 9
    assert [row["rank"] for row in good] == [1, 2, 3] * 3
    assert all(0 <= row["probability"] <= 1 for row in good)


def test_predict_says_the_same_over_every_way_in(model: Path, pictures: Path, googlenet: Run) -> None:
    one = sorted(pictures.glob("*.png"))[0]
    ways = [
        googlenet("predict", model, one, "--format", "json"),
        googlenet("predict", model, str(pictures / "*.png"), "--format", "json", "--batch", "1"),
        googlenet("predict", model, "-", "--format", "json", text=False, input=one.read_bytes()),
    ]
    assert [way.returncode for way in ways] == [0, 0, 0]
    found = [json.loads(way.stdout)[:5] for way in ways]
    for rows in found[1:]:
        assert [row["label"] for row in rows] == [row["label"] for row in found[0]]
        assert [row["probability"] for row in rows] == pytest.approx(
            [row["probability"] for row in found[0]], abs=1e-5
        )


def test_predict_csv_to_a_file(model: Path, pictures: Path, googlenet: Run, tmp_path: Path) -> None:
    done = googlenet(
        "predict", model, str(pictures / "*.png"), "--format", "csv", "--out", "g.csv", "--top", "1"
    )
    assert (done.returncode, done.stdout) == (0, "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "g.csv").read_text())))
    assert len(rows) == 3
    assert rows[0]["label"] in "0123456789"


def test_predict_table(model: Path, pictures: Path, googlenet: Run) -> None:
    done = googlenet("predict", model, pictures / "broken.jpg", *sorted(pictures.glob("*.png")))
    assert "unreadable" in done.stdout
    assert done.stdout.count("%") >= 3


def test_python_api_is_the_readmes(model: Path, pictures: Path) -> None:
    import googlenet

    predictor = googlenet.load_predictor(model)
    rows = list(googlenet.classify([str(p) for p in sorted(pictures.glob("*.png"))], predictor))
    assert len(rows) == 15
    net = googlenet.load_network(model)
    assert net.metadata is not None
    assert net.metadata.classes == tuple("0123456789")


@pytest.fixture(scope="module")
def reference(workplace: Path) -> tuple[Path, str]:
    """Photos, and the SHA-256 of the weights that four epochs on them give without a break."""
    root = workplace / "photos"
    for number, (name, color) in enumerate(COLORS.items()):
        for i in range(12):
            paint(root / name / f"{i}.jpg", color, seed=100 * number + i)
    out = workplace / "whole"
    return root, trained(root, out, workers=0)


def command(root: Path, out: Path, *, workers: int) -> list[str]:
    words = f"train {root} --out {out} --recipe smoke --batch 8 --epochs 4 --workers {workers} --seed 3"
    return [sys.executable, "-m", "googlenet", *words.split()]


def trained(root: Path, out: Path, *, workers: int) -> str:
    done = subprocess.run(command(root, out, workers=workers), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return sha256(out)


def sha256(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def test_same_seed_same_weights_with_0_and_2_workers(reference: tuple[Path, str], workplace: Path) -> None:
    root, expected = reference
    assert trained(root, workplace / "again", workers=2) == expected


def interrupted(root: Path, out: Path, number: signal.Signals, *, after: int, workers: int) -> int:
    """Train until `after` steps are logged, send a signal, return the exit status."""
    process = subprocess.Popen(command(root, out, workers=workers), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        log = out / "metrics.jsonl"
        if log.exists() and log.read_text().count('"train"') >= after:
            break
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    if process.returncode not in (0, -9):
        assert "googlenet train --resume --out" in said
        assert "Traceback" not in said
    return process.returncode


@pytest.mark.parametrize(
    "number, code, after, workers", [(signal.SIGINT, 130, 3, 2), (signal.SIGTERM, 143, 8, 0)]
)
def test_resume_after_a_signal_is_exact(
    reference: tuple[Path, str],
    workplace: Path,
    number: signal.Signals,
    code: int,
    after: int,
    workers: int,
) -> None:
    root, expected = reference
    out = workplace / f"stopped-{code}"
    assert interrupted(root, out, number, after=after, workers=workers) == code
    done = subprocess.run(
        [sys.executable, "-m", "googlenet", "train", "--resume", "--out", str(out), "--workers", "1"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert sha256(out) == expected
    events = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [event["step"] for event in events if event["kind"] == "train"]
    assert steps == sorted(set(steps))


def test_extending_a_finished_run(reference: tuple[Path, str], workplace: Path, googlenet: Run) -> None:
    _root, expected = reference
    out = workplace / "longer"
    shutil.copytree(workplace / "whole", out)
    done = googlenet("train", "--resume", "--out", out)
    assert done.returncode == 2
    assert "is finished" in done.stderr
    done = googlenet("train", "--resume", "--out", out, "--epochs", "6")
    assert done.returncode == 0, done.stderr
    assert sha256(out) != expected
    plan = json.loads((out / "recipe.json").read_text())["plan"]
    assert plan["steps"] == math.ceil(6 * plan["samples"] / 8)
    done = googlenet("train", "--resume", "--out", out, "--epochs", "5")
    assert done.returncode == 2


def test_resume_refuses_other_data(reference: tuple[Path, str], workplace: Path, googlenet: Run) -> None:
    root, _ = reference
    copy, out = workplace / "changed", workplace / "run-changed"
    shutil.copytree(root, copy)
    assert interrupted(copy, out, signal.SIGINT, after=2, workers=0) == 130
    for path in (copy / "red").iterdir():
        path.unlink()
    paint(copy / "red" / "new.jpg", COLORS["red"], seed=9)
    done = googlenet("train", "--resume", "--out", out)
    assert done.returncode == 2
    assert "train photos of 'red': " in done.stderr


def test_a_run_killed_while_it_finishes_can_be_finished(
    reference: tuple[Path, str], workplace: Path, googlenet: Run
) -> None:
    """What a kill leaves between the last step and the report: a state, and no model file."""
    _, expected = reference
    out = workplace / "unfinished"
    shutil.copytree(workplace / "whole", out)
    (out / "model.safetensors").unlink()
    (out / "report.html").unlink()
    (state,) = sorted((out / "state").iterdir())[-1:]
    arrays, header = modelfile.read(state)
    modelfile.write(state, arrays, {**header, "finished": False})
    done = googlenet("train", "--resume", "--out", out, "--workers", "0")
    assert done.returncode == 0, done.stderr
    assert sha256(out) == expected
    assert (out / "report.html").exists()


def test_minutes_end_in_time(reference: tuple[Path, str], workplace: Path, googlenet: Run) -> None:
    root, _ = reference
    started = time.monotonic()
    done = googlenet("train", root, "--out", workplace / "timed", "--minutes", "0.6", "--recipe", "smoke")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 60
    assert json.loads((workplace / "timed" / "recipe.json").read_text())["plan"]["steps"] > 0


@pytest.mark.parametrize(
    "words, message",
    [
        (["train", "none", "--out", "r"], "there is no folder none"),
        (["train", "photos", "--out", "r", "--recipe", "best"], "modern, transfer, paper, smoke"),
        (["train", "photos", "--out", "r", "--dialect", "caffe"], "bn, paper"),
        (["train", "photos", "--out", "r", "--size", "32"], "at least 64 pixels, got 32"),
        (["train", "photos", "--out", "r", "--epochs", "0"], "at least 1, got 0"),
        (["train", "photos", "--out", "r", "--epochs", "1", "--minutes", "1"], "got both"),
        (["train", "photos", "--out", "r", "--device", "tpu"], "auto, cpu, cuda"),
        (["train", "photos", "--out", "r", "--precision", "int4"], "float32, bfloat16"),
        (["train", "photos", "--out", "r", "--on-bad", "hope"], "error, skip"),
        (["train", "photos", "--out", "photos"], "holds other files than a run's"),
        (["train", "photos", "--out", "photos/red/0.jpg"], "got a file"),
        (["train", "photos"], "--out"),
        (["train", "--resume", "--out", "nowhere"], "expected a run folder"),
        (["train", "--resume", "--out", "r", "--size", "96", "--no-flip"], "got --size, --no-flip"),
        (["train", "photos", "--out", "r", "--epoch", "3"], "Unrecognized options: --epoch"),
        (["evaluate", "photos/red/0.jpg", "photos"], "not a model file"),
        (["evaluate", "nothing", "photos"], "does not exist"),
        (["predict", "photos", "x.jpg"], "holds no model.safetensors"),
        (["predict", "nothing"], "PATH"),
        (["info", "nothing"], "does not exist"),
        (["cost", "--size", "63"], "at least 64"),
        (["cost", "--batch", "0"], "at least 1, got 0"),
        (["train", "photos", "--out", "photos/run"], "it would become a class of photos"),
        (["predict", "photos", "x.jpg", "--out", "g.txt"], "json, jsonl, csv or parquet for --out"),
        (["predict", "photos", "x.jpg", "--out", "none/g.csv", "--format", "csv"], "a folder that exists"),
        (["cost", "caffe"], "bn, paper"),
        (["dance"], "dance"),
        ([], "train"),
    ],
)
def test_a_mistake_is_one_line_and_2(
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(photos.parent)
    before = sorted(photos.parent.rglob("*"))
    assert main.main(words) == 2
    said = capfd.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""
    assert sorted(photos.parent.rglob("*")) == before


def test_bad_images_are_all_named_before_training(photos: Path, googlenet: Run) -> None:
    (photos / "red" / "1.jpg").write_bytes(b"text")
    broken = photos / "blue" / "2.jpg"
    broken.write_bytes(broken.read_bytes()[:-200])
    done = googlenet("train", photos, "--out", "r", *QUICK)
    assert done.returncode == 2
    assert "red/1.jpg: format" in done.stderr
    assert "blue/2.jpg: truncated" in done.stderr
    assert not (photos.parent / "r").exists()
    # Given relative to where the user stands; a resume finds the same images from the absolute path.
    done = googlenet("train", "photos", "--out", "r", *QUICK, "--on-bad", "skip-all", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert "2 unreadable images were left out" in (photos.parent / "r" / "report.html").read_text()
    done = googlenet("train", "--resume", "--out", "r", "--epochs", "2", "--workers", "0")
    assert done.returncode == 0, done.stderr


def test_an_occupied_folder_is_kept(model: Path, googlenet: Run) -> None:
    before = sha256(model)
    done = googlenet("train", "digits", "--out", model, *QUICK)
    assert done.returncode == 2
    assert "--resume" in done.stderr
    assert "--force" in done.stderr
    assert sha256(model) == before


def test_evaluate_refuses_classes_that_the_model_lacks(model: Path, photos: Path, googlenet: Run) -> None:
    done = googlenet("evaluate", model, photos)
    assert done.returncode == 2
    assert "'blue', 'green', 'red'" in done.stderr


def test_evaluate_takes_the_part_that_training_left(
    reference: tuple[Path, str], workplace: Path, googlenet: Run
) -> None:
    root, _ = reference
    done = googlenet("evaluate", workplace / "whole", root, "--json")
    plan = json.loads((workplace / "whole" / "recipe.json").read_text())["plan"]
    assert json.loads(done.stdout)["samples"] == 36 - plan["samples"]
    assert "val split" in json.loads(done.stdout)["part"]
    paint(root.parent / "new" / "red" / "a.jpg", COLORS["red"], seed=1)
    done = googlenet("evaluate", workplace / "whole", root.parent / "new", "--json")
    assert json.loads(done.stdout)["samples"] == 1  # another folder is measured whole
    assert "all of" in json.loads(done.stdout)["part"]


def test_altered_model_is_refused(model: Path, googlenet: Run, tmp_path: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.safetensors").write_bytes(bytes(content))
    done = googlenet("info", tmp_path / "model.safetensors")
    assert done.returncode == 2
    assert "sha256 mismatch" in done.stderr


def test_help_is_torch_free() -> None:
    code = (
        "import sys; from googlenet.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Example: googlenet train photos" in done.stdout


def test_cost_prints_the_number(googlenet: Run) -> None:
    done = googlenet("cost", "--batch", "2")
    assert "13,385,816" in done.stdout
    assert "3.17 G" in done.stdout
    assert json.loads(googlenet("cost", "--json").stdout)["training_parameters"] == 13_385_816
