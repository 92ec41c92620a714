"""A run's folder: what was asked, what happened, and whether a new run may go there."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from googlenet.errors import InputError, TrainingError, WriteError
from googlenet.modelfile import MODEL_NAME, write_bytes

CONFIG = "recipe.json"
METRICS = "metrics.jsonl"
REPORT = "report.html"
STATE = "state"
LOG = "log.txt"
OURS = (MODEL_NAME, CONFIG, METRICS, REPORT, STATE, LOG)

SPEED_OVER = 30.0  # seconds that the shown speed is a mean over


def refuse_occupied(out: Path, *, force: bool) -> None:
    """Check that a new run may be written to `out`.

    Raises InputError if something is there, unless it is a run and `force` is given.
    """
    try:
        if not out.exists() and not out.is_symlink():
            return
        if not out.is_dir():
            raise InputError(f"expected a folder or nothing at {out}, got a file; choose another --out")
        if not any(out.iterdir()):
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


def _is_run(out: Path) -> bool:
    try:
        return "plan" in read_config(out)
    except TrainingError:
        return False


def create(out: Path, config: dict[str, Any]) -> None:
    """Make a new run folder, in place of an old run if there is one, and write its `recipe.json`.

    Raises WriteError if it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in OURS:
            old = out / name
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(
            f"{out}: cannot make the run folder: {error.strerror or error}; choose another --out"
        ) from error
    write_config(out, config)


def write_config(out: Path, config: dict[str, Any]) -> None:
    """Write `recipe.json`: data, recipe, plan, classes, versions."""
    write_bytes(out / CONFIG, json.dumps(config, indent=1).encode())


def read_config(out: Path) -> dict[str, Any]:
    """Read a run's `recipe.json`.

    Raises TrainingError if the folder holds no run.
    """
    try:
        config = json.loads((out / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingError(f"expected a run folder with a {CONFIG} to resume, got {out}: {error}") from error
    if not isinstance(config, dict):
        raise TrainingError(f"{out / CONFIG}: expected an object, got something else")
    return config


class RunLog:
    """`metrics.jsonl`, a line an event, and `log.txt`, the same for people; and the speed."""

    def __init__(self, out: Path) -> None:
        """Append to the logs of a run folder."""
        self._metrics, self._text = out / METRICS, out / LOG
        self._marks: list[tuple[float, int]] = []
        self.accuracy = ""  # the last look at validation, in words

    def write(self, kind: str, **values: Any) -> None:
        """Add one event."""
        try:
            self._append(json.dumps({"kind": kind, **values}), f"{kind} {_words(values)}")
        except OSError as error:
            raise WriteError(f"{self._metrics}: could not write: {error.strerror or error}") from error

    def _append(self, event: str, words: str) -> None:
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(event + "\n")
        with self._text.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}\n")

    def read(self) -> list[dict[str, Any]]:
        """All events; a line cut short by a crash is passed over."""
        if not self._metrics.exists():
            return []
        events = []
        for line in self._metrics.read_text(encoding="utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events

    def cut(self, step: int) -> None:
        """Forget what happened after `step`: it will happen again."""
        kept = [json.dumps(event) for event in self.read() if event["step"] <= step]
        write_bytes(self._metrics, "".join(line + "\n" for line in kept).encode())

    def speed(self, step: int, *, images: int) -> float:
        """Images a second over the last half minute."""
        now = time.monotonic()
        self._marks = [mark for mark in self._marks if now - mark[0] < SPEED_OVER] + [(now, step)]
        first_time, first_step = self._marks[0]
        return (step - first_step) * images / max(now - first_time, 1e-9)


def _words(values: dict[str, Any]) -> str:
    plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
    return " ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in plain.items())
