"""Images a second of one training step, against loops over torchvision's googlenet.

    python benchmarks/training_step.py [--size 224] [--batch 32] [--rounds 5]

All networks have both auxiliary heads, 1000 classes, random weights, and the same batch of noise. The
peers: what people run, float32 in contiguous memory with SGD and momentum; the same in channels-last
memory; and that in bfloat16, where the processor has it. Ours is the step that `googlenet train` makes,
in the precision that it would choose here. The limit is a large matrix product of the same precision.
"""

import argparse
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision

from common import Row, Section, in_turns, limit, seconds, show, speeds
from googlenet.architecture import cost
from googlenet.architecture.dialects import Preprocessing
from googlenet.nn.convolution import with_fast_gradients
from googlenet.nn.model import GoogLeNet, WithAuxiliaryHeads, initialize_weights, network_input
from googlenet.training.decision.recipe import MODERN, Recipe
from googlenet.training.hardware import autocast, choose_precision
from googlenet.training.optim import EmaWeights, build_optimizer, losses

CLASSES = 1000
HALF = "torchvision, channels last, bfloat16"


def plain_step(
    size: int, batch: int, *, channels_last: bool = False, precision: str = "float32"
) -> Callable[[], None]:
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
        with autocast("cpu", precision):
            out = net(images)
            main, second, first = (F.cross_entropy(logits, labels) for logits in out)
        (main + 0.3 * (first + second)).backward()
        sgd.step()

    return step


def our_step(
    classes: int, precision: str, recipe: Recipe, dialect: str = "bn"
) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """The step of `googlenet train`: normalisation from bytes and averaged weights included."""
    net = WithAuxiliaryHeads(GoogLeNet(classes, dialect_name=dialect))
    initialize_weights(net, recipe.init)
    net = with_fast_gradients(net).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    sgd, average = build_optimizer(net, recipe), EmaWeights(net, recipe)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        with autocast("cpu", precision):
            outputs = net(network_input(images, Preprocessing()))
        total = losses(outputs, labels, recipe).total
        sgd.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        sgd.step()
        average.update(100, steps=1000)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    show(measure(**vars(parser.parse_args())))


def measure(*, size: int = 224, batch: int = 32, rounds: int = 5) -> list[Section]:
    torch.set_flush_denormal(True)
    precision, why = choose_precision("auto", "cpu")
    images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (batch,))
    mine, ours = f"googlenet, channels last, {precision}", our_step(CLASSES, precision, MODERN)
    steps: dict[str, Callable[[], None]] = {
        "torchvision, float32": plain_step(size, batch),
        "torchvision, channels last, float32": plain_step(size, batch, channels_last=True),
    }
    if precision == "bfloat16":
        steps[HALF] = plain_step(size, batch, channels_last=True, precision="bfloat16")
    steps[mine] = lambda: ours(images, labels)
    works = {name: lambda step=step: seconds(step) for name, step in steps.items()}
    edge = f"limit: the products alone, at matrix speed, {precision}"
    # a step is a forward and, for the gradients of inputs and of weights, two products of the same size
    macs = 3 * (cost.network(size=size).macs + sum(row.macs for row in cost.network().heads))
    works[edge] = limit(precision, batch * macs)
    taken = in_turns(works, rounds=rounds)
    rows = speeds(taken, count=batch, unit="images/s", limits={mine: edge})
    if HALF not in steps:
        rows.insert(2, Row(HALF, "left out: no bfloat16 here"))
    title = f"training step: {size} pixels, batch {batch}, {rounds} rounds, {torch.get_num_threads()} threads"
    return [(f"{title}; {precision}: {why}", rows)]


if __name__ == "__main__":
    main()
