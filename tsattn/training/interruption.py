"""Ctrl-C during a training: the training ends after the batch in progress, and its best weights are used."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

import keras

MESSAGE = "Ending the training; the best weights so far are used. Ctrl-C again aborts."


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
