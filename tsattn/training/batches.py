"""Windows as a Keras dataset: a thin adapter."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from tsattn.timeseries.panel import Floats
from tsattn.timeseries.window_spec import TARGET_SCALE
from tsattn.timeseries.windows import Batch, Ints, Windows


class ShuffledWindows(keras.utils.PyDataset):
    """Training batches of constant size; batch k is a pure function of (seed, epoch, k).

    Fit with `shuffle=False` and `begin_epoch` as callback: else Keras shuffles the batches anew, and no epoch is told.

    Args:
        windows: where they come from.
        batch_size: windows in a batch.
        steps: batches in an epoch; more than there are windows for begins again.
        seed: seed of the order.
        scales: what errors are divided by, [series, targets].
        lookbacks: steps of history; each window is given one of them at random. None: all of the context.
        balanced: draw each series as often as the others, instead of each window.
        short: share of the windows whose history is cut to a random length.
        shortest: least such length, in steps.
    """

    def __init__(
        self,
        windows: Windows,
        batch_size: int,
        steps: int,
        seed: int,
        scales: Floats,
        lookbacks: Sequence[int] | None = None,
        *,
        balanced: bool = False,
        short: float = 0.0,
        shortest: int = 1,
    ) -> None:
        super().__init__()
        self._scales = scales
        self._lookbacks = np.array(lookbacks or [windows.spec.context])
        self._windows = windows
        self._batch_size = batch_size
        self._steps = steps
        self._seed = seed
        self._drawn = windows.balanced if balanced else windows.shuffled
        self._short = short
        self._shortest = shortest
        self.epoch = 0

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, batch: int) -> tuple[Batch]:
        index = self._drawn(self._seed, self.epoch, batch, self._batch_size)
        draw = np.random.default_rng((self._seed, self.epoch, batch))
        most = draw.choice(self._lookbacks, len(index))
        if self._short:
            cut = draw.random(len(index)) < self._short
            # By its logarithm: what one step more tells, it tells of few.
            lengths = self._shortest * ((most + 1) / self._shortest) ** draw.random(len(index))
            most = np.where(cut, lengths, most).astype(np.int64)
        return (_with_scales(self._windows, index, self._scales, most),)

    def begin_epoch(self, epoch: int, logs: object = None) -> None:
        """Turn to an epoch, as a Keras callback is told of it."""
        # Not counted in `on_epoch_end`: Keras calls that once before the first epoch as well, and a resumed training
        # does not begin at 0.
        self.epoch = epoch


class OrderedWindows(keras.utils.PyDataset):
    """Every window once, in order, for validation; ``scales`` as above."""

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
        return (_with_scales(self._windows, np.arange(first, last), self._scales),)


def _with_scales(windows: Windows, index: Ints, scales: Floats, most: Ints | None = None) -> Batch:
    series, _ = windows.locate(index)
    return {**windows.gather(index, most=most), TARGET_SCALE: scales[series]}
