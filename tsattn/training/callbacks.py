"""Callbacks of a training: log records of its progress, its time limit, and its end at the first Ctrl-C."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from types import FrameType
from typing import Any

import keras

from tsattn._logging import STEP

_logger = logging.getLogger(__name__)

SECONDS = 0.2
"""Minimum time between two records within an epoch."""

MESSAGE = "Ending the training; the best weights so far are used. Ctrl-C again aborts."


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


class Interruption:
    """Whether the user asked for the end of the training in progress.

    Args:
        announce: Prints a sentence.
    """

    def __init__(self, announce: Callable[[str], None]) -> None:
        self.announce = announce
        self.is_training = False
        self.requested = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT: the first one during a training ends it, any other one is a KeyboardInterrupt."""
        if self.requested or not self.is_training:
            raise KeyboardInterrupt
        # Nothing is printed here: the signal may arrive while something is.
        self.requested = True


_current: ContextVar[Interruption | None] = ContextVar("interruption", default=None)


@contextmanager
def stop_at_interrupt(announce: Callable[[str], None]) -> Iterator[None]:
    """Let the first Ctrl-C end a training instead of the program; the second one is a KeyboardInterrupt.

    Args:
        announce: Prints a sentence.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interruption = Interruption(announce)
    token, former = _current.set(interruption), signal.signal(signal.SIGINT, interruption.handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        _current.reset(token)


def is_interrupted() -> bool:
    """Return whether Ctrl-C ended a training of the current `stop_at_interrupt`."""
    interruption = _current.get()
    return interruption is not None and interruption.requested


class StopAtInterrupt(keras.callbacks.Callback):
    """Stops a training after the batch in which the user asked for it; the partial epoch is validated.

    Attributes:
        reached: Whether Ctrl-C ended the training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reached = False
        self._interruption = _current.get()
        # By the Ctrl-C that ended an earlier training.
        self._was_requested = is_interrupted()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._interruption is not None:
            self._interruption.is_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._interruption is not None:
            self._interruption.is_training = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        interruption = self._interruption
        if interruption is not None and interruption.requested and not (self._was_requested or self.reached):
            self.model.stop_training = self.reached = True
            interruption.announce(MESSAGE)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.on_train_batch_end(0)


class Deadline(keras.callbacks.Callback):
    """Stop a training at the end of the first batch after a time limit; the partial epoch is validated.

    Args:
        seconds: Time limit from the beginning of the training, tracing included.

    Attributes:
        reached: Whether the time limit ended the training.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._end = 0.0
        self.reached = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # A training that is repeated with a lower learning rate has one time limit.
        self._end = self._end or monotonic() + self._seconds

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if monotonic() >= self._end:
            self.model.stop_training = self.reached = True
