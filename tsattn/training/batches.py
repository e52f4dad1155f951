"""Batches of windows as Keras datasets, and their division among processes.

Every process executes the same program on the same data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import numpy.typing as npt

from tsattn.errors import ConfigError, RunError, TsattnError
from tsattn.timeseries.ragged import Floats, Ints
from tsattn.timeseries.windows import TARGET_OBSERVED, TARGET_SCALE, Batch, Windows

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


class ShuffledWindows(keras.utils.PyDataset):
    """Training batches of constant size; batch k is a pure function of (seed, epoch, k).

    Fit with `shuffle=False` and `set_epoch` as callback: otherwise Keras shuffles the batches again, and the epoch does
    not change.

    Args:
        windows: The windows to draw from.
        batch_size: Windows per batch.
        steps: Batches per epoch; after the last window the next round begins.
        seed: Seed of the order.
        scales: Scales by which errors are divided, [series, targets].
        context_lengths: Context lengths in steps, one of which is drawn per window. None uses the whole context.
        balanced: Whether to draw every series equally often, instead of every window.
        truncation_rate: Fraction of the windows whose history is truncated to a random length.
        min_history: Minimum length of a truncated history, in steps.
    """

    def __init__(
        self,
        windows: Windows,
        batch_size: int,
        steps: int,
        seed: int,
        scales: Floats,
        context_lengths: Sequence[int] | None = None,
        *,
        balanced: bool = False,
        truncation_rate: float = 0.0,
        min_history: int = 1,
    ) -> None:
        super().__init__()
        self._scales = scales
        self._context_lengths = np.array(context_lengths or [windows.spec.context])
        self._windows = windows
        self._batch_size = batch_size
        self._steps = steps
        self._seed = seed
        self._draw = windows.balanced if balanced else windows.shuffled
        self._truncation_rate = truncation_rate
        self._min_history = min_history
        self.epoch = 0

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, batch: int) -> tuple[Batch]:
        index = self._draw(self._seed, self.epoch, batch, self._batch_size)
        generator = np.random.default_rng((self._seed, self.epoch, batch))
        most = generator.choice(self._context_lengths, len(index))
        if self._truncation_rate:
            truncated = generator.random(len(index)) < self._truncation_rate
            # Log-uniform lengths: one more step matters most when the history is short.
            lengths = self._min_history * ((most + 1) / self._min_history) ** generator.random(len(index))
            most = np.where(truncated, lengths, most).astype(np.int64)
        return (_gather(self._windows, index, self._scales, most),)

    def set_epoch(self, epoch: int, logs: object = None) -> None:
        """Set the epoch; usable as a Keras callback."""
        # Not counted in `on_epoch_end`: Keras also calls that before the first epoch, and a resumed training does not
        # start at 0.
        self.epoch = epoch


class OrderedWindows(keras.utils.PyDataset):
    """Every window once, in order, for validation; ``scales`` as in `ShuffledWindows`."""

    def __init__(self, windows: Windows, batch_size: int, scales: Floats) -> None:
        super().__init__()
        self._scales = scales
        self._windows = windows
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._windows) // self._batch_size)

    def __getitem__(self, batch: int) -> tuple[Batch]:
        first = batch * self._batch_size
        last = min(first + self._batch_size, len(self._windows))
        return (_gather(self._windows, np.arange(first, last), self._scales),)


def _gather(windows: Windows, index: Ints, scales: Floats, most: Ints | None = None) -> Batch:
    """Return the windows of this process."""
    rows, counted = own_rows(len(index))
    series, _ = windows.locate(index[rows])
    batch = windows.gather(index[rows], max_length=None if most is None else most[rows])
    batch[TARGET_OBSERVED][~counted] = 0
    return {**batch, TARGET_SCALE: scales[series]}
