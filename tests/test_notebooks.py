"""Every notebook runs from top to bottom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
NOTEBOOKS = FOLDER.parent / "notebooks"
TRAINED = {"01-first-forecast.ipynb"}
"""Notebooks that show what the whole training leads to; the others are run with trainings of two steps."""

SHORT_TRAINING = f"""
import sys

sys.path.append({str(FOLDER)!r})
import keras
from keras_help import short_fit

keras.Model.fit = short_fit(keras.Model.fit)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")))
def test_notebook_runs(name: str) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    if "TSATTN_DATA_DIR" in str(notebook) and not os.environ.get("TSATTN_DATA_DIR"):
        pytest.skip("needs data that the project does not ship: set TSATTN_DATA_DIR")
    if name not in TRAINED:
        imports = next(number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code")
        notebook.cells.insert(imports + 1, nbformat.v4.new_code_cell(SHORT_TRAINING))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs), "it draws"
    assert not [output for output in outputs if output.get("name") == "stderr"], "no warning is printed"
