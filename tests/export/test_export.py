"""Exports and the runtime: the same numbers as torch, refused when altered, nothing left when refused."""

import ast
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import googlenet as package
from googlenet.architecture.dialects import DIALECTS, Preprocessing
from googlenet.base.errors import InputError, MissingExtraError, ModelFileError, WriteError
from googlenet.cli import tables
from googlenet.export import calibration_data, export, verification
from googlenet.export.calibration_data import Samples
from googlenet.files import manifest, modelfile
from googlenet.files.checksum import PLACEHOLDER, embed_checksum
from googlenet.files.manifest import InputKind
from googlenet.files.parity import AccuracyChange, Parity
from googlenet.files.runfolder import data_of_run
from googlenet.images.decode import preprocess
from googlenet.inference import engines
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet, network_input
from helpers.models import SIZE, save, squares
from helpers.painting import COLORS, Run, paint


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["GOOGLENET_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "model.safetensors", "bn")


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for target in ("openvino", "onnx"):
        found[target] = tmp_path_factory.mktemp("exports") / target
        export.export(model, found[target], to=target)
    return found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty photos of the three classes, each once."""
    root = tmp_path_factory.mktemp("many") / "photos"
    for number, (name, color) in enumerate(COLORS.items()):
        for i in range(20):
            paint(root / name / f"{i}.jpg", color, seed=1000 * number + i)
    return root


def in_torch(model: Path, images: np.ndarray) -> np.ndarray:
    net = checkpoint.load(model)
    assert net.metadata is not None
    with torch.inference_mode():
        return net(network_input(torch.from_numpy(images), net.metadata.preprocessing)).numpy()


@pytest.mark.parametrize("target", ["openvino", "onnx"])
def test_float32_is_the_same_as_torch(model: Path, exported: dict[str, Path], target: str) -> None:
    opened = engines.open_exported(exported[target], exact=True)
    images = squares()
    expected = in_torch(model, images)
    assert expected.std() > 0.1
    found = opened.logits(images)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    maps = opened.class_maps(images)
    assert maps.shape == (5, 3, 2, 2)
    np.testing.assert_allclose(maps.mean(axis=(2, 3)), expected, atol=1e-4 * np.abs(expected).max())
    by_hand = torch.from_numpy(expected / 1.7).softmax(1).numpy()
    np.testing.assert_allclose(opened.predict(images), by_hand, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_batch(exported: dict[str, Path], count: int) -> None:
    opened = engines.open_exported(exported["openvino"], exact=True)
    images = squares(count)
    one_by_one = np.concatenate([opened.logits(image[None]) for image in images])
    np.testing.assert_allclose(opened.logits(images), one_by_one, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dialect", ["paper", "torchvision", "slim", "inception5h", "dense", "bvlc+4c+4e+5a"])
def test_other_dialects(dialect: str, tmp_path: Path) -> None:
    done = export.export(save(tmp_path / "m.safetensors", dialect), tmp_path / "out", to="openvino")
    assert done.parity.largest_difference < 1e-4
    assert done.maps == (dialect != "dense")
    if dialect == "dense":
        with pytest.raises(ModelFileError, match="no class maps"):
            engines.open_exported(tmp_path / "out").class_maps(squares(1))


def test_int8_by_default_where_it_passes(model: Path, many: Path, tmp_path: Path) -> None:
    done = export.export(model, tmp_path / "out", calibrate=str(many))
    assert (done.engine, done.precision) == ("openvino", "int8")
    parity = done.parity
    assert parity.count == parity.accuracy.labeled == 30  # the other half calibrated
    assert parity.agreement > 0.9
    assert 0 < parity.largest_difference < 0.2
    weights = (tmp_path / "out" / "model.bin").stat().st_size
    assert weights < model.stat().st_size / 3


INT8_DIALECTS = [name for name in DIALECTS if name not in ("bn", "dense", "naive")] + ["bvlc+4c+4e+5a"]


@pytest.mark.parametrize("dialect", INT8_DIALECTS)
def test_int8_of_every_dialect(dialect: str, many: Path, tmp_path: Path) -> None:
    model = save(tmp_path / "m.safetensors", dialect)
    done = export.export(model, tmp_path / "out", to="int8", calibrate=str(many), accept_loss=True)
    assert done.parity.agreement > 0.9
    assert 0 < done.parity.largest_difference < 0.2
    paths = [paint(tmp_path / f"{i}.jpg", (60 * i, 90, 200 - 40 * i), seed=900 + i) for i in range(4)]
    images = np.stack([preprocess(path.read_bytes(), Preprocessing(size=SIZE)) for path in paths])
    expected = in_torch(model, images)
    assert expected.std() > 0.1
    found = engines.open_exported(tmp_path / "out").logits(images)
    assert np.abs(found - expected).max() < 0.2 * np.abs(expected).max()
    graph = (tmp_path / "out" / "model.xml").read_text()
    for kind in ("ShapeOf", "Gather", "Range", "Squeeze", "AvgPool", "Power", "Split"):
        assert f'type="{kind}"' not in graph or (kind == "AvgPool" and "+" in dialect)
    assert graph.count('type="LRN"') == (2 if DIALECTS[dialect.partition("+")[0]].lrn else 0)


def test_the_proof_is_on_other_photos_than_those_that_calibrate(
    model: Path, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = modelfile.read_metadata(model)
    for source in (many, many / "red"):
        found = calibration_data.collect_samples(card, calibrate=str(source), training_data=None)
        calibration, verification = (
            {square.tobytes() for square in part} for part in (found.calibration, found.verification)
        )
        assert not calibration & verification
        assert len(calibration) == len(verification) == (30 if source == many else 10)
    few = tmp_path / "few"
    few.mkdir()
    Image.new("RGB", (80, 80)).save(few / "black.png")
    for i in range(60):
        shutil.copy(few / "black.png", few / f"{i}.png")  # one photo, whatever it is called
    with pytest.raises(InputError, match=r"at least 20 different photos .* got 1 and 0"):
        export.export(model, tmp_path / "out", to="int8", calibrate=str(few))
    assert not (tmp_path / "out").exists()
    assert export.export(model, tmp_path / "auto", calibrate=str(few)).precision == "float32"
    assert "int8 skipped: expected at least 20 different photos" in capsys.readouterr().err
    export.export(model, tmp_path / "int8", to="int8", calibrate=str(many))
    assert "warning: 30 photos calibrate int8; 100 and more" in capsys.readouterr().err


class Able:
    """As much of OpenVINO's core as tells what the processor is capable of."""

    def __init__(self, *able: str) -> None:
        self.able = able

    def get_property(self, device: str, name: str) -> list[str]:
        assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
        return ["FP32", "INT8", *self.able]


def test_precision_by_the_processor(exported: dict[str, Path]) -> None:
    told = {engine: manifest.read_manifest(folder) for engine, folder in exported.items()}
    assert engines.precision_here(told["openvino"], Able("BF16")) == "bfloat16"
    assert engines.precision_here(told["openvino"], Able()) == "float32"
    assert engines.precision_here(replace(told["openvino"], precision="int8"), Able("BF16")) == "int8"
    assert engines.precision_here(told["onnx"], Able("BF16")) == "float32"
    for exact in (False, True):
        said = engines.open_exported(exported["openvino"], exact=exact).about
        assert ("float32" if exact else engines.precision_here(told["openvino"])) in said
        assert ("no bfloat16" in said) == (
            not exact and engines.precision_here(told["openvino"]) == "float32"
        )


def test_the_precision_that_runs_here_is_proved_too(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor that would take bfloat16: an engine that guesses another class in its first batch."""
    plain = verification.open_exported

    def here(folder: Path, *, exact: bool = False) -> engines.ExportedModel:
        found = plain(folder, exact=exact)
        run = found._engine
        if not exact:
            found._engine = lambda images: tuple(np.roll(x, len(images) == 16, axis=1) for x in run(images))  # type: ignore[assignment]
        return found

    monkeypatch.setattr(verification, "open_exported", here)
    monkeypatch.setattr(verification, "precision_here", lambda manifest: "bfloat16")
    done = export.export(model, tmp_path / "out", to="openvino", calibrate=str(photos))
    assert done.parity.agreement == 1
    assert done.parity.precision_here == "bfloat16"
    assert done.parity.agreement_here == pytest.approx(14 / 30)
    assert manifest.read_manifest(tmp_path / "out").parity == done.parity
    assert "100.0 % (46.7 % in bfloat16, as it runs here)" in tables.format_export(done)
    monkeypatch.undo()
    same = export.export(model, tmp_path / "same", to="onnx", calibrate=str(photos))
    assert same.parity.agreement_here is None


def test_without_images_float32_by_default(model: Path, tmp_path: Path) -> None:
    done = export.export(model, tmp_path / "out")
    assert (done.engine, done.precision) == ("openvino", "float32")
    assert "noise" in done.parity.images


def test_int8_needs_images(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--calibrate DATA"):
        export.export(model, tmp_path / "out", to="int8")
    assert list(tmp_path.iterdir()) == []


def test_unlabeled_images_calibrate_too(model: Path, photos: Path, tmp_path: Path) -> None:
    done = export.export(model, tmp_path / "out", to="int8", calibrate=str(photos / "red"), accept_loss=True)
    assert done.parity.images == f"5 photos of {photos / 'red'}"
    assert done.parity.accuracy is None
    assert "no labels, so agreement decided" in tables.format_export(done)


def test_a_network_that_says_something_else_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = export.network_graph

    def slipped(net: GoogLeNet, *words: object, **options: object) -> onnx.ModelProto:
        net.classifier.bias.data += 0.01
        graph = plain(net, *words, **options)
        net.classifier.bias.data -= 0.01
        return graph

    monkeypatch.setattr(export, "network_graph", slipped)
    with pytest.raises(ModelFileError, match="nothing was written"):
        export.export(model, tmp_path / "out", to="openvino")
    assert list(tmp_path.iterdir()) == []


def test_int8_that_loses_accuracy_is_refused_or_falls_back(
    model: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = AccuracyChange(
        labeled=100, top1_before=0.9, top1_after=0.8, loss=0.1, loss_at_least=0.04, loss_at_most=0.2
    )
    plain = export.measure_parity

    def worse(net: GoogLeNet, folder: Path, samples: Samples) -> Parity:
        measured = plain(net, folder, samples)
        return measured if measured.logit_difference is not None else replace(measured, accuracy=lost)

    monkeypatch.setattr(export, "measure_parity", worse)
    with pytest.raises(ModelFileError, match=r"got 10\.0 \(95 % interval 4\.0 to 20\.0"):
        export.export(model, tmp_path / "int8", to="int8", calibrate=str(many))
    assert not (tmp_path / "int8").exists()
    assert export.export(model, tmp_path / "auto", calibrate=str(many)).precision == "float32"


PARITY = Parity(images="noise", count=1, largest_difference=0.01, agreement=1.0)


def change(labeled: int, lost: int, won: int) -> AccuracyChange:
    """Of a network that is right for the first half: so many photos lost, and so many of the others won."""
    before = np.arange(labeled) < labeled // 2
    after = before.copy()
    after[:lost], after[labeled - won :] = False, True
    return verification.compare_accuracy(before, after)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"accuracy": change(50, 3, 0)}, "lose at most 1 points of accuracy, got 6.0"),
        ({"accuracy": change(500, 6, 0)}, "got 1.2"),  # more than one in a hundred
        (
            {"accuracy": change(2000, 19, 0)},
            "got 0.9 .95 % interval 0.5",
        ),  # and surely more than half a point
        ({"sure": 50, "sure_agreement": 0.96}, "another guess for 2 of 50 such photos"),
        ({"sure": 1000, "sure_agreement": 0.989}, "another guess for 11 of 1000"),
    ],
)
def test_a_loss_can_be_accepted(wrong: dict[str, object], said: str) -> None:
    verification.check_parity(replace(PARITY, **wrong), accept_loss=True)
    with pytest.raises(ModelFileError, match=said) as caught:
        verification.check_parity(replace(PARITY, **wrong), accept_loss=False)
    assert "--accept-loss" in str(caught.value) and "nothing was written" in str(caught.value)


@pytest.mark.parametrize(
    "right",
    [
        {"accuracy": change(50, 2, 0)},  # two photos may be chance
        {"accuracy": change(500, 30, 25)},  # many changed, and few lost in the end
        {"accuracy": change(500, 0, 60)},
        {"sure": 50, "sure_agreement": 0.98},
        {"sure": 0, "sure_agreement": None},
        {"agreement": 0.9},
    ],
)
def test_what_may_be_chance_is_no_loss(right: dict[str, object]) -> None:
    verification.check_parity(replace(PARITY, **right), accept_loss=False)


@pytest.mark.parametrize("share", [0.455, 0.899, float("nan")])
@pytest.mark.parametrize("accept_loss", [False, True])
def test_another_guess_for_a_tenth_cannot_be_accepted(share: float, accept_loss: bool) -> None:
    with pytest.raises(ModelFileError, match="the same for 90 %"):
        verification.check_parity(replace(PARITY, agreement=share), accept_loss=accept_loss)


@pytest.mark.parametrize(
    ("largest", "wrong"), [(8.0, 1.1e-4), (0.1, 1.1e-5), (100.0, 4.1e-4), (8.0, float("nan"))]
)
def test_a_wrong_float32_cannot_be_accepted(largest: float, wrong: float) -> None:
    parity = replace(PARITY, largest_logit=largest, logit_difference=wrong)
    with pytest.raises(ModelFileError, match="expected logits within"):
        verification.check_parity(parity, accept_loss=True)
    verification.check_parity(replace(parity, logit_difference=0.9e-4 * largest / 25), accept_loss=False)
    with pytest.raises(ModelFileError, match="expected the same guess"):
        verification.check_parity(replace(parity, logit_difference=0.0, agreement=0.999), accept_loss=True)


def test_parity_as_it_is_stored() -> None:
    """One flat object with only what is known; from a manifest of another release, what this one knows."""
    assert Parity.from_fields({}) is None
    assert PARITY.as_fields() == {"images": "noise", "count": 1, "largest_difference": 0.01, "agreement": 1.0}
    lost = verification.compare_accuracy(np.array([True, True]), np.array([True, False]))
    both = replace(PARITY, precision_here="bfloat16", agreement_here=0.5, accuracy=lost)
    assert both.as_fields()["top1_after"] == 0.5
    assert Parity.from_fields({**both.as_fields(), "later": 1}) == both
    with pytest.raises(ValueError, match="images"):
        Parity.from_fields({"count": 1})


def test_accuracy_interval_by_hand() -> None:
    before = np.array([True] * 90 + [False] * 10)
    after = before.copy()
    after[:5] = False
    after[95:97] = True
    change = verification.compare_accuracy(before, after)
    lost = before.astype(float) - after.astype(float)
    assert change.loss == pytest.approx(0.03)
    assert change.loss_at_least == pytest.approx(0.03 - 1.96 * lost.std(ddof=1) / 10)
    assert change.loss_at_most == pytest.approx(0.03 + 1.96 * lost.std(ddof=1) / 10)
    assert verification.compare_accuracy(before, before).loss_at_most == 0


def test_the_data_of_the_run_is_used(googlenet: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(model, run / "model.safetensors")
    for text in ("{}", "[]", "x", json.dumps({"data": str(tmp_path / "gone")})):
        (run / "recipe.json").write_text(text)
        assert data_of_run(run) == (str(tmp_path / "gone") if "gone" in text else None, None)
    assert data_of_run(tmp_path / "nothing") == (None, None)
    done = googlenet("export", run, "--to", "int8", "--out", "out")
    assert done.returncode == 2 and "the guesses will be compared, not their accuracy" in done.stderr
    assert "--calibrate DATA" in done.stderr and not (tmp_path / "out").exists()
    (run / "recipe.json").write_text(json.dumps({"data": str(photos)}))
    done = googlenet("export", run, "--to", "openvino", "--out", "out")
    assert f"labeled photos of {photos}" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["model.bin", "model.xml"])
def test_an_altered_file_is_refused(exported: dict[str, Path], tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported["openvino"], copy)
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(ModelFileError, match="sha256 mismatch"):
        engines.open_exported(copy)
    (copy / name).unlink()
    with pytest.raises(ModelFileError, match="export the model again"):
        engines.open_exported(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("files"),
        lambda fields: fields.update(format=99),
        lambda fields: fields.update(engine="abacus"),
        lambda fields: fields["files"].update({"../model.bin": "0"}),
        lambda fields: fields["card"].pop("classes"),
        lambda fields: fields["card"]["classes"].pop(),
        lambda fields: fields["files"].pop("model.bin"),
        lambda fields: fields["card"].update(temperature=0),
    ],
)
def test_a_wrong_manifest_is_refused(exported: dict[str, Path], tmp_path: Path, change: object) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported["openvino"], copy)
    fields = json.loads((copy / "manifest.json").read_text())
    change(fields)  # type: ignore[operator]
    (copy / "manifest.json").write_text(json.dumps(fields))
    with pytest.raises(ModelFileError, match="sha256"):
        engines.open_exported(copy)
    fields["sha256"] = PLACEHOLDER  # whoever alters it may seal it again
    (copy / "manifest.json").write_bytes(embed_checksum(json.dumps(fields).encode()))
    with pytest.raises(ModelFileError):
        engines.open_exported(copy)


def test_wrong_images_say_what_was_expected(exported: dict[str, Path]) -> None:
    opened = engines.open_exported(exported["openvino"])
    for images in (squares().astype(np.float32), squares()[0], squares()[:, :32]):
        with pytest.raises(InputError, match=r"expected uint8 images \[N, 64, 64, 3\]"):
            opened.predict(images)


def test_a_missing_engine_names_its_extra(exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"googlenet\[onnx\]"):
        engines.open_exported(exported["onnx"])


def test_predicting_with_an_export_loads_no_torch_and_sends_nothing(
    exported: dict[str, Path], photos: Path
) -> None:
    code = (
        "import sys; from googlenet.cli.main import main; status = main(sys.argv[1:]); "
        "sys.exit(status + 10 * ('torch' in sys.modules) + 20 * ('openvino_telemetry' in sys.modules))"
    )
    for verb in (["predict", exported["openvino"], photos], ["evaluate", exported["openvino"], photos]):
        done = subprocess.run([sys.executable, "-c", code, *map(str, verb)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_public_load_opens_both_kinds(model: Path, exported: dict[str, Path]) -> None:
    assert isinstance(package.load_network(model), GoogLeNet)
    assert package.load_predictor(exported["openvino"]).predict(squares(2)).shape == (2, 3)


def test_export_from_the_command_line(googlenet: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    done = googlenet("export", model, "--to", "openvino", "--calibrate", photos, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "same guess for 100.0 %" in done.stdout
    again = googlenet("export", model, "--out", "out")
    assert again.returncode == 2
    assert "expected nothing at --out" in again.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "model.bin",
        "model.xml",
    ]
    told = googlenet("info", "out", "--json")
    assert json.loads(told.stdout)["engine"] == "openvino"


def test_force_replaces_an_export_and_nothing_else(googlenet: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    refused = googlenet("export", model, "--to", "onnx", "--out", "mine", "--force")
    assert refused.returncode == 2 and "expected nothing at --out mine, got a folder" in refused.stderr
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    assert googlenet("export", model, "--to", "openvino", "--out", "out").returncode == 0
    failed = googlenet("export", model, "--to", "int8", "--out", "out", "--force")
    assert failed.returncode == 2 and (tmp_path / "out" / "model.xml").exists()
    done = googlenet("export", model, "--to", "onnx", "--input", "float-nchw", "--out", "out", "--force")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "model.onnx"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_an_export_that_cannot_take_the_old_ones_place_leaves_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export.export(model, out, to="openvino")
    before = manifest.read_manifest(out)
    plain = Path.rename

    def full(self: Path, target: Path) -> Path:
        if Path(target) == out and (self / "model.onnx").exists():
            raise OSError(28, "No space left on device")
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(WriteError, match="No space left"):
        export.export(model, out, to="onnx", force=True)
    assert manifest.read_manifest(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# What other programs read


def test_what_an_onnx_file_says_of_itself(exported: dict[str, Path]) -> None:
    texts = {text.key: text.value for text in onnx.load(exported["onnx"] / "model.onnx").metadata_props}
    assert ast.literal_eval(texts["names"]) == {0: "blue", 1: "green", 2: "red"}
    assert json.loads(texts["imgsz"]) == [SIZE, SIZE]
    assert float(texts["temperature"]) == 1.7
    assert json.loads(texts["googlenet"])["dialect"] == "bn"
    assert "uint8 [N, height, width, 3]" in texts["input"]
    assert not any("/" in text and Path(text).is_absolute() for text in texts.values())


@pytest.mark.parametrize("input", ["uint8-nhwc", "float-nchw"])
@pytest.mark.parametrize("dialect", ["bn", "bvlc", "inception5h", "torchvision"])
def test_opencv_guesses_the_same(dialect: str, input: InputKind, tmp_path: Path) -> None:
    model = save(tmp_path / "m.safetensors", dialect)
    done = export.export(model, tmp_path / "out", to="onnx", input=input)
    assert done.input == input
    network = cv2.dnn.readNetFromONNX(str(tmp_path / "out" / "model.onnx"))
    images, found = squares(), []
    for image in images:
        network.setInput(engines.engine_input(image[None], input), "images")
        found.append(network.forward(["logits"])[0][0])
    expected = in_torch(model, images)
    assert np.abs(np.array(found) - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.abs(engines.open_exported(tmp_path / "out").logits(images) - expected).max() < 1e-4


def test_other_weights_under_the_same_name_and_time_are_not_taken_from_the_cache(
    model: Path, exported: dict[str, Path], tmp_path: Path
) -> None:
    place = tmp_path / "model"
    shutil.copytree(exported["openvino"], place)
    images = squares(1)
    before = engines.open_exported(place).logits(images)
    stat = (place / "model.xml").stat()
    net = checkpoint.load(model)
    net.classifier.bias.data += torch.tensor([3.0, 0.0, 0.0])
    assert net.metadata is not None
    checkpoint.save(tmp_path / "other.safetensors", net, net.metadata)
    export.export(tmp_path / "other.safetensors", tmp_path / "other", to="openvino")
    for name in ("model.bin", "model.xml", "manifest.json"):
        shutil.copy(tmp_path / "other" / name, place / name)
    os.utime(place / "model.xml", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert engines.open_exported(place).logits(images)[0, 0] == pytest.approx(before[0, 0] + 3, abs=1e-2)


def test_threads_get_their_own_answers(exported: dict[str, Path]) -> None:
    opened = engines.open_exported(exported["openvino"])
    images = squares(4)
    alone = [opened.logits(image[None]) for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: opened.logits(images[i % 4][None]), range(80)))
    assert all(np.array_equal(found[i], alone[i % 4]) for i in range(80))


def test_a_comparison_of_0_1_0_is_read() -> None:
    """Its number of labeled images has the British spelling."""
    parity = Parity(
        images="9 digits",
        count=9,
        largest_difference=0.1,
        agreement=1.0,
        accuracy=AccuracyChange(
            labeled=9, top1_before=1.0, top1_after=0.9, loss=0.1, loss_at_least=0.0, loss_at_most=0.2
        ),
    )
    stored = parity.as_fields()
    assert Parity.from_fields(stored) == parity
    assert Parity.from_fields({**stored, "labelled": stored.pop("labeled")}) == parity
