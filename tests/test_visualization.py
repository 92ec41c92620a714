"""Feature visualisation: the image's parameters by hand, and that it finds what a unit answers to."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet import layers, visualization
from googlenet.cli import main
from googlenet.dialects import Preprocessing
from googlenet.errors import InputError
from googlenet.model import GoogLeNet
from googlenet.sights import units
from googlenet.visualization import Look
from test_export import CLASSES, save
from test_model import liven

TAKEN = Preprocessing(size=64)
QUICK = Look(size=64, steps=12)


@pytest.fixture(scope="module")
def net() -> GoogLeNet:
    torch.manual_seed(0)
    return liven(GoogLeNet(3)).eval()


def test_images_are_the_inverse_transform_in_correlated_colours() -> None:
    waves = visualization.Waves(2, 6, generator=torch.Generator().manual_seed(3))
    spectrum = torch.view_as_complex(waves.waves.detach()).numpy()
    rows, columns = np.fft.fftfreq(6)[:, None], np.fft.rfftfreq(6)[None]
    scale = 6 / np.maximum(np.sqrt(rows**2 + columns**2), 1 / 6) / 4
    pixels = np.fft.irfft2(spectrum * scale, s=(6, 6))
    colours = np.array(visualization._COLOURS)
    colours = colours / np.sqrt((colours**2).sum(axis=0)).max()
    expected = 1 / (1 + np.exp(-np.einsum("ij,njhw->nihw", colours, pixels)))
    np.testing.assert_allclose(waves().detach().numpy(), expected, atol=1e-5)


def test_a_transformed_image_stays_within_its_bounds_and_its_middle_in_the_middle() -> None:
    images = torch.full((1, 3, 96, 96), 0.5)
    images[:, :, 40:56, 40:56] = 1
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        found = visualization.transformed(images, generator)
        assert found.min() >= 0.5 - 1e-6 and found.max() <= 1 + 1e-6
        assert found[0, 0, 48, 48] > 0.99
        assert found[0, 0, :24].max() == pytest.approx(0.5)


def test_each_channel_is_excited_more_than_by_noise(net: GoogLeNet) -> None:
    channels = [0, 7, 30]
    before, weak = visualization.visualize(
        net, "conv2", channels, taken=TAKEN, look=Look(size=64, steps=1, rate=1e-9)
    )
    images, values = visualization.visualize(net, "conv2", channels, taken=TAKEN, look=QUICK)
    assert images.shape == before.shape == (3, 64, 64, 3) and images.dtype == np.uint8
    assert (values > 1.5 * weak).all()
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    normalised = (inputs - torch.tensor(TAKEN.mean)[:, None, None]) / torch.tensor(TAKEN.std)[:, None, None]
    with torch.inference_mode():
        x = normalised
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
            net, "inception_3a/5x5", [1], taken=TAKEN, look=Look(size=64, steps=3, seed=seed)
        )[0]
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
    look = Look(size=64, steps=2, variants=2, neuron=layer == "inception_5b")
    images, values = visualization.visualize(net, layer, [0, 2], taken=TAKEN, look=look)
    assert images.shape == (4, 64, 64, 3) and np.isfinite(values).all()
    assert (images[0] != images[1]).any()


def test_a_network_with_a_dense_layer_has_logits_too() -> None:
    dense = liven(GoogLeNet(3, dialect_name="dense")).eval()
    images, _ = visualization.visualize(dense, "logits", [1], taken=TAKEN, look=Look(size=64, steps=1))
    assert images.shape == (1, 64, 64, 3)


def test_a_unit_that_is_off_gets_a_gradient_at_first() -> None:
    x = torch.tensor([[[[-1.0, -2.0]]], [[[3.0, -4.0]]]], requires_grad=True)
    relu = visualization._RedirectedReLU()
    relu.redirects = True
    (relu(x) * torch.tensor([-1.0, 1.0])).sum().backward()
    # the first image is off: what would push it further down is kept out; the second as usual
    assert x.grad.flatten().tolist() == [-1, 0, -1, 0]
    x.grad = None
    relu.redirects = False
    relu(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 0, 1, 0]


def test_units_as_written(net: GoogLeNet) -> None:
    def width(name: str) -> int:
        return layers.find(net, name).channels

    assert units("mixed4a:3", width, "ab") == ("mixed4a", [3])
    assert units("conv2:pre_relu:0-2,7", width, "ab") == ("conv2:pre_relu", [0, 1, 2, 7])
    assert units("inception_4a/5x5", width, "ab") == ("inception_4a/5x5", list(range(48)))
    assert units("logits:b", width, "ab") == ("logits", [1])
    for wrong, said in (
        ("conv1:64", "from 0 to 63, got 64"),
        ("conv1:5-3", "got 5-3"),
        ("conv9:1", "expected a layer of the network, got 'conv9'"),
        ("conv1:x", "expected a layer of the network, got 'conv1:x'"),
        ("logits:c", "expected one of the 2 classes"),
    ):
        with pytest.raises(InputError, match=said):
            units(wrong, width, "ab")


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
