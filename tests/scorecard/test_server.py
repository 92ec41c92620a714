"""Promises of the server, with a real process, real sockets and other people's clients."""

import base64
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import googlenet as package
from googlenet.export import export
from googlenet.images.decode import preprocess
from googlenet.inference.engines import open_exported
from googlenet.nn import checkpoint
from helpers.card import Measured
from helpers.models import CLASSES, SIZE, save
from helpers.running import Running, exported_in
from helpers.scenes import corrupt, encoded, photo

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_in(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def server(exported: Path) -> Iterator[Running]:
    with Running(exported) as running:
        yield running


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    return [encoded(photo(i, (120, 90))) for i in range(32)]


def shares(exported: Path, data: bytes) -> dict[str, float]:
    """What the runtime itself says of a photo."""
    model = open_exported(exported)
    row = model(np.stack([preprocess(data, model.preprocessing)]))[0]
    return dict(zip(model.classes, row.tolist(), strict=True))


def close(found: dict[str, float], expected: dict[str, float]) -> None:
    assert found.keys() == expected.keys()
    for name, share in expected.items():
        assert found[name] == pytest.approx(share, abs=1e-5)


@pytest.mark.promise(40)
def test_every_way_to_ask_gives_the_same_answer(
    server: Running, exported: Path, photos: list[bytes], tmp_path: Path, measured: Measured
) -> None:
    data = photos[0]
    expected = shares(exported, data)
    text = base64.b64encode(data).decode()
    status, found = server.json("POST", "/predictions/googlenet", data)
    assert status == 200
    close(found, expected)
    assert list(found) == sorted(found, key=lambda name: -found[name])
    close(server.json("PUT", "/predictions/googlenet", data)[1], expected)
    form = (
        b'--x\r\ncontent-disposition: form-data; name="data"; filename="a.jpg"\r\n\r\n'
        + data
        + b"\r\n--x--\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    close(server.json("POST", "/predictions/googlenet", form, content_type=kind)[1], expected)
    for path in ("/", "/models/googlenet"):
        for body, kind in (
            (data, "image/jpeg"),
            (json.dumps({"inputs": text, "parameters": {"top_k": 3}}).encode(), "application/json"),
        ):
            rows = server.json("POST", path, body, content_type=kind)[1]
            close({row["label"]: row["score"] for row in rows}, expected)
    asked = {"id": "7", "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]}
    status, found = server.json("POST", "/v2/models/googlenet-image/infer", json.dumps(asked).encode())
    assert status == 200 and found["id"] == "7" and found["model_version"] == "1"
    close(dict(zip(CLASSES, found["outputs"][0]["data"], strict=True)), expected)
    explained = server.json("POST", "/explain/googlenet", data)[1]
    close({row["label"]: row["probability"] for row in explained["predictions"]}, expected)
    curl = shutil.which("curl")
    if curl is not None:
        (tmp_path / "cat.jpg").write_bytes(data)
        command = [curl, "-s", "--data-binary", f"@{tmp_path}/cat.jpg", f"{server.url}/predictions/googlenet"]
        close(json.loads(subprocess.run(command, capture_output=True, check=True).stdout), expected)
    measured("raw bytes, a form, PUT, Hugging Face's two, KServe's JSON, the page's, curl: within 1e-5")


@pytest.mark.promise(40)
@pytest.mark.filterwarnings("ignore")
def test_tritons_client_unmodified(
    server: Running, exported: Path, photos: list[bytes], measured: Measured
) -> None:
    client = pytest.importorskip("tritonclient.http")
    triton = client.InferenceServerClient(server.url.removeprefix("http://"))
    assert triton.is_server_live() and triton.is_server_ready() and triton.is_model_ready("googlenet")
    assert triton.is_model_ready("googlenet-image", "1")
    assert {"classification", "binary_tensor_data"} <= set(triton.get_server_metadata()["extensions"])
    taken = triton.get_model_metadata("googlenet")["inputs"][0]
    assert taken == {"name": "image", "datatype": "UINT8", "shape": [-1, SIZE, SIZE, 3]}
    config = triton.get_model_config("googlenet")
    assert config["input"][0]["format"] == "FORMAT_NHWC" and config["max_batch_size"] == 8
    expected = [shares(exported, data) for data in photos[:3]]
    model = open_exported(exported)
    squares = np.stack([preprocess(data, model.preprocessing) for data in photos[:3]])
    files = np.array([[data] for data in photos[:3]], dtype=object)
    for name, array, kind in (("googlenet", squares, "UINT8"), ("googlenet-image", files, "BYTES")):
        for binary in (True, False):
            if kind == "BYTES" and not binary:
                continue  # its client writes bytes into JSON as text
            given = client.InferInput("image", list(array.shape), kind)
            given.set_data_from_numpy(array, binary_data=binary)
            wanted = client.InferRequestedOutput("probabilities", binary_data=binary)
            found = triton.infer(name, [given], outputs=[wanted], request_id="a").as_numpy("probabilities")
            for row, each in zip(found, expected, strict=True):
                close(dict(zip(CLASSES, row.tolist(), strict=True)), each)
            wanted = client.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)
            found = triton.infer(name, [given], outputs=[wanted]).as_numpy("probabilities")
            assert found.shape == (3, 2)
            text = found[0, 0]
            value, number, label = (text.decode() if isinstance(text, bytes) else text).split(":")
            best = max(expected[0], key=expected[0].__getitem__)
            assert label == best == CLASSES[int(number)]
            assert float(value) == pytest.approx(expected[0][best], abs=2e-6 + 1e-5)
    with pytest.raises(client.InferenceServerException, match="expected a model among googlenet"):
        triton.get_model_metadata("other")
    triton.close()
    measured("tritonclient.http: health, metadata, config, both models, bytes and JSON, classification")


@pytest.mark.promise(40)
def test_hugging_faces_client_unmodified(
    server: Running, exported: Path, photos: list[bytes], measured: Measured
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    rows = hub.InferenceClient(model=server.url).image_classification(photos[1])
    close({row.label: row.score for row in rows}, shares(exported, photos[1]))
    measured("huggingface_hub's InferenceClient")


@pytest.mark.promise(33)
def test_one_bad_photo_among_good_ones_fails_alone(
    server: Running, exported: Path, photos: list[bytes], measured: Measured
) -> None:
    alone = [server.json("POST", "/predictions/googlenet", data)[1] for data in photos]
    bad = next(iter(corrupt().values()))[0]
    batches = server.metric("googlenet_batch_images_count")
    with ThreadPoolExecutor(32) as pool:
        asked = [*photos[:16], bad, *photos[17:]]
        found = list(pool.map(lambda data: server.json("POST", "/predictions/googlenet", data), asked))
    assert [status for status, _ in found] == [200] * 16 + [400] + [200] * 15
    assert found[16][1]["code"] and "error" in found[16][1]
    worst = 0.0
    for (_, row), expected in zip(found[:16] + found[17:], alone[:16] + alone[17:], strict=True):
        assert next(iter(row)) == next(iter(expected))
        worst = max(worst, *(abs(row[name] - expected[name]) for name in row))
    assert worst <= 1e-5
    batches = server.metric("googlenet_batch_images_count") - batches
    assert batches < 31  # some shared a batch
    measured(f"31 good and 1 bad in {batches:.0f} batches: 31 x 200, 1 x 400, within {worst:.1g} of alone")


@pytest.mark.promise(41)
def test_nothing_is_reached_but_what_is_meant(server: Running, measured: Measured) -> None:
    tried = 0
    for path in (
        "/..%2f..%2fetc/passwd",
        "/page.js/..%2f..%2fapp.py",
        "/static/page.js",
        "/v2/models/..%2fgooglenet",
        "/v2/models/%2e%2e/ready",
        "/predictions/http:%2f%2f127.0.0.1",
        "/docs",
        "/.git/config",
        "//page.js",
    ):
        for method in ("GET", "POST", "DELETE"):
            status, headers, content = server.ask(method, path, b"" if method == "POST" else None)
            assert status in (404, 405) and headers["content-type"] == "application/json"
            assert set(json.loads(content)) == {"error", "code"}
            tried += 1
    body = json.dumps({"inputs": "http://127.0.0.1:1/cat.jpg"}).encode()
    status, found = server.json("POST", "/", body, content_type="application/json")
    assert status == 400 and found["error"] == "expected base64 text"
    listening = [
        line.split()[1]
        for line in Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{server.port:04X}")
    ]
    assert listening == [f"0100007F:{server.port:04X}"]  # 127.0.0.1
    measured(f"{tried} paths: 404 or 405; an address as an image: 400; listens on 127.0.0.1 alone")


@pytest.mark.promise(41)
def test_the_page_lets_nothing_in(server: Running) -> None:
    for path in ("/", "/page.js", "/page.css"):
        status, headers, content = server.ask("GET", path)
        assert status == 200
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert b"://" not in content.replace(b"http://www.w3.org", b"")
        assert b"innerHTML" not in content and b"onclick" not in content
    assert server.ask("HEAD", "/")[2] == b""


@pytest.mark.promise(41)
def test_a_token_is_asked_for(
    exported: Path, photos: list[bytes], tmp_path: Path, measured: Measured
) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    with Running(exported, "--token-file", tmp_path / "token") as running:
        for path in ("/", "/page.js", "/v2/health/live", "/v2/health/ready", "/openapi.json"):
            assert running.ask("GET", path)[0] == 200
        for method, path in (
            ("POST", "/"),
            ("POST", "/predictions/googlenet"),
            ("POST", "/explain/googlenet"),
            ("GET", "/info"),
            ("GET", "/metrics"),
            ("GET", "/v2/models/googlenet"),
            ("POST", "/v2/models/googlenet/infer"),
        ):
            for said in ({}, {"authorization": "Bearer other"}, {"authorization": "Basic s3cret"}):
                status, _, content = running.ask(method, path, photos[0] if method == "POST" else None, said)
                assert status == 401 and json.loads(content)["code"] == "token", (method, path)
        right = {"authorization": "Bearer s3cret"}
        assert running.ask("POST", "/predictions/googlenet", photos[0], right)[0] == 200
        assert running.ask("GET", "/metrics", None, right)[0] == 200
        assert "s3cret" not in " ".join(running.said)
    measured("7 places: 401 without it, with another, in another scheme")


@pytest.mark.promise(41)
def test_a_hostile_class_name_is_only_text(tmp_path: Path) -> None:
    net = package.load_network(save(tmp_path / "model.safetensors", "bn"))
    card = replace(net.metadata, classes=(HOSTILE, "a\u202eb", "c"))
    checkpoint.save(tmp_path / "named.safetensors", net, card)
    export.export(tmp_path / "named.safetensors", tmp_path / "out", to="openvino")
    with Running(tmp_path / "out") as running:
        status, headers, content = running.ask("GET", "/info")
        assert status == 200 and headers["content-type"] == "application/json"
        assert json.loads(content)["models"][0]["classes"][0] == HOSTILE
        assert HOSTILE.encode() not in running.ask("GET", "/")[2]


def pieces(server: Running, count: int) -> bytes:
    head = b"POST /predictions/googlenet HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    return server.raw(head + b"1\r\nx\r\n" * count + b"0\r\n\r\n", patience=20)


@pytest.mark.promise(37)
def test_too_much_is_refused_before_it_is_kept(
    server: Running, photos: list[bytes], measured: Measured
) -> None:
    server.json("POST", "/predictions/googlenet", photos[0])
    before = server.megabytes()
    post = b"POST /predictions/googlenet HTTP/1.1\r\nhost: x\r\n"
    huge = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n"
    part = b'--x\r\ncontent-disposition: form-data; name="%d"; filename="a"\r\n\r\nx\r\n'
    many = b"".join(part % i for i in range(1000))
    kind = b"content-type: multipart/form-data; boundary=x\r\n"
    infer = b"POST /v2/models/googlenet/infer HTTP/1.1\r\nhost: x\r\n"
    form = many + b"--x--\r\n"
    deep = b"[" * 10**5 + b"]" * 10**5
    cases = {
        "length": (post + b"content-length: 99999999999\r\n\r\n", b"413"),
        "chunked": (post + b"transfer-encoding: chunked\r\n\r\n" + huge * 21, b"413"),
        "both": (post + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        "negative": (post + b"content-length: -1\r\n\r\n", b"400"),
        "headers": (post + b"x: y\r\n" * 200 + b"\r\n", b"431"),
        "header": (post + b"x: " + b"y" * 10**6, b"431"),
        "url": (b"GET /" + b"a" * 10**5 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"414"),
        "parts": (
            post + kind + b"content-length: %d\r\n\r\n" % len(form) + form,
            b"400",
        ),
        "deep": (
            infer + b"content-length: %d\r\n\r\n" % len(deep) + deep,
            b"400",
        ),
        "gzip": (post + b"content-encoding: gzip\r\ncontent-length: 1\r\n\r\nx", b"415"),
        "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
    }  # fmt: skip
    for name, (sent, status) in cases.items():
        found = server.raw(sent)
        assert found.startswith(b"HTTP/1.1 " + status), (name, found[:200])
        began = time.monotonic()
        assert server.json("POST", "/predictions/googlenet", photos[0])[0] == 200
        assert time.monotonic() - began < 1
    assert pieces(server, 10**6).startswith(b"HTTP/1.1 400")
    status, headers, content = server.ask(
        "GET", "/page.js", headers={"range": "bytes=" + "0-0," * 999 + "1-1"}
    )
    assert status == 200 and len(content) == int(headers["content-length"])
    grown = server.megabytes() - before
    assert grown < 50
    measured(f"{len(cases) + 2} ways: 4xx, others answered within a second, memory +{grown:.0f} MB")


@pytest.mark.promise(37)
@pytest.mark.slow
def test_slow_clients_keep_nobody_waiting(server: Running, photos: list[bytes], measured: Measured) -> None:
    before = server.megabytes()
    slow = []
    for i in range(200):
        connection = socket.create_connection(("127.0.0.1", server.port))
        head = b"POST /predictions/googlenet HTTP/1.1\r\nhost: x\r\n"
        connection.sendall(head if i % 2 else head + b"content-length: 1000\r\n\r\nx")
        slow.append(connection)
    took = []
    for _ in range(10):
        began = time.monotonic()
        assert server.json("POST", "/predictions/googlenet", photos[0])[0] == 200
        took.append(time.monotonic() - began)
    assert max(took) < 1
    began = time.monotonic()
    answers = []
    for connection in slow:
        connection.settimeout(60)
        answers.append(connection.recv(100))
        connection.close()
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)
    grown = server.megabytes() - before
    assert grown < 50
    measured(
        f"200 slow connections: all closed with 408 within {time.monotonic() - began:.0f} s, others "
        f"answered in {1000 * max(took):.0f} ms at most, memory +{grown:.0f} MB"
    )


@pytest.mark.promise(38)
def test_no_picture_breaks_it(server: Running, measured: Measured) -> None:
    found: dict[int, int] = {}
    slowest = 0.0
    for name, (content, _) in corrupt().items():
        began = time.monotonic()
        status, said = server.json("POST", "/predictions/googlenet", content)
        slowest = max(slowest, time.monotonic() - began)
        assert status in (200, 400, 413), (name, said)
        assert status == 200 or (said["code"] and "/" not in said["error"].replace("and/or", "")), said
        found[status] = found.get(status, 0) + 1
    assert slowest < 2 and found[400] > 30
    measured(f"{sum(found.values())} corrupt files: {found}, the slowest {slowest:.2f} s")


@pytest.mark.promise(34)
def test_sigterm_answers_what_was_accepted(exported: Path, photos: list[bytes], measured: Measured) -> None:
    with Running(exported) as running:
        done: list[int] = []
        stop = threading.Event()
        resets: list[Exception] = []
        told: list[int] = []

        def ask(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
            while not stop.is_set():
                try:
                    connection.request("POST", "/predictions/googlenet", photos[number % 32])
                    answer = connection.getresponse()
                    done.append(answer.status)
                    answer.read()
                    if answer.getheader("connection") == "close":  # as a balancer does, it goes elsewhere
                        told.append(number)
                        return
                except Exception as error:
                    resets.append(error)
                    return

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        before, began = len(done), time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert running.ask("GET", "/v2/health/ready")[0] == 503
        assert running.ask("POST", "/predictions/googlenet", photos[0])[0] == 200
        assert running.ask("GET", "/v2/health/live")[0] == 200
        status = running.process.wait(timeout=30)
        took = time.monotonic() - began
        stop.set()
        for thread in threads:
            thread.join()
    assert not resets, resets
    assert status == 0 and set(done) == {200} and sorted(told) == list(range(8))
    measured(
        f"8 clients: {len(done) - before} answered after SIGTERM, each told to close, 0 resets, exit "
        f"status 0 after {took:.1f} s"
    )


@pytest.mark.promise(34)
def test_a_second_sigterm_ends_it_at_once(exported: Path) -> None:
    with Running(exported) as running:
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        began = time.monotonic()
        assert running.stop() == 128 + signal.SIGTERM
        assert time.monotonic() - began < 1


@pytest.mark.promise(36)
def test_a_new_model_is_swapped_in_and_a_bad_one_is_not(
    tmp_path: Path, photos: list[bytes], measured: Measured
) -> None:
    def make(name: str, *, temperature: float, classes: tuple[str, ...] = CLASSES) -> Path:
        net = package.load_network(save(tmp_path / f"{name}.safetensors", "bn"))
        card = replace(net.metadata, temperature=temperature, classes=classes)
        checkpoint.save(tmp_path / f"{name}.safetensors", net, card)
        export.export(tmp_path / f"{name}.safetensors", tmp_path / name, to="openvino")
        return tmp_path / name

    old, new, other = (
        make("old", temperature=1.0), make("new", temperature=3.0),
        make("other", temperature=1.0, classes=("x", "y", "z")),
    )  # fmt: skip
    expected = {1: shares(old, photos[0]), 2: shares(new, photos[0])}
    place = tmp_path / "served"

    def put(folder: Path) -> None:
        shutil.copytree(folder, tmp_path / "next")
        if place.exists():
            place.rename(tmp_path / f"gone-{time.monotonic_ns()}")
        (tmp_path / "next").rename(place)

    put(old)
    with Running(place) as running:
        sha = running.json("GET", "/info")[1]["models"][0]["sha256"]
        found: list[tuple[int, dict[str, float]]] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                found.append(running.json("POST", "/predictions/googlenet", photos[0]))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        put(other)
        running.process.send_signal(signal.SIGHUP)
        running.until_metric("googlenet_reloads_total", 1, outcome="failed")
        put(new)
        weights = max(place.glob("*.bin"), key=lambda path: path.stat().st_size)
        weights.write_bytes(weights.read_bytes()[:-100])
        running.process.send_signal(signal.SIGHUP)
        running.until_metric("googlenet_reloads_total", 2, outcome="failed")
        assert running.json("GET", "/info")[1]["models"][0]["sha256"] == sha
        put(new)
        running.process.send_signal(signal.SIGHUP)
        running.until('"version": 2', within=20)
        assert running.json("GET", "/info")[1]["models"][0]["sha256"] != sha
        time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join()
        assert running.metric("googlenet_model_info", version="2") == 1
        assert running.json("GET", "/v2/models/googlenet/versions/1")[0] == 404
    assert {status for status, _ in found} == {200}
    which = [min(expected, key=lambda v: abs(row[CLASSES[0]] - expected[v][CLASSES[0]])) for _, row in found]
    for (_, row), version in zip(found, which, strict=True):
        close(row, expected[version])
    assert {1, 2} == set(which)
    measured(
        f"{len(found)} requests meanwhile, all 200, each by one of the two models; other classes and a "
        "damaged file refused, the old one went on"
    )


@pytest.mark.promise(35)
def test_never_ready_before_it_has_computed(exported: Path, measured: Measured) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "googlenet", "serve", str(exported), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    states: list[tuple[int, int]] = []
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and (not states or states[-1][1] != 200):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                found = []
                for path in ("live", "ready"):
                    connection.request("GET", f"/v2/health/{path}")
                    answer = connection.getresponse()
                    answer.read()
                    found.append(answer.status)
                states.append((found[0], found[1]))
                if found[1] == 200:
                    connection.request("POST", "/predictions/googlenet", encoded(photo(0, (90, 70))))
                    assert connection.getresponse().status == 200
                connection.close()
            except ConnectionRefusedError:
                time.sleep(0.005)
    finally:
        process.terminate()
        process.wait()
    assert {live for live, _ in states} == {200} and states[-1] == (200, 200)
    assert states[0] == (200, 503)
    measured(f"alive and not ready in {len(states) - 1} looks, then ready, and the next photo answered")


@pytest.mark.promise(42)
def test_the_metrics_count_what_the_client_counts(
    exported: Path, photos: list[bytes], measured: Measured
) -> None:
    bad = next(iter(corrupt().values()))[0]
    with Running(exported) as running:
        counts: dict[tuple[str, int], int] = {}
        for i in range(60):
            method, path, body = (
                ("POST", "/predictions/{model}", photos[i % 32]), ("POST", "/predictions/{model}", bad),
                ("POST", "/explain/{model}", photos[i % 32]), ("GET", "/v2/models/{model}", None),
                ("GET", "/nowhere", None),
            )[i % 5]  # fmt: skip
            status = running.ask(method, path.replace("{model}", "googlenet"), body)[0]
            key = (path if path != "/nowhere" else "none", status)
            counts[key] = counts.get(key, 0) + 1
        for (path, status), count in counts.items():
            assert running.metric("googlenet_requests_total", route=path, code=str(status)) == count
        images = sum(n for (path, status), n in counts.items() if status == 200 and "v2" not in path)
        assert running.metric("googlenet_images_total") == images
        assert running.metric("googlenet_waiting") == 0
    measured(f"{sum(counts.values())} requests in {len(counts)} kinds: the same counts in /metrics")


@pytest.mark.promise(40)
def test_the_clients_of_the_examples(
    server: Running, exported: Path, photos: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").write_bytes(photos[2])
    found = shares(exported, photos[2])
    best = max(found, key=found.__getitem__)
    examples = Path(__file__).parents[2] / "examples"
    for program, script in ((sys.executable, "client.py"), (shutil.which("node"), "client.mjs")):
        if program is None:
            continue
        command = [program, str(examples / script), server.url, "cat.jpg"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.strip() == f"cat.jpg: {best} {100 * found[best]:.1f}%", done.stderr
        (tmp_path / "text.jpg").write_text("no photo")
        done = subprocess.run([*command[:-1], "text.jpg"], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode and "format: expected JPEG" in done.stderr
