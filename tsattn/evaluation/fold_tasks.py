"""Folds of a backtest as tasks that other processes execute and store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tsattn.config import RunConfig
from tsattn.engines import Engine
from tsattn.evaluation.candidates import make_candidates
from tsattn.evaluation.fold_store import FoldStore
from tsattn.evaluation.origins import EvaluationWindows
from tsattn.evaluation.rolling_origin import BacktestProgress, Candidate, Refit, forecast_folds
from tsattn.models.registry import import_modules

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldTask:
    """Folds of one candidate.

    Args:
        config: Configuration of the backtest.
        windows: The forecasts to make.
        models: Names of the compared models.
        baselines: Names of classical baselines.
        refit: How often the candidates are trained.
        store: Stores the folds.
        modules: Modules that register models.
        candidate: Name of the candidate.
        folds: Numbers of the folds, from 0.
    """

    config: RunConfig
    windows: EvaluationWindows
    models: tuple[str, ...]
    baselines: tuple[str, ...]
    refit: Refit
    store: FoldStore
    modules: tuple[str, ...]
    candidate: str = ""
    folds: tuple[int, ...] = ()

    def divide(self, candidates: Sequence[Candidate]) -> list[FoldTask]:
        """Return a task for every training of every candidate, without finished folds."""
        tasks = []
        for candidate in candidates:
            numbers = range(len(self.windows))
            left = [number for number in numbers if not self.store.has(number, candidate.name)]
            parts = [left] if self.refit == "never" else [[number] for number in left]
            tasks += [replace(self, candidate=candidate.name, folds=tuple(part)) for part in parts if part]
        return tasks


def store_folds(task: FoldTask) -> list[BacktestProgress]:
    """Forecast and store the folds of a task."""
    import_modules(task.modules)
    candidates = make_candidates(task.config, task.windows, task.models, task.baselines, None, refit=task.refit)
    (candidate,) = (found for found in candidates if found.name == task.candidate)
    progress: list[BacktestProgress] = []
    for _ in forecast_folds(candidate, task.windows, task.refit, task.store, progress.append, task.folds):
        pass
    return progress


def execute(task: FoldTask, candidates: Sequence[Candidate], engine: Engine) -> dict[tuple[str, int], float]:
    """Execute the tasks of all candidates on an engine.

    Args:
        task: A task without candidate and folds.
        candidates: The candidates.
        engine: Where the tasks are executed.

    Returns:
        The seconds of each fold of each model.
    """
    tasks = task.divide(candidates)
    seconds: dict[tuple[str, int], float] = {}
    for number, steps in enumerate(engine.map(store_folds, tasks), 1):
        _logger.info("Backtest: %d of %d trainings and their folds", number, len(tasks))
        seconds.update({(step.model, step.fold): step.seconds for step in steps if step.seconds is not None})
    return seconds
