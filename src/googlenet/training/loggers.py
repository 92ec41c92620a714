"""What happens in a run, for those who look at it elsewhere: TensorBoard, MLflow, your own.

`metrics.jsonl` has everything in any case; a logger is told the same events as they come.
"""

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from googlenet.base.errors import MissingExtraError
from googlenet.base.progress import echo
from googlenet.files.events import AnyEvent, TrainingStep, Validation
from googlenet.files.runfolder import RunLog
from googlenet.images.decode import Pixels


class Logger(Protocol):
    """What `train(loggers=[…])` takes. A logger that raises is told no more; the run goes on without it."""

    def begin(self, run: dict[str, Any], images: Pixels | None) -> None:
        """A run begins, or goes on.

        run     everything that was decided, as `recipe.json` has it
        images  the first batch as the network is given it, uint8 [N, size, size, 3]; None if it has no steps
        """

    def event(self, event: AnyEvent) -> None:
        """Something happened: see `googlenet.files.events`."""

    def end(self) -> None:
        """The run ended, whether it was finished or not."""


class TensorBoard:
    """Writes losses, accuracy, images a second and the first batch for TensorBoard."""

    def __init__(self, folder: Path, *, step: int = 0) -> None:
        """Write into a folder; of an earlier session what came after `step` is hidden.

        Raises MissingExtraError.
        """
        if find_spec("tensorboard") is None:
            raise MissingExtraError("--log tensorboard needs it: pip install 'googlenet[tensorboard]'")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=step or None)
        self._batch, self._last = 0, (time.monotonic(), step)

    def begin(self, run: dict[str, Any], images: Pixels | None) -> None:
        """Write the recipe, and the first batch as a picture."""
        self._batch = run["recipe"]["batch"]
        self._writer.add_text("recipe", "\n\n".join(f"{k}: {v}" for k, v in run["recipe"].items()), 0)
        if images is not None:
            self._writer.add_images("first batch", images, 0, dataformats="NHWC")

    def event(self, event: AnyEvent) -> None:
        """Write the figures of a step, or of a look at validation."""
        if isinstance(event, TrainingStep):
            now, (before, step) = time.monotonic(), self._last
            self._last = now, event.step
            for name in ("total", "main", "aux1", "aux2"):
                self._writer.add_scalar(f"loss/{name}", getattr(event, name), event.step)
            self._writer.add_scalar("learning rate", event.rate or 0.0, event.step)
            speed = (event.step - step) * self._batch / max(now - before, 1e-9)
            self._writer.add_scalar("images a second", speed, event.step)
        elif isinstance(event, Validation):
            for name in ("top1", "top5", "loss"):
                self._writer.add_scalar(f"validation/{name}", getattr(event, name), event.step)

    def end(self) -> None:
        """Write what is left."""
        self._writer.close()


def attach(log: RunLog, loggers: Sequence[Logger], run: dict[str, Any], images: Pixels | None) -> None:
    """Tell loggers that a run begins, and from now on each of its events."""
    for logger in loggers:
        _Guarded(logger, log).begin(run, images)


def detach(log: RunLog) -> None:
    """Tell all loggers that the run has ended."""
    for listener in list(log.listeners):
        if isinstance(listener, _Guarded):
            listener.end()


class _Guarded:
    """A logger whose faults cost it its place, and not the run."""

    def __init__(self, logger: Logger, log: RunLog) -> None:
        self._logger, self._log = logger, log
        log.listeners.append(self)

    def begin(self, run: dict[str, Any], images: Pixels | None) -> None:
        self._tell("begin", run, images)

    def __call__(self, event: AnyEvent) -> None:
        self._tell("event", event)

    def end(self) -> None:
        self._tell("end")

    def _tell(self, method: str, *what: object) -> None:
        try:
            getattr(self._logger, method)(*what)
        except Exception as error:
            self._log.listeners.remove(self)
            name = type(self._logger).__name__
            echo(f"warning: {name}.{method} failed, so the run goes on without it: {error}")
