"""The verb that serves: wrong options, several models; requests of the protocol; the description."""

import base64
import json
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from googlenet.base.errors import InputError
from googlenet.cli import main
from googlenet.export import export
from googlenet.serve import openinference, schemas
from googlenet.serve.app import OPERATIONS, App
from googlenet.serve.errors import HTTPError
from googlenet.serve.export_cache import model_sources
from googlenet.serve.openapi import document
from googlenet.serve.openinference import response
from googlenet.serve.server import read_token
from helpers.models import CLASSES, SIZE, save
from helpers.running import Running

MODEL: Any = SimpleNamespace(name="m", version=3, size=SIZE, classes=CLASSES, max_batch=4)


def parse(body: bytes, length: str | None, *, encoded: bool) -> openinference.Request:
    return openinference.parse(body, length, MODEL, encoded)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "model.safetensors", "bn")


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    export.export(model, model.parent / "out", to="openvino")
    return model.parent / "out"


def test_wrong_words_end_in_one_line(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in exported.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes()[: -10 if path.suffix == ".bin" else None])
    (tmp_path / "empty").write_text("\n")
    place = str(exported)
    for words, said in (
        ([], "expected MODEL"),
        ([str(tmp_path)], "no model"),
        ([place, "--queue", "0"], "expected --queue from 1"),
        ([place, "--timeout", "0"], "expected --timeout from"),
        ([place, "--max-megabytes", "1000"], "expected --max-megabytes"),
        ([place, "--port", "70000"], "expected --port from 0 to 65535"),
        ([place, "--port", str(taken.getsockname()[1])], "cannot listen on 127.0.0.1"),
        ([place, "--host", "192.0.2.1", "--port", "0"], "cannot listen on 192.0.2.1"),
        ([place, "--token-file", str(tmp_path / "none")], "expected a secret in --token-file"),
        ([place, "--token-file", str(tmp_path / "empty")], "expected a secret of printable"),
        ([f"a/b={place}"], "expected a name of letters"),
        ([f"x-image={place}"], "does not end in -image"),
        ([f"a={place}", f"a={place}"], "expected each name once"),
        ([str(damaged), "--port", "0"], "model.bin"),
    ):
        assert main.main(["serve", *words]) == 2, words
        lines = capsys.readouterr().err.strip().splitlines()
        assert said in lines[-1] and lines[-1].startswith("googlenet: "), (words, lines)
    taken.close()


def test_names_of_models(tmp_path: Path) -> None:
    assert list(model_sources([str(tmp_path / "x")])) == ["googlenet"]
    assert list(model_sources(["a=x", "b=y"])) == ["a", "b"]
    assert list(model_sources(["runs/shoes", "runs/hats"])) == ["shoes", "hats"]
    (tmp_path / "a=b").mkdir()
    assert list(model_sources([str(tmp_path / "a=b")])) == ["googlenet"]


@pytest.mark.parametrize("dialect", ["bn", "bvlc", "slim", "inception5h", "bvlc+4c+4e+5a"])
def test_a_model_file_is_exported_once_and_several_are_served(dialect: str, tmp_path: Path) -> None:
    model, exported = save(tmp_path / "model.safetensors", dialect), tmp_path / "out"
    export.export(model, exported, to="openvino")
    surroundings = {"GOOGLENET_CACHE": str(tmp_path / "cache")}
    square = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    for again in (False, True):
        with Running(f"first={model}", f"second={exported}", environment=surroundings) as running:
            assert any("exporting" in line for line in running.said) is not again
            assert [each["name"] for each in running.json("GET", "/info")[1]["models"]] == ["first", "second"]
            asked = {
                "inputs": [
                    {
                        "name": "image",
                        "shape": list(square.shape),
                        "datatype": "UINT8",
                        "data": square.tolist(),
                    }
                ]
            }
            first, second = (
                running.json("POST", f"/v2/models/{name}/infer", json.dumps(asked).encode())[1]["outputs"]
                for name in ("first", "second")
            )
            assert first == second
            assert running.json("GET", "/v2/models/googlenet")[0] == 404
            assert running.stop() == 0


def test_no_torch_in_the_process(exported: Path) -> None:
    code = (
        "import sys, googlenet.cli.verbs.serve, googlenet.serve.server, googlenet.serve.service; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0


def request(**changes: object) -> dict[str, object]:
    given = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(b"abc").decode()]}
    return {"inputs": [given | changes.pop("input", {})], **changes}  # type: ignore[operator]


def test_requests_that_are_read() -> None:
    found = parse(json.dumps(request(id="x")).encode(), None, encoded=True)
    assert found.id == "x" and found.images == [b"abc"] and (found.top, found.binary) == (0, False)
    text = json.dumps(request(input={"shape": [2, 1], "data": None, "parameters": {"binary_data_size": 14}}))
    raw = struct.pack("<I", 3) + b"abc" + struct.pack("<I", 3) + b"xyz"
    found = parse(text.encode() + raw, str(len(text)), encoded=True)
    assert found.images == [b"abc", b"xyz"]
    wanted = [{"name": "probabilities", "parameters": {"classification": 9, "binary_data": True}}]
    found = parse(json.dumps(request(outputs=wanted)).encode(), None, encoded=True)
    assert (found.top, found.binary) == (3, True)
    content, raw = response(found, MODEL, True, np.array([[0.25, 0.5, 0.25]], np.float32))
    assert content.model_name == "m-image" and content.model_version == "3"
    assert content.outputs[0].parameters == {"binary_data_size": len(raw)}
    first = f"0.500000:1:{CLASSES[1]}".encode()
    assert raw.startswith(struct.pack("<I", len(first)) + first)


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"name": "other"}},
        {"input": {"datatype": "FP32"}},
        {"input": {"shape": [5]}},
        {"input": {"shape": [0]}},
        {"input": {"shape": []}},
        {"input": {"shape": [1, 2]}},
        {"input": {"shape": [1.5]}},
        {"input": {"shape": [True]}},
        {"input": {"data": ["%%%"]}},
        {"input": {"data": [5]}},
        {"input": {"data": []}},
        {"input": {"data": "abc"}},
        {"input": {"parameters": []}},
        {"input": {"parameters": {"content_type": "text"}}},
        {"input": {"parameters": {"binary_data_size": 5}}},
        {"input": {"parameters": {"binary_data_size": -1}}},
        {"id": 5},
        {"id": "x" * 2000},
        {"outputs": [{"name": "other"}]},
        {"outputs": [{}, {}]},
        {"outputs": {}},
        {"outputs": [{"name": "probabilities", "parameters": {"classification": "x"}}]},
        {"inputs": []},
        {"inputs": [1]},
        {"inputs": None},
        {"parameters": {"binary_data_output": 1}},
    ],
)
def test_requests_that_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(HTTPError, match="expected"):
        parse(json.dumps(request(**changes)).encode(), None, encoded=True)


def test_squares_that_are_refused() -> None:
    shape = [1, SIZE, SIZE, 3]
    count = SIZE * SIZE * 3
    for data in (
        [0] * (count - 1),
        [0.5] * count,
        [256] * count,
        [-1] * count,
        [[0], [0, 1]],
        ["0"] * count,
        None,
    ):
        text = json.dumps(request(input={"shape": shape, "datatype": "UINT8", "data": data}))
        with pytest.raises(HTTPError):
            parse(text.encode(), None, encoded=False)
    for body, length in (
        (b"{}", "9"),
        (b"{}", "x"),
        (b"{}", "²"),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
    ):
        with pytest.raises(HTTPError):
            parse(body, length, encoded=False)


def test_the_description_has_every_route() -> None:
    service: Any = SimpleNamespace(names=("googlenet",))
    routes = {
        (route.path, method)  # type: ignore[attr-defined]
        for route in App(service).asgi().routes
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    described = {
        (path, method.upper())
        for path, methods in document(OPERATIONS, ["googlenet"], token=False)["paths"].items()
        for method in methods
    }
    assert routes == described


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": 5}', "Expected `str`, got `int` - at `$.inputs`"),
        (b'{"inputs": "", "parameters": {"top_k": true}}', "Expected `int | null`, got `bool`"),
        (b'{"inputs": "", "parameters": {"top_k": 1.0}}', "Expected `int | null`, got `float`"),
        (b'{"inputs": "", "parameters": {"top_k": 0}}', ">= 1"),
        (b'{"inputs": "", "parameters": {"top_k": 1' + b"0" * 50 + b"}}", "<= 1000000"),
        (b'{"inputs": "", "parameters": {"function_to_apply": "' + b"x" * 10**6 + b'"}}', "Invalid enum"),
        (b'{"inputs": "", "other": NaN}', "malformed"),
        (b'{"inputs": "\xff"}', "Invalid UTF-8"),
        (b'{"inputs": "", "other": ' + b"[" * 10**5, "maximum recursion depth"),
    ],
)  # fmt: skip
def test_json_that_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(HTTPError) as caught:
        schemas.decode(body, schemas.HuggingFaceRequest)
    text = str(caught.value)
    assert reason in text and text.startswith("expected JSON as ") and len(text) < 300
    assert (caught.value.status, caught.value.code) == (400, "request")


def test_json_that_is_read() -> None:
    body = b'\xef\xbb\xbf{"inputs": "abc", "parameters": null, "other": {"x": [1]}}'
    assert schemas.decode(body, schemas.HuggingFaceRequest) == schemas.HuggingFaceRequest("abc")


@pytest.mark.parametrize("token", [False, True])
def test_the_description_has_a_schema_for_every_body(token: bool) -> None:
    described = document(OPERATIONS, ["a", "b"], token=token)
    text = json.dumps(described)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert described["components"]["schemas"][name]["type"] == "object"
    infer = described["paths"]["/v2/models/{model}/infer"]["post"]
    assert infer["parameters"][0]["schema"]["enum"] == ["a", "b", "a-image", "b-image"]
    assert ("401" in infer["responses"]) is token
    for method, path, expected in (
        ("get", "/info", {"$ref": "#/components/schemas/ServerInfo"}),
        ("post", "/", {"type": "array", "items": {"$ref": "#/components/schemas/Score"}}),
    ):
        content = described["paths"][path][method]["responses"]["200"]["content"]
        assert content["application/json"]["schema"] == expected


def test_an_unknown_token_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read_token(tmp_path / "none")
