"""Backtest of a configuration and of several models, with the naive baselines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from tsattn._text import format_timestamp
from tsattn.config import RunConfig
from tsattn.data.loader import Frame, source_name
from tsattn.engines import Engine, LocalProcesses
from tsattn.errors import ConfigError
from tsattn.evaluation.candidates import make_candidates
from tsattn.evaluation.fold_store import FoldStore
from tsattn.evaluation.fold_tasks import FoldTask, execute
from tsattn.evaluation.origins import EvaluationWindows, plan_backtest
from tsattn.evaluation.rolling_origin import Backtest, BacktestProgress, Refit, run_backtest
from tsattn.forecasting.finetuning import inherit_options, read_series
from tsattn.forecasting.network_trainer import CallbackFactory
from tsattn.forecasting.run_metadata import RunMetadata
from tsattn.models.registry import registering_modules


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
    candidates = make_candidates(config, windows, models, baselines, callback, refit=refit)
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
