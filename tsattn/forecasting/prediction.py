"""Predict with a fitted forecaster: from the end of the data or an earlier cutoff, recursively, or by sample paths."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import quote_list
from tsattn.data.loader import Frame, load, source_name, to_table
from tsattn.data.prediction_inputs import Cutoff, add_future_covariates, apply_cutoff, extend_calendar_features
from tsattn.errors import ConfigError, DataError, DataWarning
from tsattn.forecasting.fitted import FittedForecaster, covariate_notes
from tsattn.models.combination import get_methods
from tsattn.models.forecast_model import can_sample, sample_paths
from tsattn.models.training_range import window_statistics
from tsattn.scoring.comparison import predict_windows
from tsattn.timeseries.frames import forecast_frame, history_frame, name_columns, sample_frame, weight_frame
from tsattn.timeseries.panel import WIDE_ID, Panel, missing_future_covariates
from tsattn.timeseries.ragged import Floats
from tsattn.timeseries.schema import Schema
from tsattn.timeseries.windows import WEIGHTS, WindowSpec, gather

STACKLEVEL = 4
"""Frames from a warning in a function that `predict` calls to the caller of `Forecaster.predict`."""

MAX_VALUES = 2_000_000
"""Values that are drawn at once, so that many series do not exceed the memory."""


@dataclass(frozen=True)
class PredictionRequest:
    """Options of a prediction.

    Args:
        future: Timestamps, ids and future covariates.
        cutoff: Last timestamp of the history; None for the end of the data.
        horizon: Steps to forecast; None for the horizon of the model.
        recursive: Whether to forecast beyond the horizon of the model, with the median forecast as history.
        levels: Quantile levels to return; None for all that the model was fitted for.
    """

    future: Frame | Path | str | None = None
    cutoff: Cutoff | None = None
    horizon: int | None = None
    recursive: bool = False
    levels: Sequence[float] | None = None

    def select_levels(self, fitted_levels: Sequence[float]) -> tuple[float, ...]:
        """Return the levels to return, ascending.

        Raises:
            ConfigError: The model was not fitted for one of them.
        """
        if self.levels is None:
            return tuple(fitted_levels)
        known = {round(level, 6): level for level in fitted_levels}
        missing = [f"{level:g}" for level in self.levels if round(level, 6) not in known]
        if missing or not self.levels:
            raise ConfigError(
                f"levels must be among the quantile levels that the model was fitted for, "
                f"{', '.join(f'{level:g}' for level in fitted_levels)}. Received: {', '.join(missing) or 'none'}",
                "fit with those {levels}",
            )
        return tuple(sorted({known[round(level, 6)] for level in self.levels}))

    def steps(self, fitted_horizon: int) -> int:
        """Return the number of steps to forecast.

        Raises:
            ConfigError: It is below 1, or above the horizon of the model without ``recursive``.
        """
        steps = fitted_horizon if self.horizon is None else self.horizon
        if steps < 1:
            raise ConfigError(f"horizon must be 1 or more. Received: horizon={steps}")
        if steps > fitted_horizon and not self.recursive:
            raise ConfigError(
                f"horizon={steps} is more than the {fitted_horizon} steps that the model was fitted for",
                "fit with that horizon",
                "set {recursive}, which appends the median forecast to the history and forecasts again",
            )
        return steps


def prediction_panel(fitted: FittedForecaster, X: Frame | Path | str | None, request: PredictionRequest) -> Panel:
    """Return the series to forecast, up to the cutoff and with their future covariates."""
    spec, schema = fitted.spec, fitted.schema
    steps = request.steps(spec.horizon)
    panel = fitted.panel if X is None else load(X, schema=schema, covariates=fitted.needs_covariates)[0]
    if request.cutoff is not None:
        source = "the run" if X is None else source_name(X)
        panel = apply_cutoff(panel, request.cutoff, schema, spec.context, source)
        if X is None:
            _warn_short_history(panel, fitted)
    if request.cutoff is not None or steps > spec.horizon:
        panel = extend_calendar_features(panel, schema, max(steps, spec.horizon))
    if request.future is not None:
        panel = add_future_covariates(panel, to_table(request.future, schema.read_options), schema)
    for note in covariate_notes(panel, spec, schema) if steps <= spec.horizon else ():
        warnings.warn(note, stacklevel=STACKLEVEL)
    return panel


@dataclass(frozen=True)
class Prediction:
    """Quantile forecasts of several series.

    Args:
        frame: What `Forecaster.predict` returns.
        panel: The series before the forecast, as far as they are known.
        schema: How they were read.
    """

    frame: pd.DataFrame
    panel: Panel
    schema: Schema

    @property
    def history(self) -> pd.DataFrame:
        """The series with the names of the columns of the data: id, time and target."""
        return name_columns(history_frame(self.panel), self.schema)


def predict(fitted: FittedForecaster, X: Frame | Path | str | None, request: PredictionRequest) -> Prediction:
    """Return quantile forecasts; see `Forecaster.predict`."""
    spec = fitted.spec
    steps, panel = request.steps(spec.horizon), prediction_panel(fitted, X, request)
    empty = find_empty_series(fitted, panel)
    warn_unlike_series(fitted, panel)
    if steps > spec.horizon:
        quantiles = _predict_recursively(fitted, panel, steps)
    else:
        series = np.arange(len(panel), dtype=np.int64)
        quantiles = predict_windows(fitted.model, spec, panel, series, panel.lengths)[:, :steps]
    _warn_overflow(panel, ~np.isfinite(quantiles).all(axis=(1, 2, 3)) & ~empty)
    quantiles = np.where(empty[:, None, None, None], np.float32(np.nan), quantiles)
    levels = request.select_levels(spec.levels)
    chosen = quantiles[..., [spec.levels.index(level) for level in levels]]
    frame = forecast_frame(panel, chosen, levels)
    return Prediction(name_columns(frame, fitted.schema), panel, fitted.schema)


def method_weights(fitted: FittedForecaster, panel: Panel) -> pd.DataFrame | None:
    """Return the weights of the combined methods in the forecasts that follow a panel, if the model combines any.

    Returns:
        ``unique_id``, ``ds``, ``method``, ``weight``; the weights of a step have the sum 1.
    """
    if WEIGHTS not in fitted.model.output:
        return None
    series = np.arange(len(panel), dtype=np.int64)
    weights = predict_windows(fitted.model, fitted.spec, panel, series, panel.lengths, WEIGHTS)
    return weight_frame(panel, weights, get_methods(fitted.model, str(fitted.config.model["name"])))


def find_empty_series(fitted: FittedForecaster, panel: Panel) -> npt.NDArray[np.bool_]:
    """Return which series have no observed value in the context, [series]; they have no forecast, with a warning."""
    context = panel.tail(fitted.spec.context).series
    observed = np.isfinite(context.values).any(axis=1).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(observed)])
    empty = np.asarray(total[context.offsets[1:]] == total[context.offsets[:-1]])
    if empty.any():
        warnings.warn(
            f"{_name_series(panel, empty)}: no forecast, because the last {fitted.spec.context} steps have no observed "
            "value",
            DataWarning,
            stacklevel=STACKLEVEL,
        )
    return empty


def _warn_overflow(panel: Panel, broken: npt.NDArray[np.bool_]) -> None:
    """Warn of series whose forecast is not finite although they have observed values."""
    if broken.any():
        warnings.warn(
            f"{_name_series(panel, broken)}: no forecast, because sums of values as large as these exceed float32; "
            "divide the column by a constant",
            DataWarning,
            stacklevel=STACKLEVEL,
        )


def warn_unlike_series(fitted: FittedForecaster, panel: Panel) -> None:
    """Warn of series that are unlike all training data of a network, with the statistics that differ."""
    known = fitted.training_range
    if known is None:
        return
    windows = window_statistics(panel, fitted.spec, np.arange(len(panel), dtype=np.int64), panel.lengths)
    differences = known.differences(windows)
    unlike = np.any([found.any(axis=1) for found in differences.values()], axis=0)
    if unlike.any():
        names = [name for name, found in differences.items() if found.any()]
        warnings.warn(
            f"{_name_series(panel, unlike)}: unlike all training data in {quote_list(names, quote='')}, so that the "
            "forecast of the network is less reliable; fit with such series, or forecast without training",
            DataWarning,
            stacklevel=STACKLEVEL,
        )


def _name_series(panel: Panel, chosen: npt.NDArray[np.bool_]) -> str:
    """Return the ids of some series for a message."""
    ids = [panel.ids[index] for index in np.flatnonzero(chosen)]
    if ids == [WIDE_ID]:
        return "the series"
    return f"{len(ids)} of {len(panel)} series ({quote_list(ids)})"


def _warn_short_history(panel: Panel, fitted: FittedForecaster) -> None:
    """Warn if a run, which stores the end of the series only, has less than a context before the cutoff."""
    whole = int(fitted.training_data["steps"]) == int(fitted.panel.lengths.sum())
    if not whole and (panel.lengths < fitted.spec.context).any():
        warnings.warn(
            f"a run stores only the end of its data, with less than the context of {fitted.spec.context} steps before "
            "this cutoff: give the data for a better forecast",
            DataWarning,
            stacklevel=STACKLEVEL + 1,
        )


def _predict_recursively(fitted: FittedForecaster, panel: Panel, steps: int) -> Floats:
    """Return the quantiles of a forecast beyond the horizon of the model, [series, steps, targets, levels].

    Raises:
        DataError: Future covariates are missing within these steps.
    """
    spec = fitted.spec
    missing = missing_future_covariates(panel, fitted.schema, spec.future_covariates, steps)
    if missing:
        raise DataError(
            f"{missing}; a recursive forecast needs them for all of its {steps} steps",
            "give them by {future}",
            "reduce {horizon}",
        )
    panel = panel.tail(spec.context)
    origin = panel.lengths
    # Past covariates are not available after the origin, even if the data have them.
    covariates = panel.covariates and panel.covariates.mask_past_covariates(origin)
    panel = replace(panel, series=panel.series.resize(origin + steps), covariates=covariates)
    series = np.arange(len(panel), dtype=np.int64)
    rows = panel.series.offsets[:-1, None] + origin[:, None]
    parts: list[Floats] = []
    for done in range(0, steps, spec.horizon):
        quantiles = predict_windows(fitted.model, spec, panel, series, origin + done)[:, : steps - done]
        parts.append(quantiles)
        panel.values[rows + np.arange(done, done + quantiles.shape[1])] = quantiles[..., spec.median]
    warnings.warn(
        f"{steps} steps are more than the {spec.horizon} that the model was fitted for: from step {spec.horizon + 1} "
        "on the median forecast is used as history, and the intervals are too narrow",
        DataWarning,
        stacklevel=STACKLEVEL,
    )
    return np.concatenate(parts, axis=1)


def sample(
    fitted: FittedForecaster, X: Frame | Path | str | None, request: PredictionRequest, samples: int, seed: int
) -> pd.DataFrame:
    """Return sample paths; see `Forecaster.sample`."""
    if not can_sample(fitted.model):
        raise ConfigError(
            f"sample paths are drawn from a distribution, but {fitted.name} forecasts quantiles here",
            "fit a network with model.head=normal, student_t or, for counts, negative_binomial",
        )
    if not isinstance(samples, int | np.integer) or samples < 1:
        raise ConfigError(f"samples must be an integer, 1 or more. Received: samples={samples}")
    horizon = fitted.spec.horizon
    steps = horizon if request.horizon is None else request.horizon
    if not 1 <= steps <= horizon:
        raise ConfigError(
            f"horizon must be 1 to the {horizon} steps that the model was fitted for. Received: horizon={steps}"
        )
    panel = prediction_panel(fitted, X, request)
    empty = find_empty_series(fitted, panel)
    warn_unlike_series(fitted, panel)
    paths = sample_windows(fitted.model, fitted.spec, panel, samples, seed)[:, :, :steps]
    frame = sample_frame(panel, np.where(empty[:, None, None, None], np.float32(np.nan), paths))
    return name_columns(frame, fitted.schema)


def sample_windows(model: keras.Model, spec: WindowSpec, panel: Panel, samples: int, seed: int) -> Floats:
    """Return sample paths that follow each series of a panel, [series, samples, horizon, targets]."""
    shape = (samples, spec.horizon, len(spec.targets))
    generator = keras.random.SeedGenerator(seed)
    size, parts = max(MAX_VALUES // int(np.prod(shape)), 1), []
    for begin in range(0, len(panel), size):
        series = np.arange(begin, min(begin + size, len(panel)), dtype=np.int64)
        batch = gather(panel, spec, series, panel.lengths[series], target=False)
        noise = keras.random.normal((len(series), *shape), seed=generator)
        parts.append(keras.ops.convert_to_numpy(sample_paths(model, batch, noise)))
    return np.concatenate(parts)
