"""Model files as an attacker or a failing disk would leave them, and how much memory reading them takes."""

import hashlib
import io
import json
import os
import pickle
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tarfile
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import GoogLeNetError
from googlenet.cli import main
from googlenet.files import modelfile
from googlenet.files.checksum import PLACEHOLDER, embed_checksum, file_digest
from googlenet.files.manifest import FILES, Manifest
from googlenet.files.metadata import ModelMetadata
from helpers import published

CARD = ModelMetadata(classes=("a", "b", "c"), dialect="bn", preprocessing=Preprocessing(size=64))
SECONDS = 20  # in which each file is read or refused
BATCH = 250  # files that a child reads


# Pickles that run code where they are trusted.


class Marker:
    """Pickled, it makes a folder when it is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


def zipped(place: Path) -> bytes:
    """A checkpoint of torch 1.6 and later."""
    file = io.BytesIO()
    torch.save({"conv1.conv.weight": torch.zeros(3), "x": Marker(place)}, file)
    return file.getvalue()


def legacy(place: Path) -> bytes:
    """A checkpoint of torch before 1.6: pickles in a row."""
    file = io.BytesIO()
    torch.save({"x": Marker(place)}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def tarred(place: Path) -> bytes:
    """A checkpoint of torch's first years."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Marker(place))
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


class Nested:
    """A storage from bytes, which are a checkpoint of their own."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return torch.storage._load_from_bytes, (legacy(self.place),)


def nested(place: Path) -> bytes:
    file = io.BytesIO()
    torch.save({"x": Nested(place)}, file)
    return file.getvalue()


def sparse(place: Path) -> bytes:
    """A sparse tensor whose indices lie outside of it, which crashed those who used it."""
    tensor = torch.sparse_coo_tensor(torch.tensor([[0, 2]]), torch.ones(2), (3,), check_invariants=False)
    file = io.BytesIO()
    torch.save({"conv1.conv.weight": tensor}, file)
    return file.getvalue().replace(struct.pack("<qq", 0, 2), struct.pack("<qq", 0, 1 << 40))


def fallback(place: Path) -> bytes:
    """A zip that no safe reader takes: whoever then tries without safety runs it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Marker(place), protocol=4))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/constants.pkl", pickle.dumps(Marker(place), protocol=2))
    return file.getvalue()


def bare(place: Path) -> bytes:
    return pickle.dumps(Marker(place))


def objects(place: Path) -> bytes:
    """An .npz of objects."""
    file = io.BytesIO()
    np.savez(file, x=np.array([Marker(place)], dtype=object))
    return file.getvalue()


PICKLES: dict[str, Callable[[Path], bytes]] = {
    made.__name__: made for made in (zipped, legacy, tarred, nested, sparse, fallback, bare, objects)
}


# Small files that pass every check, to be damaged.


def tiny_model(folder: Path) -> Path:
    arrays = {"a": np.arange(600, dtype=np.float32).reshape(2, 300), "b": np.array(7, dtype=np.int64)}
    modelfile.write(folder / "model.safetensors", arrays, CARD.as_header())
    return folder / "model.safetensors"


def tiny_format_1(folder: Path) -> Path:
    """The same as releases before format 2 wrote it: one SHA-256, of the whole file."""
    arrays, header = modelfile.read(tiny_model(folder))
    text = json.dumps({"sha256": PLACEHOLDER, **header, "format": 1})
    content = embed_checksum(safetensors.numpy.save(arrays, metadata={"googlenet": text}))
    (folder / "model.safetensors").write_bytes(content)
    return folder / "model.safetensors"


def tiny_openvino(folder: Path) -> Path:
    """An export of a network of six layers."""
    import openvino as ov
    from openvino import opset13 as op

    images = op.parameter([-1, 64, 64, 3], np.uint8, name="images")
    x = op.transpose(op.convert(images, np.float32), np.array([0, 3, 1, 2]))
    kernel = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    x = op.relu(op.convolution(x, kernel, [2, 2], [0, 0], [0, 0], [1, 1]))
    x = op.reduce_mean(x, np.array([2, 3]), False)
    network = ov.Model([op.matmul(x, np.ones((4, 3), np.float32), False, False)], [images])
    ov.save_model(network, folder / "model.xml", compress_to_fp16=False)
    return seal_export(folder, "openvino")


def tiny_onnx(folder: Path) -> Path:
    """One convolution and a mean, written field by field."""
    (folder / "model.onnx").write_bytes(onnx_model(onnx_weight()))
    return seal_export(folder, "onnx")


def seal_export(folder: Path, engine: str) -> Path:
    """Write the manifest that belongs to the files as they are: whoever alters them can do that too."""
    files = {name: file_digest(folder / name) for name in FILES[engine]}
    Manifest(card=CARD, engine=engine, precision="float32", maps=False, source="0" * 64, files=files).write(
        folder
    )
    return folder


def onnx_model(
    *weights: bytes, kind: str = "Conv", domain: str = "", attribute: bytes = b"", extra: bytes = b""
) -> bytes:
    """images [N, 64, 64, 3] -> convolution by `w` -> mean -> logits [N, 3]."""
    field = published.field

    def node(kind: str, inputs: list[str], output: str, *attributes: bytes, domain: str = "") -> bytes:
        names = b"".join(field(1, name) for name in inputs) + field(2, output)
        return field(
            1, names + field(4, kind) + b"".join(field(5, each) for each in attributes) + field(7, domain)
        )

    def whole(name: str, value: int) -> bytes:
        return field(1, name) + field(3, value) + field(20, 2)

    def wholes(name: str, *values: int) -> bytes:
        return field(1, name) + b"".join(field(8, value) for value in values) + field(20, 7)

    def value(name: str, kind: int, *dims: str | int) -> bytes:
        shape = b"".join(field(1, field(2 if isinstance(dim, str) else 1, dim)) for dim in dims)
        return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))

    graph = b"".join(
        (
            node("Cast", ["images"], "x", whole("to", 1)),
            node("Transpose", ["x"], "y", wholes("perm", 0, 3, 1, 2)),
            node(kind, ["y", "w"], "z", *([attribute] if attribute else []), domain=domain),
            node("ReduceMean", ["z"], "logits", wholes("axes", 2, 3), whole("keepdims", 0)),
            field(2, "g"),
            *(field(5, weight) for weight in weights),
            field(11, value("images", 2, "batch", 64, 64, 3)),
            field(12, value("logits", 1, "batch", 3)),
        )
    )
    return field(1, 8) + field(7, graph) + field(8, field(2, 13)) + extra


def onnx_weight(**outside: str) -> bytes:
    """The weight [3, 3, 1, 1], in the file or, with location=..., in another one."""
    field = published.field
    head = b"".join(field(1, size) for size in (3, 3, 1, 1)) + field(2, 1) + field(8, "w")
    if not outside:
        return head + field(9, np.arange(9, dtype="<f4").tobytes())
    pairs = b"".join(field(13, field(1, key) + field(2, value)) for key, value in outside.items())
    return head + pairs + field(14, 1)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command line, which must refuse in one line; what it says."""
    assert main.main(words) == 2, words
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("googlenet: "), said
    return said[-1]


# Damage, and what comes of it.


def mutate(content: bytes, luck: random.Random) -> bytes:
    """Flip, cut, insert, repeat, or put another number in: one to four times."""
    altered = bytearray(content)
    for _ in range(luck.randint(1, 4)):
        if not altered:
            break
        place = luck.randrange(len(altered))
        match luck.randrange(7):
            case 0 | 1:
                altered[place] ^= 1 << luck.randrange(8)
            case 2:
                del altered[place : place + luck.choice([1, 4, 30, len(altered)])]
            case 3:
                altered[place:place] = luck.randbytes(luck.randint(1, 8))
            case 4:
                start = luck.randrange(len(altered))
                altered[place:place] = altered[start : start + luck.randint(1, 200)]
            case 5:
                altered[place : place + 8] = luck.choice([b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7])
            case _:
                if found := list(re.finditer(rb"\d+", altered[:20_000])):
                    number = luck.choice(found)
                    altered[number.start() : number.end()] = luck.choice(NUMBERS)
    return bytes(altered)


NUMBERS = (b"0", b"-1", b"7", b"1000000", b"2147483648", b"4294967295", b"9223372036854775807", b"1e999")


def sealed_again(content: bytes) -> bytes:
    """What is damaged in a file that its author sealed after that."""
    blank = re.sub(rb'(sha256\\?": \\?")[0-9a-f]{64}', rb"\g<1>" + PLACEHOLDER.encode(), content, count=1)
    try:
        return embed_checksum(blank) if blank != content else _model_sealed_again(content)
    except Exception:  # the place of the checksum is damaged, or it is no safetensors any more
        return content


def _model_sealed_again(content: bytes) -> bytes:
    """A model file of format 2 with the checksums that belong to its tensors and to its header."""
    arrays, length = safetensors.numpy.load(content), int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    header = "{" + metadata["googlenet"].partition('"}, ')[2]
    tensors = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        tensors.update(json.dumps([name, array.dtype.name, array.shape]).encode() + b"\n" + array.tobytes())
    sums = {"tensors": tensors.hexdigest(), "header": hashlib.sha256(header.encode()).hexdigest()}
    text = json.dumps({"sha256": sums})[:-1] + ", " + header[1:]
    return safetensors.numpy.save(arrays, metadata=metadata | {"googlenet": text})


class Damage:
    """Numbered cases of one kind of file: `case(7)` writes the seventh and reads it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.whole = folder / "whole"
        self.whole.mkdir()
        made = {"model": tiny_model, "format 1": tiny_format_1, "openvino": tiny_openvino}
        made |= {"onnx": tiny_onnx, "operators": tiny_onnx}
        made[kind](self.whole)
        self.names = sorted(path.name for path in self.whole.iterdir())
        from googlenet.inference import engines  # noqa: F401  (so that children need not)

        if kind in ("onnx", "operators"):
            import onnx
            import onnxruntime  # noqa: F401

            self.operators = sorted(
                {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
            )

    def case(self, number: int) -> str:
        """Read a damaged file; of every two, the second is sealed again. Or one with another operator."""
        folder = self.whole.parent / str(os.getpid())
        shutil.copytree(self.whole, folder, dirs_exist_ok=True)
        changed = False
        if number >= 0 and self.kind == "operators":
            operator = self.operators[number % len(self.operators)]
            (folder / "model.onnx").write_bytes(onnx_model(onnx_weight(), kind=operator))
            seal_export(folder, "onnx")
        elif number >= 0:
            path = folder / self.names[number // 2 % len(self.names)]
            content = path.read_bytes()
            altered = mutate(content, random.Random(number))
            if number % 2:
                altered = sealed_again(altered)
            path.write_bytes(altered)
            if number % 2 and path.suffix in (".xml", ".bin", ".onnx"):
                seal_export(folder, self.kind)
            changed = not number % 2 and altered != content
        try:
            self.read(folder)
        except GoogLeNetError as error:
            assert "\n" not in str(error) and len(str(error)) < 2000, str(error)
            return "refused"
        assert not changed, "altered, and yet read"
        return "read"

    def read(self, folder: Path) -> None:
        if self.kind in ("model", "format 1"):
            _, header = modelfile.read(folder / "model.safetensors")
            ModelMetadata.from_header(header, folder)
        else:
            from googlenet.inference.engines import open_exported

            open_exported(folder, threads=1).logits(np.zeros((1, 64, 64, 3), np.uint8))


def survey(damage: Damage, count: int) -> tuple[Counter[str], int, list[str]]:
    """Run cases in children: how often each ended how, the largest growth of memory, and what went wrong."""
    outcomes: Counter[str] = Counter()
    growth, wrong, number = 0, [], 0
    while number < count:
        number, found = _child(damage, number, min(number + BATCH, count))
        for line in found:
            outcome, grown, detail = line
            outcomes[outcome] += 1
            growth = max(growth, grown)
            if outcome not in ("refused", "read"):
                wrong.append(detail)
    return outcomes, growth, wrong


def _child(damage: Damage, start: int, end: int) -> tuple[int, list[tuple[str, int, str]]]:
    """Cases in a process of their own; (the next case, what came of those)."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "w") as file:
            _cases(damage, range(start, end), file.write, file.flush)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        found = [tuple(json.loads(line)) for line in file]
    _, status = os.waitpid(child, 0)
    if status:
        name = signal.Signals(status & 127).name if status & 127 else f"exit {status >> 8}"
        found.append((f"ended by {name}", 0, f"case {start + len(found)}: {name}"))
    return start + len(found), found


def _cases(damage: Damage, numbers: range, write: Callable[[str], object], flush: Callable[[], None]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # engines speak on standard error
    assert damage.case(-1) == "read"  # what is whole; and nothing is loaded for the first time afterwards
    most = _memory("VmSize") + (2 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for number in numbers:
        signal.alarm(SECONDS)
        before = _reset_peak()
        try:
            outcome, detail = damage.case(number), ""
        except BaseException as error:
            outcome = f"raised {type(error).__name__}"
            detail = f"case {number}: {traceback.format_exception_only(error)[-1].strip()[:300]}"
        write(json.dumps([outcome, _memory("VmHWM") - before, detail]) + "\n")
        flush()


def _memory(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition(f"{name}:")[2].split()[0])


def _reset_peak() -> int:
    """Let the peak begin anew; the memory held now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def grown_by(action: Callable[[], object]) -> int:
    """How many bytes of memory a call takes at most, beyond what was held before."""
    before = _reset_peak()
    action()
    return _memory("VmHWM") - before


if __name__ == "__main__":  # hostile.py KIND COUNT FOLDER: engines start threads, which no child inherits
    kind, count, folder = sys.argv[1:]
    outcomes, growth, wrong = survey(Damage(kind, Path(folder)), int(count))
    print(json.dumps({"outcomes": outcomes, "growth": growth, "wrong": wrong[:5]}))
