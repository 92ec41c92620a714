"""The structure of the package, as far as import-linter cannot say it: torch, sizes, the public surface."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import googlenet

PACKAGE = Path(googlenet.__file__).parent
ROOT = Path(__file__).parents[2]
WITH_TORCH = """
    nn weights training export inference.torch_classifier crossval.outcome crossval.runs
    interpret.attribution interpret.deepdream interpret.fourier_image interpret.objectives
    interpret.redirected_relu interpret.top_activations interpret.unit_selection interpret.visualization
""".split()
TORCH_FREE_IN_TORCH_PACKAGES = "training.decision.run_config weights.published weights.readers".split()
MOST_LINES, MOST_IN_A_FUNCTION = 350, 60
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))
}


def test_packages_work_without_torch() -> None:
    """What the base install has, which has no torch; lazily imported parts are tested where they are used."""
    free = [
        name
        for name in MODULES
        if not any(name == each or name.startswith(f"{each}.") for each in WITH_TORCH)
    ]
    names = [name.removesuffix(".__init__") for name in [*free, *TORCH_FREE_IN_TORCH_PACKAGES]]
    imports = "; ".join(f"import googlenet.{name}" for name in names if name not in ("__init__", "__main__"))
    code = f"import sys, googlenet; {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_modules_and_functions_stay_small() -> None:
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= MOST_LINES, f"{name} has outgrown its room"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert _length(node) <= MOST_IN_A_FUNCTION, f"{name}.{node.name} is too long to read at once"


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, its docstring left out."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or node.lineno) - first.lineno + 1


def test_packages_say_what_is_in_them() -> None:
    for name, path in MODULES.items():
        package, _, last = name.rpartition(".")
        if last == "__init__" and package:
            module = sys.modules.get(f"googlenet.{package}") or __import__(
                f"googlenet.{package}", fromlist=["_"]
            )
            modules = [each.stem for each in path.parent.glob("*.py") if each.stem != "__init__"]
            inner = [each.parent.name for each in path.parent.glob("*/__init__.py")]
            assert list(module.__all__) == sorted(modules + inner), package
            assert module.__doc__


def test_public_names_are_there_and_sorted() -> None:
    assert googlenet.__all__ == sorted(googlenet.__all__)
    for name in googlenet.__all__:
        assert getattr(googlenet, name) is not None


def test_nothing_reads_pickles() -> None:
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert "weights_only=False" not in text, name
        assert not re.search(r"import pickle\b", text), name


def test_no_test_imports_another() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) (tests|test_|\S+\.test_)", path.read_text(), re.M), path


def test_contributing_shows_the_packages() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| \d+ \| `(\w+)` \|", page, re.M)
    assert sorted(shown) == sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())
