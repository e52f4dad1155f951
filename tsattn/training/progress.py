"""The progress bar of a training."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


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
