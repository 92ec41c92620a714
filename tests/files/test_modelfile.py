"""Model files: what they say, and that a single altered bit is noticed."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import InputError, ModelFileError
from googlenet.files import modelfile
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
    for position in range(len(content)):
        altered = bytearray(content)
        altered[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(bytes(altered))
        with pytest.raises(ModelFileError):
            modelfile.read(path)


def edit(path: Path, change: Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]) -> None:
    """Write a safetensors file anew with another outer header or other bytes, without any library."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, tensors = change(json.loads(content[8 : 8 + length]), content[8 + length :])
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)


def test_checksums_by_their_definition(path: Path) -> None:
    """One is over names in order, types, shapes and bytes; the other over the rest of the JSON."""
    with safetensors.safe_open(path, "numpy") as file:
        text = file.metadata()["googlenet"]
    stored = json.loads(text)["sha256"]
    tensors = (
        b'["a", "float32", [2, 3]]\n'
        + ARRAYS["a"].tobytes()
        + b'["b", "int64", []]\n'
        + ARRAYS["b"].tobytes()
    )
    assert stored["tensors"] == hashlib.sha256(tensors).hexdigest()
    assert stored["header"] == hashlib.sha256(json.dumps(CARD.as_header()).encode()).hexdigest()


def test_other_tools_may_add_metadata_and_order_the_tensors_anew(path: Path) -> None:
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata() | {"format": "pt", "note": "of another tool"}
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, metadata=metadata)
    assert modelfile.read_metadata(path) == CARD

    def turned(header: dict[str, Any], tensors: bytes) -> tuple[dict[str, Any], bytes]:
        whole = b""
        for name in sorted(ARRAYS, key=lambda name: header[name]["data_offsets"], reverse=True):
            part = tensors[slice(*header[name]["data_offsets"])]
            header[name]["data_offsets"] = [len(whole), len(whole) + len(part)]
            whole += part
        assert whole != tensors
        return header, whole

    edit(path, turned)
    arrays, header = modelfile.read(path)
    assert ModelMetadata.from_header(header, path) == CARD
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


ALTERED: dict[str, Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]] = {
    "a byte": lambda header, tensors: (header, tensors[:-1] + bytes([tensors[-1] ^ 1])),
    "a name": lambda header, tensors: ({"c" if k == "a" else k: v for k, v in header.items()}, tensors),
    "a type": lambda header, tensors: (header | {"a": header["a"] | {"dtype": "I32"}}, tensors),
    "a shape": lambda header, tensors: (header | {"a": header["a"] | {"shape": [3, 2]}}, tensors),
    "the header": lambda header, tensors: (_said(header, "cat", "dog"), tensors),
}


def _said(header: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    text = header["__metadata__"]["googlenet"]
    assert before in text
    return header | {"__metadata__": {"googlenet": text.replace(before, after, 1)}}


@pytest.mark.parametrize("what", ALTERED)
def test_what_is_altered_within_a_valid_file_is_noticed(path: Path, what: str) -> None:
    edit(path, ALTERED[what])
    with pytest.raises(ModelFileError, match=r"sha256 mismatch, expected \w{12}…, got \w{12}…: .*; copy"):
        modelfile.read(path)


def test_empty_and_scalar_arrays(path: Path) -> None:
    arrays = {
        "none": np.zeros((0, 3), np.float32),
        "turned": np.arange(6).reshape(2, 3).T,
        "yes": np.array(True),
    }
    modelfile.write(path, arrays, {"step": 1})
    found, header = modelfile.read(path)
    assert header == {"step": 1}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("format", [0, 3, None])
def test_other_formats_are_refused(path: Path, format: object) -> None:
    modelfile.write(path, ARRAYS, {**CARD.as_header(), "format": format})
    with pytest.raises(ModelFileError, match=f"from 1 to 2, got {format}"):
        modelfile.read_metadata(path)


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


def test_preprocessing_of_older_files_gets_the_defaults(tmp_path: Path) -> None:
    header = CARD.as_header()
    older = {k: v for k, v in header["preprocessing"].items() if k not in ("fit", "interpolation")}
    found = ModelMetadata.from_header({**header, "preprocessing": older}, tmp_path)
    assert found.preprocessing == Preprocessing(size=96, fit="crop", interpolation="bicubic")


@pytest.mark.parametrize("warp, fit", [(True, "squash"), (False, "crop")])
def test_warp_of_older_files_is_a_fit(tmp_path: Path, warp: bool, fit: str) -> None:
    header = CARD.as_header()
    older = {k: v for k, v in header["preprocessing"].items() if k != "fit"} | {"warp": warp}
    found = ModelMetadata.from_header({**header, "preprocessing": older}, tmp_path)
    assert found.preprocessing.fit == fit


def test_fit_and_interpolation_come_back(path: Path) -> None:
    kind = Preprocessing(fit="squash", interpolation="bilinear")
    modelfile.write(path, ARRAYS, replace(CARD, preprocessing=kind).as_header())
    assert modelfile.read_metadata(path).preprocessing == kind


@pytest.mark.parametrize(
    "change, said",
    [
        ({"interpolation": "lanczos"}, "enum value 'lanczos' - at `\\$.preprocessing.interpolation`"),
        ({"interpolation": ["bicubic"]}, "at `\\$.preprocessing.interpolation`"),
        ({"warp": "no"}, "expected warp true or false, got 'no'"),
        ({"fit": "stretch"}, "enum value 'stretch' - at `\\$.preprocessing.fit`"),
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
