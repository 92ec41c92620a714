"""The cache of compiled networks: the last ones used are kept, those in use are never taken away."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.machine import CACHE
from googlenet.export import export
from googlenet.files.manifest import Manifest
from googlenet.files.metadata import ModelMetadata
from googlenet.inference import engines
from helpers.models import save, squares

CARD = ModelMetadata(classes=("a", "b"), dialect="bn", preprocessing=Preprocessing(size=64))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "compiled"


def use(number: int) -> Path:
    """Ask for the cache of a network of that number."""
    files = {"model.xml": str(number), "model.bin": "0"}
    manifest = Manifest(card=CARD, engine="openvino", precision="int8", maps=True, source="", files=files)
    found = engines._compiled_folder(manifest)
    assert found is not None
    return found


def aged(folder: Path, hours: float) -> Path:
    (folder / "network.blob").write_bytes(b"compiled")
    os.utime(folder, (time.time() - 3600 * hours,) * 2)
    return folder


def test_the_last_ones_used_are_kept(cache: Path) -> None:
    folders = [aged(use(i), hours=0.1) for i in range(12)]  # all of them may be in use
    assert all(folder.exists() for folder in folders)
    for i, folder in enumerate(folders):
        aged(folder, hours=30 - i)
    assert use(2) == folders[2]  # used again: nothing is removed, and it is the newest
    assert len(list(cache.iterdir())) == 12
    new = use(99)
    assert set(cache.iterdir()) == {new, folders[2], *folders[-(engines.COMPILED_KEPT - 2) :]}


def test_many_processes_at_once(cache: Path) -> None:
    for i in range(40):
        aged(use(i), hours=2 + i)
    with ThreadPoolExecutor(16) as pool:
        new = list(pool.map(use, range(100, 132)))
    assert all(folder.is_dir() for folder in new)
    assert len(set(new)) == 32
    use(999)
    assert {*new} <= set(cache.iterdir())
    assert not [folder for folder in cache.iterdir() if time.time() - folder.stat().st_mtime > 3600]


def test_no_cache_where_it_cannot_be_written(cache: Path) -> None:
    cache.parent.write_text("in the way")
    manifest = Manifest(card=CARD, engine="openvino", precision="int8", maps=True, source="", files={})
    assert engines._compiled_folder(manifest) is None


def test_a_network_whose_cache_is_removed_goes_on(cache: Path, tmp_path: Path) -> None:
    export.export(save(tmp_path / "m.safetensors", "bn"), tmp_path / "out", to="openvino")
    engines.open_exported(tmp_path / "out")
    blobs = set(cache.glob("*/*.blob"))
    assert blobs
    opened = engines.open_exported(tmp_path / "out")  # from the cache
    assert set(cache.glob("*/*.blob")) == blobs
    shutil.rmtree(cache)
    images = squares(2)
    np.testing.assert_array_equal(
        opened.logits(images), engines.open_exported(tmp_path / "out").logits(images)
    )
