"""Every benchmark as one table; each in a process of its own. Long.

    python benchmarks/all.py [--photos FOLDER] [--exported FOLDER] [--data FOLDER] [--model RUN] [--rounds 3]

PHOTOS, JPEG files, adds preprocessing, check and, with EXPORTED, a folder that `googlenet export` made,
files to labels, the first answer and a server under load. DATA, a folder of class folders, adds training
from files, and RUN drawing what units look for. What training buys in accuracy: experiments/yardsticks.py.
"""

import argparse
import functools
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import check
import dialects
import engines
import files
import preprocessing
import serving
import training_files
import training_step
import visualizing
from common import Row, Section, show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--exported", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    rounds = chosen.rounds
    wanted: dict[str, Callable[[], list[Section]]] = {
        "engines": functools.partial(engines.measure, rounds=rounds),
        "dialects": functools.partial(dialects.measure, rounds=rounds),
        "training step": functools.partial(training_step.measure, rounds=rounds),
    }
    if chosen.photos:
        wanted["check"] = functools.partial(check.measure, chosen.photos, rounds=rounds)
        wanted["preprocessing"] = functools.partial(preprocessing.measure, chosen.photos, rounds=rounds)
    if chosen.photos and chosen.exported:
        wanted["files"] = functools.partial(files.measure, chosen.exported, chosen.photos, rounds=rounds)
        wanted["serving"] = functools.partial(serving.measure, chosen.exported, chosen.photos, rounds=rounds)
    if chosen.data:
        wanted["training from files"] = functools.partial(training_files.measure, chosen.data, rounds=rounds)
    if chosen.model:
        wanted["drawing units"] = functools.partial(visualizing.measure, chosen.model)
    sections, failed = run(wanted)
    show(sections)
    sys.exit(failed)


def run(wanted: dict[str, Callable[[], list[Section]]]) -> tuple[list[Section], bool]:
    """The sections of each; one that fails says so in its place, and whether any did."""
    sections: list[Section] = []
    failed = False
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh, max_tasks_per_child=1) as pool:
        for name, future in {name: pool.submit(measure) for name, measure in wanted.items()}.items():
            try:
                sections += future.result()
            except (Exception, SystemExit) as error:
                sections.append((name, [Row(f"failed: {error}", "")]))
                failed = True
    return sections, failed


if __name__ == "__main__":
    main()
