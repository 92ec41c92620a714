"""`googlenet convert`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from googlenet.base.errors import InputError
from googlenet.cli.common import need


def convert(
    source: Annotated[Positional[Path], arg(metavar="SOURCE")],
    /,
    *,
    family: Annotated[
        Literal["torchvision", "pytorch-bn", "bvlc", "onnx", "inception5h", "slim"], arg(name="from")
    ],
    out: Path,
    force: bool = False,
    labels: Path | None = None,
    preprocessing: Literal["imagenet", "half", "caffe", "unit"] | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
) -> int:
    """Convert published weights to a model file.

    Example: googlenet convert googlenet-1378be20.pth --from torchvision --out googlenet.safetensors

    Args:
        source: a published file or a checkpoint: .pth, .pt, .ckpt, .bin, .safetensors, .caffemodel, .onnx,
            .pb, .zip or .npz; docs/weights.md lists the sources
        family: the library or framework that published it
        out: the model file to write
        force: replace the file at --out
        labels: a text file with the name of a class on each line; by default those in the file, or ImageNet's
            for 1,000
        preprocessing: what the network was trained on: pixels normalized by ImageNet's mean and deviation,
            from -1 to 1, from 0 to 255 less BVLC's mean, or from 0 to 1; by default what the family's
            published weights take
        mean: of red, green and blue from 0 to 1, in place of --preprocessing
        std: what the rest is divided by, with --mean
    """
    need("torch", "torchvision", extra="train")
    from googlenet.weights.convert import NORMALIZATIONS, Normalization
    from googlenet.weights.convert import convert as write

    if (mean is None) != (std is None) or (mean is not None and preprocessing is not None):
        raise InputError("expected --mean and --std together, and then no --preprocessing")
    normalization = Normalization(mean, std) if mean and std else None
    if preprocessing is not None:
        normalization = NORMALIZATIONS[preprocessing]
    published = write(source, family, out, labels=labels, normalization=normalization, force=force)
    heads = "with both auxiliary heads" if published.has_heads else "no auxiliary heads"
    print(
        f"{out}: dialect {published.card.dialect}, {len(published.card.classes):,} classes, "
        f"{published.parameters:,} parameters, {heads}"
    )
    return 0
