"""Tests of promises: `@pytest.mark.promise(7)`, and what each measured for the card."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from card import Card, Measured, write
from promises import PROMISES

import golden

CARD = pytest.StashKey[Card]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CARD] = Card()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("promise"):
            assert mark.args[0] in PROMISES, f"{item.nodeid}: no promise {mark.args[0]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    ended = report.when == "call" or report.outcome != "passed"
    for mark in item.iter_markers("promise") if ended else ():
        why = _reason(report) if report.outcome != "passed" else ""
        item.config.stash[CARD].outcomes[mark.args[0]].append(why)
    return report


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
        for mark in request.node.iter_markers("promise"):
            request.config.stash[CARD].notes[mark.args[0]].append(words)

    return note


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--scorecard")
    if path:
        write(session.config.stash[CARD], Path(path))


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
