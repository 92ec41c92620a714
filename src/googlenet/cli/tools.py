"""The verbs that look at data, models and costs, make reports, or bring weights from elsewhere."""

import json as json_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from googlenet.architecture.table1 import PAPER_SIZE
from googlenet.base.errors import InputError
from googlenet.base.machine import cores
from googlenet.cli.common import Commands, Model, counting, need, registering
from googlenet.files.output_paths import check_output_path
from googlenet.inference import loading

if TYPE_CHECKING:
    from googlenet.report.page import Batch

TOOLS: Commands = {}
verb = registering(TOOLS)
MOST_UNITS = 8  # of a stage in a report: drawn together


@verb
def check(
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    *,
    on_bad: Literal["error", "skip", "skip-all"] = "error",
    fail_on_leak: bool = False,
    json: bool = False,
) -> int:
    """Look at every photo before it is trained on: bad files, odd ones, classes, copies across splits.

    Nothing is written. The exit status is 2 if a training with the same --on-bad would stop.

    Example: googlenet check photos --fail-on-leak

    Args:
        data: a folder of class folders, a folder with train/ and val/, or the word digits
        on_bad: what unreadable photos mean: error; skip: nothing if they are at most 1 %; skip-all: nothing
        fail_on_leak: exit with 2 also if a photo has a copy in another split
        json: print JSON for machines
    """
    from googlenet.cli import checkpage
    from googlenet.data.dataset_inspection import inspect_dataset, too_many_bad
    from googlenet.data.folder import open_data

    opened = open_data(data)
    splits = tuple(opened.splits)
    with counting() as progress:
        shown = progress("checking images", sum(map(len, opened.splits.values())))
        found = inspect_dataset(opened, splits, progress=shown)
    print(json_module.dumps(checkpage.as_dict(found)) if json else checkpage.page(found))
    stops = too_many_bad(found, on_bad) or checkpage.would_stop(found)
    return 2 if stops or (fail_on_leak and found.leaks()) else 0


@verb
def report(
    model: Model,
    data: Annotated[Positional[str | None], arg(metavar="DATA")] = None,
    /,
    *,
    out: Path | None = None,
    split: Literal["train", "val", "test"] | None = None,
    units: int = 6,
    force: bool = False,
) -> int:
    """Make the page of a run again, with what its units look for, or a page for other photos.

    Example: googlenet report runs/photos
    Example: googlenet report runs/photos new-photos --out new.html

    Args:
        model: a run folder, a model.safetensors or an exported folder
        data: labeled photos, as evaluate takes them; by default the run's own
        out: the HTML file to write; by default the run's own report.html, for the run's own photos
        split: the part to measure; by default val where there is one, else the whole folder
        units: images to draw for each stage of the network, 0 for none, which is quicker
        force: replace the file that is at --out
    """
    own = model / "report.html"
    if out is None and (data is not None or split is not None or not own.is_file()):
        raise InputError("expected --out FILE.html for a report on other photos than a run's own")
    if not 0 <= units <= MOST_UNITS:
        raise InputError(f"expected --units from 0 to {MOST_UNITS}, got {units}")
    if out is not None:
        check_output_path(out, force=force)
    need("jinja2", extra="train")
    from googlenet.cli import terminal
    from googlenet.report.build import build_report

    with counting() as progress:
        found = build_report(
            model,
            data,
            out or own,
            split=split,
            units=units,
            workers=cores(),
            shown=progress,
            first_batch=_first_batch,
        )
    print(f"{out or own}: {terminal.top1(found.metrics)}")
    return 0


@verb
def info(model: Model, /, *, json: bool = False) -> int:
    """Print what a model file says of itself.

    Example: googlenet info runs/photos

    Args:
        model: a run folder, a model.safetensors or an exported folder
        json: print JSON for machines
    """
    header = loading.describe(model)
    if json:
        print(json_module.dumps(header))
        return 0
    from googlenet.cli import terminal

    print(terminal.card(header))
    return 0


@verb
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
            or nin; several are set side by side
        classes: how many the classifiers tell apart; by default as the published network
        size: pixels of one side of the input
        batch: images that multiply-adds and memory are for
        json: print JSON for machines; a list if there are several
    """
    from googlenet.architecture import cost as costs
    from googlenet.cli import costtable

    if batch < 1:
        raise InputError(f"expected --batch of at least 1, got {batch}")
    found = [costs.network(name, classes=classes, size=size) for name in names or ["bn"]]
    if json:
        fields = [each.as_dict(batch=batch) for each in found]
        print(json_module.dumps(fields if len(fields) > 1 else fields[0]))
    elif len(found) > 1:
        print(costtable.several(found, batch=batch))
    else:
        print(costtable.one(found[0], batch=batch))
    return 0


@verb
def convert(
    source: Annotated[Positional[Path], arg(metavar="SOURCE")],
    /,
    *,
    family: Annotated[Literal["torchvision", "pytorch-bn", "bvlc", "inception5h", "slim"], arg(name="from")],
    out: Path,
    force: bool = False,
    labels: Path | None = None,
) -> int:
    """Turn published weights into a model file.

    Example: googlenet convert googlenet-1378be20.pth --from torchvision --out googlenet.safetensors

    Args:
        source: a published file: .pth, .caffemodel, .pb, .zip or .npz; docs/weights.md says where they are
        family: whose it is
        out: the model file to write
        force: replace the file that is at --out
        labels: a text file with the name of a class on each line; by default ImageNet's for 1,000
    """
    need("torch", "torchvision", extra="train")
    from googlenet.weights.convert import convert as write

    found = write(source, family, out, labels=labels, force=force)
    heads = "with both auxiliary heads" if found.has_heads else "no auxiliary heads"
    print(
        f"{out}: dialect {found.card.dialect}, {len(found.card.classes):,} classes, "
        f"{found.parameters:,} parameters, {heads}"
    )
    return 0


def _first_batch(run: dict[str, Any]) -> "Batch | None":
    """What training says of the first step of a run; nothing without torch."""
    if find_spec("torch") is None:
        return None
    from googlenet.training.decision.run_config import RunConfig
    from googlenet.training.prepare import first_batch_again

    return first_batch_again(RunConfig.from_dict(run))
