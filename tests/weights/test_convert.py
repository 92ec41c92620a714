"""Published files that are whole, wrong, damaged or hostile; `test_parity` compares what they compute."""

import hashlib
import os
import pickle
import struct
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet.architecture.dialects import DIALECTS
from googlenet.base.errors import InputError, MissingExtraError, ModelFileError
from googlenet.cli.main import main
from googlenet.data.imagenet import imagenet_classes
from googlenet.files.metadata import ModelMetadata
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet
from googlenet.weights import readers
from googlenet.weights.convert import (
    convert,
    load,
    locate,
    read_published,
    unique,
)
from googlenet.weights.published import FAMILIES, published_names
from googlenet.weights.readers import SUFFIXES
from helpers import published
from helpers.painting import Run

FILES = {
    "torchvision": "a.pth",
    "pytorch-bn": "b.pth",
    "bvlc": "c.caffemodel",
    "onnx": "c.onnx",
    "inception5h": "d.pb",
    "slim": "e.npz",
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole file of each family, of 1,000 classes (slim 1,001, inception5h 1,008)."""
    from torchvision.models import googlenet

    folder = tmp_path_factory.mktemp("published")
    net = googlenet(weights=None, init_weights=False, aux_logits=False)
    torch.save(net.state_dict(), folder / FILES["torchvision"])
    wild = {}
    for name, tensor in GoogLeNet(1000).state_dict().items():
        theirs = published_names(FAMILIES["pytorch-bn"])
        if name in theirs:
            wild[theirs[name]] = tensor
    torch.save({"model": wild, "epoch": 7}, folder / FILES["pytorch-bn"])
    layers = published.random_layers(published.PAPER)
    (folder / FILES["bvlc"]).write_bytes(published.caffemodel(layers))
    (folder / FILES["onnx"]).write_bytes(published.zoo_model(layers))
    layers = published.random_layers(published.RELEASED, classes=1008)
    (folder / FILES["inception5h"]).write_bytes(published.frozen_graph(layers))
    layers = published.random_layers(published.PAPER, five=3, classes=1001)
    np.savez(folder / FILES["slim"], **published.slim_variables(layers))
    return folder


def refusal(path: Path, family: str, labels: Path | None = None) -> str:
    with pytest.raises((ModelFileError, InputError)) as caught:
        read_published(path, family, labels=labels)
    message = str(caught.value)
    assert "\n" not in message
    assert str(labels or path) in message
    return message


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_files_are_recognized_read_and_described(folder: Path, family: str) -> None:
    path = folder / FILES[family]
    arrays, card, _ = read_published(path)
    assert card.data["converted_from"] == family
    classes = {"inception5h": 1008}.get(family, 1000)
    assert len(card.classes) == len(set(card.classes)) == classes
    assert card.dialect == FAMILIES[family].dialect
    assert card.preprocessing == DIALECTS[card.dialect].preprocessing
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert card.data == {"name": path.name, "converted_from": family, "sha256": digest}
    assert arrays["classifier.weight"].shape == (classes, 1024)
    assert all(array.flags.c_contiguous for array in arrays.values())


@pytest.mark.parametrize(
    "family, parameters",
    [
        ("torchvision", 6_624_904),
        ("pytorch-bn", 7_005_832),
        ("bvlc", 13_378_280),  # with both heads
        ("onnx", 6_998_552),
        ("inception5h", 13_461_996),  # with both heads
        ("slim", 6_618_649 - 1025),  # less the background's row
    ],
)
def test_parameters_are_those_of_the_publishers(folder: Path, family: str, parameters: int) -> None:
    assert read_published(folder / FILES[family], family).parameters == parameters


def test_classes_match_by_name_across_families(folder: Path) -> None:
    names = {read_published(folder / FILES[family], family).card.classes for family in ("bvlc", "slim")}
    assert names == {tuple(imagenet_classes().values())}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "zeros", "noise"])
def test_damaged_files_are_refused_in_one_line(
    folder: Path, tmp_path: Path, family: str, damage: str
) -> None:
    whole = (folder / FILES[family]).read_bytes()
    content = {
        "empty": b"",
        "truncated": whole[: len(whole) * 2 // 3],
        "text": b"<html>404 Not Found</html>\n" * 50,
        "zeros": bytes(5000),
        "noise": np.random.default_rng(0).bytes(5000),
    }[damage]
    path = published.write(tmp_path / FILES[family], content)
    refusal(path, family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("other", FAMILIES)
def test_files_of_another_family_are_refused(folder: Path, family: str, other: str) -> None:
    if other != family:
        refusal(folder / FILES[other], family)


def test_the_refusal_says_whose_names_they_are(folder: Path) -> None:
    message = refusal(folder / FILES["pytorch-bn"], "torchvision")
    assert "got arrays named conv1.conv_block.0.weight, " in message
    assert "those of pytorch-bn: --from pytorch-bn" in message


def test_missing_unexpected_and_misshapen_are_listed_in_the_files_own_names(tmp_path: Path) -> None:
    layers = published.random_layers(published.PAPER)
    weight, bias = layers.pop("4a/5x5")
    layers["conv2"] = (np.zeros((192, 64, 5, 5), np.float32), layers["conv2"][1])
    layers["3z/5x5"] = weight, bias
    path = published.write(tmp_path / "x.caffemodel", published.caffemodel(layers))
    message = refusal(path, "bvlc")
    assert "missing inception_4a/5x5[0], inception_4a/5x5[1];" in message
    assert "unexpected inception_3z/5x5[0], inception_3z/5x5[1];" in message
    assert "misshapen conv2/3x3[0] [192, 64, 5, 5] for [192, 64, 3, 3];" in message
    assert "nothing was loaded" in message


def test_one_head_without_the_other_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = published.random_layers(published.PAPER)
    layers = {name: pair for name, pair in layers.items() if not name.startswith("aux2")}
    path = published.write(tmp_path / "x.caffemodel", published.caffemodel(layers))
    assert not read_published(path, "bvlc").has_heads
    assert "heads are not whole and were left out: loss1/conv[0]" in capsys.readouterr().err


def test_no_heads_are_no_mistake(tmp_path: Path) -> None:
    layers = published.random_layers(published.PAPER)
    layers = {name: pair for name, pair in layers.items() if not name.startswith("aux")}
    path = published.write(tmp_path / "x.caffemodel", published.caffemodel(layers))
    found = read_published(path, "bvlc")
    assert not found.has_heads
    assert found.parameters == 6_998_552


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(folder: Path, tmp_path: Path, value: float) -> None:
    with np.load(folder / FILES["slim"]) as stored:
        variables = dict(stored)
    variables["InceptionV1/Conv2d_1a_7x7/BatchNorm/beta"][3] = value
    np.savez(tmp_path / "x.npz", **variables)
    message = refusal(tmp_path / "x.npz", "slim")
    assert "finite" in message
    assert "InceptionV1/Conv2d_1a_7x7/BatchNorm/beta" in message


class Hostile:
    """Pickled, it would make a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("container", ["torch", "bare", "npz"])
def test_a_pickle_that_would_execute_does_not(tmp_path: Path, container: str) -> None:
    marker = tmp_path / "marker"
    hostile = {"conv1.conv.weight": Hostile(marker)}
    path, family = tmp_path / "x.pth", "torchvision"
    if container == "torch":
        torch.save(hostile, path)
    elif container == "bare":
        path.write_bytes(pickle.dumps(hostile))
    else:
        path, family = tmp_path / "x.npz", "slim"
        np.savez(path, x=np.array([Hostile(marker)], dtype=object))
    refusal(path, family)
    assert not marker.exists()
    # the same file does execute where nothing is checked: the test could fail
    if container == "bare":
        pickle.loads(path.read_bytes())
        assert marker.exists()


def test_arrays_that_claim_more_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = torch.zeros(1).expand(1 << 40)  # one number, said to be 2^40
    torch.save({"conv1.conv.weight": huge}, tmp_path / "x.pth")
    assert "claim more" in refusal(tmp_path / "x.pth", "torchvision")
    shape = published.field(1, published.varint(1 << 40))
    blob = published.field(7, shape) + published.field(5, struct.pack("<f", 1.0))
    layer = published.field(1, "conv1/7x7_s2") + published.field(7, blob)
    path = published.write(tmp_path / "x.caffemodel", published.field(100, layer))
    refusal(path, "bvlc")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("graph.pb", bytes(2_000_000))  # 2 kB as they lie
    monkeypatch.setattr(readers, "MAX_BYTES", 1_000_000)
    refusal(tmp_path / "x.zip", "inception5h")


def test_missing_and_unknown(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "x.pth", "torchvision")
    with pytest.raises(InputError, match="torchvision, pytorch-bn, bvlc, onnx, inception5h, slim"):
        read_published(tmp_path / "x.pth", "keras")


def test_without_its_library_a_format_asks_for_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers._message.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(MissingExtraError, match=r"needs google\.protobuf.*googlenet\[train\]"):
        read_published(folder / FILES["bvlc"], "bvlc")


# Labels


def test_labels_of_the_user(folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(["crane", "crane", *(f"kind {i}" for i in range(998))]) + "\n\n")
    card = read_published(folder / FILES["torchvision"], "torchvision", labels=labels).card
    assert card.classes[:3] == ("crane", "crane (2)", "kind 0")
    labels.write_text("cat\ndog\n")
    message = refusal(folder / FILES["torchvision"], "torchvision", labels)
    assert "expected 1,000 labels, one a line, got 2" in message
    labels.write_bytes(b"\xff\xfe\x00")
    refusal(folder / FILES["torchvision"], "torchvision", labels)
    refusal(folder / FILES["torchvision"], "torchvision", tmp_path / "none.txt")


def test_equal_labels_are_numbered_without_a_clash() -> None:
    assert unique(["a", "a", "a (2)", "b", "a"]) == ("a", "a (2)", "a (2) (2)", "b", "a (3)")


@pytest.mark.parametrize("place", ["archive", "beside"])
def test_labels_of_the_graph_and_numbers_for_the_rest(
    folder: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = "dummy\n" + "\n".join(f"thing {i}" for i in range(1000))
    graph = (folder / FILES["inception5h"]).read_bytes()
    path = tmp_path / ("inception5h.zip" if place == "archive" else "graph.pb")
    if place == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("tensorflow_inception_graph.pb", graph)
            archive.writestr("imagenet_comp_graph_label_strings.txt", labels)
    else:
        path.write_bytes(graph)
        (tmp_path / "imagenet_comp_graph_label_strings.txt").write_text(labels)
    card = read_published(path).card
    assert card.data["converted_from"] == "inception5h"
    assert card.classes[:2] == ("dummy", "thing 0")
    assert card.classes[1000:1002] == ("thing 999", "class 1001")
    assert "no names for 7 of 1,008 classes" in capsys.readouterr().err


# Words, and the command line


def test_find_and_load_take_files_of_every_kind(folder: Path, tmp_path: Path) -> None:
    assert locate(str(folder / FILES["bvlc"])) == folder / FILES["bvlc"]
    run = tmp_path / "run"
    run.mkdir()
    convert(folder / FILES["slim"], "slim", run / "model.safetensors")
    assert locate(str(run)) == run / "model.safetensors"
    arrays, card, _ = load(str(run))
    assert card.data["converted_from"] == "slim"
    np.testing.assert_array_equal(
        arrays["classifier.bias"], load(str(folder / FILES["slim"]))[0]["classifier.bias"]
    )


@pytest.mark.parametrize("word", ["slim", "vgg", "hf/OWNER"])
def test_unknown_words_list_the_known(word: str) -> None:
    with pytest.raises(InputError, match="torchvision, bvlc, inception5h, hf:OWNER/NAME"):
        locate(word)


def test_files_of_nobody_we_know(tmp_path: Path) -> None:
    torch.save({"layer1.weight": torch.ones(3)}, tmp_path / "x.pt")
    with pytest.raises(ModelFileError, match=r"arrays named layer1\.weight; the nearest is"):
        load(str(tmp_path / "x.pt"))
    with pytest.raises(ModelFileError, match=r"\.pth, \.pt, \.ckpt"):
        read_published(published.write(tmp_path / "x.h5", b"x"))
    with pytest.raises(ModelFileError):
        locate(str(tmp_path))  # a folder without a model


def test_downloaded_words_go_through_the_mirror(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with zipfile.ZipFile(mirror / "inception5h.zip", "w") as archive:
        archive.write(folder / FILES["inception5h"], "graph.pb")
    monkeypatch.setenv("GOOGLENET_MIRROR", mirror.as_uri())
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "cache"))
    assert locate("inception5h") == tmp_path / "cache" / "weights" / "inception5h.zip"
    assert load("inception5h")[1].dialect == "inception5h"


def test_convert_from_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, source = tmp_path / "bvlc.safetensors", str(folder / FILES["bvlc"])
    words = ["convert", source, "--from", "bvlc", "--out", str(out)]
    assert main(words) == 0
    assert capsys.readouterr().out == (
        f"{out}: dialect bvlc, 1,000 classes, 13,378,280 parameters, with both auxiliary heads\n"
    )
    assert checkpoint.load(out).dialect.name == "bvlc"
    for wrong, said in (
        (words, f"expected nothing at --out {out}"),
        (
            ["convert", source, "--from", "slim", "--out", str(tmp_path / "x")],
            "its names are those of bvlc: --from bvlc",
        ),
        (["convert", source, "--from", "bvlc", "--out", str(tmp_path / "no" / "x")], "a folder that exists"),
        (["convert", source, "--from", "caffe", "--out", str(tmp_path / "x")], "bvlc"),
    ):
        assert main(wrong) == 2
        error = capsys.readouterr().err
        assert said in error
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_the_command_line_knows_every_family(googlenet: Run) -> None:
    said = googlenet("convert", "--help", env={**os.environ, "COLUMNS": "200"}).stdout
    assert "{" + ",".join(FAMILIES) + "}" in said
    assert set(SUFFIXES.values()) == {"safetensors", *(family.format for family in FAMILIES.values())}


# The hub


HUB_CODE = """
import sys
from googlenet.base.errors import GoogLeNetError
from googlenet.weights.convert import load
for word in sys.argv[1:]:
    try:
        print(load(word)[1].classes)
    except GoogLeNetError as error:
        print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def hub(tmp_path: Path) -> object:
    """A hub on this machine that has one repository, OWNER/flowers."""
    path = tmp_path / "model.safetensors"
    checkpoint.save(
        path,
        GoogLeNet(2),
        ModelMetadata(classes=("rose", "tulip"), dialect="bn", preprocessing=DIALECTS["bn"].preprocessing),
    )
    content = path.read_bytes()

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            found = self.path == "/OWNER/flowers/resolve/main/model.safetensors"
            self.send_response(200 if found else 404)
            if found:
                self.send_header("X-Repo-Commit", "0" * 39 + "1")
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            else:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", str(len(content) if found else 0))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            if self.path.endswith("/OWNER/flowers/resolve/main/model.safetensors"):
                self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_weights_from_the_hub(hub: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
    environment.pop("HF_HUB_OFFLINE", None)

    words = ("hf:OWNER/flowers", "hf:OWNER/none", "hf:not a name")
    command = [sys.executable, "-c", HUB_CODE, *words]  # the hub's address is read at import
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    found, *refused = done.stdout.splitlines()
    assert found == "('rose', 'tulip')", done.stderr
    for word, line in zip(words[1:], refused, strict=True):
        assert line.startswith(f"DownloadError: {word}: expected a repository OWNER/NAME"), line


def test_the_hub_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet.weights.convert.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"googlenet\[hub\]"):
        load("hf:OWNER/flowers")
