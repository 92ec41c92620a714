"""Features of photos by the frozen network, kept on disk until the classifier on them is found.

What is kept belongs to the network, the photos and the engine by a digest, and is made again when it does not
fit. A run that was interrupted meanwhile goes on with the photos that are missing.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import ImageError, ModelFileError
from googlenet.base.machine import cores
from googlenet.base.progress import Advance, echo
from googlenet.data.index import Index, fingerprint
from googlenet.export.extractor import Extractor
from googlenet.files import modelfile
from googlenet.images.decode import Pixels, preprocess
from googlenet.inference.predict import map_batches
from googlenet.nn import checkpoint
from googlenet.nn.model import GoogLeNet

CHUNK = 512  # photos in a file
BATCH = 16
_NAME = "features"

Features = npt.NDArray[np.float32]


def kept_features(
    net: GoogLeNet,
    extractor: Extractor,
    index: Index,
    preprocessing: Preprocessing,
    *,
    folder: Path,
    mirror: bool,
    progress: Advance,
) -> Features:
    """Features [N, views, channels] of all photos of an index, upright and, with `mirror`, mirrored.

    folder  of these features alone; what is kept there already is taken
    raises  ImageError for a photo that cannot be read any more, WriteError
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = _digest(net, extractor, index, preprocessing, mirror=mirror)
    parts = []
    for first in range(0, len(index), CHUNK):
        rows = range(first, min(first + CHUNK, len(index)))
        path = folder / f"{first:09d}.safetensors"
        found = _read(path, key, len(rows))
        if found is None:
            found = np.stack(list(_made(extractor, index, rows, preprocessing, mirror, progress)))
            modelfile.write(path, {_NAME: found}, {"key": key})
        else:
            progress(len(rows))
        parts.append(found)
    return np.concatenate(parts)


def forget(folder: Path) -> None:
    """Remove what is kept."""
    shutil.rmtree(folder, ignore_errors=True)


def _made(
    extractor: Extractor,
    index: Index,
    rows: range,
    preprocessing: Preprocessing,
    mirror: bool,
    progress: Advance,
) -> Iterator[Features]:
    """Features [views, channels] of each photo."""

    def views(squares: list[Pixels]) -> Features:
        upright = np.stack(squares)
        found = [extractor(upright)]
        if mirror:
            found.append(extractor(np.ascontiguousarray(upright[:, :, ::-1])))
        return np.stack(found, axis=1)

    photos = map_batches(
        rows, lambda i: preprocess(index.read(i), preprocessing), views, batch=BATCH, workers=cores()
    )
    for number, found in photos:
        if isinstance(found, ImageError):
            raise ImageError(found.code, f"{found.reason}: {index.root / index.name(number)}") from found
        progress(1)
        yield found


def _read(path: Path, key: str, count: int) -> Features | None:
    """What is kept in a file, if it is that of this digest."""
    if not path.exists():
        return None
    try:
        arrays, header = modelfile.read(path)
    except ModelFileError as error:
        echo(f"{error}; its features are made again")
        return None
    found = arrays.get(_NAME)
    if header.get("key") != key or found is None or len(found) != count:
        echo(f"{path}: of other photos or another network; its features are made again")
        return None
    return np.array(found, np.float32)


def _digest(
    net: GoogLeNet, extractor: Extractor, index: Index, preprocessing: Preprocessing, *, mirror: bool
) -> str:
    """Of all that decides the features."""
    digest = hashlib.sha256()
    for name, array in checkpoint.to_arrays(net.trunk.state_dict()).items():
        digest.update(f"{name}\0".encode())
        digest.update(array.tobytes())
    settings = [net.dialect.name, vars(preprocessing), extractor.about, mirror, BATCH, fingerprint(index)]
    digest.update(json.dumps(settings).encode())
    return digest.hexdigest()
