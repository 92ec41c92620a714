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

from common import in_turns, machine, table
from googlenet import export, fuse
from googlenet.dialects import Preprocessing
from googlenet.machine import cores
from googlenet.manifest import Manifest
from googlenet.model import GoogLeNet, initialise, network_input
from googlenet.modelfile import Card
from googlenet.runtime import OnnxRuntime, OpenVino

BATCHES = (1, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    size = chosen.size
    net = GoogLeNet(chosen.classes).eval()
    initialise(net, "he")
    card = Card(
        classes=tuple(map(str, range(chosen.classes))), dialect="bn", preprocessing=Preprocessing(size=size)
    )
    with tempfile.TemporaryDirectory() as scratch:
        engines = opened(net, card, Path(scratch))
        for batch in BATCHES:
            images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
            works = {name: timed(engine, images) for name, engine in engines.items()}
            print(f"\nbatch {batch}, {size} pixels, {chosen.rounds} rounds")
            print(table(in_turns(works, rounds=chosen.rounds), count=batch, unit="images/s"))


def opened(net: GoogLeNet, card: Card, folder: Path) -> dict[str, Callable[[np.ndarray], object]]:
    """Every engine by name, the peer first."""
    theirs = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    last = net.to(memory_format=torch.channels_last)

    def run(network: torch.nn.Module, form: torch.memory_format) -> Callable[[np.ndarray], object]:
        def forward(images: np.ndarray) -> object:
            with torch.inference_mode():
                squares = network_input(torch.from_numpy(images), card.preprocessing)
                return network(squares.contiguous(memory_format=form)).numpy()

        return forward

    found: dict[str, Callable[[np.ndarray], object]] = {
        "torchvision, eager float32": run(theirs, torch.contiguous_format),
        "ours in torch, channels last": run(last, torch.channels_last),
    }
    noise = np.random.default_rng(1).integers(
        0, 256, (32, *([card.preprocessing.size] * 2), 3), dtype=np.uint8
    )
    samples = export.Samples("noise", noise, noise)
    options = {"threads": cores(), "exact": False}

    def said(engine: str, precision: str) -> Manifest:
        return Manifest(
            card=card, engine=engine, precision=precision, maps=True, merged=True, source="", files={}
        )

    for merged in (False, True):
        model = fuse.exportable(net, card.preprocessing, merged=merged)
        how = "merged 1x1" if merged else "as built"
        for precision, given in (("float32", None), ("int8", samples)):
            path = folder / f"{precision}-{merged}.xml"
            export.write_openvino(model, path, card, given)
            found[f"OpenVINO {precision}, {how}"] = OpenVino(path, said("openvino", precision), **options)
    path = folder / "model.onnx"
    export.write_onnx(fuse.exportable(net, card.preprocessing), path, card)
    found["ONNX Runtime float32, merged 1x1"] = OnnxRuntime(path, said("onnx", "float32"), **options)
    return found


def timed(engine: Callable[[np.ndarray], object], images: np.ndarray) -> Callable[[], float]:
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
