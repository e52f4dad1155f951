"""Runs a function of a test module on the JAX backend, in a process of its own: Keras takes one backend a process."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]


def run_on_jax(file: str, function: str, arrays: Arrays) -> Arrays:
    """Call ``function(arrays) -> arrays`` of the module at ``file`` with Keras on JAX."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
        np.savez(given, **arrays)
        command = [sys.executable, __file__, file, function, str(given), str(made)]
        environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-4000:]
        with np.load(made) as loaded:
            return dict(loaded)


def main(file: str, function: str, given: str, made: str) -> None:
    sys.path[:0] = [str(Path(file).parent), str(Path(__file__).parent)]
    module = importlib.import_module(Path(file).stem)
    import keras

    assert keras.backend.backend() == "jax"
    with np.load(given) as arrays:
        np.savez(made, **getattr(module, function)(dict(arrays)))


if __name__ == "__main__":
    main(*sys.argv[1:])
