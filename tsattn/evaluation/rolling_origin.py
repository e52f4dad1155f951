"""Rolling-origin evaluation: every candidate forecasts known data at several origins from the data before them.

A backtest trains its candidates; an evaluation takes a fitted forecaster as it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tsattn.config import AUTO, RunConfig
from tsattn.data.loader import Frame, load, source_name
from tsattn.evaluation.fold_store import Fold, FoldStore
from tsattn.evaluation.origins import EvaluationWindows, empty_targets_error, plan_evaluation
from tsattn.forecasting.fit import window_sizes
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.network_trainer import CallbackFactory
from tsattn.forecasting.warm_start import inherit_options
from tsattn.models import resolve_options
from tsattn.models.registry import check_graph
from tsattn.scoring.comparison import (
    KerasForecaster,
    classical_forecasters,
    forecast_origins,
    naive_forecasters,
    with_naive_baselines,
)
from tsattn.scoring.metrics import Scores, score
from tsattn.scoring.model_choice import ModelChoice, ranking_metric
from tsattn.scoring.window_forecaster import CLASSICAL, FitFailures, WindowForecaster, check_classical
from tsattn.timeseries.frames import history_frame, name_columns
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import WindowSpec

Refit = Literal["never", "every"]
"""Train a model once, before the first fold, or before every fold."""

Fit = Callable[[RunConfig, Panel, Schema, str, CallbackFactory | None], FittedForecaster]
"""Fits a configuration to a panel, such as `tsattn.forecasting.fit.fit_model`."""

_logger = logging.getLogger(__name__)

KEY_COLUMNS = ["unique_id", "cutoff", "ds", "y"]
"""Columns of forecasts that do not belong to a model."""


@dataclass(frozen=True)
class Backtest:
    """Forecasts and scores of a backtest.

    Args:
        forecasts: Id, ``cutoff`` (last timestamp of the history), time and target (observed, NaN where missing), with
            the names of `tsattn.timeseries.frames.name_columns`, and for each model its forecast and bounds, such as
            ``naive``, ``naive-lo-80``, ``naive-hi-80``.
            Sorted by fold, with one row per series and step.
        scored: Metrics in total, by origin, series and step.
        cutoffs: One row per fold, see `tsattn.evaluation.origins.EvaluationWindows.cutoffs`.
        models: Names of the compared models, without the baselines that are always added. A forecaster without a model
            name is called ``default``.
        choices: For each model that makes a choice (``default``, ``auto``), one record per training.
        notes: Sentences on the interpretation of the scores.
    """

    forecasts: pd.DataFrame
    scored: Scores
    cutoffs: pd.DataFrame
    models: tuple[str, ...]
    choices: dict[str, tuple[ModelChoice, ...]]
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> pd.DataFrame:
        """Leaderboard, best first: ``model``, ``mase``, ``skill`` and other metrics, means over all forecasts."""
        return self.scored.total

    @property
    def best(self) -> str:
        """The best of `models`."""
        return next(str(name) for name in self.scores["model"] if name in self.models)

    def label(self, name: str) -> str:
        """Return the name of a model with the models it selected, as in ``default (seasonal_mean)``."""
        selected = dict.fromkeys(choice.selected for choice in self.choices.get(name, ()))
        return f"{name} ({', '.join(selected)})" if selected else name


@dataclass(frozen=True)
class BacktestProgress:
    """Progress of a backtest, reported after each fold of each model.

    Args:
        model: Name of the model.
        fold: Number of the finished fold, from 1.
        folds: Number of folds.
        seconds: Time for training and forecast; None if the fold was stored by an earlier run.
    """

    model: str
    fold: int
    folds: int
    seconds: float | None


@dataclass(frozen=True)
class FittedCandidate:
    """A fitted candidate, with the record of its choice if it makes one."""

    forecaster: WindowForecaster
    choice: ModelChoice | None = None


@dataclass(frozen=True)
class Candidate:
    """A model of a backtest.

    Args:
        name: Its name in the scores and columns.
        options: Model and options as given; stored forecasts are only reused for the same ones.
        levels: Quantile levels.
        fit: Fits it to the data before a fold, counted from 0.
    """

    name: str
    options: dict[str, Any]
    levels: tuple[float, ...]
    fit: Callable[[int], FittedCandidate]


def network_candidate(
    config: RunConfig,
    fit: Fit,
    windows: EvaluationWindows,
    name: str,
    callback: CallbackFactory | None,
    *,
    label: str = "",
    refit: Refit = "never",
) -> Candidate:
    """Return a configuration as a candidate.

    Args:
        config: The configuration.
        fit: Fits it.
        windows: The forecasts to make.
        name: Name of the candidate.
        callback: Makes the callback of each training.
        label: Prefix of the titles of the trainings.
        refit: Whether it is trained before every fold, which the titles then contain.

    Raises:
        ConfigError: The model does not exist, has no such options or takes no graph.
    """
    inherited = inherit_options(config)
    if config.init_from is None and config.model.get("name") != AUTO:
        check_graph(*resolve_options(config.model, source="Forecaster"), config.data.graph, source="Forecaster")

    def fit_fold(fold: int) -> FittedCandidate:
        origin = f"origin {fold + 1} of {len(windows)}"
        parts = [part for part in (label, origin if refit == "every" else "") if part]
        titled = callback and (lambda title: callback(", ".join([*parts, title])))
        fitted = fit(config, windows.training(fold), windows.schema, f"{windows.source} before {origin}", titled)
        return FittedCandidate(KerasForecaster(fitted.model, fitted.spec), fitted.choice)

    return Candidate(name, config.model, inherited.levels, fit_fold)


def baseline_candidates(config: RunConfig, windows: EvaluationWindows, names: Sequence[str]) -> list[Candidate]:
    """Return naive and classical baselines as candidates, with the window that a network would take."""
    config = inherit_options(config)

    def fit_fold(name: str, fold: int) -> FittedCandidate:
        panel, source = windows.training(fold), f"{windows.source} before origin {fold + 1} of {len(windows)}"
        spec = WindowSpec.from_schema(windows.schema, config, window_sizes(config, panel, windows.schema, source)[0])
        if name in CLASSICAL:
            return FittedCandidate(classical_forecasters([name], panel, spec)[name])
        return FittedCandidate(naive_forecasters(panel, spec)[name])

    return [Candidate(name, {"name": name}, config.levels, partial(fit_fold, name)) for name in names]


def run_backtest(
    windows: EvaluationWindows,
    candidates: Iterable[Candidate],
    models: Sequence[str] = (),
    *,
    refit: Refit = "never",
    store: FoldStore | None = None,
    on_progress: Callable[[BacktestProgress], None] | None = None,
) -> Backtest:
    """Forecast every fold with every candidate, and score the forecasts.

    MASE is scaled by the error of the seasonal naive forecast before the first fold, whatever ``refit``, so that scores
    of the same windows are comparable. Series without data there have no MASE.

    Args:
        windows: The forecasts to make.
        candidates: The models. The next one is requested after all forecasts of the previous one.
        models: Names of the candidates that were asked for, without the additional baselines.
        refit: "never" fits a candidate before the first fold, "every" before each.
        store: Stores finished folds and returns those of an earlier run.
        on_progress: Called after every fold of every candidate.
    """
    folds: dict[str, list[Fold]] = {}
    levels: tuple[float, ...] = ()
    store = store or FoldStore()
    store.begin()
    for candidate in candidates:
        folds[candidate.name] = list(forecast_folds(candidate, windows, refit, store, on_progress))
        levels = candidate.levels
    by_fold = zip(*folds.values(), strict=True)
    forecasts = pd.concat([_join_columns([fold.forecasts for fold in row]) for row in by_fold], ignore_index=True)
    scored = score(forecasts, list(folds), windows.schema.season, levels, history_frame(windows.training()))
    choices = {
        name: tuple(fold.choice for fold in (row if refit == "every" else row[:1]) if fold.choice is not None)
        for name, row in folds.items()
    }
    failures = [sum((fold.failures for fold in row), FitFailures()).summary(name) for name, row in folds.items()]
    forecasts, scored = name_columns(forecasts, windows.schema), scored.name_columns(windows.schema)
    store.finish(forecasts, scored)
    return Backtest(
        forecasts,
        scored,
        windows.cutoffs,
        tuple(models),
        {name: made for name, made in choices.items() if made},
        (*windows.notes, *scored.notes, *(note for note in failures if note)),
    )


def forecast_folds(
    candidate: Candidate,
    windows: EvaluationWindows,
    refit: Refit,
    store: FoldStore,
    on_progress: Callable[[BacktestProgress], None] | None,
    folds: Sequence[int] | None = None,
) -> Iterator[Fold]:
    """Yield the folds of a candidate, which is fitted when needed; by default all of them."""
    fitted: FittedCandidate | None = None
    for number in range(len(windows)) if folds is None else folds:
        fold, seconds = store.read(number, candidate.name, candidate.options), None
        if fold is None:
            _logger.info("Backtest of %s: fold %d of %d", candidate.name, number + 1, len(windows))
            start = time.monotonic()
            if fitted is None or refit == "every":
                fitted = candidate.fit(number if refit == "every" else 0)
            series = windows.series(number)
            forecasters = {candidate.name: fitted.forecaster}
            frame, failures = forecast_origins(forecasters, windows.panel, series, windows.origins[number, series])
            fold = Fold(frame, fitted.choice, failures[candidate.name])
            fold = store.write(number, candidate.name, candidate.options, fold)
            seconds = time.monotonic() - start
        if on_progress is not None:
            on_progress(BacktestProgress(candidate.name, number + 1, len(windows), seconds))
        yield fold


def _join_columns(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the forecasts of several models for the same rows as one frame."""
    return pd.concat([frames[0], *(frame.drop(columns=KEY_COLUMNS) for frame in frames[1:])], axis=1)


@dataclass(frozen=True)
class Evaluation:
    """Forecasts and scores of a fitted forecaster and the baselines.

    Args:
        forecasts: Id, ``cutoff`` (last timestamp of the history), time and target (observed, NaN where missing), with
            the names of `tsattn.timeseries.frames.name_columns`, and for each model its forecast and bounds, such as
            ``naive``, ``naive-lo-80``, ``naive-hi-80``.
            Sorted by series and cutoff, with one row per step.
        scored: Metrics in total, by origin, series and step.
        model: Name of the forecaster among the models.
        summary: Number of forecasts and range of the cutoffs.
        notes: Sentences on the interpretation of the scores, such as overlap with the training data.
    """

    forecasts: pd.DataFrame
    scored: Scores
    model: str
    summary: str
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> pd.DataFrame:
        """Leaderboard, best first: ``model``, ``mase``, ``skill`` and other metrics, means over all forecasts."""
        return self.scored.total

    @property
    def score(self) -> float:
        """Minus the MASE of the forecaster, or minus its MAE if no series has a MASE."""
        return -float(self.scores.set_index("model")[ranking_metric(self.scores)].astype(float)[self.model])


def evaluate(
    fitted: FittedForecaster,
    X: Frame | Path | str,
    *,
    origins: int | None = None,
    step: int | None = None,
    last_steps: int | None = None,
    baselines: Sequence[str] = (),
) -> Evaluation:
    """Forecast data and score the forecasts; see `tsattn.Forecaster.evaluate`.

    MASE is scaled by the error of the seasonal naive forecast before the first origin of each series.
    """
    check_classical(baselines)
    panel = load(X, schema=fitted.schema, covariates=fitted.needs_covariates)[0]
    windows = plan_evaluation(fitted, panel, origins=origins, step=step, last_steps=last_steps, source=source_name(X))
    spec = fitted.spec
    forecasters: dict[str, WindowForecaster] = {
        **with_naive_baselines(fitted.name, KerasForecaster(fitted.model, spec), windows.panel),
        **classical_forecasters(baselines, windows.panel, spec),
    }
    forecasts, failures = forecast_origins(forecasters, windows.panel, *windows.pairs())
    if not forecasts["y"].notna().any():
        raise empty_targets_error(windows.source)
    scored = score(forecasts, list(forecasters), spec.season, spec.levels, history_frame(windows.history()))
    failure_notes = (failure.summary(name) for name, failure in failures.items())
    notes = (*windows.notes, *scored.notes, *(note for note in failure_notes if note))
    named = name_columns(forecasts, fitted.schema)
    return Evaluation(named, scored.name_columns(fitted.schema), fitted.name, windows.summary(), notes)
