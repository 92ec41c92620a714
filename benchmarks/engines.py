"""Images a second by engine, at batch 1 and 16: the network alone, in turns.

    python benchmarks/engines.py [--size 224] [--classes 1000] [--rounds 5]

Every engine gets the same network with random weights and the same bytes; torchvision's own network is
the peer. int8 is quantised on noise here, which decides nothing about speed.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision

from common import Section, in_turns, limit, show, speeds
from googlenet.architecture import cost
from googlenet.architecture.dialects import Preprocessing
from googlenet.base.machine import cores
from googlenet.export import writers
from googlenet.export.graph import network_graph
from googlenet.files.manifest import Manifest
from googlenet.files.metadata import ModelMetadata
from googlenet.inference.engines import OnnxRuntimeModel, OpenVinoModel
from googlenet.nn.model import GoogLeNet, initialize_weights, network_input

BATCHES = (1, 16)
LIMIT = "limit: the products alone, at matrix speed, "

Engine = Callable[[np.ndarray], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    show(measure(**vars(parser.parse_args())))


def measure(*, size: int = 224, classes: int = 1000, rounds: int = 5) -> list[Section]:
    warnings.simplefilter("ignore")
    net = GoogLeNet(classes).eval()
    initialize_weights(net, "he")
    card = ModelMetadata(
        classes=tuple(map(str, range(classes))), dialect="bn", preprocessing=Preprocessing(size=size)
    )
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        engines = opened(net, card, Path(scratch))
        for batch in BATCHES:
            images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
            works = {name: timed(engine, images) for name, engine in engines.items()}
            limits = limits_of(engines)
            macs = batch * cost.network(classes=classes, size=size).macs
            for precision in sorted({*limits.values()}):
                works[precision] = limit(precision.removeprefix(LIMIT), macs)
            rows = speeds(in_turns(works, rounds=rounds), count=batch, unit="images/s", limits=limits)
            found.append((f"engines: batch {batch}, {size} pixels, {rounds} rounds", rows))
    return found


def limits_of(engines: dict[str, Engine]) -> dict[str, str]:
    """For each engine of our network, the limit in its precision."""
    found = {}
    for name, engine in engines.items():
        if not name.startswith("torchvision"):  # another network
            found[name] = LIMIT + getattr(engine, "precision", "float32")
    return found


def opened(net: GoogLeNet, card: ModelMetadata, folder: Path) -> dict[str, Engine]:
    """Every engine by name, the peer first."""
    theirs = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    last = net.to(memory_format=torch.channels_last)

    def run(network: torch.nn.Module, form: torch.memory_format) -> Engine:
        def forward(images: np.ndarray) -> object:
            with torch.inference_mode():
                squares = network_input(torch.from_numpy(images), card.preprocessing)
                return network(squares.contiguous(memory_format=form)).numpy()

        return forward

    found: dict[str, Engine] = {
        "torchvision, eager float32": run(theirs, torch.contiguous_format),
        "ours in torch, channels last": run(last, torch.channels_last),
    }
    size = card.preprocessing.size
    noise = np.random.default_rng(1).integers(0, 256, (32, size, size, 3), dtype=np.uint8)
    options = {"threads": cores(), "exact": False}

    def said(engine: str, precision: str) -> Manifest:
        return Manifest(card=card, engine=engine, precision=precision, maps=True, source="", files={})

    graph = network_graph(net, card.preprocessing)
    for precision, given in (("float32", None), ("int8", noise)):
        path = folder / f"{precision}.xml"
        writers.write_openvino(graph, path, calibration=given)
        found[f"OpenVINO {precision}"] = OpenVinoModel(path, said("openvino", precision), **options)
    path = folder / "model.onnx"
    writers.write_onnx(graph, path)
    found["ONNX Runtime float32"] = OnnxRuntimeModel(path, said("onnx", "float32"), **options)
    return found


def timed(engine: Engine, images: np.ndarray) -> Callable[[], float]:
    """Seconds of one batch, the mean of as many as fill half a second."""

    def work() -> float:
        engine(images)
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < 0.5:
            engine(images)
            count += 1
        return (time.perf_counter() - started) / count

    return work


if __name__ == "__main__":
    main()
