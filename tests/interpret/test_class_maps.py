"""Why a model says so: exact maps, gradients against Captum and by hand, pictures over the whole photo."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import googlenet as package
from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError, ModelFileError
from googlenet.cli.main import main
from googlenet.export import export
from googlenet.files.metadata import ModelMetadata
from googlenet.images import heatmaps
from googlenet.images.decode import Pixels, png_bytes
from googlenet.inference.engines import open_exported
from googlenet.interpret import attribution, class_maps
from googlenet.nn import layer_names
from googlenet.nn.activations import recording
from googlenet.nn.model import GoogLeNet, network_input
from helpers.models import CLOTHES as CLASSES
from helpers.models import save, seen, small_net
from helpers.painting import photo


class Bright:
    """A predictor whose first logit is the mean brightness of one corner."""

    metadata = ModelMetadata(classes=CLASSES, dialect="bn", preprocessing=Preprocessing(size=64))
    classes, preprocessing = CLASSES, metadata.preprocessing

    def logits(self, images: Pixels) -> np.ndarray:
        corner = images[:, :20, :20].mean(axis=(1, 2, 3))
        return np.stack([corner, -corner, 0 * corner], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> GoogLeNet:
    return small_net()


def test_the_mean_of_a_class_map_is_the_logit(net: GoogLeNet) -> None:
    classifier = package.Classifier(net)
    found = class_maps.explain(photo(), classifier, top=3)
    square = seen(net)
    logits, bias = classifier.logits(square)[0], net.classifier.bias.detach().numpy()
    for reason in found.reasons:
        number = CLASSES.index(reason.label)
        assert reason.heat.shape == (3, 3)
        assert reason.heat.mean() == pytest.approx(logits[number], abs=1e-5)
        assert (reason.heat - bias[number]).mean() == pytest.approx(logits[number] - bias[number], abs=1e-5)
    assert [r.probability for r in found.reasons] == sorted(
        (r.probability for r in found.reasons), reverse=True
    )


def test_an_export_explains_the_same_without_gradients(tmp_path: Path) -> None:
    model = save(tmp_path / "model.safetensors", "bn")
    export.export(model, tmp_path / "out", to="openvino")
    ours = class_maps.explain(photo(), package.load_predictor(model))
    theirs = class_maps.explain(photo(), open_exported(tmp_path / "out", exact=True))
    assert ours.reasons[0].label == theirs.reasons[0].label
    np.testing.assert_allclose(theirs.reasons[0].heat, ours.reasons[0].heat, atol=1e-3)
    with pytest.raises(ModelFileError, match="no class maps"):
        package.load_predictor(save(tmp_path / "dense.safetensors", "dense")).class_maps(
            np.zeros((1, 64, 64, 3), np.uint8)
        )


def test_grad_cam_of_the_last_module_is_the_class_map_but_for_bias_and_scale(net: GoogLeNet) -> None:
    """Behind a global average the gradient of a map is its weight over the number of places."""
    square = seen(net)
    maps = package.Classifier(net).class_maps(square)[0]
    images = network_input(torch.from_numpy(square), net.metadata.preprocessing)
    for number in range(3):
        heat = attribution.grad_cam(net, images, number, layer_names.find_layer(net, "inception_5b"))
        expected = (maps[number] - net.classifier.bias[number].item()) / maps[number].size
        np.testing.assert_allclose(heat, expected, rtol=1e-3, atol=1e-6)


def test_grad_cam_of_a_layer_by_hand(net: GoogLeNet) -> None:
    square = seen(net)
    images = network_input(torch.from_numpy(square), net.metadata.preprocessing)
    with recording(net, ["inception_4b"]) as recorder:
        net(images)
        kept = recorder["inception_4b"]
        (gradient,) = torch.autograd.grad(net.classify(rest(net, kept))[0, 1], kept)
    expected = (kept * gradient.mean(dim=(2, 3), keepdim=True)).sum(1)[0].detach()
    heat = attribution.grad_cam(net, images, 1, layer_names.find_layer(net, "mixed4b"))
    np.testing.assert_allclose(heat, expected, rtol=1e-3, atol=1e-6)


def rest(net: GoogLeNet, maps: torch.Tensor) -> torch.Tensor:
    names = [name for name, _ in net.trunk.named_children()]
    for stage in list(net.trunk)[names.index("inception_4b") + 1 :]:
        maps = stage(maps)
    return maps


@pytest.mark.parametrize("baseline", ["blur", "grey"])
def test_integrated_gradients_are_complete(net: GoogLeNet, baseline: str) -> None:
    square = seen(net)
    images = network_input(torch.from_numpy(square), net.metadata.preprocessing)
    soft = network_input(torch.tensor(attribution.blurred(square)), net.metadata.preprocessing)
    start = soft if baseline == "blur" else torch.zeros_like(images)
    heat, missed = attribution.integrated_gradients(net, images, 0, start=start)
    with torch.inference_mode():
        change = float(net(images)[0, 0] - net(start)[0, 0])
    assert heat.shape == (96, 96)
    assert missed == pytest.approx(abs(heat.sum() - change) / abs(change), abs=1e-6)
    assert missed <= 0.01


def test_parts_of_a_map_add_up() -> None:
    heat = np.random.default_rng(0).normal(size=(37, 64)).astype(np.float32)
    found = attribution.coarse(heat)
    assert found.shape == (16, 16) and found.sum() == pytest.approx(heat.sum(), rel=1e-4)
    assert found[0, 1] == pytest.approx(heat[:2, 4:8].sum(), rel=1e-4)


def test_occlusion_finds_the_corner_that_counts() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    found = class_maps.explain(
        png_bytes(white), Bright(), classes=["boot", "hat"], attribution=class_maps.occlusion(Bright())
    )
    heat = found.reasons[0].heat
    assert heat[:14, :14].min() > 0 and heat[34:, 34:].max() == 0
    assert np.abs(found.reasons[1].heat).max() == 0


def test_the_map_lies_over_what_the_network_saw() -> None:
    """A sixth is turned by the camera: 120 wide and 200 high, and the square is its middle."""
    found = class_maps.explain(
        photo(exif=6), Bright(), attribution=lambda square, label: np.ones((2, 2), np.float32)
    )
    assert found.photo.size == (120, 200)
    crop = Bright.preprocessing.crop * 120
    assert found.box == pytest.approx((60 - crop / 2, 100 - crop / 2, 60 + crop / 2, 100 + crop / 2))
    plain, shown = np.asarray(found.photo, float), np.asarray(found.picture(), float)
    assert shown.shape == plain.shape
    np.testing.assert_allclose(shown[:20], plain[:20] * heatmaps.DIMMED, atol=1)
    middle = shown[90:110, 50:70] - plain[90:110, 50:70] * (1 - heatmaps.STRONGEST)
    np.testing.assert_allclose(
        middle, np.broadcast_to(heatmaps.RAMP[-1] * heatmaps.STRONGEST, middle.shape), atol=2
    )


def test_a_large_photo_is_shown_smaller_with_its_box() -> None:
    found = class_maps.explain(
        photo(3200, 800), Bright(), attribution=lambda square, label: np.ones((1, 1), np.float32)
    )
    assert found.photo.size == (1600, 400)
    left, top, right, bottom = found.box
    assert right - left == pytest.approx(bottom - top) == pytest.approx(400 * Bright.preprocessing.crop)


def test_nothing_above_zero_shows_nothing() -> None:
    grey = Image.new("RGB", (30, 20), (100, 100, 100))
    for heat in (np.zeros((3, 3)), np.full((3, 3), -1.0), np.full((3, 3), np.nan)):
        assert np.ptp(np.asarray(heatmaps.overlay(grey, heat.astype(np.float32)))) == 0


def test_colors_go_from_dark_to_light() -> None:
    ramp = heatmaps.colorize(np.linspace(0, 1, 100)).astype(float) @ [0.299, 0.587, 0.114]
    assert (np.diff(ramp) > -1).all() and ramp[0] < 40 and ramp[-1] > 220
    np.testing.assert_array_equal(heatmaps.colorize(np.array([0.2, 1.0])), heatmaps.RAMP[[1, 5]])


def test_layers_have_both_names(net: GoogLeNet) -> None:
    assert layer_names.find_layer(net, "mixed4a") == layer_names.find_layer(net, "inception_4a")
    same = {
        "mixed4a_5x5": "inception_4a/5x5",
        "mixed4a_3x3_bottleneck_pre_relu": "inception_4a/3x3_reduce:pre_relu",
        "mixed5b_pool_reduce": "inception_5b/pool_proj",
        "conv2d0": "conv1",
        "conv2d2_pre_relu": "conv2:pre_relu",
        "maxpool4": "pool3",
    }
    for theirs, ours in same.items():
        assert layer_names.find_layer(net, theirs).name == ours
    with pytest.raises(InputError, match=r"got 'inception_4z'; closest: inception_4.*all: conv1, pool1"):
        layer_names.find_layer(net, "inception_4z")


def test_features_are_what_hooks_see(net: GoogLeNet) -> None:
    square = seen(net)
    names = [
        "inception_4a",
        "mixed4a",
        "inception_4a/5x5",
        "inception_4a:pre_relu",
        "pool3",
        "conv1:pre_relu",
    ]
    found = package.features(net, square, layers=names)
    assert list(found) == names
    images = network_input(torch.from_numpy(square), net.metadata.preprocessing)
    given: dict[str, torch.Tensor] = {}
    hook = net.trunk.inception_4a.register_forward_hook(lambda module, args, out: given.update(out=out))
    with torch.inference_mode():
        net(images)
    hook.remove()
    torch.testing.assert_close(found["inception_4a"], given["out"])
    torch.testing.assert_close(found["mixed4a"], given["out"])
    torch.testing.assert_close(found["inception_4a:pre_relu"].relu(), given["out"])
    assert found["inception_4a:pre_relu"].min() < 0
    torch.testing.assert_close(found["inception_4a/5x5"], given["out"][:, 192 + 208 : 192 + 208 + 48])
    assert not any(module._forward_hooks for module in net.modules())
    net.train()
    again = package.features(net, square, layers=["inception_4a"])["inception_4a"]
    assert net.training and torch.equal(again, found["inception_4a"])
    net.eval()


def test_every_layer_gives_as_many_channels_as_it_says() -> None:
    for kind in ("bn", "paper", "naive", "bn-stem4"):
        other = GoogLeNet(3, dialect_name=kind).eval()
        known = layer_names.all_layers(other)
        found = package.features(other, torch.zeros(1, 3, 64, 64), layers=list(known))
        assert {name: layer.channels for name, layer in known.items()} == {
            name: maps.shape[1] for name, maps in found.items()
        }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("explained") / "model.safetensors", "bn")


@pytest.mark.parametrize("method", list(class_maps.LEGEND))
def test_every_method_from_the_command_line(model: Path, tmp_path: Path, method: str) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    (tmp_path / "b.jpg").write_bytes(photo(60, 180))
    out = tmp_path / "why.png"
    words = ["explain", str(model), str(tmp_path / "*.jpg"), "--out", str(out), "--method", method]
    assert main(words) == 0
    with Image.open(out) as page:
        assert page.format == "PNG" and page.width == heatmaps.GAP + 4 * (heatmaps.SIDE + heatmaps.GAP)
    assert main(words) == 2  # it is there already


@pytest.mark.parametrize(
    "words, said",
    [
        (["--class", "gren"], "3 classes of the model, got 'gren'; closest: green"),
        (["--method", "gradcam", "--layer", "mixed9z"], "expected a layer of the network, got 'mixed9z'"),
        (["--layer", "inception_4a"], "expected --layer with --method gradcam"),
        (["--top", "0"], "expected --top of at least 1"),
        (["b.jpg"] * 32, "expected at most 32 photos for one sheet, got 33"),
        (["--out", "why.jpg"], "ends in .png"),
    ],
)
def test_wrong_words_leave_no_picture(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    given = [*words, "--out", str(tmp_path / "why.png")] if words[0] != "--out" else words
    assert main(["explain", str(model), str(tmp_path / "a.jpg"), *given]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "why.png").exists()
    assert main(["explain", str(model), "--out", str(tmp_path / "why.png")]) == 2


def test_a_bad_photo_is_named_and_the_others_are_shown(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    out = tmp_path / "why.png"
    assert main(["explain", str(model), str(tmp_path), "--out", str(out)]) == 2
    assert "b.jpg: format" in capsys.readouterr().err and out.exists()


def test_an_export_says_which_methods_it_can_do(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export.export(model, tmp_path / "export", to="openvino")
    (tmp_path / "a.jpg").write_bytes(photo())
    words = ["explain", str(tmp_path / "export"), str(tmp_path / "a.jpg"), "--out", str(tmp_path / "w.png")]
    assert main([*words, "--method", "integrated-gradients"]) == 2
    assert "expected --method cam or occlusion for an exported model" in capsys.readouterr().err
    assert main([*words, "--method", "occlusion"]) == 0
