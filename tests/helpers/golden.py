"""Files of each release, kept whole: what this release wrote must stay readable for those to come.

`python tests/helpers/golden.py` adds those of the release that is checked out, in tests/golden/VERSION/: a
model file and an export for each engine, byte for byte, and the logits that they give for two pictures.
Weights that repeat let 24 MB pack into a few kB; everything else about the files is as a user's.
"""

import json
import lzma
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parents[1] / "golden"
MODEL, LOGITS = "model.safetensors", "logits.json"
SIZE = 64


def squares() -> npt.NDArray[np.uint8]:
    """Two pictures by arithmetic, uint8 [2, 64, 64, 3]."""
    i, j, c = np.ogrid[:SIZE, :SIZE, :3]
    return np.stack([(3 * i + 5 * j + 80 * c) % 256, (i * j + 40 * c) % 256]).astype(np.uint8)


def periodic(count: int) -> npt.NDArray[np.float64]:
    """Numbers about 0 that look drawn and repeat after 211."""
    n = np.arange(211, dtype=np.int64)
    one = (31 * n * n * n + 17 * n) % 211 / 105.5
    return np.resize(one - one.mean(), count)


def unpacked(version: Path, out: Path) -> Path:
    """Put the files of a release back as they were."""
    for packed in version.rglob("*.xz"):
        place = out / packed.relative_to(version).with_suffix("")
        place.parent.mkdir(parents=True, exist_ok=True)
        with lzma.open(packed) as file, place.open("wb") as plain:
            shutil.copyfileobj(file, plain)
    return out


def versions() -> list[Path]:
    return sorted(path for path in FOLDER.iterdir() if path.is_dir())


def _weights(shapes: dict[str, tuple[int, ...]]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    for name, shape in shapes.items():
        values = periodic(int(np.prod(shape)))
        if len(shape) > 1:
            values *= np.sqrt(6 / np.prod(shape[1:]))
        elif name.endswith(("norm.weight", "running_var")):
            values = np.ones_like(values)
        elif name.endswith("running_mean"):
            values *= 0
        yield name, (0.1 * values if name.endswith("bias") else values).reshape(shape).astype(np.float32)


def make(folder: Path) -> None:
    import torch

    from googlenet.architecture.dialects import Preprocessing
    from googlenet.calibration.ood import NUM_STATISTICS, OutlierDetector
    from googlenet.export import export
    from googlenet.files.metadata import ModelMetadata
    from googlenet.nn import checkpoint
    from googlenet.nn.model import GoogLeNet, network_input

    net = GoogLeNet(3).eval()
    state = net.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if tensor.is_floating_point()}
    net.load_state_dict(state | {name: torch.from_numpy(array) for name, array in _weights(shapes)})
    card = ModelMetadata(
        classes=("blau", "grün", 'red "1"'),
        dialect="bn",
        preprocessing=Preprocessing(size=SIZE, crop=0.9, interpolation="bilinear"),
        recipe={"name": "golden"},
        data={"name": "none"},
        metrics={"top1": 0.5},
        versions={"googlenet": folder.name},
        temperature=1.5,
        familiar=OutlierDetector(
            mean=tuple(range(NUM_STATISTICS)),
            precision=tuple(
                tuple(float(i == j) for i in range(NUM_STATISTICS)) for j in range(NUM_STATISTICS)
            ),
            threshold=21.5,
        ),
    )
    with tempfile.TemporaryDirectory() as made:
        checkpoint.save(Path(made) / MODEL, net, card)
        for engine in ("openvino", "onnx"):
            export.export(Path(made) / MODEL, Path(made) / engine, to=engine)
        for path in (path for path in Path(made).rglob("*") if path.is_file()):
            place = folder / path.relative_to(made)
            place.parent.mkdir(parents=True, exist_ok=True)
            packed = lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
            place.with_name(place.name + ".xz").write_bytes(packed)
    with torch.inference_mode():
        logits = net(network_input(torch.from_numpy(squares()), card.preprocessing))
    (folder / LOGITS).write_text(json.dumps(logits.tolist()) + "\n")


if __name__ == "__main__":
    from googlenet.base.version import __version__

    make(FOLDER / __version__)
