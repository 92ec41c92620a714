"""Photos a second that one core turns into network input, in turns.

    python benchmarks/preprocessing.py PHOTOS [--size 224] [--rounds 5]

The peer is the stock transform of torchvision up to the pixels (Resize, CenterCrop); ours is the one of
evaluation, prediction and serving, and the random crop of training.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from common import Section, in_turns, seconds, show, speeds
from googlenet.architecture.dialects import Preprocessing
from googlenet.images.decode import preprocess
from googlenet.training.augment import Augmentation
from googlenet.training.decision.recipe import MODERN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    show(measure(**vars(parser.parse_args())))


def measure(photos: Path, *, size: int = 224, rounds: int = 5) -> list[Section]:
    torch.set_num_threads(1)
    paths = [path for path in sorted(photos.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")][:200]
    files = [path.read_bytes() for path in paths]
    stock = transforms.Compose([transforms.Resize(size * 256 // 224), transforms.CenterCrop(size)])
    augment = Augmentation(MODERN)
    ways: dict[str, Callable[[bytes], object]] = {
        "stock transform": lambda data: np.asarray(stock(Image.open(io.BytesIO(data)).convert("RGB"))),
        "googlenet, evaluation": lambda data: preprocess(data, Preprocessing(size=size)),
        "googlenet, training crop": lambda data: augment(data, size),
    }
    taken = in_turns({name: timed(way, files) for name, way in ways.items()}, rounds=rounds)
    title = f"preprocessing: {len(files)} photos to {size} pixels, one core, {rounds} rounds"
    return [(title, speeds(taken, count=len(files), unit="photos/s"))]


def timed(way: Callable[[bytes], object], files: list[bytes]) -> Callable[[], float]:
    def work() -> None:
        for data in files:
            way(data)

    return lambda: seconds(work)


if __name__ == "__main__":
    main()
