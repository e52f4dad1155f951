"""Log records of a training: one per epoch, and those in between that a status line shows."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

import keras

from tsattn._logging import STEP

_logger = logging.getLogger(__name__)

SECONDS = 0.2
"""Minimum time between two records within an epoch."""


class TrainingProgress(keras.callbacks.Callback):
    """Logs epoch, remaining time, losses and windows per second.

    Args:
        title: Name of the training.
        batch_size: Windows per batch.
    """

    def __init__(self, title: str, batch_size: int) -> None:
        super().__init__()
        self._title = title[:1].upper() + title[1:]
        self._batch_size = batch_size
        self._validation = ""
        self._epoch = self._done = 0
        self._begin = self._logged = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _logger.info("%s: preparing", self._title)
        self._begin, self._done = 0.0, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now = monotonic()
        if not self._begin:
            # The first batch, in which the graph is traced, says nothing about the others.
            self._begin = now
            return
        self._done += 1
        if now - self._logged >= SECONDS:
            self._logged = now
            self._log(STEP, batch + 1, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs and "val_loss" in logs:
            self._validation = f", validation {logs['val_loss']:.4f}"
        self._log(logging.INFO, self.params["steps"], logs)

    def _log(self, level: int, step: int, logs: dict[str, Any] | None) -> None:
        """Log the state after a number of batches of the epoch."""
        epochs, steps = self.params["epochs"], self.params["steps"]
        rate = self._done / max(monotonic() - self._begin, 1e-9)
        speed = ""
        if self._done:
            left = ((epochs - self._epoch) * steps - step) / rate
            speed = f", up to {format_duration(left)} left"
        loss = (logs or {}).get("loss", float("nan"))
        windows = f", {rate * self._batch_size:.0f} windows/s" if self._done else ""
        message = f"{self._title}: epoch {self._epoch + 1}/{epochs}, loss {loss:.4f}"
        _logger.log(level, "%s%s%s%s", message, speed, self._validation, windows)


def format_duration(seconds: float) -> str:
    """Return a duration such as "12 s", "3 min" or "1.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
