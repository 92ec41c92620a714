"""`googlenet convert`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from googlenet.cli.common import need


def convert(
    source: Annotated[Positional[Path], arg(metavar="SOURCE")],
    /,
    *,
    family: Annotated[Literal["torchvision", "pytorch-bn", "bvlc", "inception5h", "slim"], arg(name="from")],
    out: Path,
    force: bool = False,
    labels: Path | None = None,
) -> int:
    """Convert published weights to a model file.

    Example: googlenet convert googlenet-1378be20.pth --from torchvision --out googlenet.safetensors

    Args:
        source: a published file: .pth, .caffemodel, .pb, .zip or .npz; docs/weights.md lists the sources
        family: the library or framework that published it
        out: the model file to write
        force: replace the file at --out
        labels: a text file with the name of a class on each line; by default ImageNet's for 1,000
    """
    need("torch", "torchvision", extra="train")
    from googlenet.weights.convert import convert as write

    published = write(source, family, out, labels=labels, force=force)
    heads = "with both auxiliary heads" if published.has_heads else "no auxiliary heads"
    print(
        f"{out}: dialect {published.card.dialect}, {len(published.card.classes):,} classes, "
        f"{published.parameters:,} parameters, {heads}"
    )
    return 0
