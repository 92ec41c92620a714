"""Promises about model files: none runs code, damage is told, nothing else is touched, old ones are read."""

import ast
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import GoogLeNetError, ModelFileError
from googlenet.files import manifest, modelfile
from googlenet.files.metadata import FORMAT, ModelMetadata
from googlenet.inference import engines, loading
from googlenet.nn.checkpoint import load
from googlenet.nn.model import GoogLeNet, network_input
from googlenet.weights.convert import convert, read_published
from helpers import golden, hostile, published
from helpers.card import Measured

pytestmark = pytest.mark.usefixtures("own_cache")
SOURCE = Path(modelfile.__file__).parents[1]
CARD = ModelMetadata(classes=("a", "b", "c"), dialect="bn", preprocessing=Preprocessing(size=64))


# 21


@pytest.mark.slow
@pytest.mark.promise(21)
@pytest.mark.parametrize("made", hostile.PICKLES)
def test_pickles_are_refused_at_every_door(
    made: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], measured: Measured
) -> None:
    marker, out = tmp_path / "marker", tmp_path / "out"
    content = hostile.PICKLES[made](marker)
    doors = 0
    for suffix in (".pth", ".npz", ".zip", ".caffemodel", ".pb", ".safetensors"):
        path = tmp_path / f"hostile{suffix}"
        path.write_bytes(content)
        words = [["info", str(path)], ["predict", str(path), "x.jpg"], ["evaluate", str(path), "digits"]]
        words += [["export", str(path), "--out", str(out)]]
        for family in ("torchvision", "pytorch-bn", "bvlc", "inception5h", "slim"):
            words.append(["convert", str(path), "--from", family, "--out", str(out)])
        words.append(["train", "digits", "--weights", str(path), "--out", str(out), "--epochs", "1"])
        for each in words:
            hostile.refused(each, capsys)
            assert not marker.exists() and not out.exists(), each
            doors += 1
    measured(f"{doors // 6} doors x 6 suffixes x {len(hostile.PICKLES)} hostile files")


@pytest.mark.promise(21)
def test_the_hostile_files_do_run_where_they_are_trusted(tmp_path: Path) -> None:
    """Otherwise the test above would show nothing."""
    for name in ("zipped", "legacy", "nested"):
        path = tmp_path / name
        path.write_bytes(hostile.PICKLES[name](tmp_path / f"marker-{name}"))
        torch.load(path, weights_only=False)
        assert (tmp_path / f"marker-{name}").is_dir(), name


@pytest.mark.promise(21)
def test_what_a_pickle_asks_for_is_said_before_torch_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("torch was asked"))
    asked = {"zipped": "posix.mkdir", "legacy": "posix.mkdir", "sparse": "_rebuild_sparse_tensor"}
    for name, call in {**asked, "nested": "_load_from_bytes"}.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(hostile.PICKLES[name](tmp_path / "marker"))
        with pytest.raises(ModelFileError, match=call):
            read_published(path, "torchvision")


@pytest.mark.promise(21)
def test_plain_checkpoints_of_every_age_and_type_still_pass(tmp_path: Path) -> None:
    from googlenet.weights.readers import read

    for kind in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        for modern in (True, False):
            stored = {"w": torch.arange(6, dtype=kind).reshape(2, 3), "n": torch.tensor(3)}
            layer = torch.nn.Linear(2, 2)
            stored["p"] = layer.weight
            torch.save(stored, tmp_path / "x.pth", _use_new_zipfile_serialization=modern)
            found = read(tmp_path / "x.pth", "pth").arrays
            np.testing.assert_array_equal(found["w"], np.arange(6).reshape(2, 3))
            assert set(found) == {"w", "p"}


FORBIDDEN = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "torch.jit",
    "torch.package",
}


@pytest.mark.promise(21)
def test_the_source_has_no_way_to_run_what_it_reads(measured: Measured) -> None:
    calls = 0
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & FORBIDDEN, path.name
            if isinstance(node, ast.Call):
                name, given = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
                assert name not in ("eval", "exec", "torch.jit.load", "torch.hub.load"), path.name
                expected = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
                if name in expected:
                    word, value = expected[name]
                    assert ast.unparse(given[word]) == str(value), path.name
                    calls += 1
    assert calls >= 2
    measured(f"{calls} calls that could unpickle, all told not to")


@pytest.mark.promise(21)
def test_our_own_formats_hold_no_pickle(released: Path) -> None:
    for path in (path for path in released.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not zipfile.is_zipfile(path) and content[:1] != b"\x80", path
        assert b"cposix\n" not in content and b"ctorch" not in content, path


# 22


@pytest.mark.slow
@pytest.mark.promise(22)
def test_five_thousand_damaged_files(tmp_path: Path, measured: Measured) -> None:
    refusals = most = total = 0
    for kind, count in {"model": 1000, "format 1": 500, "openvino": 2500, "onnx": 1000}.items():
        (tmp_path / kind).mkdir()
        outcomes, growth = _survey(kind, count, tmp_path / kind)
        total, refusals, most = total + count, refusals + outcomes["refused"], max(most, growth)
    measured(
        f"{total:,} damaged files, half of them sealed again: {refusals:,} refused in one line, the others "
        f"read; no crash, no hang, memory grew by at most {most / 1e6:.0f} MB"
    )


def _survey(kind: str, count: int, folder: Path) -> tuple[dict[str, int], int]:
    words = [sys.executable, str(Path(hostile.__file__)), kind, str(count), str(folder)]
    paths = [str(SOURCE.parent), str(Path(hostile.__file__).parent.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=1800, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["outcomes"]) <= {"refused", "read"}, found
    assert sum(found["outcomes"].values()) == count
    assert found["outcomes"]["refused"] >= count // 2  # all that were not sealed again
    assert found["growth"] < 64_000_000, found
    return found["outcomes"], found["growth"]


@pytest.mark.slow
@pytest.mark.promise(22)
def test_any_operator_of_onnx_in_the_place_of_ours(tmp_path: Path, measured: Measured) -> None:
    """The check does not list them: the engine must refuse what does not fit, and not crash."""
    outcomes, _ = _survey("operators", 200, tmp_path)
    measured(f"200 other operators in an ONNX file: {outcomes['refused']} refused, the others run")


@pytest.mark.slow
@pytest.mark.promise(22)
def test_any_flipped_bit_is_a_matter_of_the_sha256(
    released: Path, tmp_path: Path, measured: Measured
) -> None:
    """In files of each format: every byte of the manifest and of small files, and anywhere in the rest."""
    luck, flips = random.Random(0), 0
    modelfile.write(tmp_path / golden.MODEL, *modelfile.read(released / golden.MODEL))
    readers: dict[str, Callable[[Path], object]] = {
        "model.safetensors": modelfile.read,
        str(tmp_path / golden.MODEL): modelfile.read,
        "openvino/manifest.json": lambda path: manifest.read_manifest(path.parent),
        "openvino/model.xml": lambda path: manifest.read_manifest(path.parent),
        "openvino/model.bin": lambda path: manifest.read_manifest(path.parent),
        "onnx/model.onnx": lambda path: manifest.read_manifest(path.parent),
    }
    for name, read in readers.items():
        folder = tmp_path / str(flips)
        shutil.copytree((released / name).parent, folder)
        path = folder / Path(name).name
        size = path.stat().st_size
        some = [
            *range(6),
            *(luck.randrange(10_000) for _ in range(10)),
            *(luck.randrange(size) for _ in range(4)),
        ]
        places = range(size) if size < 10_000 else some
        for where in places:
            with path.open("r+b") as file:
                file.seek(where)
                byte = file.read(1)[0]
                file.seek(where)
                file.write(bytes([byte ^ 1 << luck.randrange(8)]))
            with pytest.raises(ModelFileError, match=r"sha256|SHA-256|damaged"):
                read(path)
            with path.open("r+b") as file:
                file.seek(where)
                file.write(bytes([byte]))
            flips += 1
        read(path)  # whole again
    measured(f"{flips:,} flipped bits in released files, each noticed")


@pytest.mark.promise(22)
def test_a_model_takes_twice_its_size_of_memory(released: Path, measured: Measured) -> None:
    path = released / golden.MODEL
    modelfile.read(path)
    size = path.stat().st_size
    grown = hostile.grown_by(lambda: modelfile.read(path))
    assert grown <= 2.1 * size
    measured(f"reading a model of {size / 1e6:.0f} MB takes {grown / size:.2f} times that")


@pytest.mark.promise(22)
def test_headers_that_claim_the_world_take_nothing(tmp_path: Path) -> None:
    """A hundred thousand classes, or a picture of a terapixel, in a file of a few kB."""
    path = tmp_path / "model.safetensors"
    many = {**CARD.as_header(), "classes": [str(i) for i in range(100_000)]}
    arrays = {"classifier.weight": np.zeros((3, 1024), np.float32)}
    modelfile.write(path, arrays, many)
    size = path.stat().st_size

    def read() -> None:
        with pytest.raises(ModelFileError, match="not the network that it names"):
            load(path)

    read()
    assert hostile.grown_by(read) < 20 * size + 50_000_000
    for size in (1 << 20, 0, -1, True, "64", 32):
        header = {**CARD.as_header(), "preprocessing": {**CARD.as_header()["preprocessing"], "size": size}}
        modelfile.write(path, arrays, header)
        with pytest.raises(ModelFileError, match="size"):
            modelfile.read_metadata(path)


@pytest.mark.promise(22)
@pytest.mark.parametrize("name", ["model.xml", "model.bin", "manifest.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "missing", "link", "huge"])
def test_what_is_no_plain_file_is_not_waited_for(name: str, kind: str, tmp_path: Path) -> None:
    hostile.tiny_openvino(tmp_path)
    path = tmp_path / name
    path.rename(tmp_path / "kept")
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device" | "link":
            path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "kept")
        case "folder":
            path.mkdir()
        case "huge":
            path.touch()
            os.truncate(path, 1 << 40)  # no bytes on the disk
    with pytest.raises(ModelFileError):
        manifest.read_manifest(tmp_path)


# 23

OUTSIDE = ["../secret", "/{}/secret", "linked", "hard", "./weights", "secret\0"]


@pytest.mark.promise(23)
@pytest.mark.parametrize("location", OUTSIDE)
def test_onnx_that_refers_to_another_file_is_refused_before_its_engine(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **kwargs: pytest.fail("entered"))
    secret, folder = tmp_path / "secret", tmp_path / "export"
    folder.mkdir()
    secret.write_bytes(np.arange(9, dtype="<f4").tobytes())
    (folder / "linked").symlink_to(secret)
    (folder / "hard").hardlink_to(secret)
    shutil.copy(secret, folder / "weights")
    before = _touched(secret)
    weight = hostile.onnx_weight(location=location.format(str(tmp_path).strip("/")), offset="0", length="36")
    (folder / "model.onnx").write_bytes(hostile.onnx_model(weight))
    hostile.seal_export(folder, "onnx")
    with pytest.raises(
        ModelFileError, match="field 13 of a tensor is none of a network that stands by itself"
    ):
        engines.open_exported(folder)
    assert _touched(secret) == before
    measured(f"{len(OUTSIDE)} kinds of external data refused, the file outside not opened")


def _touched(path: Path) -> tuple[int, int, bytes]:
    status = path.stat()
    return status.st_atime_ns, status.st_mtime_ns, b"" if status.st_size > 10_000 else b"%d" % status.st_size


@pytest.mark.promise(23)
def test_the_outside_file_is_read_where_nothing_is_checked(tmp_path: Path) -> None:
    """Otherwise the test above would show nothing: the engine follows a name in its own folder."""
    import onnxruntime

    (tmp_path / "weights").write_bytes(np.arange(9, dtype="<f4").tobytes())
    (tmp_path / "model.onnx").write_bytes(hostile.onnx_model(hostile.onnx_weight(location="weights")))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": np.ones((1, 64, 64, 3), np.uint8)})[0]
    np.testing.assert_allclose(found[0], [3, 12, 21])


@pytest.mark.promise(23)
@pytest.mark.parametrize(
    "content, said",
    [
        (hostile.onnx_model(hostile.onnx_weight(), kind="EPContext"), "ONNX Runtime cannot open it"),
        (
            hostile.onnx_model(hostile.onnx_weight(), kind="EPContext", domain="com.microsoft"),
            "operators of another domain, 'com.microsoft'",
        ),
        (
            hostile.onnx_model(hostile.onnx_weight(), kind="If", attribute=published.field(6, b"")),
            "field 6 of a attribute",
        ),
        (hostile.onnx_model(hostile.onnx_weight(), extra=published.field(25, b"")), "field 25 of a model"),
        (hostile.onnx_model(hostile.onnx_weight())[:-3], "ends in the middle"),
        (b"ORTM" * 20, "field|wire"),
    ],
)
def test_onnx_of_other_parts_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    hostile.seal_export(tmp_path, "onnx")
    with pytest.raises(ModelFileError, match=said):
        engines.open_exported(tmp_path)


ALTERED = {
    "entity": ("<net ", '<!DOCTYPE net [<!ENTITY x SYSTEM "/etc/passwd">]><net '),
    "encoding": ('<?xml version="1.0"?>', '<?xml version="1.0" encoding="utf-16"?>'),
    "beyond the weights": ('offset="0"', 'offset="1000000"'),
    "before the weights": ('offset="0"', 'offset="-8"'),
    "another length": ('size="32"', 'size="64"'),
    "an extension": ('type="ReLU"', 'type="Mine"'),
    "another set": ('type="ReLU" version="opset1"', 'type="ReLU" version="custom"'),
    "control flow": ('type="ReLU"', 'type="TensorIterator"'),
    "no precision": ('precision="FP32"', ""),
    "padding": ('pads_begin="0, 0"', 'pads_begin="9, 999999"'),
    "an edge to nowhere": ('to-layer="1"', 'to-layer="999"'),
    "an element": ("<layers>", "<include/><layers>"),
}


@pytest.mark.promise(23)
@pytest.mark.parametrize("what", ALTERED)
def test_openvino_files_of_other_parts_are_refused_before_their_engine(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.tiny_openvino(tmp_path)
    text = (tmp_path / "model.xml").read_text()
    before, after = ALTERED[what]
    assert before in text, text[:3000]
    (tmp_path / "model.xml").write_text(text.replace(before, after, 1))
    hostile.seal_export(tmp_path, "openvino")
    monkeypatch.setattr(engines, "_openvino", lambda: pytest.fail("the engine was entered"))
    with pytest.raises(ModelFileError, match="export the model again") as caught:
        engines.open_exported(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.promise(23)
@pytest.mark.parametrize("name", ["../model.bin", "/etc/passwd", "model.bin.linked"])
def test_a_manifest_that_names_other_files_is_refused(name: str, tmp_path: Path) -> None:
    hostile.tiny_openvino(tmp_path)
    found = manifest.read_manifest(tmp_path)
    found.files[name] = found.files.pop("model.bin")
    found.write(tmp_path)
    with pytest.raises(ModelFileError, match=r"expected model\.xml and model\.bin, got"):
        manifest.read_manifest(tmp_path)


@pytest.mark.promise(23)
def test_an_archive_writes_nothing_wherever_its_members_point(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    with zipfile.ZipFile(inside / "x.zip", "w") as archive:
        for name in ("../../evil.pb", "/tmp/googlenet-evil.pb", "../evil.txt"):
            archive.writestr(name, b"\x0a\x00")
    with pytest.raises(GoogLeNetError):
        convert(inside / "x.zip", "inception5h", inside / "out.safetensors")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "x.zip"]
    assert not Path("/tmp/googlenet-evil.pb").exists()


@pytest.mark.promise(23)
@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_an_export_of_ours_refers_to_nothing_outside(
    engine: str, released: Path, tmp_path: Path, measured: Measured
) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(released / engine, folder)
    found = manifest.read_manifest(folder)  # it passes its own check
    assert {path.name for path in folder.iterdir()} == {"manifest.json", *found.files}
    home = str(Path(sys.prefix).resolve()).encode()
    for path in folder.iterdir():
        content = path.read_bytes()
        for place_here in (home, str(SOURCE).encode(), b"site-packages", b".py", b"/home/"):
            assert place_here not in content, (path.name, place_here)
    if engine == "onnx":
        import onnx

        graph = onnx.load_model_from_string((folder / "model.onnx").read_bytes()).graph
        assert not [
            weight.name for weight in graph.initializer if weight.external_data or weight.data_location
        ]
    measured("a moved export opens by itself; no path of the machine that made it is in it")


# 24


@pytest.fixture(scope="module")
def whole(released: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return modelfile.read(released / golden.MODEL)


Contents = tuple[dict[str, Any], dict[str, Any]]  # arrays, header


def _header(**change: object) -> Callable[[Contents], Contents]:
    return lambda whole: (whole[0], {**whole[1], **change})


def _pixels(**change: object) -> Callable[[Contents], Contents]:
    return lambda whole: (whole[0], {**whole[1], "preprocessing": {**whole[1]["preprocessing"], **change}})


def _lacking(name: str) -> Callable[[Contents], Contents]:
    return lambda whole: (whole[0], {key: value for key, value in whole[1].items() if key != name})


def _arrays(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Contents], Contents]:
    return lambda whole: (change(whole[0]), whole[1])


def _bias(value: object, kind: type = np.float32) -> Callable[[Contents], Contents]:
    return _arrays(lambda arrays: arrays | {"classifier.bias": np.full(3, value, kind)})


def _halved(arrays: dict[str, Any]) -> dict[str, Any]:
    return {n: v.astype(np.float16) if v.dtype == np.float32 else v for n, v in arrays.items()}


WRONG: dict[str, tuple[Callable[[Contents], Contents], str]] = {
    "architecture": (
        _header(dialect="paper"),
        r"missing (\S+, ){4}\S+ and 52 more; unexpected (\S+, ){4}\S+ and",
    ),
    "unknown architecture": (_header(dialect="resnet50"), "expected a dialect among .*update googlenet"),
    "class count": (
        _header(classes=["a", "b"]),
        r"misshapen classifier.weight \[3, 1024\] for \[2, 1024\], classifier.bias \[3\] for \[2\]",
    ),
    "a label twice": (_header(classes=["a", "a", "b"]), "a name twice"),
    "a label that is no text": (_header(classes=["a", 2, "b"]), "Expected `str`, got `int`"),
    "labels as text": (_header(classes="abc"), "Expected `array`, got `str`"),
    "no labels": (_header(classes=[]), "names of classes"),
    "missing": (_arrays(lambda a: dict(list(a.items())[7:])), r"missing (\S+, ){4}\S+ and 2 more"),
    "extra": (
        _arrays(lambda a: a | {f"x{i}": a["classifier.bias"] for i in range(9)}),
        "unexpected x0, x1, x2, x3, x4 and 4 more",
    ),
    "half precision": (
        _arrays(_halved),
        r"mistyped (\S+ float16 for float32, ){4}\S+ float16 for float32 and",
    ),
    "double precision": (_bias(0, np.float64), "mistyped classifier.bias float64 for float32"),
    "NaN": (_bias(np.nan), "classifier.bias .* finite"),
    "infinity": (_bias(np.inf), "classifier.bias .* finite"),
    "unknown preprocessing": (_pixels(augmentation="x"), "augmentation"),
    "unknown interpolation": (_pixels(interpolation="lanczos"), "enum value 'lanczos'"),
    "a deviation of nothing": (_pixels(std=[0.2, 0.0, 0.2]), "expected std"),
    "a newer format": (
        _header(format=3, versions={"googlenet": "9.1.0"}),
        r"expected a format of a model from 1 to 2, got 3; .*newer release of googlenet \(9.1.0\): update",
    ),
    "an older format": (_header(format=0), "from 1 to 2, got 0"),
    "no format": (_lacking("format"), "got None"),
    "a field of a newer release": (_header(heat=1), "does not know: heat"),
    "a field missing": (_lacking("classes"), "classes"),
}


@pytest.mark.promise(24)
@pytest.mark.parametrize("what", WRONG)
def test_a_model_that_is_not_what_it_says_is_refused_whole(
    what: str,
    whole: tuple[dict[str, Any], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Measured,
) -> None:
    from googlenet.weights import convert as weights

    alter, said = WRONG[what]
    path = tmp_path / "model.safetensors"
    modelfile.write(path, *alter(whole))
    monkeypatch.setattr(GoogLeNet, "load_state_dict", lambda *args, **kwargs: pytest.fail("loaded"))
    for read in (load, loading.load_network, loading.load_predictor, lambda path: weights.load(str(path))):
        with pytest.raises(ModelFileError, match=said) as caught:
            read(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    measured(f"{len(WRONG)} kinds of wrong model files refused with what differs")


@pytest.mark.promise(24)
@pytest.mark.parametrize("version", golden.versions(), ids=lambda version: version.name)
def test_files_of_a_release_give_the_logits_that_they_gave(
    version: Path, tmp_path: Path, measured: Measured
) -> None:
    folder = golden.unpacked(version, tmp_path)
    expected = np.array(json.loads((version / golden.LOGITS).read_text()))
    size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
    assert size < 100_000 and expected.std() > 0.1
    net = load(folder / golden.MODEL)
    with torch.inference_mode():
        found = [net(network_input(torch.from_numpy(golden.squares()), net.metadata.preprocessing)).numpy()]
    cards = [net.metadata]
    for engine in ("openvino", "onnx"):
        opened = engines.open_exported(folder / engine, exact=True)
        found.append(opened.logits(golden.squares()))
        cards.append(opened.metadata)
    differences = [float(np.abs(logits - expected).max() / np.abs(expected).max()) for logits in found]
    assert max(differences) < 1e-4
    for card in cards:
        assert card is not None
        assert card.classes == ("blau", "grün", 'red "1"')
        assert card.preprocessing == Preprocessing(size=64, crop=0.9, interpolation="bilinear")
        assert card.familiar is not None and card.familiar.mean == tuple(range(9))
        assert (card.temperature, card.familiar.threshold) == (1.5, 21.5)
    measured(f"files of {version.name}: logits within {max(differences):.0e} of the largest")


WRITTEN = "23b87baf315671888fd98e50de4a768b76557623a5fc9d7c6e6776c2d0df1739"


@pytest.mark.promise(24)
def test_this_release_writes_what_it_wrote(
    whole: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """Byte for byte, so that a change of the format is seen, and made on purpose."""
    arrays, header = whole
    content = modelfile.to_bytes(arrays, {**header, "format": FORMAT})
    assert hashlib.sha256(content).hexdigest() == WRITTEN


@pytest.mark.promise(24)
def test_an_export_of_another_network_than_its_card_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change in ({"classes": ("a", "b")}, {"preprocessing": Preprocessing(size=96)}):
        for make, engine in ((hostile.tiny_openvino, "openvino"), (hostile.tiny_onnx, "onnx")):
            folder = tmp_path / f"{engine}-{next(iter(change))}"
            folder.mkdir()
            make(folder)
            monkeypatch.setattr(hostile, "CARD", ModelMetadata(**{**vars(hostile.CARD), **change}))
            hostile.seal_export(folder, engine)
            monkeypatch.undo()
            with pytest.raises(ModelFileError, match=r"expected images \[any, \d+, \d+, 3\] and \d classes"):
                engines.open_exported(folder)
