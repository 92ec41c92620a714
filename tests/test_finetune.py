"""Going on from weights that exist: kept, replaced, frozen, refused."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import COLOURS, Run
from googlenet import checkpoint, finetune, optim
from googlenet import train as training
from googlenet.dialects import Preprocessing
from googlenet.errors import InputError, ModelFileError
from googlenet.model import GoogLeNet, WithAuxiliaryHeads
from googlenet.modelfile import Card, read
from googlenet.recipe import SMOKE, Settings
from googlenet.train import resume, train
from test_model import liven

CLASSES = tuple(sorted(COLOURS))
QUICK = Settings(recipe="smoke", epochs=1, batch=8, workers=0)


def model_file(path: Path, classes: tuple[str, ...], *, dialect: str = "bn") -> tuple[Path, GoogLeNet]:
    net = GoogLeNet(len(classes), dialect_name=dialect).eval()
    liven(net, seed=3)
    card = Card(classes=classes, dialect=dialect, preprocessing=Preprocessing(size=64))
    checkpoint.save(path, net, card)
    return path, net


def fresh_net(classes: int = 3) -> WithAuxiliaryHeads:
    torch.manual_seed(1)
    return WithAuxiliaryHeads(GoogLeNet(classes)).eval()


def stored(path: Path) -> tuple[dict[str, np.ndarray], Card]:
    arrays, header = read(path)
    return arrays, Card.from_header(header, path)


def test_same_classes_in_another_order_keep_the_classifier(tmp_path: Path) -> None:
    path, theirs = model_file(tmp_path / "m.safetensors", ("b", "c", "a"))
    net = fresh_net()
    fresh = finetune.adopt(net, *stored(path), classes=("a", "b", "c"))
    assert fresh == ("heads",)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(net.net(x), theirs(x)[:, [2, 0, 1]], atol=1e-5)


def test_heads_come_along_if_the_file_has_them(tmp_path: Path) -> None:
    theirs = WithAuxiliaryHeads(GoogLeNet(3)).eval()
    liven(theirs, seed=5)
    card = Card(classes=("b", "a", "c"), dialect="bn", preprocessing=Preprocessing(size=64))
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, theirs.net, card, heads=theirs.heads)
    net = fresh_net()
    assert finetune.adopt(net, *stored(path), classes=("a", "b", "c")) == ()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for mine, other in zip(net(x), theirs(x), strict=True):
            assert torch.allclose(mine, other[:, [1, 0, 2]], atol=1e-5)


def test_other_classes_get_a_new_classifier(tmp_path: Path) -> None:
    path, theirs = model_file(tmp_path / "m.safetensors", ("x", "y"))
    net = fresh_net()
    before = net.net.classifier.weight.clone()
    assert finetune.adopt(net, *stored(path), classes=("a", "b", "c")) == ("net.classifier", "heads")
    assert torch.equal(net.net.classifier.weight, before)
    conv = "trunk.inception_4a.n5x5.conv.weight"
    assert torch.equal(net.net.state_dict()[conv], theirs.state_dict()[conv])


def test_a_mismatch_is_listed_and_nothing_is_loaded(tmp_path: Path) -> None:
    path, _ = model_file(tmp_path / "m.safetensors", ("x", "y"))
    arrays, card = stored(path)
    arrays["trunk.conv9.weight"] = arrays.pop("trunk.conv1.conv.weight")
    arrays["trunk.conv2.conv.weight"] = arrays["trunk.conv2.conv.weight"][:5]
    net = fresh_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ModelFileError) as caught:
        finetune.adopt(net, arrays, card, classes=("a", "b", "c"))
    for part in ("conv1.conv.weight missing", "trunk.conv9.weight unknown", "[5, 64, 3, 3], expected [192"):
        assert part in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_kept_weights_move_at_a_tenth_of_the_rate() -> None:
    net = fresh_net()
    kept = finetune.kept(net, ("net.classifier", "heads"))
    groups = optim.optimiser(net, SMOKE, kept=kept).param_groups
    factor = {id(p): group["factor"] for group in groups for p in group["params"]}
    assert factor[id(net.net.classifier.weight)] == 1.0
    assert factor[id(net.heads["inception_4a"].hidden.weight)] == 1.0  # type: ignore[union-attr]
    assert factor[id(net.net.trunk.get_submodule("conv1.conv").weight)] == SMOKE.kept_rate == 0.1
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


class StopSoon(list[int]):
    """A list of signals that gets its first one when it has been asked for it a few times."""

    def __bool__(self) -> bool:
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked == 5:
            self.append(15)
        return len(self) > 0


def test_a_fine_tuned_run_resumes_exactly(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = model_file(tmp_path / "m.safetensors", ("x", "y"))
    settings = Settings(**{**vars(QUICK), "weights": str(path), "freeze": "pool2", "epochs": 2})
    train(str(photos), tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_signals", lambda: contextlib.nullcontext(StopSoon()))
        stopped = train(str(photos), tmp_path / "parts", settings)
    assert isinstance(stopped, training.Interrupted)
    path.unlink()  # a resume needs the run folder only
    resume(tmp_path / "parts", Settings(workers=0))
    names = [tmp_path / run / "model.safetensors" for run in ("whole", "parts")]
    assert names[0].read_bytes() == names[1].read_bytes()


@pytest.mark.parametrize(
    "words, said",
    [
        (["--freeze", "inception_3a"], "expected --weights with --freeze"),
        (["--weights", "bn.safetensors", "--freeze", "conv7"], "expected --freeze among conv1, pool1"),
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


def test_stage_names_are_listed_for_a_wrong_one() -> None:
    with pytest.raises(InputError, match="conv1, pool1, conv2_reduce"):
        finetune.freeze(fresh_net(), "norm1")
