"""Run a function of a test module on the JAX backend, in a new process: Keras has one backend per process."""

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


def run_on_jax(file: str, function: str, arrays: Arrays, devices: int = 1) -> Arrays:
    """Call `function(arrays) -> arrays` of the module at `file` with Keras on JAX, the processor as some devices."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, results = Path(folder) / "inputs.npz", Path(folder) / "results.npz"
        np.savez(inputs, **arrays)
        command = [sys.executable, __file__, file, function, str(inputs), str(results)]
        # Compiling takes longer than what it saves here.
        flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
        flags += f" --xla_force_host_platform_device_count={devices}"
        environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-4000:]
        with np.load(results) as loaded:
            return dict(loaded)


def main(file: str, function: str, inputs: str, results: str) -> None:
    sys.path[:0] = [str(Path(file).parent), str(Path(__file__).parent)]
    module = importlib.import_module(Path(file).stem)
    import keras

    assert keras.backend.backend() == "jax"
    with np.load(inputs) as arrays:
        np.savez(results, **getattr(module, function)(dict(arrays)))


if __name__ == "__main__":
    main(*sys.argv[1:])
