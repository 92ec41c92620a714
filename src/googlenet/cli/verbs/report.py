"""`googlenet report`."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from googlenet.base.errors import InputError
from googlenet.base.machine import cores
from googlenet.cli.common import Model, need, progress_bars
from googlenet.files.output_paths import check_output_path

if TYPE_CHECKING:
    from googlenet.report.page import Batch
    from googlenet.training.decision.run_config import RunConfig

MAX_UNITS = 8  # of a stage: those that are drawn together


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
    """Write the report of a run again, with feature visualizations, or a report on other photos.

    Example: googlenet report runs/photos
    Example: googlenet report runs/photos new-photos --out new.html

    Args:
        model: a run folder, a model.safetensors or an exported folder
        data: labeled photos, as for evaluate; by default the data of the run
        out: the HTML file to write; by default the run's own report.html, for the data of the run
        split: the split to evaluate; by default val where there is one, else the whole folder
        units: units to visualize in each stage of the network; 0 for none, which is faster
        force: replace the file at --out
    """
    if not model.exists():
        raise InputError(
            f"expected a run folder, a model file or an exported folder, got {model}, which does not exist"
        )
    own = model / "report.html"
    if out is None and (data is not None or split is not None or not own.is_file()):
        raise InputError("expected --out FILE.html for a report on other photos than a run's own, got none")
    if not 0 <= units <= MAX_UNITS:
        raise InputError(f"expected --units from 0 to {MAX_UNITS}, got {units}")
    if out is not None:
        check_output_path(out, force=force)
    need("jinja2", extra="train")
    from googlenet.cli import tables
    from googlenet.crossval.folder import is_cross_validation
    from googlenet.files.runfolder import CONFIG
    from googlenet.report.build import build_report
    from googlenet.training.decision.run_config import read_run_config

    if is_cross_validation(model):
        if data is None and split is None:
            need("torch", extra="train")
            from googlenet.crossval.outcome import write_report_again

            print(f"{out or own}: {tables.format_top1(write_report_again(model, out or own))}")
            return 0
        config = None
    else:
        config = read_run_config(model) if (model / CONFIG).is_file() else None

    with progress_bars() as progress:
        page = build_report(
            model,
            data,
            out or own,
            split=split,
            units=units,
            workers=cores(),
            progress=progress,
            run=config.summary() if config else None,
            first_batch=_first_batch(config) if config else None,
        )
    print(f"{out or own}: {tables.format_top1(page.metrics)}")
    return 0


def _first_batch(config: "RunConfig") -> "Batch | None":
    """The first training batch of a run, which only `training` can make; None without torch."""
    if find_spec("torch") is None:
        return None
    from googlenet.training.prepare import first_batch_again

    return first_batch_again(config)
