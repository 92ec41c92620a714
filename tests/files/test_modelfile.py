"""Model files: what they say, and that a single altered bit is noticed."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError, ModelFileError, WriteError
from googlenet.files import atomic, modelfile
from googlenet.files.metadata import ModelMetadata
from googlenet.inference import loading

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(7, dtype=np.int64)}
CARD = ModelMetadata(
    classes=("cat", 'dog "\\" {"sha256": "'),
    dialect="bn",
    preprocessing=Preprocessing(size=96),
    data={"x": 1},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    modelfile.write(tmp_path / "model.safetensors", ARRAYS, CARD.as_header())
    return tmp_path / "model.safetensors"


def test_round_trip(path: Path) -> None:
    arrays, _ = modelfile.read(path)
    assert modelfile.read_metadata(path) == CARD
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].shape == array.shape


def test_plain_safetensors_reads_it_too(path: Path) -> None:
    assert set(safetensors.numpy.load_file(path)) == {"a", "b"}


def test_same_content_same_bytes(path: Path) -> None:
    assert modelfile.to_bytes(ARRAYS, CARD.as_header()) == path.read_bytes()


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for position in generator.integers(0, len(content), 200):
        altered = bytearray(content)
        altered[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(bytes(altered))
        with pytest.raises(ModelFileError):
            modelfile.read(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_files_are_noticed(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelFileError):
        modelfile.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 a zip", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}", b"\x80\x02}q\x00."]
)
def test_other_files_are_no_models(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="not a model file"):
        modelfile.read(path)


def test_safetensors_of_others_are_no_models(path: Path) -> None:
    safetensors.numpy.save_file(ARRAYS, path, metadata={"format": "pt"})
    with pytest.raises(ModelFileError, match="not a model file of googlenet"):
        modelfile.read(path)


@pytest.mark.parametrize("change", [{"format": 99}, {"classes": None}, {"extra": 1}])
def test_wrong_headers_are_refused(path: Path, change: dict[str, object]) -> None:
    modelfile.write(path, ARRAYS, {**CARD.as_header(), **change})
    with pytest.raises(ModelFileError):
        modelfile.read_metadata(path)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="did its training finish"):
        modelfile.model_path(tmp_path)
    with pytest.raises(ModelFileError, match="does not exist"):
        modelfile.model_path(tmp_path / "none")


def test_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        modelfile.write(path, ARRAYS, {"n": 1})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_only_plain_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("link", "."):
        with pytest.raises(WriteError, match="expected a plain file"):
            atomic.atomic_write(tmp_path / name, b"x")
    assert (tmp_path / "target").read_text() == "precious"


def test_a_full_disk_is_told_in_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(WriteError, match="bytes free, got 10"):
        atomic.atomic_write(tmp_path / "x", b"0123456789")


def test_header_is_json_with_the_seal_first(path: Path) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    inner = json.loads(content[8 : 8 + length])["__metadata__"]["googlenet"]
    assert next(iter(json.loads(inner))) == "sha256"


def test_preprocessing_of_older_files_gets_the_defaults(tmp_path: Path) -> None:
    header = CARD.as_header()
    older = {k: v for k, v in header["preprocessing"].items() if k not in ("warp", "interpolation")}
    found = ModelMetadata.from_header({**header, "preprocessing": older}, tmp_path)
    assert found.preprocessing == Preprocessing(size=96, warp=False, interpolation="bicubic")


def test_warp_and_interpolation_come_back(path: Path) -> None:
    kind = Preprocessing(warp=True, interpolation="bilinear")
    modelfile.write(path, ARRAYS, replace(CARD, preprocessing=kind).as_header())
    assert modelfile.read_metadata(path).preprocessing == kind


@pytest.mark.parametrize(
    "change, said",
    [
        ({"interpolation": "lanczos"}, "expected interpolation bicubic or bilinear, got 'lanczos'"),
        ({"interpolation": ["bicubic"]}, "expected interpolation bicubic or bilinear"),
        ({"warp": "no"}, "expected warp true or false, got 'no'"),
    ],
)
def test_unknown_preprocessing_is_refused(path: Path, change: dict[str, object], said: str) -> None:
    header = CARD.as_header()
    header["preprocessing"] |= change
    modelfile.write(path, ARRAYS, header)
    with pytest.raises(ModelFileError, match=said) as caught:
        modelfile.read_metadata(path)
    assert "\n" not in str(caught.value)


def test_models_of_an_ensemble_are_named_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        modelfile.write(tmp_path / name / "model.safetensors", ARRAYS, CARD.as_header())
    both = [tmp_path / "a", tmp_path / "b"]
    assert loading.resolve_models(both) == both
    with pytest.raises(InputError, match="expected each model once"):
        loading.resolve_models([*both, tmp_path / "a" / "model.safetensors"])
    with pytest.raises(ModelFileError, match="does not exist"):
        loading.resolve_models([*both, tmp_path / "c"])


def test_a_write_that_fails_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    sync, failures = os.fsync, [OSError(errno.EIO, "Input/output error")]

    def failing(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        sync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", failing)
    atomic.atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    failures += 2 * [OSError(errno.EIO, "Input/output error")]
    with pytest.raises(
        WriteError, match=r"could not write 5 bytes: Input/output error \([\d,]+ bytes are free"
    ):
        atomic.atomic_write(path, b"newer")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_temporary_file_of_a_former_process_of_our_number_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".x.{os.getpid()}.tmp").write_bytes(b"half")
    atomic.atomic_write(tmp_path / "x", b"whole")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
