"""Going on from weights that exist: kept, replaced, frozen, refused."""

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError, ModelFileError
from googlenet.data.folder import open_data
from googlenet.evaluation import metrics
from googlenet.files.metadata import ModelMetadata
from googlenet.files.modelfile import read, read_metadata, write
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads
from googlenet.training import loop, optim
from googlenet.training.decision.decide import choose_recipe
from googlenet.training.decision.recipe import SMOKE
from googlenet.training.decision.settings import Settings
from googlenet.training.train import resume, train
from googlenet.training.transfer import pretrained as transfer
from googlenet.weights import convert
from helpers.models import liven
from helpers.painting import COLORS, Run, paint

CLASSES = tuple(sorted(COLORS))
QUICK = Settings(recipe="smoke", epochs=1, batch=8, workers=0)


def model_file(path: Path, classes: tuple[str, ...], *, dialect: str = "bn") -> tuple[Path, GoogLeNet]:
    net = GoogLeNet(len(classes), dialect_name=dialect).eval()
    liven(net, seed=3)
    card = ModelMetadata(classes=classes, dialect=dialect, preprocessing=Preprocessing(size=64))
    checkpoint.save(path, net, card)
    return path, net


def fresh_net(classes: int = 3) -> WithAuxiliaryHeads:
    torch.manual_seed(1)
    return WithAuxiliaryHeads(GoogLeNet(classes)).eval()


def stored(path: Path) -> tuple[dict[str, np.ndarray], ModelMetadata]:
    arrays, header = read(path)
    return arrays, ModelMetadata.from_header(header, path)


def test_same_classes_in_another_order_keep_the_classifier(tmp_path: Path) -> None:
    path, theirs = model_file(tmp_path / "m.safetensors", ("b", "c", "a"))
    net = fresh_net()
    fresh = transfer.load_pretrained(net, *stored(path), where="m", classes=("a", "b", "c"))
    assert fresh == ("heads",)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(net.net(x), theirs(x)[:, [2, 0, 1]], atol=1e-5)


def test_heads_come_along_if_the_file_has_them(tmp_path: Path) -> None:
    theirs = WithAuxiliaryHeads(GoogLeNet(3)).eval()
    liven(theirs, seed=5)
    card = ModelMetadata(classes=("b", "a", "c"), dialect="bn", preprocessing=Preprocessing(size=64))
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, theirs.net, card, heads=theirs.heads)
    net = fresh_net()
    assert transfer.load_pretrained(net, *stored(path), where="m", classes=("a", "b", "c")) == ()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for mine, other in zip(net(x), theirs(x), strict=True):
            assert torch.allclose(mine, other[:, [1, 0, 2]], atol=1e-5)


def test_other_classes_get_a_new_classifier(tmp_path: Path) -> None:
    path, theirs = model_file(tmp_path / "m.safetensors", ("x", "y"))
    net = fresh_net()
    before = net.net.classifier.weight.clone()
    assert transfer.load_pretrained(net, *stored(path), where="m", classes=("a", "b", "c")) == (
        "net.classifier",
        "heads",
    )
    assert torch.equal(net.net.classifier.weight, before)
    conv = "trunk.inception_4a.n5x5.conv.weight"
    assert torch.equal(net.net.state_dict()[conv], theirs.state_dict()[conv])


def test_a_mismatch_is_listed_by_kind(tmp_path: Path) -> None:
    path, _ = model_file(tmp_path / "m.safetensors", ("x", "y"))
    arrays, header = read(path)
    arrays["trunk.conv9.weight"] = arrays.pop("trunk.conv1.conv.weight")
    arrays["trunk.conv2.conv.weight"] = arrays["trunk.conv2.conv.weight"][:5]
    write(path, arrays, header)
    with pytest.raises(ModelFileError) as caught:
        convert.load(str(path))
    for part in (
        str(path),
        "missing trunk.conv1.conv.weight",
        "unexpected trunk.conv9.weight",
        "misshapen trunk.conv2.conv.weight [5, 64, 3, 3] for [192, 64, 3, 3]",
        "nothing was loaded",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_a_classifier_of_other_classes_than_the_card_is_refused(tmp_path: Path, rows: int) -> None:
    path, _ = model_file(tmp_path / "m.safetensors", ("x", "y"))
    arrays, header = read(path)
    del arrays["classifier.weight"]
    if rows:
        arrays["classifier.weight"] = np.zeros((rows, 1024), np.float32)
    write(path, arrays, header)
    with pytest.raises(ModelFileError, match=r"classifier\.weight"):
        convert.load(str(path))


def test_kept_weights_move_at_a_tenth_of_the_rate() -> None:
    net = fresh_net()
    kept = transfer.pretrained_parameters(net, ("net.classifier", "heads"))
    groups = optim.build_optimizer(net, SMOKE, kept=kept).param_groups
    factor = {id(p): group["factor"] for group in groups for p in group["params"]}
    assert factor[id(net.net.classifier.weight)] == 1.0
    assert factor[id(net.heads["inception_4a"].hidden.weight)] == 1.0  # type: ignore[union-attr]
    assert factor[id(net.net.trunk.get_submodule("conv1.conv").weight)] == SMOKE.pretrained_lr_factor == 0.1
    assert len(factor) == len(list(net.parameters()))


def test_frozen_stages_stay_as_they_were_to_the_bit(photos: Path, tmp_path: Path) -> None:
    path, theirs = model_file(tmp_path / "m.safetensors", ("x", "y"))
    settings = Settings(**{**vars(QUICK), "weights": str(path), "freeze": "inception_3b"})
    train(str(photos), tmp_path / "run", settings)
    found, _ = read(tmp_path / "run" / "model.safetensors")
    stages = list(theirs.channels)
    still = stages[: stages.index("inception_3b") + 1]
    for name, tensor in theirs.state_dict().items():
        if name.startswith("trunk.") and not name.endswith("num_batches_tracked"):
            same = np.array_equal(found[name], tensor.numpy())
            assert same == (name.split(".")[1] in still), name


def test_all_of_it_can_be_frozen_but_the_classifier(photos: Path, tmp_path: Path) -> None:
    path, theirs = model_file(tmp_path / "m.safetensors", ("x", "y"))
    settings = Settings(**{**vars(QUICK), "weights": str(path), "freeze": "inception_5b"})
    train(str(photos), tmp_path / "run", settings)
    found, _ = read(tmp_path / "run" / "model.safetensors")
    conv = "trunk.inception_5b.n5x5.conv.weight"
    assert np.array_equal(found[conv], theirs.state_dict()[conv].numpy())


def test_a_run_remembers_where_it_went_on_from_and_what_that_had_seen(photos: Path, tmp_path: Path) -> None:
    train(str(photos), tmp_path / "first", QUICK)
    others = tmp_path / "others"
    for name in COLORS:
        for i in range(4):
            paint(others / f"not {name}" / f"{i}.jpg", (9, 9, 9), seed=i)
    train(str(others), tmp_path / "second", Settings(**{**vars(QUICK), "weights": str(tmp_path / "first")}))
    card = read_metadata(tmp_path / "second" / "model.safetensors")
    digest = hashlib.sha256((tmp_path / "first" / "model.safetensors").read_bytes()).hexdigest()
    assert card.data["went_on_from"] == {"name": str(tmp_path / "first"), "sha256": digest}
    first = read_metadata(tmp_path / "first" / "model.safetensors")
    assert set(first.data["sketch"]) < set(card.data["sketch"])


@pytest.mark.parametrize("name", ["paper", "bvlc", "inception5h"])
def test_dialects_without_batch_normalization_train_by_default(
    photos: Path, tmp_path: Path, name: str
) -> None:
    found = train(str(photos), tmp_path / "run", Settings(**{**vars(QUICK), "dialect": name}))
    assert isinstance(found, metrics.Metrics)
    assert read_metadata(tmp_path / "run" / "model.safetensors").recipe["init"] == "xavier"


def test_a_run_of_before_these_options_goes_on(photos: Path, tmp_path: Path) -> None:
    train(str(photos), tmp_path / "run", QUICK)
    file = tmp_path / "run" / "recipe.json"
    config = json.loads(file.read_text())
    for name in ("fresh", "freeze", "weights"):
        del config[name]
    file.write_text(json.dumps(config))
    assert isinstance(
        resume(tmp_path / "run", Settings(epochs=2, workers=0, accept_changes=True)), metrics.Metrics
    )


class StopSoon(list[int]):
    """A list of signals that gets its first one when it has been asked for it a few times."""

    def __bool__(self) -> bool:
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked == 5:
            self.append(15)
        return len(self) > 0


def test_a_run_that_diverges_stops_in_one_line(googlenet: Run, photos: Path, tmp_path: Path) -> None:
    model_file(tmp_path / "m.safetensors", ("x", "y"), dialect="bvlc")
    words = (
        "--recipe",
        "smoke",
        "--batch",
        "8",
        "--epochs",
        "2",
        "--lr",
        "0.01",
        "--weights",
        "m.safetensors",
    )
    done = googlenet("train", photos, "--out", "run", *words)
    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.strip().splitlines()
    assert "finite" in last and "lower --lr" in last and "Traceback" not in done.stderr


@pytest.mark.parametrize("dialect", ["bn", "bvlc", "inception5h", "slim"])
def test_a_fine_tuned_run_resumes_exactly(
    dialect: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = model_file(tmp_path / "m.safetensors", ("x", "y"), dialect=dialect)
    settings = Settings(**{**vars(QUICK), "weights": str(path), "freeze": "pool2", "epochs": 2, "lr": 1e-5})
    train(str(photos), tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "collected_signals", lambda: contextlib.nullcontext(StopSoon()))
        stopped = train(str(photos), tmp_path / "parts", settings)
    assert isinstance(stopped, loop.Interrupted)
    path.unlink()  # a resume needs the run folder only
    resume(tmp_path / "parts", Settings(workers=0))
    names = [tmp_path / run / "model.safetensors" for run in ("whole", "parts")]
    assert names[0].read_bytes() == names[1].read_bytes()


@pytest.mark.parametrize(
    "words, said",
    [
        (["--freeze", "inception_3a"], "expected --weights with --freeze"),
        (["--weights", "bn.safetensors", "--freeze", "conv7"], "expected --freeze among conv1, pool1"),
        (["--weights", "bn.safetensors", "--freeze", "norm1"], "expected --freeze with a stage among"),
        (["--weights", "bn.safetensors", "--dialect", "paper"], "expected --dialect bn for these weights"),
        (["--weights", "nowhere.pth"], "got 'nowhere.pth'"),
        (["--weights", "text.pth"], "text.pth"),
        (["--lr", "0"], "expected --lr above 0"),
        (["--init", "zeros"], "expected --init among default, he, xavier, truncated"),
        (["--dialect", "caffe"], "expected a dialect among bn, paper, torchvision"),
    ],
)
def test_wrong_words_leave_no_run(
    googlenet: Run, photos: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    model_file(tmp_path / "bn.safetensors", ("x", "y"))
    (tmp_path / "text.pth").write_text("no weights")
    done = googlenet("train", photos, "--out", "run", "--recipe", "smoke", *words)
    assert done.returncode == 2
    *_, last = done.stderr.strip().splitlines()
    assert said in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_stage_names_are_listed_for_a_wrong_one(photos: Path) -> None:
    with pytest.raises(InputError, match="conv1, pool1, conv2_reduce"):
        choose_recipe(Settings(weights="w", freeze="norm1"), open_data(str(photos)), None)
