"""The end of a training whose time is over."""

from __future__ import annotations

from time import monotonic
from typing import Any

import keras


class Deadline(keras.callbacks.Callback):
    """Stops a training at the first batch behind so many seconds; what was trained of the epoch is validated.

    Args:
        seconds: from the beginning of the training, tracing included.

    Attributes:
        over: whether the time was over before the training was.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._end = 0.0
        self.over = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._end = monotonic() + self._seconds

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if monotonic() >= self._end:
            self.model.stop_training = self.over = True
