"""`googlenet info`."""

import json as json_module

from googlenet.cli.common import Model
from googlenet.inference.loading import describe


def info(model: Model, /, *, json: bool = False) -> int:
    """Print the metadata of a model.

    Example: googlenet info runs/photos

    Args:
        model: a run folder, a model.safetensors or an exported folder
        json: print JSON
    """
    metadata = describe(model)
    if json:
        print(json_module.dumps(metadata))
        return 0
    from googlenet.cli import tables

    print(tables.format_metadata(metadata))
    return 0
