"""Training in several processes, which divide each batch: every process executes the same program on the same data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import numpy.typing as npt

from tsattn.errors import ConfigError, RunError, TsattnError

PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
"""Environment variable of `keras.distribution.initialize` with the number of processes."""


def join_processes() -> None:
    """Join the processes that the environment variables of `keras.distribution.initialize` describe, if any.

    Raises:
        ConfigError: The backend is not JAX.
    """
    if int(os.environ.get(PROCESSES, 1)) == 1:
        return
    backend = keras.backend.backend()
    if backend != "jax":
        raise ConfigError(f"{PROCESSES} needs the Keras backend jax, got {backend}", "set KERAS_BACKEND=jax")
    import jax

    # Otherwise SIGTERM would only set a flag that nobody reads.
    jax.config.update("jax_enable_preemption_service", False)  # type: ignore[no-untyped-call]
    keras.distribution.initialize()
    # Each process gathers its own part of a batch.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


def batch_division() -> tuple[int, int, int]:
    """Return the devices and the processes among which Keras divides a batch, and the number of this process."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1, 1, 0
    mesh = distribution.device_mesh
    devices = int(mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)])
    if keras.backend.backend() != "jax":
        return devices, 1, 0
    import jax

    return devices, jax.process_count(), jax.process_index()


def own_rows(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the rows of a batch that this process gathers, and which of them count.

    Repeated rows that do not count let the devices divide the batch.
    """
    devices, processes, process = batch_division()
    own = np.array_split(np.arange(count + -count % devices), processes)[process]
    return own % count, own < count


def is_first_process() -> bool:
    """Return whether this is the process that writes files."""
    return batch_division()[2] == 0


@contextmanager
def process_errors() -> Iterator[None]:
    """Raise a RunError if the connection to another process fails, most often because that has ended."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, TsattnError) or batch_division()[1] == 1:
            raise
        text = f"the training with other processes has failed: {str(error).partition(chr(10))[0]}"
        raise RunError(text, "start all of them again and set {resume}") from error
