"""The engine of the server: batches, bounds, deadlines, failures, with a network that does as it is told."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest

from googlenet.base.errors import ImageError
from googlenet.serve.engine import (
    Answer,
    Bounds,
    DeadlineExceeded,
    Engine,
    ModelUnavailable,
    QueueFull,
    Watch,
)

SIZE = 32


class Network:
    """Logits that tell which image it was; may be held, or told to fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.fails = 0

    def outputs(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        self.go.wait()
        if self.fails:
            self.fails -= 1
            raise RuntimeError("told to fail")
        self.batches.append([int(image[0, 0, 0]) for image in images])
        logits = images[:, 0, 0, :2].astype(np.float32)
        return logits, np.repeat(logits[:, :, None, None], 2, axis=2)


class Counting(Watch):
    def __init__(self) -> None:
        self.left_out = self.failures = 0

    def dropped(self) -> None:
        self.left_out += 1

    def failed(self, error: BaseException) -> None:
        self.failures += 1


def square(value: int) -> Callable[[], np.ndarray]:
    return lambda: np.full((SIZE, SIZE, 3), value, np.uint8)


def bad() -> np.ndarray:
    raise ImageError("truncated", "its end is missing")


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def watch() -> Counting:
    return Counting()


@pytest.fixture
def engine(network: Network, watch: Counting) -> Iterator[Engine]:
    found = Engine(lambda: network, size=SIZE, bounds=Bounds(queue=8, batch=4, wait=0.05), watch=watch)
    found.start()
    network.batches.clear()  # of warming up
    yield found
    network.go.set()
    found.close()


def together(*works: Coroutine[Any, Any, Answer]) -> list[Answer | BaseException]:
    async def run() -> list[Answer | BaseException]:
        return await asyncio.gather(*works, return_exceptions=True)

    return asyncio.run(run())


def test_it_answers_in_batches_each_its_own(engine: Engine, network: Network) -> None:
    found = together(*(engine.answer(square(i), within=5) for i in range(8)))
    for i, answer in enumerate(found):
        assert isinstance(answer, Answer)
        assert answer.logits.tolist() == [i, i] and answer.maps is not None and answer.maps.shape == (2, 2, 1)
        assert (answer.square == i).all()
        assert min(answer.decode, answer.queue, answer.compute) >= 0
    assert sorted(itertools.chain(*network.batches)) == list(range(8))
    assert max(map(len, network.batches)) <= 4


def test_a_bad_image_fails_alone(engine: Engine) -> None:
    found = together(*(engine.answer(bad if i == 3 else square(i), within=5) for i in range(8)))
    assert isinstance(found.pop(3), ImageError)
    assert all(isinstance(answer, Answer) for answer in found)


def test_a_decoder_with_a_fault_of_its_own_fails_alone(engine: Engine) -> None:
    def worse() -> np.ndarray:
        raise ZeroDivisionError

    first, second = together(engine.answer(worse, within=5), engine.answer(square(1), within=5))
    assert isinstance(first, ModelUnavailable) and isinstance(second, Answer)


def test_more_than_the_queue_holds_is_refused_at_once(engine: Engine, network: Network) -> None:
    network.go.clear()

    async def run() -> list[Answer | BaseException]:
        waiting = [asyncio.ensure_future(engine.answer(square(i), within=5)) for i in range(8)]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        with pytest.raises(QueueFull):
            await engine.answer(square(9), within=5)
        assert time.monotonic() - began < 0.05
        network.go.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(await engine.answer(square(9), within=5), Answer)  # normal again
        return found

    assert all(isinstance(answer, Answer) for answer in asyncio.run(run()))


def test_what_is_late_or_left_is_never_computed(engine: Engine, network: Network, watch: Counting) -> None:
    network.go.clear()

    async def run() -> None:
        first = asyncio.ensure_future(engine.answer(square(1), within=5))
        await asyncio.sleep(0.15)  # in the network now
        began = time.monotonic()
        late = asyncio.ensure_future(engine.answer(square(2), within=0.2))
        left = asyncio.ensure_future(engine.answer(square(3), within=5))
        await asyncio.sleep(0.05)
        left.cancel()
        with pytest.raises(DeadlineExceeded):
            await late
        assert 0.19 < time.monotonic() - began < 1
        with pytest.raises(asyncio.CancelledError):
            await left
        assert engine.waiting == 1
        network.go.set()
        await first
        assert (await engine.answer(square(4), within=5)).logits[0] == 4

    asyncio.run(run())
    assert list(itertools.chain(*network.batches)) == [1, 4] and watch.left_out == 2


def test_a_failed_batch_is_told_and_the_network_opened_anew(
    engine: Engine, network: Network, watch: Counting
) -> None:
    network.fails = 1
    (found,) = together(engine.answer(square(1), within=5))
    assert isinstance(found, ModelUnavailable) and watch.failures == 1
    end = time.monotonic() + 5
    while not engine.ready:
        assert time.monotonic() < end
        time.sleep(0.01)
    (again,) = together(engine.answer(square(2), within=5))
    assert isinstance(again, Answer) and not engine.given_up


def test_an_engine_that_keeps_failing_is_given_up(network: Network) -> None:
    engine = Engine(lambda: network, size=SIZE, bounds=Bounds(queue=8, batch=4))
    engine.start()
    network.fails = 10**6
    (found,) = together(engine.answer(square(1), within=5))
    assert isinstance(found, ModelUnavailable) and not engine.ready
    end = time.monotonic() + 5
    while not engine.given_up:
        assert time.monotonic() < end
        time.sleep(0.02)
    (again,) = together(engine.answer(square(1), within=1))
    assert isinstance(again, ModelUnavailable)
    engine.close()


def test_a_network_that_cannot_be_opened_or_warmed_up_is_told_at_once(network: Network) -> None:
    network.fails = 1
    with pytest.raises(RuntimeError, match="told to fail"):
        Engine(lambda: network, size=SIZE).start()

    def missing() -> Network:
        raise FileNotFoundError("no model")

    with pytest.raises(FileNotFoundError):
        Engine(missing, size=SIZE).start()


def test_closing_answers_what_waits(network: Network) -> None:
    engine = Engine(lambda: network, size=SIZE, bounds=Bounds(queue=64, batch=4))
    engine.start()
    network.go.clear()

    async def run() -> list[Answer]:
        waiting = [asyncio.ensure_future(engine.answer(square(i), within=5)) for i in range(20)]
        await asyncio.sleep(0.1)
        closing = asyncio.get_running_loop().run_in_executor(None, engine.close)
        network.go.set()
        found = await asyncio.gather(*waiting)
        await closing
        return found

    assert len(asyncio.run(run())) == 20
