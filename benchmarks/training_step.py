"""Images a second of one training step, against the plain loop over torchvision's googlenet.

    python benchmarks/training_step.py [--size 224] [--batch 32] [--rounds 5]

Both networks have both auxiliary heads, 1000 classes, random weights, and the same batch of noise.
The peer is what people run: float32, contiguous memory, SGD with momentum. Ours is the step that
`googlenet train` makes, in the precision that it would choose here. They take turns, so that a
machine whose speed drifts is fair to both; the ratio is the median over rounds. The distance to the
processor's limit is the share of a large matrix product's speed that the network's own products reach.
"""

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision

from googlenet import cost
from googlenet.convolution import for_training
from googlenet.dialects import Preprocessing
from googlenet.model import GoogLeNet, WithAuxiliaryHeads, network_input
from googlenet.optim import WeightAverage, losses, optimiser
from googlenet.plan import autocast, choose_precision
from googlenet.recipe import MODERN

CLASSES = 1000


def plain_step(size: int, batch: int, *, channels_last: bool = False) -> Callable[[], None]:
    """torchvision's network in a loop as tutorials write it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)
    form = torch.channels_last if channels_last else torch.contiguous_format
    net = net.train().to(memory_format=form)
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch, 3, size, size).to(memory_format=form)
    labels = torch.randint(0, CLASSES, (batch,))

    def step() -> None:
        sgd.zero_grad()
        out = net(images)
        main, second, first = (F.cross_entropy(logits, labels) for logits in out)
        (main + 0.3 * (first + second)).backward()
        sgd.step()

    return step


def our_step(size: int, batch: int, precision: str) -> Callable[[], None]:
    """The step of `googlenet train`: normalisation from bytes and averaged weights included."""
    net = for_training(WithAuxiliaryHeads(GoogLeNet(CLASSES)).train())
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sgd, average = optimiser(net, MODERN), WeightAverage(net, MODERN, steps=1000)
    images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (batch,))

    def step() -> None:
        with autocast("cpu", precision):
            outputs = net(network_input(images, Preprocessing()))
        total = losses(outputs, labels, MODERN).total
        sgd.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        sgd.step()
        average.update(100)

    return step


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def matrix_speed(precision: str) -> float:
    """Multiply-adds a second of one large matrix product, the best of five."""
    side = 2048
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = torch.randn(side, side, dtype=dtype), torch.randn(side, side, dtype=dtype)
    return side**3 / min(seconds(lambda: a @ b) for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_flush_denormal(True)
    precision, why = choose_precision("auto", "cpu")
    steps = {
        "torchvision, float32 NCHW": plain_step(chosen.size, chosen.batch),
        "torchvision, float32 channels last": plain_step(chosen.size, chosen.batch, channels_last=True),
        f"googlenet, {precision} channels last": our_step(chosen.size, chosen.batch, precision),
    }
    for step in steps.values():
        step()
    taken: dict[str, list[float]] = {name: [] for name in steps}
    limits = []
    for _ in range(chosen.rounds):
        for name, step in steps.items():
            taken[name].append(seconds(step))
        limits.append(matrix_speed(precision))
    baseline, *_, ours = taken
    ratios = {n: [b / t for b, t in zip(taken[baseline], taken[n], strict=True)] for n in taken}
    print(
        f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, {chosen.size} pixels, batch {chosen.batch}, {chosen.rounds} rounds; "
        f"{precision}: {why}"
    )
    for name, times in taken.items():
        speed = chosen.batch / statistics.median(times)
        spread = f"{min(ratios[name]):.2f} to {max(ratios[name]):.2f}"
        print(f"{name:38} {speed:6.1f} images/s   {statistics.median(ratios[name]):.2f}x ({spread})")
    macs = 3 * (cost.network(size=chosen.size).macs + sum(row.macs for row in cost.network().heads))
    limit = statistics.median(limits) / macs
    print(f"{'limit: products alone, at matrix speed':38} {limit:6.1f} images/s")
    print(f"ours reaches {100 * chosen.batch / statistics.median(taken[ours]) / limit:.0f} % of it")


if __name__ == "__main__":
    main()
