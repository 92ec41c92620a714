"""The structure of the package: imports point down, modules stay small, the surface is what is meant."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import googlenet

PACKAGE = Path(googlenet.__file__).parent
LAYERS = """
    errors version machine | spec progress confidence formats colour limits place seal
    notebook | dialects familiar
    | recipe image cost modelfile | index scan runfolder crops overlay download foreign corruptions graphfile
    | families data similar predict manifest blocks
    | look explanation runtime calibration model baselines convolution augment
    | looks loader layers optim checkpoint classifier fuse distributed
    | models attribution activations telemetry weights finetune evaluate plan export identity survey
    | protocol robustness session charts objectives gallery | report prepare visualization | loop dreaming
    exciting | train findlr review | terminal
    | costtable output checkpage commands serve | sights tools serving | insights | verbs
    | cli | __main__
"""
SERVE = "engine openinference openapi page bodies | counters | service | guard | app | server"  # in a folder
RANK = {module: rank for rank, layer in enumerate(LAYERS.split("|")) for module in layer.split()}
TORCH_FREE = """
    errors version machine spec confidence dialects recipe progress formats colour limits image crops cost
    modelfile index scan data similar look looks survey runfolder predict evaluate protocol manifest runtime
    output calibration models download foreign families charts terminal costtable checkpage commands tools
    familiar corruptions robustness overlay explanation sights insights gallery verbs cli place seal
    graphfile notebook serving serve.server
""".split()
LONGEST = 350  # lines


def sibling_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "googlenet":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("googlenet."):
            found.add(str(node.module).split(".")[1])
    return found & set(RANK)


def test_every_module_has_a_layer() -> None:
    assert {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"} == set(RANK) - {"serve"}
    assert {p.stem for p in PACKAGE.glob("serve/*.py")} - {"__init__"} == set(SERVE.replace("|", "").split())


def test_imports_point_down() -> None:
    for path in PACKAGE.glob("*.py"):
        if path.stem == "__init__":
            continue
        for target in sibling_imports(path):
            assert RANK[target] < RANK[path.stem], f"{path.stem} imports {target}"


def test_imports_of_the_server_point_down() -> None:
    rank = {module: rank for rank, layer in enumerate(SERVE.split("|")) for module in layer.split()}
    for path in PACKAGE.glob("serve/*.py"):
        for target in sibling_imports(path) - {"serve"}:
            assert RANK[target] < RANK["serve"], f"serve.{path.stem} imports {target}"
        for name in re.findall(r"^from googlenet\.serve(?:\.| import )(\w+)", path.read_text(), re.M):
            assert rank[name] < rank[path.stem], f"serve.{path.stem} imports serve.{name}"


def test_modules_stay_small() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= LONGEST, f"{path.name} has outgrown its room"


def test_torch_free_modules_import_no_torch() -> None:
    imports = "; ".join(f"import googlenet.{name}" for name in TORCH_FREE)
    code = f"import sys, googlenet; {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_public_names_are_there_and_sorted() -> None:
    assert googlenet.__all__ == sorted(googlenet.__all__)
    for name in googlenet.__all__:
        assert getattr(googlenet, name) is not None


def test_nothing_reads_pickles() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert "weights_only=False" not in text, path.name
        assert not re.search(r"import pickle\b", text), path.name


def test_contributing_shows_these_layers() -> None:
    page = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = {module: int(rank) for rank, module in re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.M)}
    assert shown == RANK
