"""Downloads from a server on this machine that cuts, ignores, lies and changes its mind."""

import hashlib
import multiprocessing
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from googlenet.base.errors import DownloadError, WriteError
from googlenet.files import download
from googlenet.files.download import Digest, cache_folder, fetch

CONTENT = bytes(range(256)) * 12_000  # 3,072,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GOOD = Digest("sha256", SHA256[:8])


class Server(ThreadingHTTPServer):
    """What it serves, how it misbehaves, and what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag = CONTENT, '"one"'
        self.cuts: list[int] = []  # bytes after which the next connections break off
        self.ranges = True
        self.unmarked = False  # neither ETag nor date
        self.asked: list[str | None] = []  # the Range of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/w.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if self.path not in ("/w.pth", "/folder/w.pth"):
            self.send_error(404)
            return
        start = 0
        if wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start > len(server.content) - 1:
            self.send_error(416)
            return
        rest = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            total = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if not server.unmarked:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: server.cuts.pop(0)] if server.cuts else rest)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GOOGLENET_MIRROR", raising=False)
    running = Server()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def left(folder: Path) -> set[str]:
    """What a user sees in the cache."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def refusal(server_url: str, cache: Path, digest: Digest | None = GOOD) -> str:
    with pytest.raises(DownloadError) as caught:
        fetch(server_url, name="w.pth", digest=digest, cache=cache)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "digest", [GOOD, Digest("sha256", SHA256), Digest("sha1", hashlib.sha1(CONTENT).hexdigest())]
)
def test_a_file_is_fetched_once(server: Server, tmp_path: Path, digest: Digest) -> None:
    bars: list[tuple[str, int]] = []
    counted: list[int] = []

    def progress(name: str, total: int) -> download.Callable[[int], None]:
        bars.append((name, total))
        return counted.append

    for _ in range(2):
        path = fetch(server.url, name="w.pth", digest=digest, cache=tmp_path / "cache", progress=progress)
        assert path.read_bytes() == CONTENT
    assert server.asked == [None]
    assert left(tmp_path / "cache") == {"w.pth"}
    assert bars == [("w.pth, MB", 3)]
    assert sum(counted) == 3


def test_cut_connections_are_resumed_where_they_broke(server: Server, tmp_path: Path) -> None:
    server.cuts = [1_000_000, 500_000]
    assert fetch(server.url, name="w.pth", digest=GOOD, cache=tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-", "bytes=1500000-"]
    assert left(tmp_path) == {"w.pth"}


def test_a_download_given_up_is_resumed_by_the_next(server: Server, tmp_path: Path) -> None:
    server.cuts = [1_000_000, 0, 0, 0]
    message = refusal(server.url, tmp_path)
    assert "cut after 1,000,000 of 3,072,000 bytes; the next try goes on from there" in message
    assert (tmp_path / "w.pth.part").stat().st_size == 1_000_000
    assert not (tmp_path / "w.pth").exists()
    server.asked.clear()
    assert fetch(server.url, name="w.pth", digest=GOOD, cache=tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000000-"]


@pytest.mark.parametrize("how", ["ignored", "changed", "unmarked", "too long"])
def test_where_resuming_is_impossible_it_begins_again(server: Server, tmp_path: Path, how: str) -> None:
    server.unmarked = how == "unmarked"
    server.cuts = [1_000_000, 0, 0, 0]
    refusal(server.url, tmp_path)
    if how == "ignored":
        server.ranges = False
    if how == "changed":
        server.etag, server.content = '"two"', CONTENT[::-1]
    if how == "too long":
        (tmp_path / "w.pth.part").write_bytes(CONTENT + b"more")
    found = fetch(server.url, name="w.pth", cache=tmp_path)
    assert found.read_bytes() == server.content
    assert left(tmp_path) == {"w.pth", "w.pth.sha256"}


def test_another_content_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    message = refusal(server.url, tmp_path, Digest("sha256", "1378be20"))
    assert "sha256 mismatch, expected 1378be20, got " + SHA256 in message
    assert left(tmp_path) == set()


def test_where_no_digest_is_known_the_first_is_noted_said_and_held_to(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(server.url, name="w.pth", cache=tmp_path)
    assert SHA256 in capsys.readouterr().err
    assert (tmp_path / "w.pth.sha256").read_text() == f"{SHA256}  w.pth\n"  # as sha256sum -c reads it
    assert fetch(server.url, name="w.pth", cache=tmp_path) == path
    assert capsys.readouterr().err == ""
    path.unlink()
    server.content = CONTENT[::-1]
    message = refusal(server.url, tmp_path, None)
    assert f"expected {SHA256} (noted in {tmp_path / 'w.pth.sha256'} at the first download)" in message
    assert left(tmp_path) == {"w.pth.sha256"}
    (tmp_path / "w.pth.sha256").write_text("nonsense")
    assert "expected a SHA-256 of 64 digits" in refusal(server.url, tmp_path, None)


def test_a_file_damaged_in_the_cache_is_fetched_again(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(server.url, name="w.pth", digest=GOOD, cache=tmp_path)
    path.write_bytes(CONTENT[:-1] + b"!")
    assert fetch(server.url, name="w.pth", digest=GOOD, cache=tmp_path).read_bytes() == CONTENT
    assert "damaged" in capsys.readouterr().err


def test_a_file_put_there_by_hand_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(CONTENT)
    assert (
        fetch("http://127.0.0.1:9/w.pth", name="w.pth", digest=GOOD, cache=tmp_path).read_bytes() == CONTENT
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/w.pth", "no address at all"])
def test_without_a_network_it_says_what_to_download(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    message = refusal(url, tmp_path)
    assert message.startswith(f"cannot download {url} (")
    assert "--weights PATH" in message
    assert str(tmp_path / "w.pth") in message
    assert left(tmp_path) == set()


def test_what_is_not_there(server: Server, tmp_path: Path) -> None:
    assert "(HTTP 404 Not Found)" in refusal(server.url.replace("w.pth", "x.pth"), tmp_path)


def test_a_server_that_hangs_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda self: None)
    assert "the next try goes on" in refusal(server.url, tmp_path)


@pytest.mark.parametrize("end", ["", "/"])
def test_a_mirror_replaces_the_host(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("GOOGLENET_MIRROR", server.url.replace("w.pth", "folder") + end)
    url = "https://download.example/models/w.pth"
    assert fetch(url, name="w.pth", digest=GOOD, cache=tmp_path).read_bytes() == CONTENT
    monkeypatch.setenv("GOOGLENET_MIRROR", tmp_path.as_uri())
    assert fetch(url, name="w.pth", digest=GOOD, cache=tmp_path / "other").read_bytes() == CONTENT
    monkeypatch.setenv("GOOGLENET_MIRROR", (tmp_path / "none").as_uri())
    assert "cannot download" in refusal(url, tmp_path / "third")


def _fetch(url: str, cache: Path) -> None:
    assert fetch(url, name="w.pth", digest=GOOD, cache=cache).read_bytes() == CONTENT


def test_two_processes_at_once_download_once(server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fetch, args=(server.url, tmp_path)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert server.asked == [None]


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLENET_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == Path.home() / ".cache" / "googlenet" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "googlenet" / "weights"
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own" / "weights"
    (tmp_path / "own").write_text("a file")
    with pytest.raises(WriteError, match="set GOOGLENET_CACHE"):
        fetch("http://127.0.0.1:9/w.pth", name="w.pth")
