"""What the benchmarks share: work done in turns, ratios within a round, limits, and the table.

Each script has `measure`, which returns sections: a title and rows. Alone it prints its own; `all.py` prints
those of every script as one table.
"""

import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from googlenet.base.machine import cores, cpu_flags
from googlenet.base.version import versions

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
SIDES = (512, 1024, 2048)  # of the matrices whose product is the limit; the fastest counts

Times = dict[str, list[float]]  # seconds of each work in each round


class Row(NamedTuple):
    """One line: a value with its unit, how many times as good as the first, the share of the limit."""

    name: str
    value: str
    ratio: str = ""
    of_limit: str = ""


Section = tuple[str, list[Row]]


@dataclass(frozen=True)
class Taken:
    """One run of a whole process."""

    seconds: float
    megabytes: float  # the most memory that it held


def process(command: Sequence[str | Path]) -> Taken:
    """Run a command to its end."""
    started = time.perf_counter()
    child = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{command[0]} failed: {said.decode()[-500:]}")
    return Taken(time.perf_counter() - started, used.ru_maxrss / 1024)


def in_turns(works: dict[str, Callable[[], float]], *, rounds: int) -> Times:
    """Seconds of each work in each round, one after another: a machine that drifts is fair to all."""
    taken: Times = {name: [] for name in works}
    for work in works.values():  # the first time is for caches
        work()
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(work())
    return taken


def speeds(taken: Times, *, count: int, unit: str, limits: Mapping[str, str] | None = None) -> list[Row]:
    """A row each: speed, and how many times that of the first, median (least to most) over the rounds.

    limits  for a work, the name of the one that is its limit
    """
    rows = []
    missing = {name for name, times in taken.items() if any(map(math.isnan, times))}
    for name, times in taken.items():
        if name in missing:
            rows.append(Row(name, "not measured"))
            continue
        edge = (limits or {}).get(name)
        known = edge is not None and edge not in missing
        share = f"{100 * statistics.median(quotients(times, taken[edge])):.0f} %" if known else ""
        value = f"{count / statistics.median(times):.1f} {unit}"
        rows.append(Row(name, value, times_as_good(taken, name), share))
    return rows


def times_as_good(taken: Times, name: str) -> str:
    """How many times as little as the first, median (least to most) over the rounds."""
    first = next(iter(taken.values()))
    ratios = quotients(taken[name], first)
    return f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"


def quotients(times: Sequence[float], others: Sequence[float]) -> list[float]:
    """The others over these, round by round."""
    return [other / mine for mine, other in zip(times, others, strict=True)]


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, once."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def product(precision: str, side: int) -> float:
    """Seconds of one product of two `side` x `side` matrices, the best of five; NaN if not measured."""
    if precision == "int8":
        return _product_in_int8(side)
    import torch

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    return min(seconds(lambda: a @ b) for _ in range(5))


def _product_in_int8(side: int) -> float:
    """OpenVINO's own time for it, as the 1x1 convolution that such a product is there.

    Turning the input into int8 and the output into float32 does not count. NaN if the engine did not
    calculate in int8 after all.
    """
    import openvino as ov
    from openvino import opset13 as op

    random = np.random.default_rng(0)
    images = op.parameter([1, side, side // 16, 16], np.float32)
    ends = (np.float32(0), np.float32(2.55))
    weights = op.constant(random.integers(-64, 64, (side, side, 1, 1)).astype(np.int8))
    scaled = op.multiply(op.convert(weights, np.float32), op.constant(np.float32(0.01)))
    out = op.convolution(op.fake_quantize(images, *ends, *ends, 256), scaled, [1, 1], [0, 0], [0, 0], [1, 1])
    options = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": cores(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(ov.Model([op.result(out)], [images], "product"), "CPU", options)
    request = compiled.create_infer_request()
    content = random.uniform(0, 2.5, tuple(compiled.inputs[0].shape)).astype(np.float32)
    best = math.inf
    for _ in range(6):
        request.infer([content], share_inputs=True)
        (done,) = (node for node in request.get_profiling_info() if node.node_type == "Convolution")
        if not done.exec_type.endswith("I8"):
            return math.nan
        best = min(best, done.real_time.total_seconds())
    return best


def limit(precision: str, macs: float) -> Callable[[], float]:
    """A work for `in_turns`: as long as `macs` multiply-adds take in the fastest large matrix product."""

    def work() -> float:
        return macs * min(product(precision, side) / side**3 for side in SIDES)

    return work


def machine() -> str:
    """Processor, cores, versions and commit."""
    able = [name for name in INSTRUCTIONS if name in cpu_flags()]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{platform.machine()} {' '.join(able)}, {cores()} cores; {known}; commit {commit or 'unknown'}"


def show(sections: Sequence[Section]) -> None:
    """Print them as one table."""
    head = Row("", "median", "to the first, median (least to most)", "of the limit")
    everything = [head, *(row for _, rows in sections for row in rows)]
    widths = [max(len(cells[i]) for cells in everything) for i in range(len(head))]

    def line(row: Row) -> str:
        return "  ".join(
            [row.name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()

    print(machine(), line(head), sep="\n")
    for title, rows in sections:
        print(f"\n{title}", *map(line, rows), sep="\n")
