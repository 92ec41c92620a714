"""A run from pretrained weights: a classifier on features first, then steps that must be better."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from googlenet.architecture.dialects import Preprocessing, dialect
from googlenet.base.errors import InputError
from googlenet.base.progress import no_advance
from googlenet.data.folder import open_data
from googlenet.export.extractor import feature_extractor
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import read_metadata
from googlenet.images.decode import preprocess
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet, network_input
from googlenet.training import stages
from googlenet.training.decision.run_config import HeldOut, read_run_config
from googlenet.training.decision.settings import Settings
from googlenet.training.session import Session
from googlenet.training.state import load_state
from googlenet.training.train import train
from googlenet.training.transfer import features, linear
from helpers.models import liven
from helpers.painting import COLORS, Run, paint

READS = "bn+4c+4e+5a"
SIZE = 64
QUICK = {"batch": 8, "workers": 0, "epochs": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has learnt nothing, but whose features differ from photo to photo."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    net = GoogLeNet(2).eval()
    liven(net, seed=3)
    card = ModelMetadata(classes=("x", "y"), dialect="bn", preprocessing=Preprocessing(size=SIZE))
    checkpoint.save(path, net, card)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for number, (name, color) in enumerate(COLORS.items()):
        for i in range(15):
            paint(root / "train" / name / f"{i}.jpg", color, seed=100 * number + i)
            paint(root / "val" / name / f"{i}.jpg", color, seed=900 + 100 * number + i)
    return root


def events(out: Path, kind: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def sha256(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def test_two_stages_make_one_model(photos: Path, weights: Path, tmp_path: Path, googlenet: Run) -> None:
    out = tmp_path / "run"
    found = train(str(photos), out, Settings(weights=str(weights), **QUICK))  # type: ignore[arg-type]
    card = read_metadata(out / "model.safetensors")
    assert card.dialect == READS and card.preprocessing.size == SIZE
    assert found is not None and found.top1 > 0.9  # type: ignore[union-attr]
    first, second = events(out, "stage")
    assert (first["stage"], second["stage"]) == (1, 2)
    assert first["held_out"] == second["held_out"] == 3 * round(0.1 * 15)
    config = read_run_config(out)
    assert config.decision.first_stage and config.decision.freeze == "inception_3a"
    assert config.decision.plan.samples == 3 * 15 - 3 * round(0.1 * 15)
    assert not list((out / "state").glob("features-*"))
    done = googlenet("predict", out, photos / "val" / "red" / "0.jpg", "--format", "jsonl")
    assert done.returncode == 0 and json.loads(done.stdout.splitlines()[0])["label"] == "red"


def test_the_classifier_is_that_of_scikit_learn_on_the_networks_own_averages(
    photos: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train(str(photos), out, Settings(weights=str(weights), minutes=0.25, workers=0))
    net = checkpoint.load(out / "state" / "first-stage.safetensors")
    index = open_data(str(photos)).split("train")
    assert net.metadata is not None
    squares = np.stack([preprocess(index.read(i), net.metadata.preprocessing) for i in range(len(index))])
    with torch.inference_mode():
        maps = net.maps(network_input(torch.from_numpy(squares), net.metadata.preprocessing))
        averages = maps.mean(dim=(2, 3)).numpy().astype(np.float64)
        logits = net.classify(maps).numpy()
    averages = averages[:, averages.std(axis=0) > 1e-9]
    rows = (averages - averages.mean(axis=0)) / averages.std(axis=0)
    strength = read_strength(out)
    theirs = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(rows, index.labels)
    gap = theirs.predict_proba(rows) - torch.from_numpy(logits).softmax(dim=1).numpy()
    assert abs(gap).max() < 0.02  # bfloat16 where the processor has it, and the solver's tolerance


def read_strength(out: Path) -> float:
    from googlenet.training.state import load_state

    return float(load_state(out)[1]["first_stage"]["strength"])


KILLED = {
    "features": "from googlenet.files import modelfile as m\nname = 'write'\n"
    "due = lambda path, *rest: 'features-0' in str(path)",
    "fit": "from googlenet.training.transfer import first_stage as m\nname = 'fit_linear'\ndue = None",
    "after": "from googlenet.training import stages as m\nname = '_tell'\ndue = None",
    "second": "from googlenet.training import loop as m\nname = '_step'\n"
    "due = lambda run, batch: run.step == 4",
}
KILL = (
    "import os\n{where}\nold = getattr(m, name)\n"
    "def new(*a, **k):\n"
    "    if due is None or due(*a):\n"
    "        if name == 'write': old(*a, **k)\n"
    "        os.kill(os.getpid(), 9)\n"
    "    return old(*a, **k)\n"
    "setattr(m, name, new)\n"
)


def program(words: list[object], *, first: str = "") -> int:
    """Run the program in a process of its own, after these lines; its exit status."""
    code = f"{first}from googlenet.cli.main import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, timeout=300
    ).returncode


@pytest.fixture(scope="module")
def whole(photos: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[object], str]:
    """The words of a run, and the SHA-256 of the model that it leaves when nothing interrupts it."""
    words = ["train", photos, "--weights", weights, "--batch", 8, "--workers", 0, "--epochs", 2]
    out = tmp_path_factory.mktemp("whole") / "run"
    assert program([*words, "--out", out]) == 0
    return words, sha256(out)


@pytest.mark.parametrize("stage", KILLED)
def test_a_run_killed_in_any_stage_resumes_to_the_same_bytes(
    whole: tuple[list[object], str], tmp_path: Path, stage: str
) -> None:
    words, expected = whole
    out = tmp_path / "killed"
    assert program([*words, "--out", out], first=KILL.format(where=KILLED[stage])) == -9
    assert program(["train", "--resume", "--out", out]) == 0
    assert sha256(out) == expected


def test_a_second_stage_that_is_no_better_is_not_kept(
    photos: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def bad(run: Session) -> dict[float, HeldOut]:
        assert run.first_stage is not None and run.first_stage.held_out is not None
        worse = HeldOut(right=0, losses=(9.0,) * run.first_stage.held_out.photos)
        return dict.fromkeys(stages.SHARES, worse)

    monkeypatch.setattr(stages, "measure_shares", bad)
    out = tmp_path / "run"
    train(str(photos), out, Settings(weights=str(weights), **QUICK))  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert "the model is stage 1's, as it is not clearly better" in " ".join(said.split())
    mine, first = (
        checkpoint.read(path)[0]
        for path in (out / "model.safetensors", out / "state" / "first-stage.safetensors")
    )
    assert all(np.array_equal(mine[name], first[name]) for name in first)
    assert events(out, "stage")[1]["kept"] is False


def test_a_mean_of_both_stages_weights_is_the_model(
    photos: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_way(run: Session) -> dict[float, HeldOut]:
        assert run.first_stage is not None and run.first_stage.held_out is not None
        count = run.first_stage.held_out.photos
        losses = {1 / 3: 9.0, 2 / 3: 0.001, 1.0: 9.0}
        return {share: HeldOut(right=0, losses=(loss,) * count) for share, loss in losses.items()}

    monkeypatch.setattr(stages, "measure_shares", half_way)
    monkeypatch.setattr(HeldOut, "is_better_than", lambda self, other: self.loss < other.loss)
    out = tmp_path / "run"
    train(str(photos), out, Settings(weights=str(weights), **QUICK))  # type: ignore[arg-type]
    mine, first = (
        checkpoint.read(path)[0]
        for path in (out / "model.safetensors", out / "state" / "first-stage.safetensors")
    )
    second = load_state(out)[0]
    for name in ("classifier.weight", "trunk.inception_5b.n5x5.conv.weight"):
        expected = first[name] / 3 + 2 * second[f"average.net.{name}"] / 3
        assert np.allclose(mine[name], expected, atol=1e-6)
    assert events(out, "stage")[1]["share"] == pytest.approx(0.6667)


@pytest.mark.parametrize(
    ("photos", "losses", "expected"),
    [
        (40, {0.0: 1.0, 1 / 3: 0.9, 2 / 3: 0.9, 1.0: 1.5}, 1 / 3),
        (40, {0.0: 1.0, 1 / 3: 0.9, 2 / 3: 0.5, 1.0: 1.5}, 2 / 3),
        (40, {0.0: 0.2, 1 / 3: 0.9, 2 / 3: 0.9, 1.0: 1.5}, 0.0),
        (40, {0.0: 1.0, 1 / 3: 1.001, 2 / 3: 1.2, 1.0: 1.5}, 1 / 3),  # within the noise
        (10, {0.0: 1.0, 1 / 3: 1.01, 2 / 3: 1.2, 1.0: 1.5}, 0.0),  # so few say nothing
        (10, {0.0: 1.0, 1 / 3: 0.1, 2 / 3: 0.2, 1.0: 0.3}, 1 / 3),
    ],
)
def test_how_much_of_the_second_stage_is_kept(
    photos: int, losses: dict[float, float], expected: float
) -> None:
    noise = np.tile([-0.05, 0.05], photos // 2)
    each = {
        share: HeldOut(right=0, losses=tuple((loss + (1 + share) * noise).tolist()))
        for share, loss in losses.items()
    }
    assert stages.choose_share(each) == expected


def test_one_photo_of_a_class_leaves_none_to_compare_by(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few"
    shutil.copytree(photos, few)
    for extra in sorted((few / "train" / "red").iterdir())[1:]:
        extra.unlink()
    train(str(few), tmp_path / "run", Settings(weights=str(weights), **QUICK))  # type: ignore[arg-type]
    assert "no stage 2: a class has a single photo" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_a_budget_that_holds_the_first_stage_alone_says_so(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(str(photos), tmp_path / "run", Settings(weights=str(weights), minutes=0.2, workers=0))
    assert "no stage 2: what is left of the time" in " ".join(capsys.readouterr().err.split())


def test_weights_of_the_same_classes_need_no_first_stage(photos: Path, weights: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    train(str(photos), first, Settings(weights=str(weights), **QUICK))  # type: ignore[arg-type]
    again = tmp_path / "again"
    train(str(photos), again, Settings(weights=str(first), **QUICK))  # type: ignore[arg-type]
    assert read_metadata(again / "model.safetensors").dialect == READS
    assert not read_run_config(again).decision.first_stage and not events(again, "stage")


def test_kept_features_are_the_networks_and_are_made_again_when_they_do_not_fit(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = checkpoint.load(weights)
    assert net.metadata is not None
    index, taken = open_data(str(photos)).split("train"), net.metadata.preprocessing
    extractor = feature_extractor(net, taken, device="cpu", precision="float32")

    def kept(net: GoogLeNet, *, mirror: bool = True) -> np.ndarray:
        return features.kept_features(
            net, extractor, index, taken, folder=tmp_path / "f", mirror=mirror, progress=no_advance
        )

    found = kept(net)
    squares = np.stack([preprocess(index.read(i), taken) for i in range(4)])
    for view, pixels in enumerate((squares, squares[:, :, ::-1].copy())):
        with torch.inference_mode():
            own = net.maps(network_input(torch.from_numpy(pixels), taken)).mean(dim=(2, 3)).numpy()
        assert found[:4, view] == pytest.approx(own, rel=1e-3, abs=1e-4)
    (file,) = (tmp_path / "f").iterdir()
    before = file.read_bytes()
    assert np.array_equal(kept(net), found) and file.read_bytes() == before
    file.write_bytes(before[:-7] + b"altered")
    assert np.array_equal(kept(net), found)
    assert "are made again" in capsys.readouterr().err
    with torch.no_grad():
        net.trunk.conv1.conv.weight += 1
    kept(net)
    assert "of other photos or another network" in " ".join(capsys.readouterr().err.split())


def test_few_rows_in_many_channels_have_the_same_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, 1, 400)).astype(np.float32)
    labels = np.arange(60) % 3
    rows[:, 0, :3] += 3 * np.eye(3)[labels]
    names = [str(i) for i in range(60)]
    quick = linear.fit_linear(rows, labels, names, classes=3, strength=1e-2)
    monkeypatch.setattr(linear, "_MANY", 10**9)
    plain = linear.fit_linear(rows, labels, names, classes=3, strength=1e-2)
    assert quick.logits(rows[:, 0]) == pytest.approx(plain.logits(rows[:, 0]), abs=0.02)


def test_two_classes_and_a_class_without_photos() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2, 10)).astype(np.float32)
    labels = np.arange(40) % 2
    rows[:, :, 0] += 4 * labels[:, None]
    names = [str(i) for i in range(40)]
    two = linear.fit_linear(rows, labels, names, classes=2)
    assert two.weight.shape == (2, 10) and two.accuracy is not None and two.accuracy > 0.9
    three = linear.fit_linear(rows, labels * 2, names, classes=3)
    assert (three.logits(rows[:, 0]).argmax(axis=1) == labels * 2).mean() > 0.9


def test_the_recipe_needs_weights() -> None:
    with pytest.raises(InputError, match="--weights with --recipe transfer"):
        train("digits", Path("nowhere"), Settings(recipe="transfer"))


@pytest.mark.parametrize("name", ["bn+5b", "bn+4e+4e", "dense+4e", "bn+pool3", "bn+"])
def test_names_of_what_a_classifier_reads(name: str) -> None:
    assert dialect("bvlc+4e+5a").also_read == ("inception_4e", "inception_5a")
    assert dialect("bn-stem4+4e").stem == 4
    with pytest.raises(InputError, match="MODULE with modules among"):
        dialect(name)


@pytest.mark.parametrize(
    ("gains", "better"),
    [
        ([0.1] * 20, True),
        ([0.1, -0.1] * 10, False),  # no gain
        ([0.9, -0.7] * 10, False),  # 0.1, within its standard error of 0.18
        ([0.9, -0.7] * 40, True),  # 0.1, beyond 0.09
        ([-0.1] * 20, False),
        ([5.0], False),  # one photo says nothing
    ],
)
def test_the_second_stage_has_to_be_better_by_a_standard_error(gains: list[float], better: bool) -> None:
    before = HeldOut(right=0, losses=tuple(1.0 for _ in gains))
    after = HeldOut(right=0, losses=tuple(1.0 - gain for gain in gains))
    assert after.is_better_than(before) is better
