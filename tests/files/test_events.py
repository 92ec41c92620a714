"""The events of a run: a line each, typed when read, and older or newer lines do no harm."""

import json
from pathlib import Path
from typing import get_args

from googlenet.files import events, runfolder

LINES = [
    {"kind": "train", "step": 1, "epoch": 0.1, "total": 2.0, "main": 1.0, "aux1": 1.5, "aux2": 1.8},
    {"kind": "val", "step": 2, "epoch": 0.2, "top1": 0.5, "top5": 1.0, "loss": 0.7},  # of 0.1.0: no size
    {"kind": "val", "step": 2, "epoch": 0.2, "top1": 0.5, "top5": 1.0, "loss": 0.7, "size": 64},
    {"kind": "plan", "step": 3, "epoch": 0.3, "steps_before": 9, "steps": 8},
    {
        "kind": "stage",
        "step": 3,
        "epoch": 0.3,
        "stage": 2,
        "seconds": 9.5,
        "held_out": 8,
        "right": 7,
        "kept": True,
    },
    {"kind": "warning", "step": 3, "epoch": 0.3, "text": "few"},
    {"kind": "stopped", "step": 4, "epoch": 0.4, "text": "nan", "rate": 0.1, "images": ["a.jpg"]},
    {
        "kind": "gradients",
        "step": 4,
        "epoch": 0.4,
        "main_alone": {"conv1": 1.0},
        "with_heads": {"conv1": 2.0},
    },
]


def test_every_kind_survives(tmp_path: Path) -> None:
    log = runfolder.RunLog(tmp_path)
    read = [events.event_from_dict(dict(line)) for line in LINES]
    for event in read:
        assert event is not None
        log.write(event)
    assert log.read() == read
    stored = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [{k: v for k, v in line.items() if v is not None} for line in stored] == LINES
    assert {type(event) for event in read} == set(get_args(events.AnyEvent))


def test_other_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    newer = {"kind": "temperature", "step": 5, "epoch": 0.5}
    lines = [*map(json.dumps, [LINES[0], newer, {"kind": "val", "step": 1}]), '{"kind": "tra']
    path.write_text("\n".join(lines))
    log = runfolder.RunLog(tmp_path)
    assert [event.step for event in log.read()] == [1]
    log.cut(5)
    assert json.loads(path.read_text().splitlines()[1]) == newer  # kept, though not understood
