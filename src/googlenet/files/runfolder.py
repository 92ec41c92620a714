"""A run's folder: what was asked, what happened, and whether a new run may go there."""

import contextlib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from googlenet.base import machine
from googlenet.base.errors import InputError, TrainingError, WriteError
from googlenet.base.progress import echo
from googlenet.files import output_paths
from googlenet.files.atomic import atomic_write, remove_stale_temporaries
from googlenet.files.events import AnyEvent, event_from_dict
from googlenet.files.modelfile import MODEL_NAME

CONFIG = "recipe.json"
METRICS = "metrics.jsonl"
REPORT = "report.html"
STATE = "state"
LOG = "log.txt"
LOCK = ".lock"
FOLDS = "folds.jsonl"  # of a cross-validation, whose runs are in fold-1 and on
OURS = (
    MODEL_NAME, CONFIG, METRICS, REPORT, STATE, LOG,
    FOLDS, "features", "out-of-fold.csv", "suspects.jsonl", "scores.safetensors",
)  # fmt: skip
_FOLD = re.compile(r"fold-\d+")
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of file systems that have none

SPEED_OVER = 30.0  # seconds that the shown speed is a mean over


def check_run_folder(out: Path, *, force: bool) -> None:
    """Check that a new run may be written to `out`.

    Raises InputError if something is there, unless it is a run and `force` is given, or if it could not be
    written; TrainingError if another process trains there.
    """
    try:
        found = output_paths.path_kind(out)
        if found not in (None, output_paths.FOLDER):
            raise InputError(f"expected a folder or nothing at {out}, got {found}; choose another --out")
        output_paths.check_writable(out)
        if (out / LOCK).is_file():
            with lock_run(out):
                pass
        if found is None or all(path.name == LOCK for path in out.iterdir()):
            return
    except OSError as error:
        raise InputError(f"{out}: {error.strerror or error}; choose another --out") from error
    if not _is_run(out):
        raise InputError(f"{out} holds other files than a run's; choose another --out")
    if not force:
        raise InputError(
            f"{out} holds a run already; go on with --resume, replace it with --force, "
            "or choose another --out"
        )


def was_started_by_this_job(out: Path) -> bool:
    """Whether `out` holds a run that earlier processes of this job of torchrun's began."""
    return _is_run(out) and machine.is_same_job(read_config(out).get("job"))


@contextlib.contextmanager
def lock_run(out: Path, name: str = LOCK, *, doing: str = "trains") -> Iterator[None]:
    """Keep others that do the same out of a run folder, made if it is not there, while the block lasts.

    The system ends the lock with the process, however it ends; a file of a dead one means nothing, and
    loader processes that outlive it for a moment hold nothing.

    name    of the lock's file
    raises  TrainingError naming the process that does it there already, WriteError
    """
    from filelock import FileLock, Timeout  # takes 70 ms to import

    path = out / name
    lock = FileLock(path, timeout=0, mode=0o644, preserve_lock_file=True, on_acquired=_write_pid)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise TrainingError(
            f"{out}: process {_holder(path)} {doing} here already; wait until it ends, stop it by kill, or "
            "choose another folder"
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise WriteError(
                f"{out}: cannot make the run folder: {error.strerror or error}; choose another --out"
            ) from error
        echo(f"warning: {path}: no lock: {error.strerror}; let no second process work here")
    try:
        yield
    finally:
        lock.release()


def _write_pid(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock holds without the number
        os.truncate(descriptor, 0)
        os.write(descriptor, f" {os.getpid()}\n".encode())


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(1)  # Windows lets nobody else read the first byte, which is what is locked
        if (pid := file.read(20).strip()).isdigit():
            return pid.decode()
    return "unknown"


def _is_run(out: Path) -> bool:
    try:
        return not {"plan", "folds"}.isdisjoint(read_config(out))
    except TrainingError:
        return False


def create_run_folder(out: Path, config: dict[str, Any]) -> None:
    """Make a new run folder, in place of an old run if there is one, and write its `recipe.json`.

    Raises WriteError if it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        folds = [path for path in out.glob("fold-*") if _FOLD.fullmatch(path.name) and _is_run(path)]
        for old in (*(out / name for name in OURS), *folds):
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink(missing_ok=True)
        remove_stale_temporaries(out, alive=lambda pid: False)
    except OSError as error:
        raise WriteError(
            f"{out}: cannot make the run folder: {error.strerror or error}; choose another --out"
        ) from error
    write_config(out, config)


def write_config(out: Path, config: dict[str, Any]) -> None:
    """Write `recipe.json`: data, recipe, plan, classes, versions."""
    atomic_write(out / CONFIG, json.dumps(config, indent=1).encode())


def read_config(out: Path) -> dict[str, Any]:
    """Read a run's `recipe.json`.

    Raises TrainingError if the folder holds no run.
    """
    try:
        config = json.loads((out / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise TrainingError(f"expected a run folder with a {CONFIG} to resume, got {out}: {why}") from error
    if not isinstance(config, dict):
        raise TrainingError(f"{out / CONFIG}: expected an object, got something else")
    return config


def data_of_run(model: Path) -> tuple[str | None, Any]:
    """Where the training data of a run folder is, and its table of labels; None for anything else."""
    try:
        config = read_config(model) if model.is_dir() else {"data": None}
        return config["data"], _labels_now(model, config.get("labels"))
    except (TrainingError, KeyError):
        return None, None


def _labels_now(model: Path, labels: Any) -> Any:
    """A table of labels that lay in the run's own folder is where that is now."""
    if isinstance(labels, dict) and isinstance(file := labels.get("file"), str):
        own = model / Path(file).name
        if not Path(file).is_file() and own.is_file():
            return {**labels, "file": str(own.absolute())}
    return labels


class AppendedLines:
    """A file that lines are added to; lines that the disk does not take wait for the next."""

    def __init__(self, path: Path) -> None:
        """Add to `path`, which need not be there."""
        self.path = path
        self._waiting = ""

    def add(self, line: str) -> None:
        """Add a line; the first that has to wait is told."""
        first, self._waiting = not self._waiting, f"{self._waiting}{line}\n"
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self._waiting)
            self._waiting = ""
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)  # no half of a line
            if first:
                echo(f"warning: {self.path}: could not write: {error.strerror or error}; its lines wait")


class RunLog:
    """`metrics.jsonl`, a line an event, and `log.txt`, the same for people; and the speed."""

    def __init__(self, out: Path) -> None:
        """Append to the logs of a run folder."""
        self._metrics, self._text = AppendedLines(out / METRICS), AppendedLines(out / LOG)
        self._marks: list[tuple[float, int]] = []
        self.listeners: list[Callable[[AnyEvent], None]] = []  # are told each event too
        self.accuracy = ""  # the last look at validation, in words

    def write(self, event: AnyEvent) -> None:
        """Add one event; of several processes the first does."""
        if machine.rank() > 0:
            return
        values = msgspec.to_builtins(event)
        self._metrics.add(json.dumps(values))
        kind = values.pop("kind")
        self._text.add(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {kind} {_words(values)}")
        for listener in list(self.listeners):
            listener(event)

    def read(self) -> list[AnyEvent]:
        """All events of the kinds that this release knows."""
        events = map(event_from_dict, self._lines())
        return [event for event in events if event is not None]

    def _lines(self) -> list[dict[str, Any]]:
        """All lines; one cut short by a crash is passed over."""
        if not self._metrics.path.exists():
            return []
        events = []
        for line in self._metrics.path.read_text(encoding="utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events

    def cut(self, step: int) -> None:
        """Forget what happened after `step`: it will happen again."""
        kept = [json.dumps(event) for event in self._lines() if event["step"] <= step]
        atomic_write(self._metrics.path, "".join(line + "\n" for line in kept).encode())

    def speed(self, step: int, *, images: int) -> float:
        """Images a second over the last half minute."""
        now = time.monotonic()
        self._marks = [mark for mark in self._marks if now - mark[0] < SPEED_OVER] + [(now, step)]
        first_time, first_step = self._marks[0]
        return (step - first_step) * images / max(now - first_time, 1e-9)


def _words(values: dict[str, Any]) -> str:
    plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
    return " ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in plain.items())
