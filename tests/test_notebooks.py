"""Every notebook runs from top to bottom."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
NOTEBOOKS = FOLDER.parent / "notebooks"
SHOWN = ("01-first-forecast.ipynb", "05-attention-over-forecasters.ipynb")
"""Notebooks that are stored with their outputs, by `make notebooks`."""
TRAINED = {"01-first-forecast.ipynb"}
"""Notebooks that show what the whole training leads to; the others are run with trainings of two steps."""

SHORT_TRAINING = f"""
import sys

sys.path.append({str(FOLDER)!r})
import keras
from keras_help import short_fit

keras.Model.fit = short_fit(keras.Model.fit)
"""


def _kinds(cell: dict[str, Any]) -> list[list[str]]:
    """Return the kinds of the outputs of a cell, such as text and a picture."""
    return [
        sorted(output.get("data", ["text"])) for output in cell.get("outputs", []) if output.get("name") != "stderr"
    ]


def test_only_the_shown_notebooks_have_outputs_and_no_path_of_a_machine() -> None:
    for path in NOTEBOOKS.glob("*.ipynb"):
        text = path.read_text()
        outputs = any(cell.get("outputs") for cell in json.loads(text)["cells"])
        assert outputs == (path.name in SHOWN), path.name
        assert not re.search(r"/(tmp|home|root|work|Users)/", re.sub(r'"image/png": "[^"]*"', "", text)), path.name


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")))
def test_notebook_runs(name: str) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    if "TSATTN_DATA_DIR" in str(notebook) and not os.environ.get("TSATTN_DATA_DIR"):
        pytest.skip("needs data that the project does not ship: set TSATTN_DATA_DIR")
    stored = [_kinds(cell) for cell in notebook.cells]
    if name not in TRAINED:
        imports = next(number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code")
        notebook.cells.insert(imports + 1, nbformat.v4.new_code_cell(SHORT_TRAINING))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    if name in SHOWN:
        assert [_kinds(cell) for cell in notebook.cells if cell.get("source") != SHORT_TRAINING] == stored
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs), "it draws"
    assert not [output for output in outputs if output.get("name") == "stderr"], "no warning is printed"
