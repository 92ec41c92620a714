"""Accuracy that a time budget buys: `googlenet train --minutes` on a folder, for several seeds.

    python benchmarks/clothing.py DATA [--minutes 10] [--seeds 3] [--runs FOLDER]

DATA has train/ and a validation split. Every run starts from random weights in a process of its own;
the figure is that of the averaged weights after the last step, on the validation split, which chose
nothing. Prints a line a run and the mean.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Row, Section, show


def one(data: str, out: Path, *, minutes: float, seed: int) -> dict[str, float]:
    """Train and evaluate once; accuracy, seconds and what the plan was."""
    program = [sys.executable, "-m", "googlenet"]
    started = time.monotonic()
    train = ["train", data, "--out", str(out), "--minutes", str(minutes), "--seed", str(seed)]
    subprocess.run([*program, *train], check=True)
    seconds = time.monotonic() - started
    evaluate = ["evaluate", str(out), data, "--split", "val", "--json"]
    found = json.loads(subprocess.run([*program, *evaluate], check=True, capture_output=True).stdout)
    plan = json.loads((out / "recipe.json").read_text())
    images = plan["plan"]["steps"] * plan["recipe"]["batch"]
    return {**found, "seconds": seconds, "images": images, "size": plan["plan"]["size"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path)
    show(measure(**vars(parser.parse_args())))


def measure(data: str, *, minutes: float = 10, seeds: int = 3, runs: Path | None = None) -> list[Section]:
    folder = runs or Path(tempfile.mkdtemp(prefix="googlenet-"))
    rows, scores = [], []
    for seed in range(seeds):
        found = one(data, folder / f"seed-{seed}", minutes=minutes, seed=seed)
        scores.append(100 * found["top1"])
        about = (
            f"seed {seed}: {found['samples']} images, balanced {100 * found['balanced_accuracy']:.1f} %, "
            f"{found['seconds']:.0f} s, {found['images']} images seen, given {found['size']} pixels"
        )
        rows.append(Row(about, f"{scores[-1]:.1f} %"))
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    rows.append(
        Row(f"mean; standard deviation {spread:.1f}, n = {seeds}", f"{statistics.mean(scores):.1f} %")
    )
    return [(f"accuracy: top-1 after {minutes:g} minutes of training", rows)]


if __name__ == "__main__":
    main()
