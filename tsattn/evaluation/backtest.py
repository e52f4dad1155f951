"""Backtest of a configuration and of several models, with the naive baselines, in one or in several processes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from tsattn._text import format_timestamp
from tsattn.config import AUTO, RunConfig
from tsattn.data.loader import Frame, source_name
from tsattn.engines import Engine, LocalProcesses
from tsattn.errors import ConfigError
from tsattn.evaluation.fold_store import FoldStore
from tsattn.evaluation.model_selection import fit
from tsattn.evaluation.origins import EvaluationWindows, plan_backtest
from tsattn.evaluation.rolling_origin import (
    Backtest,
    BacktestProgress,
    Candidate,
    Refit,
    baseline_candidates,
    forecast_folds,
    network_candidate,
    run_backtest,
)
from tsattn.forecasting.network_trainer import CallbackFactory
from tsattn.forecasting.run_metadata import RunMetadata
from tsattn.forecasting.warm_start import inherit_options, read_series
from tsattn.models import BASELINES, resolve_options
from tsattn.models.registry import import_modules, registering_modules
from tsattn.scoring.window_forecaster import CLASSICAL, check_classical

DEFAULT = "default"
"""Name of a candidate without a model name. Its model may differ from training to training."""

_logger = logging.getLogger(__name__)


def _make_candidates(
    config: RunConfig,
    windows: EvaluationWindows,
    models: Sequence[str],
    classical: Sequence[str],
    callback: CallbackFactory | None,
    *,
    refit: Refit,
) -> list[Candidate]:
    """Return the candidates of a backtest: the models, then the naive baselines and some classical ones.

    Args:
        config: Configuration of all candidates, apart from the model.
        windows: The forecasts to make.
        models: Names of models and baselines; none for the model of the configuration.
        classical: Names of classical baselines.
        callback: Makes the callback of each training.
        refit: How often candidates are trained.

    Raises:
        ConfigError: A model does not exist or has no such options.
        RunError: A package is missing.
    """
    check_classical(classical)
    classical = [name for name in CLASSICAL if name in (*models, *classical)]
    check_classical(classical)
    configs = {name: config.with_model(name) for name in models if name not in classical}
    if not models:
        configs = {_model_name(config): config}
    return [
        *(
            network_candidate(own, fit, windows, name, callback, label=name if len(configs) > 1 else "", refit=refit)
            for name, own in configs.items()
        ),
        *baseline_candidates(config, windows, [*(name for name in BASELINES if name not in configs), *classical]),
    ]


def _model_name(config: RunConfig) -> str:
    """Return the model name of a configuration, or ``default`` if it has none."""
    model = inherit_options(config).model
    if model.get("name") == AUTO:
        return AUTO
    return resolve_options(model, source="Forecaster")[0].name if model else DEFAULT


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
    candidates = _make_candidates(task.config, task.windows, task.models, task.baselines, None, refit=task.refit)
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


def backtest(
    config: RunConfig,
    X: Frame | Path | str,
    folds: int = 5,
    step: int | None = None,
    refit: Refit = "never",
    *,
    models: Sequence[str] | str = (),
    baselines: Sequence[str] = (),
    out: Path | str | None = None,
    overwrite: bool = False,
    callback: CallbackFactory | None = None,
    jobs: int = 1,
) -> Backtest:
    """Backtest a configuration on data; see `tsattn.Forecaster.backtest`."""
    panel, schema = read_series(X, config)
    schema.warn(stacklevel=4)
    windows = plan_backtest(panel, schema, inherit_options(config).data, folds, step, source_name(X))
    store = None if out is None else FoldStore.open(Path(out), windows, config, refit, overwrite=overwrite)
    engine = LocalProcesses(jobs) if jobs > 1 else None
    return backtest_windows(
        config, windows, refit=refit, models=models, baselines=baselines, store=store, callback=callback, engine=engine
    )


def backtest_windows(
    config: RunConfig,
    windows: EvaluationWindows,
    *,
    refit: Refit = "never",
    models: Sequence[str] | str = (),
    baselines: Sequence[str] = (),
    store: FoldStore | None = None,
    callback: CallbackFactory | None = None,
    on_progress: Callable[[BacktestProgress], None] | None = None,
    engine: Engine | None = None,
) -> Backtest:
    """Backtest a configuration on windows that are planned already; see `backtest` and `run_backtest`.

    Args:
        engine: Where the models are trained and forecast; None for this process.
    """
    if refit not in get_args(Refit):
        raise ConfigError(f"refit must be one of {', '.join(get_args(Refit))}. Received: refit={refit}")
    models = (models,) if isinstance(models, str) else models
    candidates = _make_candidates(config, windows, models, baselines, callback, refit=refit)
    names = tuple(dict.fromkeys(models)) or (candidates[0].name,)
    with ExitStack() as stack:
        if engine is not None:
            store = store or FoldStore(Path(stack.enter_context(tempfile.TemporaryDirectory())), {})
            store.begin()
            modules = registering_modules([*models, str(config.model.get("name"))])
            task = FoldTask(config, windows, tuple(models), tuple(baselines), refit, store, modules)
            on_progress = _with_seconds(on_progress, execute(task, candidates, engine))
        result = run_backtest(windows, candidates, names, refit=refit, store=store, on_progress=on_progress)
    note = _training_overlap(config, windows)
    return replace(result, notes=(note, *result.notes)) if note else result


def _with_seconds(
    on_progress: Callable[[BacktestProgress], None] | None, seconds: Mapping[tuple[str, int], float]
) -> Callable[[BacktestProgress], None] | None:
    """Return the function with the times that other processes have measured."""
    if on_progress is None:
        return None
    return lambda step: on_progress(replace(step, seconds=seconds.get((step.model, step.fold), step.seconds)))


def _training_overlap(config: RunConfig, windows: EvaluationWindows) -> str | None:
    """Return a sentence if the run that the training starts from was trained on data after the first cutoff."""
    if config.init_from is None:
        return None
    last = str(RunMetadata.read(Path(config.init_from)).manifest["training_data"]["last"])
    first = windows.cutoffs["first"].iloc[0]
    is_number = isinstance(first, (int, np.integer))
    if not (int(last) > first if is_number else pd.Timestamp(last) > pd.Timestamp(first)):
        return None
    return (
        f"The run that the training starts from was trained on data up to {last}, and the first fold starts after "
        f"{format_timestamp(first)}: if these are the same series, the errors are lower than on new data."
    )
