"""Feature visualization: the image's parameters by hand, and that it finds what a unit answers to."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet.architecture.dialects import Preprocessing
from googlenet.cli.main import main
from googlenet.interpret import fourier_image, objectives, visualization
from googlenet.interpret.redirected_relu import RedirectedReLU
from googlenet.interpret.visualization import DrawingSettings
from googlenet.nn.activations import features
from googlenet.nn.model import GoogLeNet
from helpers.models import CLASSES, liven, save

TAKEN = Preprocessing(size=64)
QUICK = DrawingSettings(size=64, steps=12)


@pytest.fixture(scope="module")
def net() -> GoogLeNet:
    torch.manual_seed(0)
    return liven(GoogLeNet(3)).eval()


def test_images_are_the_inverse_transform_in_correlated_colors() -> None:
    waves = fourier_image.FourierImages(2, 6, generator=torch.Generator().manual_seed(3))
    spectrum = torch.view_as_complex(waves.waves.detach()).numpy()
    rows, columns = np.fft.fftfreq(6)[:, None], np.fft.rfftfreq(6)[None]
    scale = 6 / np.maximum(np.sqrt(rows**2 + columns**2), 1 / 6) / 4
    pixels = np.fft.irfft2(spectrum * scale, s=(6, 6))
    colors = np.array(fourier_image._COLORS)
    colors = colors / np.sqrt((colors**2).sum(axis=0)).max()
    expected = 1 / (1 + np.exp(-np.einsum("ij,njhw->nihw", colors, pixels)))
    np.testing.assert_allclose(waves().detach().numpy(), expected, atol=1e-5)


def test_a_transformed_image_stays_within_its_bounds_and_its_middle_in_the_middle() -> None:
    images = torch.full((1, 3, 96, 96), 0.5)
    images[:, :, 40:56, 40:56] = 1
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        found = fourier_image.randomly_transformed(images, generator)
        assert found.min() >= 0.5 - 1e-6 and found.max() <= 1 + 1e-6
        assert found[0, 0, 48, 48] > 0.99
        assert found[0, 0, :24].max() == pytest.approx(0.5)


def test_each_channel_is_excited_more_than_by_noise(net: GoogLeNet) -> None:
    channels = [0, 7, 30]
    before = visualization.visualize(
        net, "conv2", channels, preprocessing=TAKEN, settings=DrawingSettings(size=64, steps=1, rate=1e-9)
    )
    found = visualization.visualize(net, "conv2", channels, preprocessing=TAKEN, settings=QUICK)
    images, values = found.images, found.values
    assert images.shape == before.images.shape == (3, 64, 64, 3) and images.dtype == np.uint8
    assert (values > 1.5 * before.values).all()
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    normalized = (inputs - torch.tensor(TAKEN.mean)[:, None, None]) / torch.tensor(TAKEN.std)[:, None, None]
    with torch.inference_mode():
        x = normalized
        for name, stage in net.trunk.named_children():
            x = stage(x)
            if name == "conv2":
                break
    found = x.mean(dim=(2, 3))[:, channels].numpy()
    np.testing.assert_allclose(found.diagonal(), values, rtol=0.05)  # but for rounding to bytes


def test_the_same_seed_the_same_image_and_the_network_is_left_as_it_was(net: GoogLeNet) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    kinds = [type(module) for module in net.modules()]
    draw = [
        visualization.visualize(
            net,
            "inception_3a/5x5",
            [1],
            preprocessing=TAKEN,
            settings=DrawingSettings(size=64, steps=3, seed=seed),
        ).images
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(draw[0], draw[1])
    assert (draw[0] != draw[2]).any()
    assert [type(module) for module in net.modules()] == kinds
    for name, value in net.state_dict().items():
        assert torch.equal(before[name], value)
    assert all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("layer", ["mixed4a:pre_relu", "inception_5b", "pool1", "logits"])
def test_any_kind_of_layer(net: GoogLeNet, layer: str) -> None:
    look, neuron = DrawingSettings(size=64, steps=2, variants=2), layer == "inception_5b"
    found = visualization.visualize(net, layer, [0, 2], preprocessing=TAKEN, settings=look, neuron=neuron)
    assert found.images.shape == (4, 64, 64, 3) and np.isfinite(found.values).all()
    assert found.titles == ("0", "0", "2", "2")
    assert (found.images[0] != found.images[1]).any()


def test_a_network_with_a_dense_layer_has_logits_too() -> None:
    dense = liven(GoogLeNet(3, dialect_name="dense")).eval()
    found = visualization.visualize(
        dense, "logits", [1], preprocessing=TAKEN, settings=DrawingSettings(size=64, steps=1)
    )
    assert found.images.shape == (1, 64, 64, 3)


def test_a_unit_that_is_off_gets_a_gradient_at_first() -> None:
    x = torch.tensor([[[[-1.0, -2.0]]], [[[3.0, -4.0]]]], requires_grad=True)
    relu = RedirectedReLU()
    relu.redirects = True
    (relu(x) * torch.tensor([-1.0, 1.0])).sum().backward()
    # the first image is off: what would push it further down is kept out; the second as usual
    assert x.grad.flatten().tolist() == [-1, 0, -1, 0]
    x.grad = None
    relu.redirects = False
    relu(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 0, 1, 0]


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = save(tmp_path / "model.safetensors", "bn"), tmp_path / "units.png"
    words = ["visualize", str(model), "--out", str(out), "--size", "64", "--steps", "2"]
    assert main([*words, "inception_3b:0-4"]) == 0
    with Image.open(out) as page:
        assert page.width == 12 + 3 * (64 + 12)
    assert main([*words, f"logits:{CLASSES[1]}", "--force", "--variants", "2"]) == 0
    capsys.readouterr()
    for wrong, said in (
        (["conv1:99", "--force"], "from 0 to 63"),
        (["conv1:0"], "--force replaces it"),
        (["conv1:0", "--force", "--size", "32"], "expected --size of at least 64"),
        (["conv1:0", "--force", "--steps", "0"], "--steps"),
    ):
        assert main([*words, *wrong]) == 2
        assert said in capsys.readouterr().err
    export = tmp_path / "export"
    assert main(["export", str(model), "--out", str(export), "--to", "onnx"]) == 0
    capsys.readouterr()
    assert main(["visualize", str(export), "conv1:0", "--out", str(out), "--force"]) == 2
    assert "only explain --method cam and occlusion" in capsys.readouterr().err


def test_a_sum_of_units_a_direction_and_a_whole_layer(net: GoogLeNet) -> None:
    vector = np.zeros(net.channels["conv2"], np.float32)
    vector[[3, 5]] = 1.0, -2.0
    asked = [
        [objectives.direction(net, "conv2", vector)],
        [objectives.unit(net, "conv2", 3), objectives.unit(net, "mixed3a:pre_relu", 5, weight=-2.0)],
        [objectives.whole_layer(net, "inception_3a/5x5")],
    ]
    found = visualization.draw(net, asked, preprocessing=TAKEN, settings=QUICK)
    assert found.titles == ("conv2", "3 + 5", "inception_3a/5x5")
    tensor = torch.from_numpy(found.images).permute(0, 3, 1, 2) / 255
    normalized = (tensor - torch.tensor(TAKEN.mean)[:, None, None]) / torch.tensor(TAKEN.std)[:, None, None]
    given = features(net, normalized, layers=["conv2", "inception_3a:pre_relu", "inception_3a/5x5"])
    first, second = (maps.mean(dim=(2, 3)).numpy() for maps in list(given.values())[:2])
    square = given["inception_3a/5x5"].square().mean(dim=(1, 2, 3)).numpy()
    expected = [first[0, 3] - 2 * first[0, 5], first[1, 3] - 2 * second[1, 5], square[2]]
    np.testing.assert_allclose(found.values, expected, rtol=0.05)  # but for rounding to bytes
    start = visualization.draw(
        net, asked, preprocessing=TAKEN, settings=DrawingSettings(size=64, steps=1, rate=1e-9)
    )
    assert (found.values > start.values + 0.1 * np.abs(start.values)).all()


def test_a_direction_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = save(tmp_path / "model.safetensors", "bn"), tmp_path / "units.png"
    np.save(tmp_path / "v.npy", np.arange(64))
    np.save(tmp_path / "short.npy", np.arange(63.0))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "nothing.npy", np.zeros(64))
    words = ["visualize", str(model), "conv1", "--out", str(out), "--size", "64", "--steps", "2", "--force"]
    assert main([*words, "--direction", str(tmp_path / "v.npy")]) == 0
    assert main([*words, "--objective", "layer"]) == 0
    capsys.readouterr()
    for wrong in ("short", "objects", "nothing", "missing"):
        assert main([*words, "--direction", str(tmp_path / f"{wrong}.npy")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("googlenet: expected a ") and said.count("\n") == 1
    assert main([*words, "--direction", str(tmp_path / "v.npy"), "--objective", "layer"]) == 2
