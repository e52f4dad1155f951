"""Forecasts without training: every series by itself, by the pretrained network and exponential smoothings.

Nothing here imports Keras or TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsattn._text import check_keywords
from tsattn.config import DataConfig, RunConfig
from tsattn.data.loader import Frame, load
from tsattn.pretrained.zero_shot import MAX_VALUE, forecast_series
from tsattn.smoothing.intervals import SHORT_HISTORY
from tsattn.timeseries.characteristics import combined_seasons
from tsattn.timeseries.frames import forecast_frame, name_columns, template_of, to_library
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema

MIN_WEIGHT = 0.05
"""Least weight that a summary names."""


@dataclass(frozen=True)
class CombinationForecast:
    """Forecasts of a panel and the weights of the methods.

    Args:
        frame: Id, time, target and the intervals; see `tsattn.timeseries.frames.name_columns`.
        weights: Sum of the weights of each kind of method, mean over the series, largest first.
    """

    frame: pd.DataFrame
    weights: dict[str, float]

    def summary(self) -> str:
        """Return one sentence on the weights."""
        large = [f"{kind} {100 * weight:.0f} %" for kind, weight in self.weights.items() if weight >= MIN_WEIGHT]
        return f"Weights of the methods in the forecast: {'; '.join(large)}."


def forecast(
    data: Frame | Path | str, horizon: int | None = None, *, levels: Sequence[float] = (0.1, 0.5, 0.9), **options: Any
) -> pd.DataFrame:
    """Forecast every series of a data frame or file by itself, without training.

    The forecast combines a network that was trained on synthetic series with exponential smoothings, Theta, drift and
    naive methods. The latter have fixed parameters and are weighted by attention: the scores are their errors in the
    history of the very series. Covariates are not used.

    Args:
        data: What `Forecaster.fit` takes.
        horizon: Steps to forecast; by rule from the frequency if None.
        levels: Quantile levels from 0.01 to 0.99; 0.5, the point forecast, must be one of them.
        **options: How the data are read, as for `Forecaster`: ``time``, ``id``, ``target``, ``freq``, ``season``,
            ``support``, ``on_duplicate``, ``resample``.

    Returns:
        Id, time, target and the bounds of the intervals, as `Forecaster.predict`.

    Raises:
        TypeError: An option has an unknown name.
        ConfigError: An option has a value that is not allowed.
        DataError: The data cannot be read as series.

    Warns:
        DataWarning: What a user should check about how the data were read, such as a series with one value.

    Example:
        >>> tsattn.forecast("sales.csv", horizon=12)
    """
    check_keywords("tsattn.forecast", options, ("horizon", "levels", *DataConfig.model_fields))
    config = RunConfig.from_dict(
        {"data": {**options, "horizon": horizon}, "levels": tuple(levels)}, source="tsattn.forecast"
    )
    panel, schema = load(data, config.data)
    schema.warn()
    forecast: pd.DataFrame = to_library(forecast_panel(panel, schema, config).frame, template_of(data))
    return forecast


def describe_short_history(panel: Panel, schema: Schema) -> str | None:
    """Return what the intervals of a combination rest on, one sentence if the series are short, else None."""
    longest = int(panel.lengths.max())
    if longest >= sum(length * factor for length, factor in zip(SHORT_HISTORY, (1, schema.season), strict=True)):
        return None
    return (
        f"With at most {longest} steps per series there are few past errors to learn from, so that the intervals rest "
        "mostly on the errors that are usual for such series; they will follow your data as these grow."
    )


def forecast_panel(
    panel: Panel, schema: Schema, config: RunConfig, seasons: tuple[int, ...] | None = None
) -> CombinationForecast:
    """Forecast every series and target of a panel.

    Args:
        panel: The series.
        schema: How they were read, with season, horizon and domain.
        config: The quantile levels, and the season if it is given.
        seasons: Season lengths; by rule from the panel if None.
    """
    channels = len(panel.targets)
    series = [panel.series[index][:, channel] for index in range(len(panel)) for channel in range(channels)]
    if seasons is None:
        seasons = combined_seasons(panel, schema, given=config.data.season is not None)
    result = forecast_series(series, schema.horizon, seasons, config.levels)
    quantiles = np.clip(result.quantiles, -MAX_VALUE, MAX_VALUE)
    if schema.support != "real":
        least = 0.0 if panel.levels is None else -panel.levels.reshape(-1, 1, 1)
        quantiles = np.maximum(quantiles, least)
    quantiles = (
        quantiles.astype("float32").reshape(len(panel), channels, schema.horizon, len(config.levels)).swapaxes(1, 2)
    )
    mean = {kind: float(weights.mean()) for kind, weights in result.weights.items()}
    weights = dict(sorted(mean.items(), key=lambda item: -item[1]))
    return CombinationForecast(name_columns(forecast_frame(panel, quantiles, config.levels), schema), weights)
