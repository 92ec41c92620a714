"""Inspect many files in worker processes: a file that kills its decoder kills nothing else."""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from queue import SimpleQueue

from googlenet.base.errors import ImageError
from googlenet.base.progress import Advance, no_advance
from googlenet.base.worker_pool import NONE, Results, Worker, set_item
from googlenet.data.image_inspection import ImageInspection, inspect_image, unreadable
from googlenet.data.index import Index

FEW = 100  # files that are inspected faster than processes start
AHEAD = 16  # files that a process has before it at a time


def inspect_images(index: Index, *, workers: int, progress: Advance = no_advance) -> list[ImageInspection]:
    """Inspect every image of an index, in its order.

    Raises OSError if no process can be started.
    """
    if type(index) is not Index or len(index) < FEW:  # in memory, or few
        inspected: Iterator[tuple[int, ImageInspection]] = (
            (i, inspect_one(index, i)) for i in range(len(index))
        )
    else:
        inspected = _in_workers(index, workers)
    inspections = {}
    for i, inspection in inspected:
        inspections[i] = inspection
        progress(1)
    return [inspections[i] for i in range(len(index))]


def inspect_one(index: Index, i: int) -> ImageInspection:
    """Inspect one image of an index, in this process."""
    set_item(i)
    try:
        return inspect_image(index.read(i))
    except ImageError as error:
        return unreadable(error)


def _in_workers(index: Index, count: int) -> Iterator[tuple[int, ImageInspection]]:
    """The inspection of each file, as they come."""
    results: Results = SimpleQueue()
    workers: set[Worker] = set()
    todo = iter(range(len(index)))
    suspects = set[int]()  # files at which a process has died once

    def start(requests: Iterable[int]) -> None:
        worker = Worker(partial(inspect_one, index), results, initializer=_silence)
        workers.add(worker)
        for i in requests:
            worker.submit(i)

    try:
        for _ in range(count):
            start(islice(todo, AHEAD))
        while any(worker.pending for worker in workers):
            worker, inspection = results.get()
            if inspection is not None:
                yield worker.pending.popleft(), inspection
                for i in islice(todo, 1):
                    worker.submit(i)
                continue
            workers.remove(worker)
            worker.kill()
            if worker.item.value == NONE:
                raise OSError("expected processes to inspect images, but one could not be started")
            if (
                worker.item.value in suspects and worker.item.value in worker.pending
            ):  # twice: it was no accident
                worker.pending.remove(worker.item.value)
                yield (
                    worker.item.value,
                    unreadable(ImageError("damaged", "it ends the program that decodes it")),
                )
            suspects.add(worker.item.value)
            start(worker.pending)
    finally:
        for worker in workers:
            worker.kill()


def _silence() -> None:
    """What decoders print is in the inspection."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
