"""Seconds of a training step, two networks in turns: this machine drifts, and drifts alike for both."""

import statistics
import time
from collections.abc import Callable

import torch

from googlenet.architecture.dialects import Preprocessing
from googlenet.nn.convolution import with_fast_gradients
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads, initialize_weights, network_input
from googlenet.training.optim import build_optimizer, losses
from networks import CLAIMS, register

SIZE = 64
CLASSES = 10


def step_ratio(mine: str, theirs: str, *, rounds: int) -> float:
    """Time of a step of one dialect over that of another: the median over rounds in which both take turns."""
    register()
    torch.set_flush_denormal(True)
    works = [_stepper(mine), _stepper(theirs)]
    for work in works:  # the first time is for caches
        work()
    ratios = []
    for _ in range(rounds):
        one, other = (_seconds(work) for work in works)
        ratios.append(one / other)
    return statistics.median(ratios)


def _stepper(dialect: str) -> Callable[[], None]:
    torch.manual_seed(0)
    net = WithAuxiliaryHeads(GoogLeNet(CLASSES, dialect_name=dialect, dropout=CLAIMS.dropout))
    initialize_weights(net, "he" if net.net.dialect.batch_norm else "xavier")
    net.to(memory_format=torch.channels_last)
    with_fast_gradients(net).train()
    chosen = build_optimizer(net, CLAIMS)
    for group in chosen.param_groups:
        group["lr"] = 0.0  # the numbers stay as they are, and finite
    images = torch.randint(0, 256, (CLAIMS.batch, SIZE, SIZE, 3), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (CLAIMS.batch,))

    def step() -> None:
        loss = losses(net(network_input(images, Preprocessing())), labels, CLAIMS).total
        chosen.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        chosen.step()

    return step


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
