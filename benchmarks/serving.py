"""A server under load: photos a second against `predict`, one photo's latency, and what overload does.

    python benchmarks/serving.py EXPORTED PHOTOS [--seconds 15] [--rounds 3]

EXPORTED is a folder that `googlenet export` made, PHOTOS one of JPEG files. The load comes from a process of
its own on the same machine, so that the server has less than all of it. `googlenet predict` on the same
files, many times over, is the first row; a FastAPI server over torchvision's googlenet, eager and in
float32, of the same number of classes and input size, is measured in the same way. Overload is an open
loop: requests come at random, three times as many as the server answered in a closed loop.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from common import Row, Section, Taken, process, show
from googlenet.base.machine import cores
from googlenet.files.manifest import read_manifest
from googlenet.images.decode import preprocess
from googlenet.inference.engines import open_exported

CLIENTS = 32
HERE = Path(__file__).parent
PEER = """
import io, sys
import torch, torchvision, uvicorn
from fastapi import FastAPI, Request
from PIL import Image
from torchvision.transforms import v2

classes, size, port = map(int, sys.argv[1:])
net = torchvision.models.googlenet(num_classes=classes, aux_logits=False, init_weights=False).eval()
cut = v2.Compose([
    v2.Resize(round(size / 0.875)), v2.CenterCrop(size), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
    v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
])
app = FastAPI()

@app.post("/predictions/googlenet")
async def predict(request: Request):
    image = Image.open(io.BytesIO(await request.body())).convert("RGB")
    with torch.inference_mode():
        shares = net(cut(image)[None])[0].softmax(0)
    top = shares.topk(min(5, classes))
    return {str(int(i)): float(p) for p, i in zip(top.values, top.indices)}

uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
"""


class Load(NamedTuple):
    """What a load was answered with."""

    answered: int  # with 200
    seconds: float
    codes: dict[str, int]
    latencies: list[float]  # of the 200s, seconds

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


def measure(exported: Path, photos: Path, *, seconds: float = 15, rounds: int = 3) -> list[Section]:
    files = sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    alone, ours, peers, latency, solo = [], [], [], [], []
    for _ in range(rounds):
        alone.append(predicted(exported, files))
        with Served(ours_command(exported)) as server:
            ours.append(closed(server, files, seconds))
            latency.append(_loaded("single", server, files, seconds / 3, 1))
            solo.append(in_process(exported, files))
        with Served(peer_command(exported)) as server:
            peers.append(closed(server, files, seconds))
    with Served(ours_command(exported)) as server:
        calm = closed(server, files, seconds)
        overload, grown = overloaded(server, files, rate=3 * calm.rate)
        time.sleep(2)
        after = _loaded("single", server, files, 2, 1)
    several = f"{CLIENTS} clients, each one photo after the other, {cores()} cores for load and server"
    return [
        (
            several,
            [
                Row("googlenet predict, the same files", f"{statistics.median(alone):.1f} photos/s", "1.00x"),
                against("googlenet serve", [load.rate for load in ours], alone),
                against("FastAPI, torchvision eager", [load.rate for load in peers], alone),
                Row(
                    "serve over FastAPI",
                    "",
                    spread([mine.rate / other.rate for mine, other in zip(ours, peers, strict=True)]),
                ),
            ],
        ),
        (
            "One client, median latency",
            one_at_a_time(solo, [statistics.median(load.latencies) for load in latency]),
        ),
        (
            "Three times its capacity, 30 s, open loop",
            [
                Row("closed loop before", f"{calm.rate:.1f} photos/s", "1.00x"),
                Row(
                    "answered with 200", f"{overload.rate:.1f} photos/s", f"{overload.rate / calm.rate:.2f}x"
                ),
                Row("codes", json.dumps(overload.codes)),
                Row("p50, p99 of the 200s", ", ".join(f"{quantile(overload, q):.3f} s" for q in (0.5, 0.99))),
                Row("memory, second half over first", f"{100 * grown:+.1f} %"),
                Row(
                    "one client after 2 s",
                    f"{1000 * statistics.median(after.latencies):.1f} ms",
                    str(after.codes),
                ),
            ],
        ),
        ("Start", [started(exported)]),
    ]


def one_at_a_time(solo: list[float], served: list[float]) -> list[Row]:
    ratios = [mine / alone for mine, alone in zip(served, solo, strict=True)]
    return [
        Row("decode and one inference here", f"{1000 * statistics.median(solo):.2f} ms", "1.00x"),
        Row("googlenet serve", f"{1000 * statistics.median(served):.2f} ms", f"takes {spread(ratios)}"),
    ]


def against(name: str, rates: list[float], others: list[float]) -> Row:
    ratios = [mine / other for mine, other in zip(rates, others, strict=True)]
    return Row(name, f"{statistics.median(rates):.1f} photos/s", spread(ratios))


def spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"


def quantile(load: Load, share: float) -> float:
    found = sorted(load.latencies)
    return found[min(len(found) - 1, int(share * len(found)))]


def ours_command(exported: Path) -> list[str]:
    return [sys.executable, "-m", "googlenet", "serve", str(exported), "--port"]


def peer_command(exported: Path) -> list[str]:
    card = read_manifest(exported).card
    return [sys.executable, "-c", PEER, str(len(card.classes)), str(card.preprocessing.size)]


class Served:
    """A server in a process of its own, from ready to the end of the block."""

    def __init__(self, command: list[str]) -> None:
        self.port = random.randint(20000, 60000)
        self.began = time.perf_counter()
        self.process = subprocess.Popen([*command, str(self.port)], stderr=subprocess.DEVNULL)

    def __enter__(self) -> "Served":
        asyncio.run(self._ready())
        self.took = time.perf_counter() - self.began
        return self

    async def _ready(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.005)
                continue
            writer.write(b"GET /v2/health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            head = await reader.read(100)
            writer.close()
            if b" 200 " in head or b" 404 " in head:  # the peer has no such place
                return
            await asyncio.sleep(0.005)

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait()

    def megabytes(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def predicted(exported: Path, files: list[Path]) -> float:
    """Photos a second of `googlenet predict`, its start left out: many photos less few, over their times."""

    def taken(times: int) -> Taken:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.jsonl"
            names = [name for i in range(times) for name in linked(Path(folder), files, i)]
            command = [sys.executable, "-m", "googlenet", "predict", exported, *names]
            return process([*command, "--format", "jsonl", "--out", out])

    few, many = taken(1), taken(11)
    return 10 * len(files) / (many.seconds - few.seconds)


def linked(folder: Path, files: list[Path], number: int) -> list[Path]:
    """The files under other names: `predict` takes each name once."""
    place = folder / str(number)
    place.mkdir()
    for path in files:
        (place / path.name).symlink_to(path.resolve())
    return [place]


def in_process(exported: Path, files: list[Path]) -> float:
    """Median seconds of decoding a photo and one inference."""
    model = open_exported(exported)
    times = []
    for path in files * 2:
        data = path.read_bytes()
        began = time.perf_counter()
        model(preprocess(data, model.preprocessing)[None])
        times.append(time.perf_counter() - began)
    return statistics.median(times[len(files) // 4 :])


def closed(server: Served, files: list[Path], seconds: float) -> Load:
    return _loaded("closed", server, files, seconds, CLIENTS)


def overloaded(server: Served, files: list[Path], *, rate: float) -> tuple[Load, float]:
    """30 s of requests at random times; and how much memory grew from its first half to its second."""
    sizes: list[float] = []

    async def watch(child: asyncio.subprocess.Process) -> bytes:
        asking = asyncio.ensure_future(child.communicate())
        while not asking.done():
            sizes.append(server.megabytes())
            await asyncio.wait({asking}, timeout=0.5)
        return asking.result()[0]

    async def run() -> bytes:
        command = _load_command("open", server, files, 30, rate)
        return await watch(await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE))

    load = Load(**json.loads(asyncio.run(run())))
    kept = sizes[4:]
    half = len(kept) // 2
    return load, statistics.mean(kept[half:]) / statistics.mean(kept[:half]) - 1


def started(exported: Path) -> Row:
    """From the command to ready, and the memory that it then has."""
    times, sizes = [], []
    for _ in range(5):
        with Served(ours_command(exported)) as server:
            times.append(server.took)
            sizes.append(server.megabytes())
    return Row("to ready, memory", f"{statistics.median(times):.2f} s", f"{statistics.median(sizes):.0f} MB")


def _load_command(kind: str, server: Served, files: list[Path], seconds: float, number: float) -> list[str]:
    folder = str(files[0].parent)
    return [sys.executable, str(HERE / "load.py"), kind, str(server.port), folder, str(seconds), str(number)]


def _loaded(kind: str, server: Served, files: list[Path], seconds: float, number: float) -> Load:
    command = _load_command(kind, server, files, seconds, number)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Load(**json.loads(done.stdout))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exported", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    show(measure(chosen.exported, chosen.photos, seconds=chosen.seconds, rounds=chosen.rounds))
