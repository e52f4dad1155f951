"""Records of the logger ``tsattn`` as lines, and context managers that silence other libraries."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from time import monotonic
from typing import TextIO

STEP = 5
"""Level of the records between the beginning and the end of an epoch, which follow each other within a second."""

LINE_SECONDS = 10.0
"""Minimum time between two lines of the level `STEP`."""

NATIVE_LOG_LEVEL = {"TF_CPP_MIN_LOG_LEVEL": "3"}
"""Environment in which TensorFlow logs fatal errors only."""


class LineHandler(logging.Handler):
    """Writes each record as a line, but those of the level `STEP` only every `LINE_SECONDS`.

    Args:
        write: Takes the text of a record.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(STEP)
        self._write = write
        self._written = monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if record.levelno <= STEP and monotonic() - self._written < LINE_SECONDS:
            return
        self._written = monotonic()
        self._write(self.format(record))


@contextmanager
def log_to(handler: logging.Handler, level: int) -> Iterator[None]:
    """Add a handler to the logger ``tsattn``, for records from a level on."""
    logger = logging.getLogger("tsattn")
    level_before, propagate_before = logger.level, logger.propagate
    logger.setLevel(level)
    # TensorFlow adds a handler to the root.
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level_before)
        logger.propagate = propagate_before


@contextmanager
def log_progress(verbose: int) -> Iterator[None]:
    """Write the progress to standard error.

    Args:
        verbose: 0 writes nothing, 1 a line per stage and epoch, 2 details as well.
    """
    if not verbose:
        yield
        return
    handler = LineHandler(lambda text: print(text, file=sys.stderr, flush=True))
    with log_to(handler, STEP):
        handler.addFilter(lambda record: verbose > 1 or record.levelno != logging.DEBUG)
        yield


@contextmanager
def quiet(name: str = "tensorflow") -> Iterator[None]:
    """Log only the errors of a library."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def silence_native_code() -> Iterator[None]:
    """Discard what native code writes to standard error, such as the start-up messages of TensorFlow.

    Python code continues to write to standard error.
    """
    for name, value in NATIVE_LOG_LEVEL.items():
        os.environ.setdefault(name, value)
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 2)
    try:
        with redirect_stderr(_python_stream(saved)):
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _python_stream(descriptor: int) -> TextIO:
    """Return a stream to a copy of the descriptor of standard error, unless `sys.stderr` writes somewhere else."""
    try:
        is_native = sys.stderr.fileno() == 2
    except (OSError, io.UnsupportedOperation):
        is_native = False
    if not is_native:
        return sys.stderr
    encoding, errors = sys.stderr.encoding, sys.stderr.errors
    return open(descriptor, "w", buffering=1, encoding=encoding, errors=errors, closefd=False)
