"""The progress of a backtest on the terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console

from tsattn.training.progress import ProgressBar, progress

if TYPE_CHECKING:
    from tsattn.evaluation.backtest import Progress


class BacktestBar:
    """Shows how many folds are done over the bar of the training that is under way, and a line for each model.

    Args:
        console: where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = progress(console)
        self._task = self._bar.add_task("folds", total=None, figures="")
        self._seconds = 0.0
        self._found = 0

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

    def tell(self, step: Progress) -> None:
        """Show that a fold of a model is there."""
        self._seconds += step.seconds or 0.0
        self._found += step.seconds is None
        self._bar.update(self._task, total=step.total, completed=step.done, description=f"folds, {step.model}")
        if step.last:
            known = f", {self._found} of them there already" if self._found else ""
            folds = "1 fold" if step.fold == 1 else f"{step.fold} folds"
            self._console.print(f"  {step.model}: {folds}{known}, {self._seconds:.1f} s")
            self._seconds, self._found = 0.0, 0
