"""What a budget buys: our network, its peers in the same loop, and torchvision's script, on two data sets.

    python experiments/yardsticks.py {cifar10,clothing} --data FOLDER [--only NETWORK] [--seeds 0,1,2]

A run is a program of its own, given as many minutes of the same cores; nothing else should run beside it.
On a machine that is never idle, take the plan that an idle one made and run it by its epochs:

    python experiments/yardsticks.py clothing --data FOLDER --only resnet18 --epochs 14 --size 112

The plan is what `googlenet train --minutes` says before its first step. Runs with other options than a
yardstick's own minutes are named by them, and have rows of their own.
"""

import argparse
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import plots
from common import RESULTS, Arm, Column, Experiment, add_options, carry_out, read
from yardstick_runs import NETWORKS, OURS, REFERENCE, Contender, measure

ABOUT = {
    OURS: "`googlenet train`, default options",
    "resnet18": "torchvision's ResNet-18 in the same loop",
    "mobilenet_v3_large": "torchvision's MobileNetV3-Large in the same loop",
    REFERENCE: "torchvision's googlenet, by its reference script",
}
TOP1 = Column("top1", "accuracy, %", 100)
MIRRORED = Column("mirrored", "with mirror image, %", 100)
ECE = Column("ece", "ECE", 1, 3)
COLUMNS = (
    TOP1,
    MIRRORED,
    ECE,
    Column("minutes", "minutes"),
    Column("epochs", "epochs"),
    Column("pixels", "pixels", 1, 0),
    Column("images_per_second", "images/s", 1, 0),
    Column("threads", "threads", 1, 0),
    Column("parameters", "parameters, M", 1e-6, 2),
)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What ours is to reach: at least, or for an error at most, `bound` in the unit of the column."""

    what: str
    column: Column
    bound: float
    most: bool = False
    theirs: str | None = None  # a network that ours is to be so far above


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """A data set, the minutes that it gives, and what is to be reached."""

    name: str
    title: str
    minutes: float
    measured: str
    goals: tuple[Goal, ...]


YARDSTICKS = {
    yardstick.name: yardstick
    for yardstick in (
        Yardstick(
            name="cifar10",
            title="CIFAR-10",
            minutes=60,
            measured="5,000 training images (a hash of their names decides) are kept for validation, and the "
            "whole test split is measured once a run, after it.",
            goals=(
                Goal(what="accuracy on test, the floor", column=TOP1, bound=91),
                Goal(what="accuracy on test, the goal", column=TOP1, bound=94),
                Goal(what="calibration error on test", column=ECE, bound=0.03, most=True),
            ),
        ),
        Yardstick(
            name="clothing",
            title="Clothing",
            minutes=30,
            measured="3,068 phone photos of 10 classes to train on (github.com/alexeygrigorev/"
            "clothing-dataset-small, its train and validation folders; CC0). Accuracy is that on the 341 "
            "validation photos, which chose nothing but the temperature; for the calibration error each is "
            "judged at a temperature that it had no part in.",
            goals=(
                Goal(what="accuracy, the floor", column=TOP1, bound=80),
                Goal(what="accuracy, the goal", column=TOP1, bound=86),
                Goal(what="accuracy, less torchvision's script", column=TOP1, bound=15, theirs=REFERENCE),
                Goal(what="accuracy, less ResNet-18", column=TOP1, bound=2, theirs="resnet18"),
            ),
        ),
    )
}


def label(network: str, options: Sequence[str], yardstick: Yardstick) -> str:
    """What a row is called: the network, and its options unless they are the yardstick's own."""
    return network if tuple(options) == own(yardstick) else " ".join((network, *options))


def own(yardstick: Yardstick) -> tuple[str, ...]:
    """The options of a run that nobody chose others for."""
    return ("--minutes", f"{yardstick.minutes:g}")


def experiment(
    yardstick: Yardstick, networks: Sequence[str] = NETWORKS, options: Sequence[str] | None = None
) -> Experiment:
    """The runs of a yardstick, for these networks and with these options of their programs."""
    words = own(yardstick) if options is None else tuple(options)
    budget = f"{yardstick.minutes:g} minutes from the start of a program to its end"
    if words != own(yardstick):
        budget = " ".join(words)
    return Experiment(
        name=f"yardstick_{yardstick.name}",
        title=yardstick.title,
        claim=yardstick.measured,
        scale=f"Random weights, {budget}.",
        arms={
            label(network, words, yardstick): Contender(about=ABOUT[network], network=network, options=words)
            for network in networks
        },
        measure=measure,
        columns=COLUMNS,
        drawing=functools.partial(draw, minutes=yardstick.minutes),
        command=(
            "yardsticks.py",
            yardstick.name,
            *words,
            *(("--only", *networks) if len(networks) == 1 else ()),
        ),
    )


def published(yardstick: Yardstick, *, folder: Path = RESULTS) -> Experiment:
    """The same with whatever options there are results of, in the order of the networks."""
    whole = experiment(yardstick)
    asked = [(network, own(yardstick)) for network in NETWORKS]
    for result in read(whole.name, folder=folder):
        network, options, _ = result["how"]
        asked.append((network, tuple(options.split())))
    arms: dict[str, Arm] = {}
    for network, options in sorted(dict.fromkeys(asked), key=lambda one: NETWORKS.index(one[0])):
        arms |= experiment(yardstick, [network], options).arms
    return replace(whole, arms=arms)


def draw(runs: Mapping[str, Sequence[Mapping[str, Any]]], *, minutes: float) -> str:
    """Accuracy on validation against minutes, a line for each run.

    minutes  that a run of a plan's epochs stands for: it is drawn as if it had taken them
    """
    networks = [name.partition(" ")[0] for name in runs]
    series = {
        network if networks.count(network) == 1 else name: [
            [(_scale(run, minutes) * at, 100 * accuracy) for at, accuracy in run["curve"]] for run in found
        ]
        for (name, found), network in zip(runs.items(), networks, strict=True)
    }
    return plots.page([plots.lines("Accuracy against minutes", "minutes", "validation, %", series)])


def _scale(run: Mapping[str, Any], minutes: float) -> float:
    return 1.0 if run["budget"] == "minutes" else minutes / float(run["minutes"])


def main() -> None:
    """Run what is not done yet, with a yardstick's own minutes or with other options for one network."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog="--epochs, --size and --stem need --only"
    )
    parser.add_argument("yardstick", choices=YARDSTICKS)
    add_options(parser, NETWORKS)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="by default 60 for cifar10, 30 for clothing")
    budget.add_argument("--epochs", type=int, help="in place of minutes, where something runs beside it")
    parser.add_argument("--size", type=int, help="pixels, of a plan, or in place of the reference's 224")
    parser.add_argument("--stem", type=int, help="stride of our own network's stem, of a plan")
    chosen = parser.parse_args()
    if chosen.only is None and (chosen.epochs or chosen.size or chosen.stem):
        parser.error("--epochs, --size and --stem need --only: networks have plans of their own")
    if chosen.stem and chosen.only != OURS:
        parser.error(f"--stem is for --only {OURS}: the others are taken as they are")
    yardstick = YARDSTICKS[chosen.yardstick]
    options = ["--epochs", f"{chosen.epochs}"] if chosen.epochs else list(own(yardstick))
    if chosen.minutes:
        options[1] = f"{chosen.minutes:g}"
    for name in ("size", "stem"):
        options += [f"--{name}", str(getattr(chosen, name))] if getattr(chosen, name) else []
    carry_out(experiment(yardstick, [chosen.only] if chosen.only else NETWORKS, options), chosen)


if __name__ == "__main__":
    main()
