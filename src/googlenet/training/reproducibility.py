"""What a resumed run must find as it was, for the same bits: data, recipe, versions, code, processor."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping

import torch
from PIL import features

from googlenet.base.errors import TrainingError
from googlenet.base.text import indent
from googlenet.base.version import code_digest, versions
from googlenet.data.dataset import Dataset
from googlenet.data.index import Index, size_of
from googlenet.training.decision.decide import Decision

PACKAGES = ("googlenet", "torch", "torchvision", "numpy", "Pillow")  # those that decide a run's bits
LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "MKL_CBWR")
_LISTED = 12  # differences in a message before it only counts
_DIGITS = 12  # of a digest that is shown

Identity = dict[str, str]


def run_identity(
    data: Dataset, decision: Decision, fresh: tuple[str, ...] | None, *, device: str
) -> Identity:
    """Everything that decides what a run computes, apart from its plan: values in words by name.

    fresh  prefixes of the parameters that were newly initialized; None for all
    """
    installed = versions()
    return {
        "classes": ", ".join(data.classes),
        **_photos("train", data),
        **_photos("val", data),
        **{f"recipe {name}": json.dumps(value) for name, value in vars(decision.recipe).items()},
        "dialect": json.dumps(decision.dialect),
        "fresh": json.dumps(fresh),
        "freeze": json.dumps(decision.freeze),
        **{name: installed.get(name, "none") for name in PACKAGES},
        "JPEG decoder": str(features.version("libjpeg_turbo") or features.version("jpg")),
        "code of googlenet": code_digest(),
        "processor": _processor(device),
    }


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say what differs, a line each."""
    names = dict.fromkeys([*before, *now])
    return [
        f"{name}: {before.get(name, 'nothing')} before, {now.get(name, 'nothing')} now"
        for name in names
        if before.get(name) != now.get(name)
    ]


def check_changes(
    before: Mapping[str, str], now: Mapping[str, str], *, accepted: bool, where: str
) -> list[str]:
    """What differs since the run was saved, if that is accepted.

    Raises TrainingError that lists it otherwise.
    """
    found = differences(before, now)
    if found and not accepted:
        raise TrainingError(
            f"{where}: expected what the run began with, got other data, recipe, versions or processor; put "
            "it back, or go on in other bits by --accept-changes:\n" + "\n".join(indent(found, most=_LISTED))
        )
    return found


def _photos(split: str, data: Dataset) -> Identity:
    """The photos of each class of a split: how many, and a digest of their names and sizes."""
    index = data.split(split)
    digests = [hashlib.sha256() for _ in data.classes]
    counts = [0] * len(data.classes)
    for i in range(len(index)):
        digests[index.labels[i]].update(_line(index, i))
        counts[index.labels[i]] += 1
    return {
        f"{split} photos of {name!r}": f"{counts[label]} ({digests[label].hexdigest()[:_DIGITS]})"
        for label, name in enumerate(data.classes)
    }


def _line(index: Index, i: int) -> bytes:
    return f"{index.name(i)}\0{size_of(index, i)}\n".encode("utf-8", "surrogateescape")


def _processor(device: str) -> str:
    """Kind of processor and instruction sets, by which PyTorch and its libraries choose their sums."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ]
    able = torch.cpu.get_capabilities()
    sets = [name for name in sorted(able) if able[name] is True and name.startswith(("avx", "amx", "sve"))]
    return " ".join([platform.machine(), torch.backends.cpu.get_cpu_capability(), *sets, *limits])
