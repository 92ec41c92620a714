"""`googlenet cost`."""

import json as json_module
from typing import Annotated

from tyro.conf import Positional, arg

from googlenet.architecture.cost import network
from googlenet.architecture.table1 import PAPER_SIZE
from googlenet.base.errors import InputError


def cost(
    names: Annotated[Positional[list[str]], arg(metavar="[NAME ...]")] = ["bn"],  # noqa: B006  (never changed)
    /,
    *,
    classes: int | None = None,
    size: int = PAPER_SIZE,
    batch: int = 1,
    json: bool = False,
) -> int:
    """Print Table 1 with parameters, multiply-adds and memory, beside the paper's own figures.

    Example: googlenet cost bn naive vgg19 --batch 2

    Args:
        names: a dialect (bn, paper, torchvision, slim, bvlc, inception5h, naive, dense), vgg16, vgg19
            or nin; several are compared side by side
        classes: number of classes; by default that of the published network
        size: side of the input in pixels
        batch: images in the batch that multiply-adds and memory are counted for
        json: print JSON; a list if there are several networks
    """
    if batch < 1:
        raise InputError(f"expected --batch of at least 1, got {batch}")
    costs = [network(name, classes=classes, size=size) for name in names or ["bn"]]
    if json:
        fields = [each.as_dict(batch=batch) for each in costs]
        print(json_module.dumps(fields if len(fields) > 1 else fields[0]))
        return 0
    from googlenet.cli import cost_table

    several = len(costs) > 1
    print(
        cost_table.compare_costs(costs, batch=batch)
        if several
        else cost_table.format_cost(costs[0], batch=batch)
    )
    return 0
