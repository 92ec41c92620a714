"""Exported models in processes of their own, with the instructions that they may use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

RUN = """
import json, sys
import numpy as np
from googlenet.inference import engines as runtime

opened = runtime.open_exported(sys.argv[1], threads=1, exact=True)
squares = np.load(sys.argv[2])
parts = [opened.logits(squares[start : start + 32]) for start in range(0, len(squares), 32)]
np.save(sys.argv[3], np.concatenate(parts))
nodes = opened._engine._compiled.get_runtime_model().get_ordered_ops()
print(json.dumps(sorted({str(node.get_rt_info()["primitiveType"].value) for node in nodes})))
"""


def logits(
    exported: Path, squares: np.ndarray, place: Path, *, most: str | None = None
) -> tuple[np.ndarray, list[str]]:
    """What an export for OpenVINO says, and by which primitives; `most` caps the instructions, as AVX2."""
    np.save(place / "squares.npy", squares)
    environment = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": most} if most else {})}
    command = [
        sys.executable,
        "-c",
        RUN,
        str(exported),
        str(place / "squares.npy"),
        str(place / "logits.npy"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return np.load(place / "logits.npy"), json.loads(done.stdout)
