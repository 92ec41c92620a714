"""Micro-batches, limits, deadlines and failures, with a model that does as it is told."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest
from prometheus_client import Counter

from googlenet.base.errors import ImageError
from googlenet.inference.predict import Outputs
from googlenet.serve.batcher import Limits, MicroBatcher, Result
from googlenet.serve.errors import DeadlineExceeded, ModelUnavailable, QueueFull
from googlenet.serve.metrics import Metrics, ModelMetrics

SIZE = 32


class FakeModel:
    """Logits that tell which image it was; may be held, or told to fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.fails = 0

    def outputs(self, images: np.ndarray) -> Outputs:
        self.go.wait()
        if self.fails:
            self.fails -= 1
            raise RuntimeError("told to fail")
        self.batches.append([int(image[0, 0, 0]) for image in images])
        logits = images[:, 0, 0, :2].astype(np.float32)
        return Outputs(logits, np.repeat(logits[:, :, None, None], 2, axis=2), logits + 1)


def metrics_of_model() -> ModelMetrics:
    return Metrics().of_model("model")


def count(metric: Counter) -> float:
    return metric._value.get()  # type: ignore[no-any-return]


def square(value: int) -> Callable[[], np.ndarray]:
    return lambda: np.full((SIZE, SIZE, 3), value, np.uint8)


def bad() -> np.ndarray:
    raise ImageError("truncated", "its end is missing")


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def metrics() -> ModelMetrics:
    return metrics_of_model()


@pytest.fixture
def batcher(model: FakeModel, metrics: ModelMetrics) -> Iterator[MicroBatcher]:
    found = MicroBatcher(
        lambda: model, size=SIZE, limits=Limits(queue=8, batch=4, delay=0.05), metrics=metrics
    )
    found.start()
    model.batches.clear()  # of warming up
    yield found
    model.go.set()
    found.close()


def together(*works: Coroutine[Any, Any, Result]) -> list[Result | BaseException]:
    async def run() -> list[Result | BaseException]:
        return await asyncio.gather(*works, return_exceptions=True)

    return asyncio.run(run())


def test_it_answers_in_batches_each_its_own(batcher: MicroBatcher, model: FakeModel) -> None:
    found = together(*(batcher.submit(square(i), timeout=5) for i in range(8)))
    for i, answer in enumerate(found):
        assert isinstance(answer, Result)
        assert answer.logits.tolist() == [i, i] and answer.maps is not None and answer.maps.shape == (2, 2, 1)
        assert (answer.pixels == i).all()
        assert min(answer.decode, answer.queue, answer.compute) >= 0
    assert sorted(itertools.chain(*model.batches)) == list(range(8))
    assert max(map(len, model.batches)) <= 4


def test_a_bad_image_fails_alone(batcher: MicroBatcher) -> None:
    found = together(*(batcher.submit(bad if i == 3 else square(i), timeout=5) for i in range(8)))
    assert isinstance(found.pop(3), ImageError)
    assert all(isinstance(answer, Result) for answer in found)


def test_a_decoder_with_a_fault_of_its_own_fails_alone(batcher: MicroBatcher) -> None:
    def worse() -> np.ndarray:
        raise ZeroDivisionError

    first, second = together(batcher.submit(worse, timeout=5), batcher.submit(square(1), timeout=5))
    assert isinstance(first, ModelUnavailable) and isinstance(second, Result)


def test_more_than_the_queue_holds_is_refused_at_once(batcher: MicroBatcher, model: FakeModel) -> None:
    model.go.clear()

    async def run() -> list[Result | BaseException]:
        waiting = [asyncio.ensure_future(batcher.submit(square(i), timeout=5)) for i in range(8)]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        with pytest.raises(QueueFull):
            await batcher.submit(square(9), timeout=5)
        assert time.monotonic() - began < 0.05
        model.go.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(await batcher.submit(square(9), timeout=5), Result)  # normal again
        return found

    assert all(isinstance(answer, Result) for answer in asyncio.run(run()))


def test_what_is_late_or_left_is_never_computed(
    batcher: MicroBatcher, model: FakeModel, metrics: ModelMetrics
) -> None:
    model.go.clear()

    async def run() -> None:
        first = asyncio.ensure_future(batcher.submit(square(1), timeout=5))
        await asyncio.sleep(0.15)  # in the model now
        began = time.monotonic()
        late = asyncio.ensure_future(batcher.submit(square(2), timeout=0.2))
        left = asyncio.ensure_future(batcher.submit(square(3), timeout=5))
        await asyncio.sleep(0.05)
        left.cancel()
        with pytest.raises(DeadlineExceeded):
            await late
        assert 0.19 < time.monotonic() - began < 1
        with pytest.raises(asyncio.CancelledError):
            await left
        assert batcher.waiting == 1
        model.go.set()
        await first
        assert (await batcher.submit(square(4), timeout=5)).logits[0] == 4

    asyncio.run(run())
    assert list(itertools.chain(*model.batches)) == [1, 4] and count(metrics.dropped) == 2


def test_a_failed_batch_is_told_and_the_model_opened_anew(
    batcher: MicroBatcher, model: FakeModel, metrics: ModelMetrics
) -> None:
    model.fails = 1
    (found,) = together(batcher.submit(square(1), timeout=5))
    assert isinstance(found, ModelUnavailable) and count(metrics.failures) == 1
    end = time.monotonic() + 5
    while not batcher.ready:
        assert time.monotonic() < end
        time.sleep(0.01)
    (again,) = together(batcher.submit(square(2), timeout=5))
    assert isinstance(again, Result) and not batcher.given_up


def test_a_batcher_that_keeps_failing_is_given_up(model: FakeModel) -> None:
    batcher = MicroBatcher(
        lambda: model, size=SIZE, limits=Limits(queue=8, batch=4), metrics=metrics_of_model()
    )
    batcher.start()
    model.fails = 10**6
    (found,) = together(batcher.submit(square(1), timeout=5))
    assert isinstance(found, ModelUnavailable) and not batcher.ready
    end = time.monotonic() + 5
    while not batcher.given_up:
        assert time.monotonic() < end
        time.sleep(0.02)
    (again,) = together(batcher.submit(square(1), timeout=1))
    assert isinstance(again, ModelUnavailable)
    batcher.close()


def test_a_model_that_cannot_be_opened_or_warmed_up_is_told_at_once(model: FakeModel) -> None:
    model.fails = 1
    with pytest.raises(RuntimeError, match="told to fail"):
        MicroBatcher(lambda: model, size=SIZE, metrics=metrics_of_model()).start()

    def missing() -> FakeModel:
        raise FileNotFoundError("no model")

    with pytest.raises(FileNotFoundError):
        MicroBatcher(missing, size=SIZE, metrics=metrics_of_model()).start()


def test_closing_answers_what_waits(model: FakeModel) -> None:
    batcher = MicroBatcher(
        lambda: model, size=SIZE, limits=Limits(queue=64, batch=4), metrics=metrics_of_model()
    )
    batcher.start()
    model.go.clear()

    async def run() -> list[Result]:
        waiting = [asyncio.ensure_future(batcher.submit(square(i), timeout=5)) for i in range(20)]
        await asyncio.sleep(0.1)
        closing = asyncio.get_running_loop().run_in_executor(None, batcher.close)
        model.go.set()
        found = await asyncio.gather(*waiting)
        await closing
        return found

    assert len(asyncio.run(run())) == 20
