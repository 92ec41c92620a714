"""Images a second of one dialect against another: the network in OpenVINO, and a training step, in turns.

    python benchmarks/dialects.py [bn bvlc] [--size 224] [--rounds 10]

Networks of 1000 classes with random weights; the first dialect is what the others are compared with. int8 is
quantized on noise, which decides nothing about speed.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from common import Section, in_turns, seconds, show, speeds
from engines import Engine, timed
from googlenet.architecture.dialects import dialect
from googlenet.base.machine import cores
from googlenet.export.graph import network_graph
from googlenet.export.writers import write_openvino
from googlenet.files.manifest import Manifest
from googlenet.files.metadata import ModelMetadata
from googlenet.inference.engines import OpenVinoModel
from googlenet.nn.model import GoogLeNet, initialize_weights
from googlenet.training.decision.recipe import MODERN, Recipe
from googlenet.training.hardware import choose_precision
from training_step import CLASSES, our_step

BATCH, TRAINING_BATCH = 16, 32
CALIBRATION = 32  # images of noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dialects", nargs="*", default=["bn", "bvlc"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=10)
    show(measure(**vars(parser.parse_args())))


def measure(*, dialects: Sequence[str] = ("bn", "bvlc"), size: int = 224, rounds: int = 10) -> list[Section]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        engines = {name: opened(name, size, Path(scratch) / name) for name in dialects}
        for kind in next(iter(engines.values())):
            works = {name: timed(engines[name][kind], images) for name in dialects}
            rows = speeds(in_turns(works, rounds=rounds), count=BATCH, unit="images/s")
            found.append((f"dialects: OpenVINO, {kind}, batch {BATCH}, {size} pixels, {rounds} rounds", rows))
    torch.set_flush_denormal(True)
    precision, _ = choose_precision("auto", "cpu")
    photos = torch.from_numpy(random.integers(0, 256, (TRAINING_BATCH, size, size, 3), dtype=np.uint8))
    labels = torch.randint(0, CLASSES, (TRAINING_BATCH,))
    steps = {name: our_step(CLASSES, precision, recipe_of(name), name) for name in dialects}
    works = {name: lambda step=step: seconds(lambda: step(photos, labels)) for name, step in steps.items()}
    rows = speeds(in_turns(works, rounds=rounds), count=TRAINING_BATCH, unit="images/s")
    title = f"dialects: training step, {precision}, batch {TRAINING_BATCH}, {size} pixels, {rounds} rounds"
    return [*found, (title, rows)]


def recipe_of(name: str) -> Recipe:
    """`modern`, as a network without batch normalization can be trained with it."""
    if dialect(name).batch_norm:
        return MODERN
    return replace(MODERN, init="xavier", lr=0.001, muon=0.0)


def opened(name: str, size: int, folder: Path) -> dict[str, Engine]:
    """A dialect in each precision: as float32 and int8 exports run here, and float32 to the letter."""
    folder.mkdir()
    net = GoogLeNet(CLASSES, dialect_name=name).eval()
    initialize_weights(net, "he" if net.dialect.batch_norm else "xavier")
    for part, parameter in net.named_parameters():
        if part.endswith("bias"):  # zeros would be left out of the graph
            torch.nn.init.uniform_(parameter, -0.1, 0.1)
    preprocessing = replace(net.dialect.preprocessing, size=size)
    card = ModelMetadata(classes=tuple(map(str, range(CLASSES))), dialect=name, preprocessing=preprocessing)
    noise = np.random.default_rng(1).integers(0, 256, (CALIBRATION, size, size, 3), dtype=np.uint8)
    graph = network_graph(net, preprocessing)
    found: dict[str, Engine] = {}
    for precision, given in (("float32", None), ("int8", noise)):
        path = folder / f"{precision}.xml"
        write_openvino(graph, path, calibration=given)
        manifest = Manifest(
            card=card, engine="openvino", precision=precision, maps=True, source="", files={name: precision}
        )
        here = OpenVinoModel(path, manifest, threads=cores(), exact=False)
        found[f"{precision} as it runs here"] = here
        if precision == "float32" and here.precision != precision:
            found["float32 to the letter"] = OpenVinoModel(path, manifest, threads=cores(), exact=True)
    return found


if __name__ == "__main__":
    main()
