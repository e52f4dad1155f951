"""The time budget of a contestant."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Measure the seconds since a process was started.

    Args:
        started: Start time by `time.monotonic` of the parent process.
        budget: Seconds until all models must be fitted; None for no limit.
    """

    def __init__(self, started: float, budget: float | None = None) -> None:
        self._started = started
        self._budget = math.inf if budget is None else budget
        self.uncounted = 0.0

    def seconds(self) -> float:
        """Return the counted seconds."""
        return time.monotonic() - self._started - self.uncounted

    def remaining(self) -> float:
        """Return the remaining seconds of the budget; infinite without a budget."""
        return self._budget - self.seconds()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Exclude the context from the counted seconds."""
        begin = time.monotonic()
        yield
        self.uncounted += time.monotonic() - begin
