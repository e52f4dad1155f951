"""Selection of the best of several models, for ``model="auto"``, by a short backtest.

Each candidate is trained once, on the data before the folds, which take about a fifth of a single series and less of
each of many. The models without training are candidates as well. The model with the lowest mean error is selected, or
the first network within a standard error of it, and then fitted to all of the data as if it had been named.

The time is limited: a candidate is skipped if the remaining time does not suffice to train it like the previous ones
and to fit the best one again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd

from tsattn.config import AUTO, RunConfig, SelectionConfig
from tsattn.errors import ConfigError, DataError
from tsattn.evaluation.origins import EvaluationWindows, plan_backtest
from tsattn.evaluation.rolling_origin import Candidate, baseline_candidates, network_candidate, run_backtest
from tsattn.forecasting.fit import fit_model
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.forecasting.network_trainer import CallbackFactory
from tsattn.models import BASELINES, COMBINATION, get_model
from tsattn.scoring.model_choice import ModelSelection, ranking_metric
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema
from tsattn.training.callbacks import is_interrupted
from tsattn.training.checkpoints import Checkpoints

DEFAULT_NETWORKS = ("seq2seq", "attention_pooling", "tcn", "transformer")
"""Networks that are compared by default, in this order."""

DEFAULT_SECONDS = 1200.0
"""Default time limit for comparison and final fit."""

FORECAST_PART = 5
"""The part of a series of median length that is forecast: a fifth."""

MIN_FORECASTS = 30
"""Number of forecasts, over all series, that suffices to compare models. Further folds would only shorten the training
data; see docs/design/model-choice.md."""

MIN_FOLDS = 3
"""Minimum number of folds for few series, even if they take more than a fifth."""

REFIT_TIME_RATIO = 2.0
"""Time to fit a candidate to all of the data, relative to its training before the folds."""


def fit(
    config: RunConfig,
    panel: Panel,
    schema: Schema,
    source: str = "the panel",
    callback: CallbackFactory | None = None,
    checkpoints: Checkpoints | None = None,
) -> FittedForecaster:
    """Fit a configuration: a named model, the default, or for the model ``auto`` the best of several.

    Args:
        config: The configuration.
        panel: The series.
        schema: How they were read.
        source: Name of the data in errors.
        callback: Makes the callback of each training.
        checkpoints: Where the states of the trainings are stored, and continued. The comparison of models has none,
            because its time is limited.

    Raises:
        ConfigError: An option has a value that is not allowed.
        DataError: The data are too short for the horizon, or do not fit the model.
    """
    if config.model.get("name") != AUTO:
        return fit_model(config, panel, schema, source, callback, checkpoints)
    selection = select_model(config, panel, schema, source, callback)
    best = config.with_model(selection.selected).model_copy(update={"selection": None})
    if not get_model(selection.selected).trained:
        best = best.model_copy(update=_untrained(config, selection.selected))
    return replace(fit_model(best, panel, schema, source, callback, checkpoints), choice=selection)


def _untrained(config: RunConfig, name: str) -> dict[str, Any]:
    """Return the parts of a configuration for a model without training, which has no options of a network."""
    return {"model": {"name": name}, "data": config.data.model_copy(update={"graph": None})}


def select_model(
    config: RunConfig, panel: Panel, schema: Schema, source: str, callback: CallbackFactory | None
) -> ModelSelection:
    """Compare models by a short backtest; arguments as of `fit`.

    Raises:
        ConfigError: A candidate is not a network.
        DataError: The data are too short for a backtest.
    """
    options = config.selection or SelectionConfig()
    networks = options.models or DEFAULT_NETWORKS
    for name in networks:
        if name == AUTO or name in BASELINES or not get_model(name).trained:
            raise ConfigError(
                f"selection.models={','.join(networks)}: expected networks, which {name} is not; the naive baselines "
                "are always compared"
            )
    windows = _plan_comparison(config, panel, schema, options.folds, source)
    timer = _Timer(DEFAULT_SECONDS if options.max_seconds is None else options.max_seconds)
    skipped: list[str] = []

    def candidates() -> Iterator[Candidate]:
        yield from baseline_candidates(config, windows, BASELINES)
        zero_shot = config.model_copy(update={**_untrained(config, COMBINATION), "selection": None})
        yield network_candidate(zero_shot, fit_model, windows, COMBINATION, callback)
        for name in networks:
            seconds = timer.next_limit()
            if seconds is None or is_interrupted():
                skipped.append(name)
                continue
            limit = min(seconds, config.training.max_seconds or seconds)
            training = config.training.model_copy(update={"max_seconds": limit})
            own = config.with_model(name).model_copy(update={"selection": None, "training": training})
            with timer.measure(name):
                yield network_candidate(own, fit_model, windows, name, callback, label=f"comparing, {name}")

    result = run_backtest(windows, candidates())
    metric = ranking_metric(result.scores)
    ranks = result.scores[metric].astype(float).fillna(np.inf).sort_values(kind="stable").index
    scores = result.scores.loc[ranks].reset_index(drop=True)
    best = str(scores["model"].iloc[0])
    selected = first_within_standard_error(result.scored.by_origin, metric, best, list(timer.seconds))
    return ModelSelection(selected, scores, metric, len(windows), windows.schema.horizon, timer.seconds, tuple(skipped))


def first_within_standard_error(errors: pd.DataFrame, metric: str, best: str, networks: Sequence[str]) -> str:
    """Return the first of some networks whose error is at most a standard error above that of the best model.

    Each training of a network gives another error, so the order of similar ones is chance, and the first network is the
    one that the benchmarks favour. This is the one-standard-error rule of Breiman et al. 1984 (Classification and
    Regression Trees), for the mean difference over series and folds. A baseline that is best is returned.

    Args:
        errors: Id, cutoff, ``model`` and the metric.
        metric: The deciding error.
        best: The model with the lowest mean error.
        networks: Names in order of preference.
    """
    if best not in networks:
        return best
    table = errors.pivot(index=list(errors.columns[:2]), columns="model", values=metric).astype(float)
    for name in networks:
        excess = (table[name] - table[best]).dropna()
        if len(excess) > 1 and excess.mean() <= excess.std() / np.sqrt(len(excess)):
            return name
    return best


def _plan_comparison(
    config: RunConfig, panel: Panel, schema: Schema, folds: int | None, source: str
) -> EvaluationWindows:
    """Plan enough folds to compare models, as far as a fifth of the data has room for them."""
    data = config.data.model_copy(update={"season": schema.season, "horizon": schema.horizon})
    room = int(np.median(panel.lengths)) // FORECAST_PART // schema.horizon
    wanted = folds or min(-(-MIN_FORECASTS // (len(panel) * len(panel.targets))), max(room, MIN_FOLDS))
    for count in range(wanted, 1, -1):
        try:
            return plan_backtest(panel, schema, data, count, source=source)
        except DataError:
            if folds is not None:
                raise
    return plan_backtest(panel, schema, data, 1, source=source)


class _Timer:
    """Divides the time limit among the candidates and the final fit."""

    def __init__(self, max_seconds: float) -> None:
        self._end = monotonic() + max_seconds
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure the time of a candidate."""
        start = monotonic()
        yield
        self.seconds[name] = round(monotonic() - start, 1)

    def next_limit(self) -> float | None:
        """Return the time limit of the next candidate; None if it is shorter than the mean of the previous ones.

        The first candidate is always trained, and stopped at its limit.
        """
        left, previous = max(self._end - monotonic(), 1.0), list(self.seconds.values())
        limit = left / (1 + REFIT_TIME_RATIO)
        if not previous:
            return limit
        limit = min(limit, left - REFIT_TIME_RATIO * max(previous))
        return limit if limit >= sum(previous) / len(previous) else None
