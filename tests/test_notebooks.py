"""Every notebook runs from top to bottom, and what it shows is what its code returns."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
NOTEBOOKS = FOLDER.parent / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
IN_CI = ("01-first-forecast.ipynb", "03-sequences-of-different-lengths.ipynb", "07-attention-over-forecasters.ipynb")
"""Notebooks that are run in CI; the others before a release."""
UNTRAINED = {"06-from-saved-model-to-server.ipynb", "07-attention-over-forecasters.ipynb"}
"""Notebooks without a training, of whose outputs the words are compared as well."""
TRAINED = {"01-first-forecast.ipynb"}
"""Notebooks that need the whole training; the others are run with trainings of two steps."""
MAX_BYTES = 500_000

SHORT_TRAINING = f"""
import sys

sys.path.append({str(FOLDER)!r})
import keras
from keras_help import eager_training, short_fit

keras.Model.fit = short_fit(keras.Model.fit)
eager = eager_training()
eager.__enter__()
"""


def _kinds(cell: dict[str, Any]) -> list[list[str]]:
    """Return the kinds of the outputs of a cell, such as text and a picture."""
    return [sorted(output.get("data", ["text"])) for output in cell.get("outputs", [])]


def _words(cell: dict[str, Any]) -> list[str]:
    """Return the words of the outputs of a cell, without numbers, which depend on the machine."""
    texts = (output.get("text") or output["data"]["text/plain"] for output in cell.get("outputs", []))
    return [word for text in texts for word in re.findall(r"[^\W\d_]{2,}", "".join(text))]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_stored_without_details_of_a_machine(name: str) -> None:
    text = (NOTEBOOKS / name).read_text()
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "make notebooks"
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    assert all(output.get("name") != "stderr" for cell in cells for output in cell["outputs"])
    assert not re.search(r"/(tmp|home|root|work|Users)/", re.sub(r'"image/png": "[^"]*"', "", text))
    assert len(text) < MAX_BYTES


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in IN_CI else pytest.mark.release) for name in NAMES]
)
def test_stored_outputs_are_those_of_the_code(name: str) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    if "TSATTN_DATA_DIR" in str(notebook) and not os.environ.get("TSATTN_DATA_DIR"):
        pytest.skip("needs data that the project does not ship: set TSATTN_DATA_DIR")
    compared = [_kinds, _words] if name in UNTRAINED else [_kinds]
    stored = [[read(cell) for read in compared] for cell in notebook.cells]
    if name not in TRAINED | UNTRAINED:
        imports = next(number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code")
        notebook.cells.insert(imports + 1, nbformat.v4.new_code_cell(SHORT_TRAINING))
    arguments = ["--IPKernelApp.capture_fd_output=False"]
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    NotebookClient(notebook, timeout=600, resources=resources, extra_arguments=arguments).execute()
    run = [[read(cell) for read in compared] for cell in notebook.cells if cell.get("source") != SHORT_TRAINING]
    assert run == stored
