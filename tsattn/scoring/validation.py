"""Forecasts of the validation part: error by step, calibration, and series with small and large errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsattn.scoring.metrics import REFERENCE
from tsattn.timeseries.frames import history_frame, quantile_columns, series_names
from tsattn.timeseries.panel import Panel

_EXAMPLES = {"good": 0.1, "median": 0.5, "bad": 0.9}
"""Fraction of the series with a smaller error."""


@dataclass(frozen=True)
class ValidationExample:
    """A forecast of the validation part.

    Args:
        kind: "good", "median" or "bad".
        error: Mean absolute error of its series, in units of ``ValidationSummary.unit``.
        history: ``unique_id``, ``ds``, ``y`` of the series, up to the end of the forecast.
        forecast: ``unique_id``, ``ds``, ``y`` and the bounds of intervals.
    """

    kind: str
    error: float
    history: pd.DataFrame
    forecast: pd.DataFrame


@dataclass(frozen=True)
class ValidationSummary:
    """How a model forecast the validation part, before its intervals were calibrated on it.

    Args:
        unit: Unit of the errors: "MASE", or "MAE" if a season is as long as the data.
        by_step: ``step`` of the horizon, from 1, and mean error of the model and of the seasonal naive forecast.
        coverage: ``level`` and ``fraction``, that of the values below this quantile.
        examples: Forecasts of a series with a small, a median and a large error; of a forecast origin where there are
            fewer than three series.
    """

    unit: str
    by_step: pd.DataFrame
    coverage: pd.DataFrame
    examples: tuple[ValidationExample, ...]


def summarize_validation(
    frame: pd.DataFrame, name: str, levels: tuple[float, ...], panel: Panel, scales: pd.DataFrame
) -> ValidationSummary | None:
    """Return the summary of the forecasts of a model; None if no value is known.

    Args:
        frame: ``unique_id``, ``cutoff``, ``ds``, ``y`` and the columns of the models; see
            `tsattn.scoring.comparison.forecast_origins`.
        name: Name of the model.
        levels: Its quantile levels.
        panel: The series, with the validation part.
        scales: Errors of the seasonal naive forecast before the validation part, see
            `tsattn.scoring.metrics.naive_scales`.
    """
    known = frame.dropna(subset="y")
    if known.empty:
        return None
    columns = {f"{name}{key.removeprefix('y')}": index for key, index in quantile_columns(levels).items()}
    factor = known["unique_id"].map(scales["mae"].replace(0.0, np.nan)).astype(float)
    unit = "MASE" if factor.notna().any() else "MAE"
    factor = factor if unit == "MASE" else pd.Series(1.0, index=known.index)
    step = frame.groupby(["unique_id", "cutoff"], sort=False).cumcount().loc[known.index] + 1
    shown = list(dict.fromkeys([name, REFERENCE]))
    errors = pd.DataFrame({model: (known[model].astype(float) - known["y"]).abs() / factor for model in shown})
    coverage = pd.DataFrame(
        {
            "level": [levels[index] for index in columns.values()],
            "fraction": [float((known["y"] <= known[column]).mean()) for column in columns],
        }
    )
    return ValidationSummary(
        unit,
        errors.groupby(step.rename("step")).mean().reset_index(),
        coverage.sort_values("level", ignore_index=True),
        _examples(frame, known.assign(error=errors[name]), list(columns), name, panel),
    )


def _examples(
    frame: pd.DataFrame, known: pd.DataFrame, columns: list[str], name: str, panel: Panel
) -> tuple[ValidationExample, ...]:
    """Return the last forecast of the series whose errors have given ranks, or those of origins."""
    keys = ["unique_id"] if known["unique_id"].nunique() >= len(_EXAMPLES) else ["unique_id", "cutoff"]
    ranked = known.dropna(subset="error").groupby(keys, sort=False)["error"].mean().sort_values(kind="stable")
    chosen = {round(rank * (len(ranked) - 1)): kind for kind, rank in _EXAMPLES.items()} if len(ranked) else {}
    places, found = {id: number // len(panel.targets) for number, id in enumerate(series_names(panel))}, []
    for place, kind in chosen.items():
        key = ranked.index[place]
        id, cutoff = key if isinstance(key, tuple) else (key, known.loc[known["unique_id"] == key, "cutoff"].max())
        own = frame[(frame["unique_id"] == id) & (frame["cutoff"] == cutoff)]
        forecast = own[["unique_id", "ds", *columns]].rename(columns=lambda text: text.replace(name, "y", 1))
        history = history_frame(panel.take(np.array([places[id]])))
        past = history[(history["unique_id"] == id) & (history["ds"] <= own["ds"].max())]
        found.append(ValidationExample(kind, float(ranked.iloc[place]), past, forecast))
    return tuple(found)
