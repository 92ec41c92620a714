"""From JPEG files to labels, and from the command to the first answer: whole processes, in turns.

    python benchmarks/files.py EXPORTED PHOTOS [--count 1000] [--rounds 3]

EXPORTED is a folder that `googlenet export` made, PHOTOS a folder of JPEG files, repeated to COUNT. The
peers are `benchmarks/peers.py`: torchvision's network with a DataLoader and the stock transform, and the
same OpenVINO network fed one by one by the stock transform. The first answer is that for one photo, with
the most memory held.
"""

import argparse
import functools
import itertools
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from common import Row, Section, Taken, in_turns, process, show, speeds, times_as_good

PEERS = Path(__file__).with_name("peers.py")


def repeated(photos: Path, folder: Path, count: int) -> Path:
    files = [path for path in sorted(photos.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    for number, path in zip(range(count), itertools.cycle(files)):
        shutil.copy(path, folder / f"{number:06}.jpg")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exported", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    show(measure(**vars(parser.parse_args())))


def measure(exported: Path, photos: Path, *, count: int = 1000, rounds: int = 3) -> list[Section]:
    ours = [sys.executable, "-m", "googlenet", "predict", exported]
    with tempfile.TemporaryDirectory() as scratch:
        folder = repeated(photos, Path(scratch), count)
        out = folder.with_name(folder.name + ".csv")
        commands: dict[str, list[str | Path]] = {
            "DataLoader, torchvision, eager float32": [sys.executable, PEERS, "torchvision", folder],
            "stock transform, OpenVINO, the same network": [
                sys.executable, PEERS, "openvino", folder, exported / "model.xml",
            ],
            "googlenet predict": [*ours, folder, "--format", "csv", "--out", out],
        }  # fmt: skip
        works = {name: functools.partial(_seconds, command, out) for name, command in commands.items()}
        many = speeds(in_turns(works, rounds=rounds), count=count, unit="photos/s")
        photo = next(folder.iterdir())
        first = {
            "torchvision": [sys.executable, PEERS, "one", photo],
            "googlenet predict": [*ours, photo],
        }
        return [
            (f"files: {count} JPEG files to labels, whole process, {rounds} rounds", many),
            *answers(first, rounds=rounds),
        ]


def _seconds(command: list[str | Path], out: Path) -> float:
    out.unlink(missing_ok=True)
    return process(command).seconds


def answers(commands: dict[str, list[str | Path]], *, rounds: int) -> list[Section]:
    """Time and most memory of whole processes that answer for one photo; the first round is for caches."""
    runs: dict[str, list[Taken]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            runs[name].append(process(command))
    title = f"the first answer for one photo, whole process, {rounds} rounds: "
    times = {name: [run.seconds for run in taken[1:]] for name, taken in runs.items()}
    memory = {name: [run.megabytes for run in taken[1:]] for name, taken in runs.items()}
    return [
        (f"{title}{what}", [
            Row(name, f"{statistics.median(values):.{digits}f} {unit}", times_as_good(taken, name))
            for name, values in taken.items()
        ])
        for what, taken, digits, unit in (("time", times, 2, "s"), ("most memory", memory, 0, "MB"))
    ]  # fmt: skip


if __name__ == "__main__":
    main()
