"""Dreams and exciting photos, against a plain loop over all photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet.base.errors import InputError
from googlenet.cli.main import main
from googlenet.images.decode import preprocess
from googlenet.interpret import deepdream, objectives, top_activations
from googlenet.interpret.deepdream import DreamSettings
from googlenet.nn.checkpoint import load
from googlenet.nn.model import GoogLeNet, network_input
from helpers.models import CLASSES, save


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "model.safetensors", "bn")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for i in range(41):
        low = generator.integers(0, 256, (generator.integers(3, 9), generator.integers(3, 9), 3), np.uint8)
        Image.fromarray(low).resize((90, 70), Image.Resampling.BICUBIC).save(folder / f"{i:02}.png")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return folder


@pytest.fixture(scope="module")
def net(model: Path) -> GoogLeNet:
    return load(model)


def activation(net: GoogLeNet, pixels: np.ndarray, term: objectives.ObjectiveTerm) -> float:
    assert net.metadata is not None
    images = network_input(torch.tensor(pixels)[None], net.metadata.preprocessing)
    with torch.inference_mode():
        return float(objectives.objective_values(objectives.layer_maps(net, images, [term.layer]), [[term]]))


@pytest.mark.parametrize("layer", ["inception_3b", "mixed4a_5x5_pre_relu", "logits"])
def test_a_dream_excites_the_layer_more_than_the_photo(net: GoogLeNet, photos: Path, layer: str) -> None:
    photo = np.asarray(Image.open(photos / "00.png").resize((120, 96)))
    term = objectives.unit(net, layer, 1) if layer == "logits" else objectives.whole_layer(net, layer)
    how = DreamSettings(octaves=2, steps=3)
    steps: list[int] = []
    found = deepdream.dream(net, photo, term, settings=how, progress=steps.append)
    assert found.shape == photo.shape and found.dtype == np.uint8
    assert len(steps) == 2 * 3
    assert activation(net, found, term) > activation(net, photo, term)
    again = deepdream.dream(net, photo, term, settings=how)
    np.testing.assert_array_equal(found, again)
    assert (
        deepdream.dream(net, photo, term, settings=DreamSettings(octaves=2, steps=3, seed=1)) != found
    ).any()
    difference = np.abs(found.astype(int) - photo.astype(int)).mean()
    assert 0.5 < difference < 1.5 * 6  # two sizes of three steps, each 1.5 on average


def test_sizes_of_a_dream() -> None:
    assert deepdream.octaves(200, 400, DreamSettings(octaves=3), least=64) == [
        (102, 204),
        (143, 286),
        (200, 400),
    ]
    assert deepdream.octaves(80, 400, DreamSettings(octaves=3), least=64) == [(80, 400)]
    assert deepdream.dream_size((4000, 3000), None, least=64) == (640, 480)
    assert deepdream.dream_size((32, 32), None, least=64) == (64, 64)
    assert deepdream.dream_size((300, 200), None, least=64) == (300, 200)
    assert deepdream.dream_size((300, 20), None, least=64) == (960, 64)
    assert deepdream.dream_size((300, 200), 150, least=64) == (150, 100)
    for photo, size in (((300, 20), 500), ((300, 200), 5000), ((9000, 10), None)):
        with pytest.raises(InputError, match="expected --size from"):
            deepdream.dream_size(photo, size, least=64)


def test_dream_from_the_command_line(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dream.png"
    words = ["dream", str(model), str(photos / "00.png"), "--out", str(out), "--octaves", "1", "--steps", "1"]
    assert main([*words, "--layer", "inception_3a"]) == 0
    with Image.open(out) as page:
        assert page.size == (90, 70)
    capsys.readouterr()
    for wrong, said in (
        (["--layer", "inception_3a"], "--force replaces it"),
        (["--layer", "inception_9z", "--force"], "expected a layer of the network"),
        (["--layer", "conv1:0-3", "--force"], "expected --layer with one channel or none"),
        (["--layer", "conv1:pre_relu", "--size", "20", "--force"], "expected --size from"),
        (["--layer", "conv1", "--rate", "0", "--force"], "expected --rate above 0"),
        (["--layer", "logits:none", "--force"], "expected one of the 3 classes"),
    ):
        assert main([*words, *wrong]) == 2
        assert said in capsys.readouterr().err
    other = str(tmp_path / "other.png")
    for name, code in (("bad.png", "truncated"), ("missing.png", "unreadable")):
        words = ["dream", str(model), str(photos / name), "--layer", "conv1", "--out", other]
        assert main(words) == 2
        assert f"googlenet: {photos / name}: {code}: " in capsys.readouterr().err
    assert not (tmp_path / "other.png").exists()


def plain_maps(net: GoogLeNet, layer: str, images: torch.Tensor) -> torch.Tensor:
    """Of one image, stage by stage, without hooks: [C, h, w]; of logits by the classifier at each place."""
    x = images
    for name, stage in net.trunk.named_children():
        if layer == "conv2:pre_relu" and name == "conv2":
            return stage.norm(stage.conv(x))[0]
        x = stage(x)
        if layer == "mixed3a" and name == "inception_3a":
            return x[0]
    return net.classifier(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)[0]


@pytest.mark.parametrize("by", ["max", "mean"])
@pytest.mark.parametrize("layer", ["mixed3a", "conv2:pre_relu", "logits"])
def test_the_most_exciting_photos_are_those_of_a_plain_loop(
    net: GoogLeNet, photos: Path, layer: str, by: top_activations.By
) -> None:
    paths = [str(path) for path in sorted(photos.iterdir())]
    found = top_activations.top_activating(net, layer, [0, 2], paths, count=5, by=by)
    assert net.metadata is not None
    values = []
    for path in paths[:-1]:
        square = preprocess(Path(path).read_bytes(), net.metadata.preprocessing)
        images = network_input(torch.tensor(square)[None], net.metadata.preprocessing)
        with torch.inference_mode():
            maps = plain_maps(net, layer, images)
        values.append((maps.amax(dim=(1, 2)) if by == "max" else maps.mean(dim=(1, 2)))[[0, 2]].tolist())
    for unit, best in enumerate(found.units):
        order = sorted(range(41), key=lambda i: -values[i][unit])[:5]
        assert [each.source for each in best] == [paths[i] for i in order]
        np.testing.assert_allclose([each.value for each in best], [values[i][unit] for i in order], rtol=1e-4)
        for each in best:
            assert (each.heat.max() if by == "max" else each.heat.mean()) == pytest.approx(each.value, 1e-4)
    assert found.seen == 41 and [Path(path).name for path, _ in found.bad] == ["bad.png"]


def test_top_activating_from_the_command_line(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "top.png"
    quick = ["--count", "3", "--size", "64", "--steps", "2", "--out", str(out)]
    assert main(["top-activating", str(model), "inception_3a:0,5", str(photos), *quick]) == 2
    said = capsys.readouterr()
    assert said.err.strip().splitlines()[-1].startswith(f"googlenet: {photos}/bad.png: ")
    assert [line.split(": ")[0] for line in said.out.splitlines()] == ["inception_3a:0", "inception_3a:5"]
    with Image.open(out) as page:
        assert page.width == 12 + 4 * (192 + 12)
    some = str(photos / "0*.png")
    words = ["top-activating", str(model), f"logits:{CLASSES[0]}", some, *quick, "--force"]
    assert main([*words, "--no-draw"]) == 0
    with Image.open(out) as page:
        assert page.width == 12 + 3 * (192 + 12)
    capsys.readouterr()
    for wrong, text in (
        ([str(model), "inception_3a:0", "-", *quick, "--force"], "expected files"),
        ([str(model), "inception_3a", some, *quick, "--force"], "at most 32 units"),
        ([str(model), "inception_3a:0", some, *quick, "--count", "0", "--force"], "--count"),
        ([str(model), "inception_3a:0", str(photos / "bad.png"), *quick, "--force"], "got none among 1; "),
    ):
        assert main(["top-activating", *wrong]) == 2
        assert text in capsys.readouterr().err
