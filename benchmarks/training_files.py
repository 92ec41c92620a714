"""How much of the bare training step's speed is left when the images come from files.

    python benchmarks/training_files.py DATA [--size 224] [--batch 32] [--steps 10] [--rounds 3]

DATA is a folder of class folders, or one with train/. The bare step gets the same batch again and again;
the other reads, cuts and changes its images in the processes that `googlenet train` would use. In turns.
"""

import argparse
import time
from dataclasses import replace

import torch

from common import in_turns, machine, table
from googlenet.convolution import for_training
from googlenet.data import open_data
from googlenet.dialects import Preprocessing
from googlenet.loader import Batch, Batches, training_loader
from googlenet.machine import cores
from googlenet.model import GoogLeNet, WithAuxiliaryHeads, initialise, network_input
from googlenet.optim import WeightAverage, losses, optimiser
from googlenet.plan import autocast, choose_precision
from googlenet.recipe import MODERN

PREPARED = 5  # batches that a worker keeps ready


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_flush_denormal(True)
    data = open_data(chosen.data)
    recipe = replace(MODERN, batch=chosen.batch)
    precision, _ = choose_precision("auto", "cpu")
    net = for_training(WithAuxiliaryHeads(GoogLeNet(len(data.classes))).train())
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    initialise(net, recipe.init)
    sgd, average = optimiser(net, recipe), WeightAverage(net, recipe, steps=1000)

    def step(batch: Batch) -> None:
        with autocast("cpu", precision):
            outputs = net(network_input(batch.images, Preprocessing()))
        total = losses(outputs, batch.labels, recipe).total
        sgd.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        sgd.step()
        average.update(100)

    count = (chosen.steps + PREPARED) * (chosen.rounds + 1) + 1
    batches = Batches(data.split("train"), recipe, sizes=[chosen.size] * count, seed=0)
    arriving = training_loader(batches, start=0, workers=max(1, cores() // 4))
    first = next(arriving)
    assert isinstance(first, Batch)

    def bare() -> float:
        started = time.perf_counter()
        for _ in range(chosen.steps):
            step(first)
        return time.perf_counter() - started

    def one_from_files() -> None:
        batch = next(arriving)
        assert isinstance(batch, Batch)
        step(batch)

    def from_files() -> float:
        for _ in range(PREPARED):  # what was prepared beside the bare steps is not counted
            one_from_files()
        started = time.perf_counter()
        for _ in range(chosen.steps):
            one_from_files()
        return time.perf_counter() - started

    print(machine())
    print(f"\n{chosen.size} pixels, batch {chosen.batch}, {precision}, {chosen.steps} steps a round")
    taken = in_turns({"bare step": bare, "from files": from_files}, rounds=chosen.rounds)
    print(table(taken, count=chosen.steps * chosen.batch, unit="images/s"))


if __name__ == "__main__":
    main()
