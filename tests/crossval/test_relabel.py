"""The page for wrong labels: over HTTP, by keyboard in a real browser, and against other sites."""

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.folded import WRONG, make_photos, make_run
from helpers.painting import Run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytest.importorskip("uvicorn")
HOSTILE = "<img src=x onerror=document.title='owned'>"


class Relabeling:
    """`googlenet relabel` in a process of its own."""

    def __init__(self, run: Path) -> None:
        code = "from googlenet.cli.main import main; main()"
        words = [sys.executable, "-c", code, "relabel", str(run), "--port", "0"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.first = self.process.stderr.readline() + self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", self.first)
        assert found, self.first + self.process.stderr.read()
        self.url = found.group()

    def ask(self, path: str, content: Any = None, **headers: str) -> tuple[int, Any]:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            self.url + path, data, {name.replace("_", "-"): v for name, v in headers.items()}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                body = response.read()
                kind = response.headers["content-type"]
                return response.status, json.loads(body) if "json" in kind else body
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def end(self) -> str:
        """Stop it as ctrl-C does; what it said."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, said
        return said


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", make_photos(tmp_path / "photos"))


@pytest.fixture
def server(run: Path) -> Iterator[Relabeling]:
    found = Relabeling(run)
    yield found
    if found.process.poll() is None:
        found.process.kill()
    found.process.communicate()


def test_suspects_come_with_their_copies_and_guesses(server: Relabeling) -> None:
    status, state = server.ask("state")
    assert status == 200 and "4 photos to look at" in server.first
    paths = [item["path"] for item in state["items"]]
    assert paths == ["train/blue/0.jpg", "train/blue/copy.jpg", "train/red/1.jpg", "train/red/2.jpg"]
    assert state["items"][1]["copy_of"] == state["items"][0]["number"]
    for item in state["items"]:
        if item["path"] in WRONG:
            assert item["guesses"][0]["label"] == WRONG[item["path"]] != item["given"]
            assert len(item["guesses"]) == 3
    status, picture = server.ask(f"photos/{state['items'][0]['number']}")
    assert status == 200 and picture.startswith(b"\xff\xd8")


def test_every_decision_is_on_the_disk_before_it_is_answered(server: Relabeling, run: Path) -> None:
    assert (
        server.ask("decisions", {"path": "train/red/1.jpg", "action": "correct", "label": "green"})[0] == 200
    )
    assert "train/red/1.jpg,green,train,red,correct" in (run / "corrections.csv").read_text()
    server.process.kill()
    server.process.communicate()
    again = Relabeling(run)
    assert again.ask("state")[1]["decisions"]["train/red/1.jpg"]["label"] == "green"
    undone = again.ask("undo", {})[1]
    assert undone["path"] == "train/red/1.jpg" and undone["decision"] is None
    assert again.ask("decisions", {"path": "train/red/2.jpg", "action": "exclude"})[0] == 200
    said = " ".join(again.end().split())
    assert "0 labels kept, 0 corrected, 1 photo excluded" in said
    assert f"--labels {run / 'corrections.csv'}" in said
    assert not (run.parent / "photos" / "corrections.csv").exists()


def test_wrong_requests_and_other_sites_are_refused(server: Relabeling, run: Path, googlenet: Run) -> None:
    for content in (
        {"path": "x", "action": "keep"},
        {"path": "train/red/1.jpg"},
        [],
        {"path": 1, "action": "keep"},
    ):
        assert server.ask("decisions", content)[0] == 400
    assert server.ask("decisions", {"path": "train/red/1.jpg", "action": "correct", "label": " "})[0] == 400
    assert server.ask("decisions", {"path": "x" * 5000, "action": "keep"})[0] == 413
    assert server.ask("photos/99999")[0] == server.ask("nowhere")[0] == 404
    assert server.ask("decisions")[0] == 405
    decision = {"path": "train/red/1.jpg", "action": "exclude"}
    assert server.ask("decisions", decision, Origin="http://evil.example")[0] == 403
    assert server.ask("state", Host="evil.example")[0] == 403
    assert not (run / "corrections.csv").exists()
    second = googlenet("relabel", run, "--port", "0")
    assert second.returncode == 2 and f"process {server.process.pid} relabels here already" in second.stderr


def test_a_run_without_suspects_is_refused(tmp_path: Path, googlenet: Run) -> None:
    done = googlenet("relabel", tmp_path)
    assert done.returncode == 2 and "expected a finished run of train --folds" in done.stderr
    run = make_run(tmp_path / "run", make_photos(tmp_path / "photos"))
    (run / "suspects.jsonl").unlink()
    done = googlenet("relabel", run)
    assert done.returncode == 2 and "pip install 'googlenet[labels]'" in " ".join(done.stderr.split())


def test_photos_that_were_moved_are_found(run: Path, googlenet: Run) -> None:
    (run.parent / "photos").rename(run.parent / "elsewhere")
    done = googlenet("relabel", run, "--port", "0")
    assert done.returncode == 2 and "there is no folder" in done.stderr
    code = "from googlenet.cli.main import main; main()"
    words = [
        sys.executable,
        "-c",
        code,
        "relabel",
        str(run),
        "--port",
        "0",
        "--data",
        str(run.parent / "elsewhere"),
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "4 photos to look at" in process.stderr.readline() + process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_all_of_it_by_keyboard_in_a_browser(tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    from playwright.sync_api import sync_playwright

    run = make_run(tmp_path / "run", make_photos(tmp_path / "photos"))
    server = Relabeling(run)
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((server.url, "data:")) else wrong.append(asked.url),
        )
        page.goto(server.url)
        page.get_by_text("Photo 1 of 4; 0 decided.").wait_for()
        page.locator("#photo").evaluate("image => image.decode()")
        assert page.locator("#given").inner_text() == "blue"
        assert page.locator("#classes button").first.inner_text().split()[-3] == "red"
        page.keyboard.press("Enter")  # the suggestion
        page.get_by_text("Photo 2 of 4; 1 decided.").wait_for()
        assert page.locator("#copy").is_visible()
        page.keyboard.press("u")
        page.get_by_text("Photo 1 of 4; 0 decided.").wait_for()
        page.keyboard.press("1")
        page.get_by_text("Photo 2 of 4; 1 decided.").wait_for()
        page.keyboard.press("n")
        page.keyboard.type(HOSTILE)
        page.keyboard.press("Enter")
        page.get_by_text("Photo 3 of 4; 2 decided.").wait_for()
        page.keyboard.press("k")
        page.get_by_text("Photo 4 of 4; 3 decided.").wait_for()
        page.keyboard.press("x")
        page.get_by_text("4 decided.").wait_for()
        page.keyboard.press("ArrowLeft")
        page.get_by_text("You kept the label.").or_(page.get_by_text("You excluded it.")).wait_for()
        assert page.title() == "Relabel" and page.locator("img[src=x]").count() == 0
        browser.close()
    said = " ".join(server.end().split())
    assert "1 label kept, 2 corrected, 1 photo excluded" in said and not wrong
    text = (run / "corrections.csv").read_text()
    assert "train/blue/0.jpg,red,train,blue,correct" in text and HOSTILE in text
