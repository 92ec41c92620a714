"""What people decided about labels that are probably wrong: a journal, and the table of labels that follows.

Each decision is a line of the journal, on the disk before it is answered; the user's own files are never
written to.
"""

import contextlib
import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from googlenet.base.errors import InputError, WriteError
from googlenet.base.progress import echo
from googlenet.files.atomic import atomic_write

JOURNAL = "corrections.jsonl"
TABLE = "corrections.csv"
MAX_LABEL = 200  # characters
Action = Literal["keep", "correct", "exclude", "undo"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about a photo; `undo` takes the last decision about it back."""

    path: str
    action: Action
    label: str | None = None  # of `correct`


@dataclass(frozen=True, kw_only=True)
class LabeledPhoto:
    """A photo with the label that it was given, and its split where the data has some of its own."""

    path: str
    label: str
    split: str | None = None


@dataclass
class Corrections:
    """The decisions about the photos of a run, and their files.

    photos  all that the table is to have, in its order
    """

    folder: Path
    photos: Sequence[LabeledPhoto]
    decisions: dict[str, Decision] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)  # paths in the order of their decisions

    def __post_init__(self) -> None:
        """Take up what the journal has; a last line that was cut off is passed over."""
        self._known = {photo.path: photo.label for photo in self.photos}
        path = self.folder / JOURNAL
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            with contextlib.suppress(msgspec.MsgspecError):
                self._apply(msgspec.json.decode(line, type=Decision))

    def decide(self, decision: Decision) -> None:
        """Keep a decision: in the journal, then in the table.

        Raises InputError for a photo that is not of this run, or a label that cannot be one; WriteError.
        """
        if decision.path not in self._known:
            raise InputError(f"expected a photo of this run, got {decision.path!r}")
        if decision.action == "correct":
            check_label(decision.label)
        self._append(decision)
        self._apply(decision)
        self.write_table()

    def undo(self) -> str | None:
        """Take the last decision back; the path of its photo, None if there is none."""
        if not self.history:
            return None
        path = self.history[-1]
        self.decide(Decision(path=path, action="undo"))
        return path

    def _apply(self, decision: Decision) -> None:
        self.decisions.pop(decision.path, None)
        self.history = [path for path in self.history if path != decision.path]
        if decision.action != "undo" and decision.path in self._known:
            self.decisions[decision.path] = decision
            self.history.append(decision.path)

    def _append(self, decision: Decision) -> None:
        path = self.folder / JOURNAL
        try:
            whole = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
            with path.open("ab") as file:
                file.write(b"\n" * bool(whole) + msgspec.json.encode(decision) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WriteError(f"{path}: could not write it: {error.strerror or error}") from error

    def label(self, photo: LabeledPhoto) -> str:
        """The label of a photo now; empty for one that is excluded."""
        decision = self.decisions.get(photo.path)
        if decision is None or decision.action == "keep":
            return photo.label
        return "" if decision.action == "exclude" else decision.label or photo.label

    def count(self, action: Action) -> int:
        """How many decisions of a kind there are."""
        return sum(decision.action == action for decision in self.decisions.values())

    def classes(self) -> tuple[str, ...]:
        """The labels that photos have now."""
        return tuple(sorted({label for photo in self.photos if (label := self.label(photo))}))

    def lost(self) -> tuple[str, ...]:
        """Classes that have no photo to train on any more."""
        left = {self.label(photo) for photo in self.photos if photo.split in (None, "train")}
        return tuple(sorted({photo.label for photo in self.photos} - left))

    def write_table(self) -> None:
        """Write `corrections.csv`, which `train --labels` takes: all photos, those excluded without a label.

        Raises WriteError.
        """
        splits = any(photo.split for photo in self.photos)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["path", "label", *(["split"] if splits else []), "given", "decision"])
        for photo in self.photos:
            decision = self.decisions.get(photo.path)
            words = [photo.split] if splits else []
            action = decision.action if decision else ""
            rows.writerow([photo.path, self.label(photo), *words, photo.label, action])
        atomic_write(self.folder / TABLE, text.getvalue().encode("utf-8", "surrogateescape"))


def check_label(label: str | None) -> None:
    """Raise InputError for a text that cannot be a label."""
    text = label or ""
    if not text.strip() or text != text.strip() or len(text) > MAX_LABEL or not text.isprintable():
        raise InputError(
            f"expected a label of 1 to {MAX_LABEL} printable characters, got {json.dumps(text)[:60]}"
        )


def say_what_was_done(corrections: Corrections, data: str) -> None:
    """Tell people what there is now, and how to go on."""
    kept, corrected, excluded = (corrections.count(action) for action in ("keep", "correct", "exclude"))
    echo(f"{kept} labels kept, {corrected} corrected, {excluded} photos excluded")
    for name in corrections.lost():
        echo(f"warning: no photo to train on is left of class {name!r}")
    if corrected or excluded:
        echo(f"train on them with: googlenet train {data} --labels {corrections.folder / TABLE}")
