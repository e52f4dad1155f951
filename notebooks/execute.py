"""Run notebooks and store their outputs in them, without details of the machine.

python notebooks/execute.py                          # all
python notebooks/execute.py 01-first-forecast.ipynb
"""

import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def execute(path: Path) -> None:
    """Run a notebook from top to bottom and write it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    # TensorFlow's messages about the processor are not captured.
    arguments = ["--IPKernelApp.capture_fd_output=False"]
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=600, resources=resources, extra_arguments=arguments).execute()
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise RuntimeError(f"{path.name} prints a warning: {output.text}")
            output.pop("metadata", None)
            if output.output_type != "stream":
                output.metadata = {}
                output.data["text/plain"] = re.sub(r"\x1b\[[\d;]*m", "", output.data["text/plain"])  # colours
    text = nbformat.writes(notebook)
    for private in (tempfile.gettempdir(), str(Path.home()), str(FOLDER.parent)):
        if f"{private}/" in text:
            raise RuntimeError(f"{path.name} shows the path {private}")
    path.write_text(text + "\n")


for name in sys.argv[1:] or sorted(path.name for path in FOLDER.glob("*.ipynb")):
    start = time.perf_counter()
    execute(FOLDER / name)
    print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
