"""Exports and the runtime: the same numbers as torch, refused when altered, nothing left when refused."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import googlenet as package
from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError, MissingExtraError, ModelFileError
from googlenet.cli import tables
from googlenet.export import export, verification
from googlenet.export.calibration_data import Samples
from googlenet.files import manifest
from googlenet.files.checksum import PLACEHOLDER, embed_checksum
from googlenet.files.parity import AccuracyChange, Parity
from googlenet.files.runfolder import data_of_run
from googlenet.images.decode import preprocess
from googlenet.inference import engines
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet, network_input
from helpers.models import SIZE, save, squares
from helpers.painting import Run, paint


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


@pytest.mark.parametrize("dialect", ["paper", "torchvision", "slim", "inception5h", "dense"])
def test_other_dialects(dialect: str, tmp_path: Path) -> None:
    done = export.export(save(tmp_path / "m.safetensors", dialect), tmp_path / "out", to="openvino")
    assert done.parity.largest_difference < 1e-4
    assert done.maps == (dialect != "dense")
    if dialect == "dense":
        with pytest.raises(ModelFileError, match="no class maps"):
            engines.open_exported(tmp_path / "out").class_maps(squares(1))


def test_int8_by_default_where_it_passes(model: Path, photos: Path, tmp_path: Path) -> None:
    done = export.export(model, tmp_path / "out", calibrate=str(photos))
    assert (done.engine, done.precision, done.merged) == ("openvino", "int8", True)
    parity = done.parity
    assert parity.count == 30
    assert 3 <= parity.accuracy.labeled <= 15  # about a fifth of 30, one of each class at least
    assert parity.agreement > 0.9
    assert 0 < parity.largest_difference < 0.2
    weights = (tmp_path / "out" / "model.bin").stat().st_size
    assert weights < model.stat().st_size / 3


@pytest.mark.parametrize("dialect", ["slim", "inception5h"])
def test_int8_where_pooling_is_padded_with_minus_infinity(dialect: str, photos: Path, tmp_path: Path) -> None:
    model = save(tmp_path / "m.safetensors", dialect)
    done = export.export(model, tmp_path / "out", to="int8", calibrate=str(photos))
    assert done.parity.agreement > 0.9
    assert 0 < done.parity.largest_difference < 0.2
    paths = [paint(tmp_path / f"{i}.jpg", (60 * i, 90, 200 - 40 * i), seed=900 + i) for i in range(4)]
    images = np.stack([preprocess(path.read_bytes(), Preprocessing(size=SIZE)) for path in paths])
    expected = in_torch(model, images)  # of photos that it was not calibrated on
    assert expected.std() > 0.1
    found = engines.open_exported(tmp_path / "out").logits(images)
    assert np.abs(found - expected).max() < 0.2 * np.abs(expected).max()


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
    done = export.export(model, tmp_path / "out", to="int8", calibrate=str(photos / "red"))
    assert "10 unlabeled images" in done.parity.images
    assert done.parity.accuracy is None


def test_a_network_that_says_something_else_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = export.exportable

    def slipped(net: GoogLeNet, preprocessing: Preprocessing) -> torch.nn.Module:
        made = plain(net, preprocessing)
        made.net.classifier.bias.data += 0.01
        return made

    monkeypatch.setattr(export, "exportable", slipped)
    with pytest.raises(ModelFileError, match="nothing was written"):
        export.export(model, tmp_path / "out", to="openvino")
    assert list(tmp_path.iterdir()) == []


def test_int8_that_loses_accuracy_is_refused_or_falls_back(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        export.export(model, tmp_path / "int8", to="int8", calibrate=str(photos))
    assert not (tmp_path / "int8").exists()
    assert export.export(model, tmp_path / "auto", calibrate=str(photos)).precision == "float32"


PARITY = Parity(images="noise", count=1, largest_difference=0.01, agreement=1.0)


def test_a_loss_can_be_accepted() -> None:
    lost = AccuracyChange(
        labeled=500,
        top1_before=0.906,
        top1_after=0.9,
        loss=0.006,
        loss_at_least=-0.04,  # by chance or not: what is measured counts
        loss_at_most=0.05,
    )
    verification.check_parity(replace(PARITY, accuracy=lost), accept_loss=True)
    with pytest.raises(ModelFileError, match="--accept-loss"):
        verification.check_parity(replace(PARITY, accuracy=lost), accept_loss=False)
    for share in (0.989, float("nan")):
        with pytest.raises(ModelFileError, match="the same for 99 %"):
            verification.check_parity(replace(PARITY, agreement=share), accept_loss=False)
    verification.check_parity(replace(PARITY, agreement=0.989), accept_loss=True)
    with pytest.raises(ModelFileError, match="the same for 90 %"):
        verification.check_parity(replace(PARITY, agreement=0.899), accept_loss=True)


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
        assert data_of_run(run) == (str(tmp_path / "gone") if "gone" in text else None)
    assert data_of_run(tmp_path / "nothing") is None
    done = googlenet("export", run, "--to", "int8", "--out", "out")
    assert done.returncode == 2 and "no labels, so accuracy was not compared" in done.stderr
    assert "--calibrate DATA" in done.stderr and not (tmp_path / "out").exists()
    (run / "recipe.json").write_text(json.dumps({"data": str(photos)}))
    done = googlenet("export", run, "--to", "openvino", "--out", "out")
    assert f"validation images of {photos}" in done.stdout, done.stderr


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
