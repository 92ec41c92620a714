"""Exports in the user's cache: what is in use stays there, in this process and in others."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from googlenet.base.errors import ModelFileError
from googlenet.export import export
from googlenet.files.checksum import file_digest
from googlenet.files.manifest import is_exported
from googlenet.serve import export_cache
from googlenet.serve.export_cache import KEEP, model_sources, open_export, prune
from helpers.models import save
from helpers.running import Running


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model file, and its export in `out`."""
    folder = tmp_path_factory.mktemp("model")
    export.export(save(folder / "model.safetensors", "bn"), folder / "out", to="openvino")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "exports").mkdir(parents=True)
    return tmp_path / "cache" / "exports"


@pytest.fixture
def fast_export(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies an export, where a process would make one."""

    def run(command: list[str], **options: object) -> SimpleNamespace:
        shutil.copytree(original / "out", command[-1])
        os.utime(command[-1])
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)


def run_folders(folder: Path, count: int) -> list[Path]:
    """Run folders whose model files differ."""
    folders = [folder / f"run{i}" for i in range(count)]
    for i, run in enumerate(folders):
        run.mkdir(parents=True)
        (run / "model.safetensors").write_text(str(i))
    return folders


def exports(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.usefixtures("fast_export")
def test_exports_in_use_stay_and_can_be_opened_again(cache: Path, tmp_path: Path) -> None:
    runs = run_folders(tmp_path, KEEP + 3)
    sources = model_sources([f"m{i}={run}" for i, run in enumerate(runs)])
    folders = [source() for source in sources.values()]
    assert all(is_exported(folder.path) for folder in folders)
    made = {path: path.stat().st_ino for path in exports(cache)}
    again = [source() for source in sources.values()]  # as on a reload
    assert [folder.path for folder in again] == [folder.path for folder in folders]
    assert {path: path.stat().st_ino for path in exports(cache)} == made
    for folder in again:
        folder.close()
    prune(cache)
    assert len(exports(cache)) == KEEP + 3
    for folder in folders:
        folder.close()
    prune(cache)
    assert len(exports(cache)) == KEEP
    assert sorted(path.name for path in cache.iterdir() if path.is_file()) == ["cache.lock"]


@pytest.mark.usefixtures("fast_export")
def test_exports_in_use_by_another_process_stay(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_cache, "KEEP", 1)
    (run, other, third) = run_folders(tmp_path, 3)
    open_export(run).close()
    code = f"""
import sys
from pathlib import Path
from googlenet.serve.export_cache import open_export
folder = open_export(Path({str(run)!r}))
print(folder.path, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        os.utime(path, (1, 1))
        open_export(other).close()
        open_export(third).close()
        prune(cache)
        assert is_exported(path) and len(exports(cache)) == 2
        process.kill()  # the system releases its lock
    prune(cache)
    assert [folder.name for folder in exports(cache)] == [file_digest(third / "model.safetensors")[:32]]


@pytest.mark.usefixtures("fast_export")
def test_an_export_that_is_being_written_stays(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_cache, "KEEP", 1)
    (run, _) = run_folders(tmp_path, 2)
    digest = file_digest(run / "model.safetensors")[:32]
    folder = open_export(run)
    for name in (f".{digest}.abc.tmp", ".0.abc.tmp"):
        (cache / name).mkdir()
        os.utime(cache / name, (1, 1))
    (cache / "new").mkdir()
    prune(cache)
    assert {path.name for path in exports(cache)} == {digest, f".{digest}.abc.tmp", "new"}
    folder.close()


def test_a_model_that_cannot_be_exported(cache: Path, tmp_path: Path) -> None:
    (run,) = run_folders(tmp_path, 1)
    with pytest.raises(ModelFileError, match="cannot be exported: "):
        open_export(run)
    assert [path.name for path in cache.iterdir()] == ["cache.lock"]


def test_a_server_of_nine_run_folders_can_reload_them(original: Path, cache: Path, tmp_path: Path) -> None:
    """One is exported now, when eight are in the cache."""
    runs = run_folders(tmp_path, KEEP)
    for i, run in enumerate(runs):
        shutil.copytree(original / "out", cache / file_digest(run / "model.safetensors")[:32])
        os.utime(cache / file_digest(run / "model.safetensors")[:32], (i, i))
    with Running(*(f"m{i}={path}" for i, path in enumerate([*runs, original]))) as running:
        made = {path: path.stat().st_ino for path in exports(cache)}
        assert len(made) == KEEP + 1
        running.process.send_signal(signal.SIGHUP)
        running.until_metric("googlenet_reloads_total", KEEP + 1, outcome="same")
        assert {path: path.stat().st_ino for path in exports(cache)} == made
        assert running.stop() == 0
    assert not list(cache.glob("*.*.lock"))
