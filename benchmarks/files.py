"""From JPEG files to labels, and from the command to the first answer: whole processes, in turns.

    python benchmarks/files.py EXPORTED PHOTOS [--count 1000] [--rounds 3]

EXPORTED is a folder that `googlenet export` made, PHOTOS a folder of JPEG files, repeated to COUNT. The
peers are `benchmarks/peers.py`: torchvision's network with a DataLoader and the stock transform, and the
same OpenVINO network fed one by one by the stock transform. The first answer is that for one photo, with
the most memory held.
"""

import argparse
import itertools
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from common import Taken, in_turns, machine, process, table

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
    chosen = parser.parse_args()
    xml = chosen.exported / "model.xml"
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        folder = repeated(chosen.photos, Path(scratch), chosen.count)
        out = folder.with_name(folder.name + ".csv")
        ours = [sys.executable, "-m", "googlenet", "predict", chosen.exported]

        def predict() -> float:
            out.unlink(missing_ok=True)
            return process([*ours, folder, "--format", "csv", "--out", out]).seconds

        taken = in_turns(
            {
                "DataLoader, torchvision, eager float32": lambda: (
                    process([sys.executable, PEERS, "torchvision", folder]).seconds
                ),
                "stock transform, OpenVINO, the same network": lambda: (
                    process([sys.executable, PEERS, "openvino", folder, xml]).seconds
                ),
                "googlenet predict": predict,
            },
            rounds=chosen.rounds,
        )
        print(f"\n{chosen.count} files to labels, whole process, {chosen.rounds} rounds")
        print(table(taken, count=chosen.count, unit="photos/s"))
        photo = next(folder.iterdir())
        commands = {
            "torchvision": [sys.executable, PEERS, "one", photo],
            "googlenet predict": [*ours, photo],
        }
        first: dict[str, list[Taken]] = {name: [] for name in commands}
        for _ in range(5):
            for name, command in commands.items():
                first[name].append(process(command))
        print("\nfirst answer for one photo, whole process, 5 times in turns")
        for name, runs in first.items():
            seconds = statistics.median(run.seconds for run in runs)
            print(f"{name:44} {seconds:8.2f} s   {max(run.megabytes for run in runs):6.0f} MB")


if __name__ == "__main__":
    main()
