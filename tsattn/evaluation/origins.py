"""Forecast origins: where a backtest or an evaluation splits series into history and future."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tsattn._text import format_timestamp
from tsattn.config import DataConfig
from tsattn.errors import ConfigError, DataError
from tsattn.timeseries.characteristics import infer_horizon, infer_season, infer_support
from tsattn.timeseries.frames import series_names
from tsattn.timeseries.panel import Panel, fingerprint
from tsattn.timeseries.ragged import Ints, concat_ranges
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import min_series_length

if TYPE_CHECKING:
    from tsattn.forecasting.fitted import FittedForecaster

UNBOUNDED_SEASON = 10**6
"""A season, in steps, that leads to the longest possible horizon."""


@dataclass(frozen=True)
class EvaluationWindows:
    """Forecasts to make on known data. Origins are counted from the end of each series, the last a horizon before it.

    Args:
        panel: The series.
        schema: How they were read, with the season and horizon of the forecasts.
        step: Steps between two origins.
        counts: Number of forecasts of each series, the newest ones, int64 [series].
        source: Name of the data in errors.
        notes: Sentences on the interpretation of the scores, such as overlap with the training data.
    """

    panel: Panel
    schema: Schema
    step: int
    counts: Ints
    source: str = "the panel"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of folds, each with at most one origin per series."""
        return int(self.counts.max())

    @property
    def origins(self) -> Ints:
        """Steps of history, int64 [folds, series], oldest first; 0 where a series is not forecast."""
        origins = fold_origins(self.panel.lengths, self.schema.horizon, len(self), self.step)
        return np.where(np.arange(len(self), 0, -1)[:, None] <= self.counts, origins, 0)

    def series(self, fold: int) -> Ints:
        """Return the indices of the series that are forecast at a fold, counted from 0."""
        return np.flatnonzero(self.origins[fold])

    def training(self, fold: int = 0) -> Panel:
        """Return the data before a fold, without the series that are not forecast there."""
        return self.panel.slice(0, self.origins[fold]).drop_empty()

    def history(self) -> Panel:
        """Return the data before the first origin of each series that is forecast."""
        return self.panel.slice(0, self._first).drop_empty()

    def pairs(self) -> tuple[Ints, Ints]:
        """Return series index and origin of all forecasts, sorted by series and origin, each int64 [forecasts]."""
        series = np.repeat(np.arange(len(self.panel), dtype=np.int64), self.counts)
        return series, self._first[series] + self.step * concat_ranges(np.zeros_like(self.counts), self.counts)

    @property
    def _first(self) -> Ints:
        """First origin of each series; 0 for a series that is not forecast."""
        first = self.panel.lengths - self.schema.horizon - (self.counts - 1) * self.step
        return np.where(self.counts > 0, first, 0)

    @property
    def cutoffs(self) -> pd.DataFrame:
        """One row per fold, oldest first.

        ``first`` and ``last`` are the last timestamps of the history of the earliest and the latest series. ``series``
        is the number of series that are forecast, ``skipped`` that of series that are too short.
        """
        targets = len(series_names(self.panel)) // len(self.panel)
        rows = []
        for fold, origins in enumerate(self.origins):
            series = self.series(fold)
            last = self.panel.starts[series] + origins[series] - 1
            ends = self.panel.grid.times([last.min(), last.max()])
            rows.append((ends[0], ends[1], targets * len(series), targets * (len(self.panel) - len(series))))
        return pd.DataFrame(rows, columns=["first", "last", "series", "skipped"])

    def summary(self) -> str:
        """Return the number of forecasts and the range of their cutoffs."""
        series, origin = self.pairs()
        last = self.panel.starts[series] + origin - 1
        times = self.panel.grid.times([int(last.min()), int(last.max())])
        ends = list(dict.fromkeys(format_timestamp(time) for time in times))
        targets, horizon = len(self.panel.targets), self.schema.horizon
        count = targets * len(series)
        where = f"histories end from {ends[0]} to {ends[1]}" if len(ends) > 1 else f"the history ends at {ends[0]}"
        forecasts = "1 forecast" if count == 1 else f"{count} forecasts"
        steps = "1 step" if horizon == 1 else f"{horizon} steps"
        return f"{forecasts} of {targets * len(np.unique(series))} series, {steps} each: {where}."


def empty_targets_error(source: str) -> DataError:
    """Return the error for data without any value to score forecasts on."""
    return DataError(
        f"{source}: expected values after the first origin to score the forecasts, but all are empty",
        "remove the rows that lie in the future",
    )


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be 1 or more. Received: {name}={value}")


def plan_backtest(
    panel: Panel,
    schema: Schema,
    config: DataConfig,
    folds: int = 5,
    step: int | None = None,
    source: str = "the panel",
) -> EvaluationWindows:
    """Plan a backtest, with season and horizon inferred from the data before the first origin.

    Columns, timestamps, their frequency and the lengths are those of the whole data.

    Args:
        panel: The series.
        schema: How they were read.
        config: Options of the data.
        folds: Number of forecasts of each series; the last one is a horizon before its end.
        step: Steps between two origins; defaults to `choose_step`.
        source: Name of the data in errors.

    Raises:
        ConfigError: ``folds`` or ``step`` is below 1.
        DataError: The series are too short, or have no values after the first origin.
    """
    _check_counts(folds=folds, step=step)
    early = _data_before_any_origin(panel, config, folds, step)
    decided = infer_horizon(panel, config, int(infer_season(early, config).value))
    horizon = int(decided.value)
    between = choose_step(panel.lengths, horizon, folds, step, source)
    first = fold_origins(panel.lengths, horizon, folds, between)[0]
    before = panel.slice(0, first).drop_empty()
    season, support = infer_season(before, config), infer_support(before, config)
    if infer_horizon(panel, config, int(season.value)).value != decided.value:
        decided = decided.model_copy(update={"reason": f"{decided.reason}, in an early part of the data"})
    if not np.isfinite(panel.tail(horizon + (folds - 1) * between).values).any():
        raise empty_targets_error(source)
    new = {"season": season, "horizon": decided, "support": support}
    update = {
        "season": int(season.value),
        "horizon": horizon,
        "support": support.value,
        "inferred_settings": tuple(new.get(setting.field, setting) for setting in schema.inferred_settings),
    }
    counts = np.clip((panel.lengths - horizon - 1) // between + 1, 0, folds)
    return EvaluationWindows(panel, schema.model_copy(update=update), between, counts, source)


def fold_origins(lengths: Ints, horizon: int, folds: int, step: int) -> Ints:
    """Return the origins of each series, counted from its end, int64 [folds, series], oldest first.

    They are below 1 where a series is too short.
    """
    return lengths - horizon - step * np.arange(folds - 1, -1, -1, dtype=np.int64)[:, None]


def choose_step(lengths: Ints, horizon: int, folds: int, step: int | None = None, source: str = "the panel") -> int:
    """Return the steps between two origins: ``step`` if it is given, else at most the horizon.

    Forecasts overlap if the series are short: as far as needed for a series of median length to have half of its steps
    before the first origin, and for the longest series to have two horizons and a step, which a training needs. The
    minimum is 1.

    Raises:
        DataError: The longest series is too short.
    """
    longest, median = int(lengths.max()), float(np.median(lengths))
    room = longest - horizon - min_series_length(horizon)
    if room < (folds - 1) * (step or 1):
        raise _too_short_error(lengths, horizon, folds, step, source)
    if step is not None or folds == 1:
        return step or horizon
    half = int(median / 2) - horizon
    return max(min(horizon, half // (folds - 1), room // (folds - 1)), 1)


def _too_short_error(lengths: Ints, horizon: int, folds: int, step: int | None, source: str) -> DataError:
    """Return the error for a backtest that does not fit into the series, with values that would fit."""
    longest, required, between = int(lengths.max()), min_series_length(horizon) + horizon, step or 1
    hints = []
    if step is not None and longest - required >= folds - 1 > 0:
        hints.append(f"set {{step}} to at most {(longest - required) // (folds - 1)}")
    if longest >= required and folds > 1:
        hints.append(f"set {{folds}} to at most {(longest - required) // between + 1}")
    if (max_horizon := _max_horizon(lengths, folds, step)) >= 1:
        hints.append(f"set {{horizon}} to at most {max_horizon}")
    count = f"{folds} folds" if folds > 1 else "1 fold"
    count += f" {step} steps apart" if step is not None and folds > 1 else ""
    return DataError(
        f"{source}: a backtest of {count} with a horizon of {horizon} needs a series of at least "
        f"{required + (folds - 1) * between} rows, and the longest has {longest}",
        *(hints or ["provide more data"]),
    )


def _max_horizon(lengths: Ints, folds: int, step: int | None) -> int:
    """Return the longest horizon that fits this many folds; below 1 if none does."""
    return int(lengths.max() - 1 - (folds - 1) * (step or 1)) // 3


def _data_before_any_origin(panel: Panel, config: DataConfig, folds: int, step: int | None) -> Panel:
    """Return the data before the first origin for every horizon that a season may lead to.

    The season may determine the horizon, which determines the first origin, and data after it must not influence the
    season.
    """
    limit = int(infer_horizon(panel, config, UNBOUNDED_SEASON).value)
    horizons = range(1, min(limit, _max_horizon(panel.lengths, folds, step)) + 1)
    spans = (horizon + (folds - 1) * choose_step(panel.lengths, horizon, folds, step) for horizon in horizons)
    return panel.slice(0, panel.lengths - max(spans, default=0)).drop_empty()


def plan_evaluation(
    fitted: FittedForecaster,
    panel: Panel,
    *,
    origins: int | None = None,
    step: int | None = None,
    last_steps: int | None = None,
    source: str = "the panel",
) -> EvaluationWindows:
    """Plan the evaluation of a fitted forecaster on a panel that was read by its schema.

    By default the forecasts cover the data after the training data, one horizon after the other, counted from the end.
    Series that are not part of the training data, and series without timestamps, are covered from a context on.

    Args:
        fitted: The forecaster.
        panel: The series. The end of the training data is prepended to those that begin after it.
        origins: Maximum number of forecasts of each series, the newest ones.
        step: Steps between two origins; defaults to the horizon.
        last_steps: Cover only the last steps of each series, including training data.
        source: Name of the data in errors.

    Raises:
        ConfigError: A number is below 1.
        DataError: No series is long enough after the training data.
    """
    _check_counts(origins=origins, step=step, last_steps=last_steps)
    spec, dated, training = fitted.spec, bool(fitted.schema.time), fitted.training_data
    is_training_data = fingerprint(panel) == training.get("fingerprint")
    if dated:
        panel = _prepend_history(panel, fitted.panel, spec.context)
    trained = _trained_steps(panel, fitted.panel) if dated else np.full(len(panel), -1, dtype=np.int64)
    if is_training_data:
        trained = panel.lengths
    newest, between = panel.lengths - spec.horizon, step or spec.horizon
    if last_steps is not None:
        first = np.maximum(panel.lengths - last_steps, 1)
    else:
        first = np.maximum(np.where(trained >= 0, trained, np.minimum(spec.context, newest)), 1)
    counts = np.clip((newest - first) // between + 1, 0, origins)
    if not counts.any():
        raise _no_windows_error(panel, spec.horizon, trained, training, last_steps, source)
    schema = fitted.schema.model_copy(update={"season": spec.season, "horizon": spec.horizon})
    windows = EvaluationWindows(panel, schema, between, counts, source)
    return replace(windows, notes=_notes(windows, trained, training, known=dated or is_training_data))


def _trained_steps(panel: Panel, training: Panel) -> Ints:
    """Return the steps of each series up to the end of its training data; -1 if it is not part of them."""
    ends = dict(zip(training.ids, (training.starts + training.lengths).tolist(), strict=True))
    steps = [ends.get(id, start - 1) - start for id, start in zip(panel.ids, panel.starts.tolist(), strict=True)]
    unknown = np.array([id not in ends for id in panel.ids])
    return np.where(unknown, -1, np.maximum(np.array(steps, dtype=np.int64), 0))


def _prepend_history(panel: Panel, training: Panel, context: int) -> Panel:
    """Prepend the end of the training data to each series that begins less than a context after it."""
    index = {id: number for number, id in enumerate(training.ids)}
    partner = np.array([index.get(id, -1) for id in panel.ids])
    before = np.where(partner >= 0, panel.starts - training.starts[partner], 0)
    gap = before - np.where(partner >= 0, training.lengths[partner], 0)
    before = np.where((before > 0) & (gap < context), before, 0)
    if not before.any():
        return panel
    partner = np.maximum(partner, 0)
    history = replace(training, covariates=None, static=()).take(partner).relative_to(panel.levels)
    series = history.series.resize(before).append(panel.series)
    covariates, own = panel.covariates, training.covariates
    if covariates is not None and own is not None:
        columns = [own.names.index(name) for name in covariates.names]
        earlier = own.series.take(partner).resize(before)
        earlier = replace(earlier, values=earlier.values[:, columns])
        covariates = replace(covariates, series=earlier.append(covariates.series))
    return replace(panel, series=series, starts=panel.starts - before, covariates=covariates)


def _notes(windows: EvaluationWindows, trained: Ints, training: Mapping[str, Any], *, known: bool) -> tuple[str, ...]:
    """Return sentences on overlap with the training data and on skipped series."""
    notes = []
    series, origin = windows.pairs()
    overlapping = int((origin < trained[series]).sum())
    if overlapping:
        notes.append(
            f"{overlapping} of {len(series)} forecasts do not start after the training data, which end at "
            f"{training['last']}: errors on training data are lower than on new data."
        )
    if not known:
        notes.append(
            "Without timestamps it is unknown which rows are training data: errors on those are lower than on new data."
        )
    skipped = int((windows.counts == 0).sum())
    if skipped:
        notes.append(f"Skipped {skipped} of {len(windows.panel)} series, which have too few rows.")
    return tuple(notes)


def _no_windows_error(
    panel: Panel, horizon: int, trained: Ints, training: Mapping[str, Any], last_steps: int | None, source: str
) -> DataError:
    """Return the error for series that are too short for any forecast."""
    longest = int(panel.lengths.max())
    if last_steps is not None and last_steps < horizon:
        return DataError(
            f"{source}: a forecast of {horizon} steps does not fit into the last {last_steps}",
            f"set {{last_steps}} to at least {horizon}",
        )
    if longest <= horizon:
        return DataError(
            f"{source}: a forecast of {horizon} steps needs a series of at least {horizon + 1} rows, and the longest "
            f"has {longest}",
            "provide more data",
        )
    new = int((panel.lengths - np.maximum(trained, 0))[trained >= 0].max(initial=0))
    return DataError(
        f"{source}: expected at least {horizon} rows after the training data, which end at {training['last']}, but "
        f"there are {new}",
        "provide newer data",
        f"set {{last_steps}} to at least {horizon} to score training data",
    )
