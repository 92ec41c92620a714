"""What people decided about labels that are probably wrong: a journal, and the table of labels that follows.

Each decision is a line of the journal, on the disk before it is answered; the user's own files are never
written to. The journal begins with a digest of the folds that it belongs to; that of others is set aside.
"""

import csv
import io
import json
import os
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from googlenet.base.errors import InputError, WriteError
from googlenet.base.progress import echo
from googlenet.base.text import pluralize
from googlenet.data.scan import describe_lookalikes, find_lookalike
from googlenet.files import runfolder
from googlenet.files.atomic import atomic_write
from googlenet.files.checksum import file_digest

JOURNAL = "corrections.jsonl"
TABLE = "corrections.csv"
MAX_LABEL = 200  # characters
Action = Literal["keep", "correct", "exclude"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about a photo."""

    path: str
    action: Action
    label: str | None = None  # of `correct`


@dataclass(frozen=True, kw_only=True)
class LabeledPhoto:
    """A photo with the label that it was given; its split and its group where the data has them."""

    path: str
    label: str
    split: str | None = None
    group: str | None = None

    @property
    def trains(self) -> bool:
        """Whether it is one to train on."""
        return self.split in (None, "train")


@dataclass
class Corrections:
    """The decisions about the photos of a run, and their files.

    photos   all that the table is to have, in its order
    history  all decisions that were not taken back, in their order
    """

    folder: Path
    photos: Sequence[LabeledPhoto]
    history: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take up what the journal has, or set aside one of other folds."""
        self._photo = {photo.path: photo for photo in self.photos}
        self._stacks: dict[str, list[Decision]] = {}
        self._photos_of = Counter(photo.label for photo in self.photos if photo.trains)
        self._given = tuple(sorted({photo.label for photo in self.photos}))
        self._own = {"folds": file_digest(self.folder / runfolder.FOLDS)}
        lines = list(self._read())
        if lines and lines[0] != self._own:
            self._set_aside(str(lines[0].get("folds", "other"))[:8])
            lines = []
        for line in lines[1:]:
            if line == {"undo": True}:
                self._take_back()
            else:
                self._apply(msgspec.convert(line, Decision))
        if lines:
            self.write_table()  # the last process may have ended between the journal and the table

    def _read(self) -> Iterator[dict[str, object]]:
        """The journal's lines; one that was cut off is passed over."""
        path = self.folder / JOURNAL
        for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else []:
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def _set_aside(self, name: str) -> None:
        for path in (self.folder / JOURNAL, self.folder / TABLE):
            if path.exists():
                aside = path.with_stem(f"{path.stem}-{name}")
                path.replace(aside)
                echo(f"{path} is of other folds: it is {aside.name} now")

    def decide(self, decision: Decision) -> None:
        """Keep a decision: in the journal, then in the table.

        Raises InputError for a photo that is not of this run, or a label that cannot be one; WriteError.
        """
        if decision.path not in self._photo:
            raise InputError(f"expected a photo of this run, got {decision.path!r}")
        if decision.action == "correct":
            self._check_label(decision.label)
        self._append(msgspec.to_builtins(decision))
        self._apply(decision)
        self.write_table()

    def undo(self) -> str | None:
        """Take the last decision back; the path of its photo, None if there is none. Raises WriteError."""
        if not self.history:
            return None
        self._append({"undo": True})
        path = self._take_back()
        self.write_table()
        return path

    def _apply(self, decision: Decision) -> None:
        photo = self._photo.get(decision.path)
        if photo is None:
            return
        before = self.label(photo)
        self.history.append(decision)
        self._stacks.setdefault(photo.path, []).append(decision)
        self._count(photo, before)

    def _take_back(self) -> str:
        photo = self._photo[self.history.pop().path]
        before = self.label(photo)
        self._stacks[photo.path].pop()
        self._count(photo, before)
        return photo.path

    def _count(self, photo: LabeledPhoto, before: str) -> None:
        if photo.trains:
            self._photos_of[before] -= 1
            self._photos_of[self.label(photo)] += 1

    def _append(self, line: object) -> None:
        path = self.folder / JOURNAL
        text = json.dumps(line) + "\n"
        try:
            begins = not path.exists()
            with path.open("ab") as file:
                file.write((json.dumps(self._own) + "\n" + text if begins else "\n" + text).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WriteError(f"{path}: could not write it: {error.strerror or error}") from error

    def decision(self, path: str) -> Decision | None:
        """What holds of a photo now."""
        stack = self._stacks.get(path)
        return stack[-1] if stack else None

    @property
    def decisions(self) -> dict[str, Decision]:
        """What holds of each photo that something was decided about."""
        return {path: stack[-1] for path, stack in self._stacks.items() if stack}

    def label(self, photo: LabeledPhoto) -> str:
        """The label of a photo now; empty for one that is excluded."""
        decision = self.decision(photo.path)
        if decision is None or decision.action == "keep":
            return photo.label
        return "" if decision.action == "exclude" else decision.label or photo.label

    def classes(self) -> tuple[str, ...]:
        """The labels that there were, and those that photos have now."""
        now = {name for name, count in self._photos_of.items() if count > 0 and name}
        return tuple(sorted(now.union(self._given)))

    def lost(self) -> tuple[str, ...]:
        """Classes that have no photo to train on any more."""
        return tuple(name for name in self._given if self._photos_of[name] <= 0)

    def _check_label(self, label: str | None) -> None:
        """Raise InputError for a text that cannot be a label; one that there is can."""
        text, there = label or "", self.classes()
        if text in there:
            return
        odd = any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text)
        if not text.strip() or text != text.strip() or len(text) > MAX_LABEL or odd:
            raise InputError(
                f"expected a label of 1 to {MAX_LABEL} characters, without line breaks and the like, got "
                f"{json.dumps(text)[:60]}"
            )
        if other := find_lookalike(text, there):
            raise InputError(
                f"expected a label with a name of its own, got {describe_lookalikes(text, other)}, which "
                "look the same; take the one that there is"
            )

    def write_table(self) -> None:
        """Write `corrections.csv`, which `train --labels` takes: all photos, those excluded without a label.

        Raises WriteError.
        """
        splits, groups = (any(getattr(p, name) for p in self.photos) for name in ("split", "group"))
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(["path", "label", *["split"] * splits, *["group"] * groups, "given", "decision"])
        for photo in self.photos:
            decision = self.decision(photo.path)
            more = [*[photo.split] * splits, *[photo.group] * groups]
            rows.writerow(
                [photo.path, self.label(photo), *more, photo.label, decision.action if decision else ""]
            )
        atomic_write(self.folder / TABLE, text.getvalue().encode())

    def say(self, data: str) -> None:
        """Tell people what there is now, and how to go on."""
        count = Counter(decision.action for decision in self.decisions.values())
        echo(
            f"{pluralize(count['keep'], 'label')} kept, {count['correct']} corrected, "
            f"{pluralize(count['exclude'], 'photo')} excluded"
        )
        for name in self.lost():
            echo(f"warning: no photo to train on is left of class {name!r}")
        if count["correct"] or count["exclude"]:
            table, group = shlex.quote(str(self.folder / TABLE)), " --group group"
            more = group if any(photo.group for photo in self.photos) else ""
            echo(f"train on them with: googlenet train {shlex.quote(data)} --labels {table}{more}")
