"""The progress bar of a training."""

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
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from tsattn.evaluation.backtest import BacktestProgress
    from tsattn.tuning import Standing


def progress(console: Console) -> Progress:
    """Return an empty display of bars; a task has the field ``figures``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class ProgressBar(keras.callbacks.Callback):
    """Shows epoch, loss and the time left, for as many trainings as one context holds.

    Args:
        console: where to draw.
        title: what is being trained.
        bar: display that is drawn already, to take part in; None for one of its own.
    """

    def __init__(self, console: Console, title: str, bar: Progress | None = None) -> None:
        super().__init__()
        self._title = title
        self._task: TaskID | None = None
        self._epoch = 0
        self._validation = ""
        self._own = bar is None
        self._bar = progress(console) if bar is None else bar

    def __enter__(self) -> Self:
        if self._own:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._own:
            self._bar.stop()
        elif self._task is not None:
            self._bar.remove_task(self._task)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        total = self.params["epochs"] * self.params["steps"]
        self._task = self._bar.add_task(self._title, total=total, figures="")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._task is None:
            return
        self._bar.update(
            self._task,
            completed=self._epoch * self.params["steps"] + batch + 1,
            description=f"{self._title}, epoch {self._epoch + 1} of at most {self.params['epochs']}",
            figures=f"loss {(logs or {}).get('loss', float('nan')):.4f}{self._validation}",
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs and "val_loss" in logs:
            self._validation = f"  validation {logs['val_loss']:.4f}"


class BacktestBar:
    """Shows how many folds are done over the bar of the training that is under way, and a line for each model.

    Args:
        console: where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = progress(console)
        self._task = self._bar.add_task("folds", total=None, figures="")
        self._steps: list[BacktestProgress] = []

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def watch(self, title: str) -> AbstractContextManager[Any]:
        """Return the bar of a training."""
        return ProgressBar(self._console, title, self._bar)

    def tell(self, step: BacktestProgress) -> None:
        """Show that a fold of a model is there."""
        self._steps.append(step)
        self._bar.update(self._task, total=step.folds, completed=step.fold, description=f"{step.model}, folds")
        if step.fold == step.folds:
            took = [done.seconds for done in self._steps if done.seconds is not None]
            known = f", {step.folds - len(took)} of them there already" if len(took) < step.folds else ""
            folds = "1 fold" if step.folds == 1 else f"{step.folds} folds"
            self._console.print(f"  {step.model}: {folds}{known}, {sum(took):.1f} s")
            self._steps.clear()


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
