"""Progress bars of trainings, backtests and searches."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tsattn.cli.output import count

if TYPE_CHECKING:
    from tsattn.evaluation.rolling_origin import BacktestProgress
    from tsattn.tuning import SearchProgress


def create_display(console: Console, *columns: ProgressColumn) -> Progress:
    """Return an empty display of bars. Its tasks need the field ``figures``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class ProgressBar(keras.callbacks.Callback):
    """Shows epoch, loss and remaining time of every training within one context.

    Args:
        title: Name of the training.
        display: Display that is already active, to which the bar is added; None for a new one.
    """

    def __init__(self, console: Console, title: str, display: Progress | None = None) -> None:
        super().__init__()
        self._title = title
        self._task: TaskID | None = None
        self._epoch = 0
        self._validation = ""
        self._owns_display = display is None
        self._display = create_display(console, TimeRemainingColumn(compact=True)) if display is None else display

    def __enter__(self) -> Self:
        if self._owns_display:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owns_display:
            self._display.stop()
        elif self._task is not None:
            self._display.remove_task(self._task)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Add the bar."""
        total = self.params["epochs"] * self.params["steps"]
        self._task = self._display.add_task(self._title, total=total, figures="")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch to show."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Update the bar and the training loss."""
        if self._task is None:
            return
        self._display.update(
            self._task,
            completed=self._epoch * self.params["steps"] + batch + 1,
            description=f"{self._title}, epoch {self._epoch + 1} of at most {self.params['epochs']}",
            figures=f"loss {(logs or {}).get('loss', float('nan')):.4f}{self._validation}",
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the validation loss to show."""
        if logs and "val_loss" in logs:
            self._validation = f"  validation {logs['val_loss']:.4f}"


class _Bar:
    """Base class of bars that are shown within a context."""

    def __init__(self, console: Console, *columns: ProgressColumn) -> None:
        self._console = console
        self._display = create_display(console, *columns)

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()


class BacktestBar(_Bar):
    """Shows the finished folds and the current training, and prints a line per model."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, TimeRemainingColumn(compact=True))
        self._task = self._display.add_task("folds", total=None, figures="")
        self._steps: list[BacktestProgress] = []

    def training_bar(self, title: str) -> AbstractContextManager[Any]:
        """Return the bar of a training."""
        return ProgressBar(self._console, title, self._display)

    def update(self, step: BacktestProgress) -> None:
        """Show that a fold of a model is finished."""
        self._steps.append(step)
        self._display.update(self._task, total=step.folds, completed=step.fold, description=f"{step.model}, folds")
        if step.fold == step.folds:
            seconds = [done.seconds for done in self._steps if done.seconds is not None]
            reused = f", {step.folds - len(seconds)} of them already done" if len(seconds) < step.folds else ""
            self._console.print(f"  {step.model}: {count(step.folds, 'fold')}{reused}, {sum(seconds):.1f} s")
            self._steps.clear()


class TuningBar(_Bar):
    """Shows the finished trials, the lowest error and the current trial. It is called with the progress of a search.

    Args:
        time_limit: Seconds for the search; None for no limit.
    """

    def __init__(self, console: Console, time_limit: float | None) -> None:
        limit = "" if time_limit is None else f"of {_format_clock(time_limit)}"
        super().__init__(console, TimeElapsedColumn(), TextColumn(limit))
        self._task: TaskID | None = None

    def __call__(self, progress: SearchProgress) -> None:
        """Show the progress of the search."""
        if self._task is None:
            self._task = self._display.add_task("tuning", total=progress.trials, figures="")
            if progress.done:
                self._console.print(f"Resumed: {progress.done} trials of {progress.trials} are done.")
        self._display.update(
            self._task,
            completed=progress.done,
            description=progress.activity or "tuning",
            figures=_format_errors(progress),
        )


def _format_errors(progress: SearchProgress) -> str:
    if math.isnan(progress.best):
        return ""
    return f"{progress.metric.upper()} best {progress.best:.4g}, default {progress.default:.4g}"


def _format_clock(seconds: float) -> str:
    """Return a duration as `rich` shows the elapsed time."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
