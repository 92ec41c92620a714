"""Features for a first stage of training against `predict` on the same photos, from file to result, in turns.

    python benchmarks/features.py PHOTOS MODEL [--count 256] [--rounds 5]

MODEL is a network as `train --weights` takes it; `predict` runs its export for OpenVINO in float32, or in
bfloat16 where the processor multiplies that natively, as features do.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from common import Section, in_turns, seconds, show, speeds
from googlenet.base.machine import cores
from googlenet.data.index import Index
from googlenet.export.export import export
from googlenet.export.extractor import feature_extractor
from googlenet.inference.loading import load_predictor
from googlenet.inference.paths import expand
from googlenet.inference.predict import classify
from googlenet.nn import checkpoint
from googlenet.training.hardware import choose_precision
from googlenet.training.transfer.features import kept_features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    show(measure(**vars(parser.parse_args())))


def measure(*, photos: str, model: Path, count: int = 256, rounds: int = 5) -> list[Section]:
    files = list(expand([photos]))
    files = files[:: max(1, len(files) // count)][:count]
    net = checkpoint.load(model)
    assert net.metadata is not None
    preprocessing = net.metadata.preprocessing
    precision, _ = choose_precision("auto", "cpu")
    extractor = feature_extractor(net, preprocessing, device="cpu", precision=precision)
    index = Index(
        [str(Path(file).absolute()) for file in files], np.zeros(len(files), np.int64), root=Path("/")
    )
    with tempfile.TemporaryDirectory() as scratch:
        export(model, Path(scratch) / "exported", to="openvino")
        exported = load_predictor(Path(scratch) / "exported")

        def features() -> None:
            with tempfile.TemporaryDirectory() as kept:
                kept_features(
                    net,
                    extractor,
                    index,
                    preprocessing,
                    folder=Path(kept),
                    mirror=False,
                    progress=lambda _: None,
                )

        def predicted() -> None:
            assert len(list(classify(files, exported, top=1, workers=cores()))) == len(files)

        works = {"predict": partial(seconds, predicted), "features": partial(seconds, features)}
        rows = speeds(in_turns(works, rounds=rounds), count=len(files), unit="photos/s")
    return [(f"features: {len(files)} photos, {extractor.about}, {rounds} rounds", rows)]


if __name__ == "__main__":
    main()
