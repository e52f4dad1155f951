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
        self._steps: list[Progress] = []

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
        self._steps.append(step)
        self._bar.update(self._task, total=step.folds, completed=step.fold, description=f"{step.model}, folds")
        if step.fold == step.folds:
            took = [done.seconds for done in self._steps if done.seconds is not None]
            known = f", {step.folds - len(took)} of them there already" if len(took) < step.folds else ""
            folds = "1 fold" if step.folds == 1 else f"{step.folds} folds"
            self._console.print(f"  {step.model}: {folds}{known}, {sum(took):.1f} s")
            self._steps.clear()
