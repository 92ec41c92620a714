"""The notebook of the examples: as committed it was run to its end, and it runs again."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from googlenet.base.notebook import BarCell, table
from googlenet.evaluation.metrics import compute_metrics
from googlenet.inference.predict import Row

PAGE = Path(__file__).parents[2] / "examples" / "inside.ipynb"


def cells(page: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in page.cells if cell.cell_type == "code"]


def shown(page: nbformat.NotebookNode) -> list[list[set[str]]]:
    """The kinds of results of each cell."""
    return [
        [set(output.data) for output in cell.outputs if output.output_type == "execute_result"]
        for cell in cells(page)
    ]


def test_it_was_run_in_order_and_without_an_error() -> None:
    page = nbformat.read(PAGE, as_version=4)
    nbformat.validate(page)
    assert [cell.execution_count for cell in cells(page)] == list(range(1, len(cells(page)) + 1))
    assert not any(output.output_type == "error" for cell in cells(page) for output in cell.outputs)
    assert "/tmp" not in PAGE.read_text() and str(Path.home()) not in PAGE.read_text()


@pytest.mark.slow
def test_it_runs_again_and_shows_the_same_kinds_of_results() -> None:
    page = nbformat.read(PAGE, as_version=4)
    before = shown(page)
    client = NotebookClient(page, timeout=900, resources={"metadata": {"path": str(PAGE.parent)}})
    client.execute()
    assert shown(page) == before


def test_results_as_html_escape_what_comes_from_outside() -> None:
    page = Row("<b>.png", 1, "a & b", 0.25, unfamiliar=True)._repr_html_()
    assert "&lt;b&gt;.png" in page and "a &amp; b" in page and "25.0 %" in page and "unlike" in page
    assert "no image" in Row("x.png", error="no image")._repr_html_()
    assert table(("a",), [(BarCell(None),), (None,)]).count("<td></td>") == 2
    import numpy as np

    found = compute_metrics(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), ("<x>", "y"))
    assert "&lt;x&gt;" in found._repr_html_() and "top-1 50.0 % of 2 images" in found._repr_html_()
