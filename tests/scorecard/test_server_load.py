"""Promises of the server under load, and against requests that nobody would send."""

import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import googlenet as package
from googlenet.export import export
from googlenet.nn import checkpoint
from helpers.card import Measured
from helpers.mangled import damage
from helpers.models import save
from helpers.running import Running, exported_in
from helpers.scenes import corrupt, encoded, photo

LOAD = Path(__file__).parents[2] / "benchmarks" / "load.py"
QUEUE, BATCH = 64, 8


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_in(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(40):
        (folder / f"{i}.jpg").write_bytes(encoded(photo(i, (500, 375))))
    return folder


@pytest.fixture
def usual(tmp_path: Path) -> Iterator[Running]:
    """A server of a model of the usual size."""
    net = package.load_network(save(tmp_path / "model.safetensors", "bn"))
    card = replace(net.metadata, preprocessing=replace(net.metadata.preprocessing, size=224))
    checkpoint.save(tmp_path / "usual.safetensors", net, card)
    export.export(tmp_path / "usual.safetensors", tmp_path / "out", to="openvino")
    with Running(tmp_path / "out", "--queue", str(QUEUE), "--batch", str(BATCH)) as running:
        yield running


@pytest.fixture
def server(exported: Path) -> Iterator[Running]:
    with Running(exported, "--queue", str(QUEUE), "--batch", str(BATCH)) as running:
        yield running


def load(kind: str, server: Running, photos: Path, seconds: float, number: float) -> dict[str, object]:
    words = [kind, str(server.port), str(photos), str(seconds), str(number)]
    done = subprocess.run([sys.executable, str(LOAD), *words], stdout=subprocess.PIPE, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.promise(31)
@pytest.mark.slow
def test_three_times_its_capacity(usual: Running, photos: Path, measured: Measured) -> None:
    server = usual
    calm = load("closed", server, photos, 8, 32)
    peak = calm["answered"] / calm["seconds"]  # type: ignore[operator]
    batch = server.metric("googlenet_compute_seconds_sum") / server.metric("googlenet_compute_seconds_count")
    sizes: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(load, "open", server, photos, 30, 3 * peak)
        while not asking.done():
            time.sleep(0.5)
            sizes.append(server.megabytes())
        found = asking.result()
    codes = found["codes"]
    assert set(codes) == {"200", "429"}  # type: ignore[call-overload]
    good = found["answered"] / found["seconds"] / peak  # type: ignore[operator]
    latencies = sorted(found["latencies"])  # type: ignore[call-overload]
    p99 = latencies[int(0.99 * len(latencies))]
    half = len(sizes) // 2
    flat = statistics.mean(sizes[half:]) / statistics.mean(sizes[4:half]) - 1
    time.sleep(2)
    after = load("closed", server, photos, 3, 1)
    assert set(after["codes"]) == {"200"}  # type: ignore[call-overload]
    measured(
        f"{codes}; goodput {good:.2f} of the peak of {peak:.0f}/s; p99 {p99:.2f} s with a queue of {QUEUE}, "
        f"batches of {1000 * batch:.0f} ms; memory {100 * flat:+.1f} %"
    )
    assert good >= 0.8
    assert p99 <= QUEUE / (0.8 * peak) * 1.5 + 0.5  # as long as a full queue takes
    assert abs(flat) < 0.05


@pytest.mark.promise(31)
def test_retry_after_is_given(exported: Path) -> None:
    with Running(exported, "--queue", "1") as running:
        body = encoded(photo(0, (3000, 2000)))
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(running.ask, "POST", "/predictions/googlenet", body) for _ in range(24)]
            found = [each.result() for each in asked]
        codes = Counter(status for status, _, _ in found)
        assert set(codes) == {200, 429}
        for status, headers, content in found:
            if status == 429:
                assert int(headers["retry-after"]) >= 1 and json.loads(content)["code"] == "full"
        assert running.metric("googlenet_shed_total") == codes[429]


@pytest.mark.promise(32)
def test_late_and_left_requests(exported: Path, measured: Measured) -> None:
    body = encoded(photo(0, (4000, 3000)))  # a tenth of a second to decode, or more
    with Running(exported, "--timeout", "0.01") as running:
        began = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            found = [
                each.result()
                for each in [
                    pool.submit(running.ask, "POST", "/predictions/googlenet", body) for _ in range(16)
                ]
            ]
        took = time.monotonic() - began
        late = [json.loads(content)["code"] for status, _, content in found if status == 504]
        assert set(late) == {"late"} and len(late) > 8
        end = time.monotonic() + 20
        while running.metric("googlenet_dropped_total") == 0:
            assert time.monotonic() < end
            time.sleep(0.1)
        computed = running.metric("googlenet_batch_images_sum")
        assert computed <= 16 - running.metric("googlenet_dropped_total")
    with Running(exported) as running:
        head = b"POST /predictions/googlenet HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        connections = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(16)]
        for connection in connections:
            connection.sendall(head + body)
        for connection in connections:
            connection.close()
        end = time.monotonic() + 20
        while running.metric("googlenet_requests_total", code="499") < 16:
            assert time.monotonic() < end
            time.sleep(0.1)
        left = 16 - running.metric("googlenet_batch_images_sum")
        assert left > 0 and running.metric("googlenet_waiting") == 0
    measured(
        f"{len(late)} of 16 got 504 within {took:.2f} s; of 16 whose client left {left:.0f} were not computed"
    )


@pytest.mark.promise(38)
@pytest.mark.slow
def test_damaged_pictures(server: Running, measured: Measured) -> None:
    dice = random.Random(0)
    files = [content for content, _ in corrupt().values() if content]
    files += [encoded(photo(i)) for i in range(10)]
    files += [encoded(photo(i), form) for i, form in enumerate(("PNG", "WEBP", "GIF", "TIFF", "BMP"))]
    codes: Counter[int] = Counter()
    slowest, before = 0.0, 0.0
    for i in range(2000):
        body = damage(dice.choice(files), dice, dice.choice(files))
        began = time.monotonic()
        status, found = server.json("POST", "/predictions/googlenet", body)
        slowest = max(slowest, time.monotonic() - began)
        assert status in (200, 400, 413), found
        assert status == 200 or found["code"]
        codes[status] += 1
        if i == 500:
            before = server.megabytes()
    grown = server.megabytes() / before - 1
    assert slowest < 2 and grown < 0.1
    measured(f"2,000 damaged files: {dict(codes)}, the slowest {slowest:.2f} s, memory {100 * grown:+.1f} %")


@pytest.mark.promise(39)
@pytest.mark.slow
def test_requests_as_the_description_has_them_and_not(
    server: Running, tmp_path: Path, measured: Measured
) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        str(program), "run", f"{server.url}/openapi.json", "--seed", "1", "--max-examples", "60", "--phases",
        "examples,coverage,fuzzing", "--exclude-checks", "positive_data_acceptance,negative_data_rejection",
        "--no-color", "--generation-database", "none",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    said = done.stdout[-4000:]
    assert done.returncode == 0, said
    faults = sum(server.metric("googlenet_requests_total", code=str(code)) for code in (500, 502))
    assert faults == 0
    asked = server.metric("googlenet_requests_total")
    measured(f"schemathesis {schemathesis.__version__}: {asked:.0f} requests, no failure")


@pytest.mark.promise(39)
def test_what_is_no_http(server: Running, measured: Measured) -> None:
    dice = random.Random(1)
    good = (
        b"POST /predictions/googlenet HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n0123456789",
        b"GET /v2/models/googlenet HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
    )
    count = 400
    for _ in range(count):
        request = bytearray(dice.choice(good))
        for _ in range(dice.randint(1, 6)):
            request[dice.randrange(len(request))] = dice.randrange(256)
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            try:
                answer = connection.recv(65536)
            except OSError:
                answer = b""
        assert not answer or answer.startswith(b"HTTP/1.")
        assert not answer.split(b" ")[1:2] or answer.split(b" ")[1] not in (b"500", b"502")
        assert b"Traceback" not in answer and b"/site-packages" not in answer and b".py" not in answer
    assert server.json("POST", "/predictions/googlenet", encoded(photo(0)))[0] == 200
    measured(f"{count} damaged requests on sockets: no 5xx, nothing told")


@pytest.mark.promise(42)
@pytest.mark.slow
def test_many_requests_leave_nothing_behind(server: Running, photos: Path, measured: Measured) -> None:
    bodies = [path.read_bytes() for path in sorted(photos.iterdir())]
    bad = next(iter(corrupt().values()))[0]
    small = [encoded(photo(i, (90, 70))) for i in range(10)]

    def ask(number: int) -> int:
        body = bad if number % 10 == 0 else bodies[number % 40] if number % 10 == 1 else small[number % 10]
        path = "/explain/googlenet" if number % 7 == 0 else "/predictions/googlenet"
        return server.ask("POST", path, body)[0]

    def state() -> tuple[float, int, int]:
        place = Path(f"/proc/{server.process.pid}")
        return server.megabytes(), len(list((place / "fd").iterdir())), len(list((place / "task").iterdir()))

    codes: Counter[int] = Counter()
    states = []
    with ThreadPoolExecutor(8) as pool:
        for start in range(0, 20_000, 2_500):
            codes.update(pool.map(ask, range(start, start + 2_500)))
            time.sleep(0.3)
            states.append(state())
    assert codes == {200: 18_000, 400: 2_000}
    for code, count in codes.items():
        assert server.metric("googlenet_requests_total", code=str(code)) >= count
    assert server.metric("googlenet_images_total") == 18_000
    grown = states[-1][0] / states[1][0] - 1
    assert grown <= 0.05
    assert states[-1][1:] == states[1][1:]
    measured(
        f"20,000 requests: memory {100 * grown:+.1f} % after the first 5,000, {states[-1][1]} files and "
        f"{states[-1][2]} threads as then; /metrics the same counts"
    )
