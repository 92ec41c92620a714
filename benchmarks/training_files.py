"""How much of the bare training step's speed is left when the images come from files.

    python benchmarks/training_files.py DATA [--size 224] [--batch 32] [--steps 4] [--rounds 3]

DATA is a folder of class folders, or one with train/. The bare step gets the same batch again and again;
the other reads, cuts and changes its images in the processes that `googlenet train` would use. In turns;
the ratio is that of the second to the first.
"""

import argparse
import time
from dataclasses import replace

import torch

from common import Section, in_turns, seconds, show, speeds
from googlenet.base.machine import cores
from googlenet.data.folder import open_data
from googlenet.training.decision.recipe import MODERN
from googlenet.training.hardware import choose_precision
from googlenet.training.loader import Batch, Batches, training_loader
from training_step import our_step

PREPARED = 4  # batches that each worker keeps ready


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    show(measure(**vars(parser.parse_args())))


def measure(data: str, *, size: int = 224, batch: int = 32, steps: int = 4, rounds: int = 3) -> list[Section]:
    torch.set_flush_denormal(True)
    opened, recipe = open_data(data), replace(MODERN, batch=batch)
    precision, _ = choose_precision("auto", "cpu")
    step = our_step(len(opened.classes), precision, recipe)
    workers = max(1, cores() // 4)
    ready = PREPARED * workers
    sizes = [size] * ((rounds + 1) * (steps + ready) + 2 * ready)
    arriving = training_loader(
        Batches(opened.split("train"), recipe, sizes=sizes, seed=0), start=0, workers=workers
    )

    def arrived() -> Batch:
        found = next(arriving)
        assert isinstance(found, Batch)
        return found

    first = arrived()
    reading = seconds(lambda: [arrived() for _ in range(ready)]) / ready
    alone: list[float] = []  # seconds of a bare step

    def bare() -> float:
        time.sleep(2 * ready * reading)  # until the workers have prepared what they may, and rest
        taken = seconds(lambda: [step(first.images, first.labels) for _ in range(steps)])
        alone.append(taken / steps)
        return taken

    def from_files() -> float:
        """In the long run what was prepared is all there if reading keeps up, and nothing of it if not."""
        for _ in range(ready if reading > alone[-1] else 0):
            arrived()
        return seconds(
            lambda: [step(found.images, found.labels) for found in (arrived() for _ in range(steps))]
        )

    taken = in_turns({"bare step": bare, "from files": from_files}, rounds=rounds)
    title = f"training from files: {size} pixels, batch {batch}, {precision}, {steps} steps, {rounds} rounds"
    return [(title, speeds(taken, count=steps * batch, unit="images/s"))]


if __name__ == "__main__":
    main()
