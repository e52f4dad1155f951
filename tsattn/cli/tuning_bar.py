"""The progress bar of a search."""

from __future__ import annotations

import math
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from tsattn.tuning import Standing


class TuningBar:
    """Shows the trials that are done, the best figure so far and what is being done; called with how far it is.

    Args:
        console: where to draw.
        time: seconds that the search has; None where it has no end.
    """

    def __init__(self, console: Console, time: float | None) -> None:
        self._console = console
        self._task: TaskID | None = None
        limit = "" if time is None else f"of {_clock(time)}"
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn(limit),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, standing: Standing) -> None:
        if self._task is None:
            self._task = self._bar.add_task("tuning", total=standing.trials, figures="")
            if standing.done:
                self._console.print(f"Goes on: {standing.done} trials of {standing.trials} are done.")
        self._bar.update(
            self._task,
            completed=standing.done,
            description=standing.now or "tuning",
            figures=_figures(standing),
        )


def _figures(standing: Standing) -> str:
    if math.isnan(standing.best):
        return ""
    return f"{standing.metric.upper()} best {standing.best:.4g}, default {standing.default:.4g}"


def _clock(seconds: float) -> str:
    """Return a time as the clock beside it shows one."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
