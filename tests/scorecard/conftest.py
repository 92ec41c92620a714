"""Tests of promises: `@pytest.mark.promise(7)`, and what each measured for the card."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import golden
from helpers.card import Card, Measured, write
from helpers.promises import PROMISES

PROMISE, NOTE = "promise", "measured"  # of a test's properties, which workers hand on with its report


class Scorer:
    """Keeps the card, in the process that hears of every test."""

    def __init__(self, path: Path) -> None:
        self.card, self._path = Card(), path
        self._lost: list[str] = []  # tests that ended a worker, which can tell of no promise any more

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when not in ("setup", "call", "teardown"):
            self._lost.append(report.nodeid)
        if report.when != "call" and report.outcome == "passed":
            return
        told = [value for name, value in report.user_properties if name == NOTE]
        why = _reason(report) if report.outcome != "passed" else ""
        for number in (int(str(value)) for name, value in report.user_properties if name == PROMISE):
            self.card.outcomes[number].append(why)
            self.card.notes[number] += map(str, told)

    def pytest_sessionfinish(self) -> None:
        assert not self._lost, f"no card written: a worker ended in {', '.join(self._lost)}"
        write(self.card, self._path)


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--scorecard")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Scorer(Path(path)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("promise"):
            assert mark.args[0] in PROMISES, f"{item.nodeid}: no promise {mark.args[0]}"
            item.user_properties.append((PROMISE, mark.args[0]))


def _reason(report: pytest.TestReport) -> str:
    if report.skipped:
        return f"not run: {report.longrepr[-1]}" if isinstance(report.longrepr, tuple) else "not run"
    crash = getattr(report.longrepr, "reprcrash", None)
    message = re.sub(
        r"/[^\s',\]]+", "…", str(crash.message if crash else report.longrepr).strip()
    )  # no paths
    return f"{report.location[2]}: {message.splitlines()[0][:200] if message else 'failed'}"


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Note for the card what a test of a promise saw, in a few words with the figure."""

    def note(words: str) -> None:
        request.node.user_properties.append((NOTE, words))

    return note


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exports that are made on the way go nowhere else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOOGLENET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the last release, as they were written."""
    return golden.unpacked(golden.versions()[-1], tmp_path_factory.mktemp("released"))
