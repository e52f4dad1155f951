"""What each covariate is worth: the error of the forecast if it is permuted between windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from tsattn.explanation.windows import history_spread, outputs_of
from tsattn.forecasting.fitted import FittedForecaster
from tsattn.timeseries.calendar import calendar_feature_names
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Floats, Ints
from tsattn.timeseries.window_spec import (
    FUTURE_COVARIATES,
    PAST_COVARIATES,
    QUANTILES,
    TARGET,
    TARGET_OBSERVED,
)
from tsattn.timeseries.windows import Batch, Windows

REPEATS = 5
"""Permutations of each covariate."""
MAX_WINDOWS = 64
_MIN_WINDOWS = 4

Permute = Callable[[Batch, Ints], Batch]


def covariate_importance(fitted: FittedForecaster, panel: Panel, seed: int = 0) -> pd.DataFrame | None:
    """Permute each covariate between the windows at the end of a panel, and compare the errors of the forecasts.

    This is the permutation importance of Breiman 2001 (Random Forests), by windows: past and future values of a
    covariate are replaced by those of another window. The windows are the last two horizons of each series, or the
    validation part if that is longer. The features of the calendar are one covariate.

    Returns:
        ``covariate``, ``increase`` (of the mean absolute error of the median, relative to that with the true values;
        the mean over the permutations), ``spread`` (its standard deviation), ``windows``; largest first. None without
        covariates or windows.
    """
    spec = fitted.spec
    groups = dict(_groups(fitted, panel))
    steps = max(2 * spec.horizon, fitted.config.data.validation or 0)
    windows = Windows.in_last_steps(panel, spec, steps, MAX_WINDOWS)
    index = np.arange(min(len(windows), 2 * MAX_WINDOWS), dtype=np.int64)
    if not groups or len(index) < _MIN_WINDOWS:
        return None
    batch = windows.gather(index)
    target, known = batch.pop(TARGET), batch.pop(TARGET_OBSERVED) > 0
    if not known.any():
        return None

    def errors(batch: Batch) -> Floats:
        """Return the error of each copy of the windows, each series relative to the spread of its history."""
        median = outputs_of(fitted.model, spec, batch, (QUANTILES,))[QUANTILES][..., spec.median]
        relative = np.abs(median.reshape(-1, *target.shape) - target) / spread[:, None]
        return np.asarray(np.where(known, relative, 0).sum(axis=(1, 2, 3)) / known.sum())

    spread = history_spread(batch)
    rng = np.random.default_rng(seed)
    orders = np.concatenate([rng.permutation(len(index)) for _ in range(REPEATS)])
    copies = {name: np.concatenate([values] * REPEATS) for name, values in batch.items()}
    base, rows = float(errors(batch)[0]), []
    for name, permute in groups.items():
        increase = errors(permute(copies, orders)) / max(base, 1e-12) - 1
        rows.append({"covariate": name, "increase": increase.mean(), "spread": increase.std()})
    frame = pd.DataFrame(rows).assign(windows=len(index))
    return frame.sort_values("increase", ascending=False, ignore_index=True)


def _groups(fitted: FittedForecaster, panel: Panel) -> Iterator[tuple[str, Permute]]:
    """Yield the name of each covariate and a function that permutes it between windows."""
    spec, schema = fitted.spec, fitted.schema
    columns = {name: schema.feature_names(name) for name in schema.covariates}
    for name, features in {**columns, "calendar": calendar_feature_names(schema)}.items():
        chosen = [number for number, feature in enumerate(spec.past_covariates) if feature in features]
        if chosen:
            yield name, _permute_features(chosen, len(spec.future_covariates))
    for static in spec.static if len(panel) > 1 else ():
        yield static.name, _permute_static(static.input)


def _permute_features(chosen: list[int], futures: int) -> Permute:
    def permute(batch: Batch, order: Ints) -> Batch:
        past = batch[PAST_COVARIATES].copy()
        past[..., chosen] = past[order][..., chosen]
        changed = {**batch, PAST_COVARIATES: past}
        ahead = [number for number in chosen if number < futures]
        if ahead:
            future = batch[FUTURE_COVARIATES].copy()
            future[..., ahead] = future[order][..., ahead]
            changed[FUTURE_COVARIATES] = future
        return changed

    return permute


def _permute_static(name: str) -> Permute:
    return lambda batch, order: {**batch, name: batch[name][order]}
