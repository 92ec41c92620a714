"""Promises about outputs: only a plain file is replaced, only with --force, and nothing is half written."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from googlenet.base.errors import GoogLeNetError, InputError
from googlenet.cli import main
from googlenet.files import output_paths, runfolder
from googlenet.inference.journal import open_journal
from helpers import golden, hostile, published, runs
from helpers.card import Measured

pytestmark = pytest.mark.usefixtures("own_cache")
SOURCE = Path(output_paths.__file__).parents[1]


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """What may stand where a result is asked for, but for a plain file."""
    (tmp_path / "target").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "to-folder").symlink_to(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        names = ("folder", "link", "dangling", "to-folder", "pipe", "socket")
        yield {**{name: tmp_path / name for name in names}, "device": Path("/dev/full")}


@pytest.fixture(scope="module")
def foreign_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "x.caffemodel"
    path.write_bytes(published.caffemodel(published.random_layers(published.PAPER)))
    return path


def _words(verb: str, released: Path, published_file: Path) -> list[str]:
    """A verb that writes, without its --out."""
    model = str(released / golden.MODEL)
    words = {
        "predict": ["predict", str(released / "openvino"), "x.jpg", "--format", "csv"],
        "explain": ["explain", str(released / "openvino"), "x.jpg"],
        "convert": ["convert", str(published_file), "--from", "bvlc"],
        "export": ["export", model, "--to", "openvino"],
        "train": ["train", "digits", "--epochs", "1", "--size", "64"],
    }
    return words[verb]


@pytest.mark.promise(25)
@pytest.mark.parametrize("verb", ["predict", "explain", "convert", "export", "train"])
def test_nothing_but_a_file_is_ever_replaced(
    verb: str,
    places: dict[str, Path],
    released: Path,
    foreign_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    measured: Measured,
) -> None:
    before = runs.tree(tmp_path)
    words = _words(verb, released, foreign_file)
    forces = [[], ["--force"]] if verb != "export" else [[]]
    for name, out in places.items():
        for force in forces:
            said = hostile.refused([*words, "--out", str(out), *force], capsys)
            assert str(out) in said, said
            assert runs.tree(tmp_path) == before, (verb, name)
    measured(f"5 verbs x {len(places)} kinds of things at --out, with and without --force: untouched")


@pytest.mark.promise(25)
@pytest.mark.parametrize("verb", ["predict", "explain", "convert", "export", "train"])
def test_a_file_asks_for_force(
    verb: str,
    released: Path,
    foreign_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo, out = tmp_path / "x.jpg", tmp_path / "out"
    shutil.copy(Path(__file__).parent.parent.parent / "examples" / "digits" / "three.png", photo)
    out.write_text("precious")
    words = [str(photo) if word == "x.jpg" else word for word in _words(verb, released, foreign_file)]
    said = hostile.refused([*words, "--out", str(out)], capsys)
    assert out.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x.jpg"]
    if verb in ("predict", "explain", "convert"):
        assert "--force replaces it" in said
        assert main.main([*words, "--out", str(out), "--force"]) == 0
        assert out.read_bytes()[:8] != b"precious"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x.jpg"]
    else:
        assert "choose another" in said


@pytest.mark.promise(25)
@pytest.mark.parametrize("verb", ["predict", "explain", "convert", "export", "train"])
def test_a_place_that_cannot_be_written_is_told_before_any_work(
    verb: str,
    released: Path,
    foreign_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = _words(verb, released, foreign_file)
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file" / "out", tmp_path / ("n" * 300)):
        hostile.refused([*words, "--out", str(out)], capsys)
    plain = os.access
    monkeypatch.setattr(
        output_paths.os, "access", lambda path, mode: Path(path) != tmp_path and plain(path, mode)
    )
    said = hostile.refused([*words, "--out", str(tmp_path / "out")], capsys)
    assert "expected a folder that can be written" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.slow
@pytest.mark.promise(25)
def test_nothing_is_half_written_on_a_full_disk(
    released: Path, foreign_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], measured: Measured
) -> None:
    """No file of this process may pass a megabyte: each verb fails in the middle of its writing."""
    for verb in ("convert", "export"):
        words = _words(verb, released, foreign_file)
        code = (
            "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
            "from googlenet.cli.main import main; sys.exit(main(sys.argv[1:]))"
        )
        out = tmp_path / "out" / verb
        out.parent.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", code, *words, "--out", str(out)], capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr[-1000:]
        assert "Traceback" not in done.stderr
        assert list(out.parent.iterdir()) == []
    measured("convert and export cut off in their writing leave nothing")


@pytest.mark.promise(25)
def test_a_journal_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / ".out.journal").symlink_to(tmp_path / "outside")
    with pytest.raises(GoogLeNetError, match="plain file"):
        open_journal(tmp_path / "out", resume=True, about={})
    assert not (tmp_path / "outside").exists()


@pytest.mark.promise(25)
def test_one_function_decides(tmp_path: Path) -> None:
    """Each module that takes an --out calls `output_paths`, and none looks for itself."""
    calling = {path.stem for path in SOURCE.rglob("*.py") if "check_output_path(" in path.read_text()}
    assert calling >= {"output_paths", "convert", "export"} and len(calling) >= 5
    assert "output_paths.path_kind(" in (SOURCE / "files" / "runfolder.py").read_text()
    with pytest.raises(InputError, match="got a link"):
        (tmp_path / "run").symlink_to(tmp_path)
        runfolder.check_run_folder(tmp_path / "run", force=True)
