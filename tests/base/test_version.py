"""The digest of the code covers every module of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import googlenet


def digest(folder: Path) -> str:
    command = [sys.executable, "-c", "from googlenet.base.version import code_digest; print(code_digest())"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_change_in_any_package_changes_the_digest(tmp_path: Path) -> None:
    root = tmp_path / "googlenet"
    shutil.copytree(Path(googlenet.__file__).parent, root, ignore=shutil.ignore_patterns("__pycache__"))
    before = digest(tmp_path)
    assert digest(tmp_path) == before and len(before) == 16
    for package in ("serve", "base", "training"):
        path = root / package / "__init__.py"
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        assert digest(tmp_path) != before, package
        path.write_bytes(content)
    (root / "serve" / "page.py").rename(root / "serve" / "pages.py")
    assert digest(tmp_path) != before
