"""Fewer instructions: the same guesses, by the caps that the engines themselves have.

One cache of compiled networks serves both, as a home does that several machines share.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet.base.machine import cpu_flags
from googlenet.export import export
from helpers.models import save
from helpers.painting import COLORS, paint

# oneDNN names the kernels that it makes; with those that it runs OpenVINO 2026.4 gives empty results.
NAMED = {"ONEDNN_VERBOSE": "profile_create"}
CAPS = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"}
PREDICT = """
import sys
from googlenet.cli.main import main
status = main(["predict", *sys.argv[1:]])
torch = sys.modules.get("torch")
print("ATen", torch.backends.cpu.get_cpu_capability() if torch else None)
sys.exit(status)
"""

pytestmark = pytest.mark.skipif("avx2" not in cpu_flags(), reason="nothing here that could be capped")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a network, and two exports of it."""
    place = tmp_path_factory.mktemp("instructions")
    for number, (name, color) in enumerate(COLORS.items()):
        for i in range(16):
            paint(place / "photos" / name / f"{i}.jpg", color, seed=100 * number + i)
    save(place / "torch", "bn")
    for kind in ("openvino", "int8"):
        export.export(place / "torch", place / kind, to=kind, calibrate=str(place / "photos"))
    return place


def predict(folder: Path, kind: str, name: str, caps: dict[str, str]) -> tuple[dict[str, list[dict]], str]:
    """The guesses for each photo, and what the process printed: oneDNN names every kernel it makes."""
    out = folder / f"{kind}-{name}.jsonl"
    words = [folder / kind, folder / "photos", "--format", "jsonl", "--out", out]
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, *map(str, words)],
        capture_output=True, text=True,
        env={**os.environ, "GOOGLENET_CACHE": str(folder / "cache"), **NAMED, **caps},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    guesses: dict[str, list[dict]] = {}
    for line in out.read_text().splitlines():
        row = json.loads(line)
        guesses.setdefault(row["path"], []).append(row)
    return guesses, done.stdout + done.stderr


def convolutions(said: str) -> set[str]:
    """Which implementations of a convolution were chosen."""
    lines = [
        line.split(",") for line in said.splitlines() if ",create:" in line and ",cpu,convolution," in line
    ]
    return {line[line.index("convolution") + 1] for line in lines}


@pytest.mark.parametrize("kind, tolerance", [("torch", 1e-4), ("openvino", 1e-4), ("int8", 0.02)])
def test_the_same_guesses(folder: Path, kind: str, tolerance: float) -> None:
    plain, said = predict(folder, kind, "plain", {})
    capped, said_capped = predict(folder, kind, "capped", CAPS)
    assert "cpu,isa:Intel SSE4.1" in said_capped
    assert "cpu,isa:Intel SSE4.1" not in said
    assert any("avx" in name for name in convolutions(said))
    assert not any("avx" in name for name in convolutions(said_capped))
    if kind == "torch":
        assert "ATen DEFAULT" in said_capped
        assert "ATen DEFAULT" not in said
    if "bfloat16," in said:  # eight bits of precision against float32's
        tolerance = 0.05
    assert len(plain) == 48
    assert plain.keys() == capped.keys()
    for photo, rows in plain.items():
        found = {row["label"]: row["probability"] for row in capped[photo]}
        expected = {row["label"]: row["probability"] for row in rows}
        assert found == pytest.approx(expected, abs=tolerance)
        first, second = (row["probability"] for row in rows[:2])
        if first - second > 2 * tolerance:  # else rounding may decide
            assert rows[0]["label"] == capped[photo][0]["label"]
