"""The verbs of the command line: each calls one function of the library and prints what it gives."""

import contextlib
import functools
import json as json_module
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from googlenet import terminal
from googlenet.crops import parse as parse_crops
from googlenet.errors import InputError, MissingExtraError
from googlenet.modelfile import model_path, model_paths, read_card, write_bytes
from googlenet.recipe import Settings, choose, refuse_changes
from googlenet.spec import PAPER_SIZE

if TYPE_CHECKING:
    from googlenet.predict import Row

STARTED = time.monotonic()  # the clock of `train --minutes`
VERBS = ("train", "evaluate", "predict", "info", "cost", "convert")

ABOUT = """GoogLeNet (Inception V1): train it on your photos, measure it, use it.

Example: googlenet train photos --minutes 10 --out runs/photos

googlenet VERB --help explains a verb; googlenet --version prints the version.
"""

app = tyro.extras.SubcommandApp()

Model = Annotated[Positional[Path], arg(metavar="MODEL")]
Verb = TypeVar("Verb", bound=Callable[..., int])


def verb(function: Verb) -> Verb:
    """Register a verb: parsing gives the call, which `cli.main` then makes."""

    @functools.wraps(function)
    def bind(*args: object, **kwargs: object) -> Callable[[], int]:
        return functools.partial(function, *args, **kwargs)

    app.command(bind)
    return function


@verb
def train(
    data: Annotated[Positional[str | None], arg(metavar="DATA")] = None,
    /,
    *,
    out: Path,
    resume: bool = False,
    settings: OmitArgPrefixes[Settings] = Settings(),  # noqa: B008  (frozen)
) -> int:
    """Train a classifier on a folder of photos.

    Example: googlenet train photos --minutes 10 --out runs/photos

    Args:
        data: a folder of class folders, a folder with train/ and val/, or the word digits; by
            default digits, or with --resume the run's own
        out: the run folder to make, or with --resume the one to go on with
        resume: go on with an interrupted run; with --epochs N, make a run last N in all
    """
    choose(settings)  # refuse before torch is loaded, which takes seconds
    if resume:
        refuse_changes(settings)
    _need("torch", "torchvision", "sklearn", "jinja2", extra="train")
    from googlenet import train as training

    if resume:
        outcome = training.resume(out, settings, source=data)
    else:
        outcome = training.train(data or "digits", out, settings, started=STARTED)
    if isinstance(outcome, training.Interrupted):
        return outcome.code
    print(f"validation {terminal.top1(outcome)}; report: {out / 'report.html'}")
    return 0


@verb
def evaluate(
    model: Model,
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    *,
    split: Literal["train", "val", "test"] | None = None,
    crops: str = "1",
    ensemble: Annotated[tuple[Path, ...], arg(metavar="MODEL ...")] = (),
    json: bool = False,
) -> int:
    """Measure how often a model is right on labelled photos.

    Example: googlenet evaluate runs/photos photos --split val

    Args:
        model: a run folder or a model.safetensors
        data: a folder of class folders, a folder with train/ and val/, or the word digits
        split: the part to measure; by default val where there is one, else the whole folder
        crops: of each photo, averaged: 1, the paper's 10 or 144, or greedy:N, the best N of the 144
        ensemble: further models of the same classes, averaged with the first
        json: print JSON for machines
    """
    asked = parse_crops(crops)
    paths = model_paths([model, *ensemble])
    _need("torch", extra="train")
    from googlenet.checkpoint import load
    from googlenet.classifier import Classifier
    from googlenet.protocol import assess

    models = {str(path): Classifier(load(path)) for path in paths}
    with _counting() as progress:
        found = assess(models, data, asked, split=split, progress=progress)
    print(json_module.dumps(found.as_dict()) if json else terminal.comparison(found))
    return 0


@verb
def predict(
    model: Model,
    paths: Annotated[Positional[list[str]], arg(metavar="PATH ...")],
    /,
    *,
    top: int = 5,
    format: Literal["table", "json", "jsonl", "csv"] = "table",
    out: Path | None = None,
    batch: int = 16,
) -> int:
    """Say what is on photos.

    Example: googlenet predict runs/photos holiday/ 'more/*.jpg' --format csv --out guesses.csv

    Args:
        model: a run folder or a model.safetensors
        paths: image files, folders, patterns; - is an image on standard input
        top: guesses for each photo
        format: table, json, jsonl or csv
        out: a file to write instead of standard output
        batch: photos at a time
    """
    if out is not None and format == "table":
        raise InputError("expected --format json, jsonl or csv for --out, got table")
    if out is not None and not out.parent.is_dir():
        raise InputError(f"expected --out in a folder that exists, got {out}")
    if not paths:
        raise InputError("expected a PATH after the model: files, folders, patterns, or -")
    model_path(model)
    _need("torch", extra="train")
    from googlenet.checkpoint import load
    from googlenet.classifier import Classifier
    from googlenet.predict import classify

    rows = classify(paths, Classifier(load(model)), top=top, batch=batch)
    return _write_rows(rows, format, out)


@verb
def info(model: Model, /, *, json: bool = False) -> int:
    """Print what a model file says of itself.

    Example: googlenet info runs/photos

    Args:
        model: a run folder or a model.safetensors
        json: print JSON for machines
    """
    path = model_path(model)
    header = {"file": str(path), **read_card(path).as_header()}
    if json:
        print(json_module.dumps(header))
        return 0
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
    from googlenet import cost as costs
    from googlenet import costtable

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
    labels: Path | None = None,
) -> int:
    """Turn published weights into a model file.

    Example: googlenet convert googlenet-1378be20.pth --from torchvision --out googlenet.safetensors

    Args:
        source: a published file: .pth, .caffemodel, .pb, .zip or .npz; docs/weights.md says where they are
        family: whose it is
        out: the model file to write, where nothing is yet
        labels: a text file with the name of a class on each line; by default ImageNet's for 1,000
    """
    _need("torch", "torchvision", extra="train")
    from googlenet.weights import convert as write

    found = write(source, family, out, labels=labels)
    heads = "with both auxiliary heads" if found.has_heads else "no auxiliary heads"
    print(
        f"{out}: dialect {found.card.dialect}, {len(found.card.classes):,} classes, "
        f"{found.parameters:,} parameters, {heads}"
    )
    return 0


def _need(*packages: str, extra: str) -> None:
    """Refuse a verb whose part of the package was not installed, before anything is done."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f"this needs {', '.join(missing)}, not installed here: pip install 'googlenet[{extra}]'"
        )


def _write_rows(rows: Iterable["Row"], format: str, out: Path | None) -> int:
    """Print or write predictions; 2 if a file could not be read."""
    from googlenet import predict as prediction

    failed: list[str] = []
    watched = _watched(rows, failed)
    match format:
        case "json":
            lines: Iterable[str] = [prediction.to_json(watched)]
        case "jsonl":
            lines = prediction.to_jsonl(watched)
        case "csv":
            lines = prediction.to_csv(watched)
        case _:
            lines = [terminal.guesses(watched)]
    if out is None:
        for line in lines:
            print(line, flush=True)
    else:
        write_bytes(out, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    for problem in failed:
        print(f"googlenet: {problem}", file=sys.stderr)
    return 2 if failed else 0


def _watched(rows: Iterable["Row"], failed: list[str]) -> Iterator["Row"]:
    for row in rows:
        if row.error is not None:
            failed.append(f"{row.path}: {row.error}")
        yield row


@contextlib.contextmanager
def _counting() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Give the library a way to show how far it is."""
    from googlenet.progress import bar

    with contextlib.ExitStack() as stack:
        yield lambda name, total: stack.enter_context(bar(name, total)).advance
