"""Run a function of a test module on the JAX backend, in a new process: Keras has one backend per process."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]


def run_on_jax(
    file: str, function: str, arrays: Arrays, devices: int = 1, processes: int = 1, codes: Sequence[int] | None = None
) -> Arrays:
    """Call `function(arrays) -> arrays` of the module at `file` with Keras on JAX, the processor as some devices.

    Several processes train together; the first one returns. They end with the given exit codes, by default 0.
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        inputs, results = Path(folder) / "inputs.npz", [Path(folder) / f"{number}.npz" for number in range(processes)]
        np.savez(inputs, **arrays)
        # Compiling takes longer than what it saves here.
        flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
        flags += f" --xla_force_host_platform_device_count={devices}"
        environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        probe.bind(("127.0.0.1", 0))
        environment |= {
            f"KERAS_DISTRIBUTION_{name}": str(value)
            for name, value in {
                "JOB_ADDRESSES": f"127.0.0.1:{probe.getsockname()[1]}",
                "NUM_PROCESSES": processes,
            }.items()
        }
        probe.close()
        started = [
            subprocess.Popen(
                [sys.executable, __file__, file, function, str(inputs), str(path)],
                env={**environment, "KERAS_DISTRIBUTION_PROCESS_ID": str(number)},
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
            for number, path in enumerate(results)
        ]
        with ThreadPoolExecutor(processes) as pool:
            errors = list(pool.map(lambda process: process.communicate()[1], started))
        for process, code, error in zip(started, codes or [0] * processes, errors, strict=True):
            assert process.returncode == code, error[-4000:]
        if not results[0].exists():
            return {}
        with np.load(results[0]) as loaded:
            return dict(loaded)


def main(file: str, function: str, inputs: str, results: str) -> None:
    sys.path[:0] = [str(Path(file).parent), str(Path(__file__).parent)]
    module = importlib.import_module(Path(file).stem)
    import keras

    from tsattn.training.batches import join_processes

    assert keras.backend.backend() == "jax"
    join_processes()
    with np.load(inputs) as arrays:
        np.savez(results, **getattr(module, function)(dict(arrays)))


if __name__ == "__main__":
    main(*sys.argv[1:])
