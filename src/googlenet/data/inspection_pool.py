"""Inspect many files in worker processes: a file that kills its decoder kills nothing else."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from queue import SimpleQueue

from googlenet.base.errors import ImageError
from googlenet.base.worker_pool import NONE, Worker, set_item
from googlenet.data.image_inspection import ImageInspection, inspect_image, unreadable
from googlenet.data.index import Index

FEW = 100  # files that are inspected faster than processes start
AHEAD = 16  # files that a process has before it at a time


def inspect_images(
    index: Index, *, workers: int, progress: Callable[[int], None] = lambda count: None
) -> list[ImageInspection]:
    """Inspect every image of an index, in its order.

    Raises OSError if no process can be started.
    """
    inspections: dict[int, ImageInspection] = {}

    def store(i: int, inspection: ImageInspection) -> None:
        inspections[i] = inspection
        progress(1)

    if type(index) is not Index or len(index) < FEW:  # in memory, or few
        for i in range(len(index)):
            store(i, inspect_one(index, i))
    else:
        _inspect_in_workers(index, workers, store)
    return [inspections[i] for i in range(len(index))]


def inspect_one(index: Index, i: int) -> ImageInspection:
    """Inspect one image of an index, in this process."""
    set_item(i)
    try:
        return inspect_image(index.read(i))
    except ImageError as error:
        return unreadable(error)


def _inspect_in_workers(index: Index, count: int, store: Callable[[int, ImageInspection], None]) -> None:
    results: SimpleQueue[tuple[Worker, ImageInspection | None]] = SimpleQueue()
    todo, left = iter(range(len(index))), len(index)
    workers: list[Worker] = []
    suspects = set[int]()  # files at which a process has died once

    def start(requests: Iterable[int]) -> None:
        workers.append(Worker(partial(inspect_one, index), results, initializer=_silence))
        for i in requests:
            workers[-1].submit(i)

    try:
        for _ in range(count):
            start(islice(todo, AHEAD))
        while left:
            worker, inspection = results.get()
            if inspection is None:
                if worker.item == NONE:
                    raise OSError("expected processes to inspect images, but none could be started")
                if worker.item in suspects and worker.item in worker.pending:  # twice: it was no accident
                    inspection = unreadable(ImageError("damaged", "it ends the program that decodes it"))
                    worker.pending.remove(worker.item)
                suspects.add(worker.item)
                start(worker.pending)
                i = worker.item
            else:
                i = worker.pending.popleft()
                for following in islice(todo, 1):
                    worker.submit(following)
            if inspection is not None:
                store(i, inspection)
                left -= 1
    finally:
        for worker in workers:
            worker.kill()


def _silence() -> None:
    """What decoders print is in the inspection."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
