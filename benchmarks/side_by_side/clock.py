"""The time that a contestant has."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Counts the seconds since a process was started.

    Args:
        started: when, by `time.monotonic` of the process that started it.
        budget: seconds until all must be fitted; None for as many as it takes.
    """

    def __init__(self, started: float, budget: float | None = None) -> None:
        self._started = started
        self._budget = math.inf if budget is None else budget
        self.uncounted = 0.0

    def seconds(self) -> float:
        """Return the seconds that count."""
        return time.monotonic() - self._started - self.uncounted

    def left(self) -> float:
        """Return the seconds of the budget that are left; infinite without one."""
        return self._budget - self.seconds()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do something that does not count."""
        begin = time.monotonic()
        yield
        self.uncounted += time.monotonic() - begin
