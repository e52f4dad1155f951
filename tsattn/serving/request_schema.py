"""Columns that a model expects in a forecast request, and synthetic example data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.table import FILE
from tsattn.data.timestamps import EPOCH_UNITS, is_joint
from tsattn.export.metadata import ModelMetadata
from tsattn.serving.request_frames import ID, TIME, VALUE, uses_covariates
from tsattn.timeseries.schema import Schema

_STEPS = (24, 240)
"""Minimum and maximum number of history steps in the example."""

_NAMES = ("north", "south")
"""Ids of the series in the example."""

Floats = npt.NDArray[np.float64]


def list_columns(metadata: ModelMetadata) -> list[dict[str, Any]]:
    """Return the columns of a request with name, alternative name, meaning, and whether they are required."""
    schema = metadata.data_schema
    ids, time, targets = _long_columns(schema)
    columns = [(name, ID if len(ids) == 1 else None, "id of the series", False) for name in ids]
    columns += [(name, TIME, "timestamp", True) for name in time]
    columns += [(name, VALUE if len(targets) == 1 else None, "value to forecast", True) for name in targets]
    if uses_covariates(metadata):
        future = "future covariate, also for the steps to forecast"
        columns += [(name, None, future, True) for name in schema.future_covariates]
        columns += [(name, None, "past covariate", True) for name in schema.past_covariates]
        columns += [(name, None, "static covariate, one value per series", False) for name in schema.static_covariates]
    return [
        {"name": name, "or": standard if standard != name else None, "meaning": meaning, "needed": required}
        for name, standard, meaning, required in columns
    ]


def _long_columns(schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the columns of ids, timestamps and targets in long format, for any layout of the schema."""
    ids = tuple(name for name in schema.id if name != FILE)
    if schema.layout in ("rows", "months"):
        return ids[:1] and (ID,), (TIME,), (VALUE,)
    return ids, schema.time if len(schema.time) < 2 else (TIME,), schema.targets


def make_example_csv(metadata: ModelMetadata) -> str:
    """Return synthetic history with covariates for the model, as CSV."""
    ids, _, _ = _long_columns(metadata.data_schema)
    names = _NAMES if ids else _NAMES[:1]
    parts = [_make_series(metadata, number, name) for number, name in enumerate(names)]
    return pd.concat(parts, ignore_index=True).to_csv(index=False)


def _make_series(metadata: ModelMetadata, number: int, name: str) -> pd.DataFrame:
    """Return one series of the example."""
    schema = metadata.data_schema
    ids, time, targets = _long_columns(schema)
    used = uses_covariates(metadata)
    steps = int(np.clip(max(3 * schema.season, 4 * metadata.horizon), *_STEPS))
    horizon = metadata.horizon if used and schema.future_covariates else 0
    columns: dict[str, Any] = {id: [name] * (steps + horizon) for id in ids}
    columns |= {column: _make_timestamps(schema, steps + horizon) for column in time}
    for channel, target in enumerate(targets):
        columns[target] = _make_target(schema, steps, horizon, number + channel)
    for feature in schema.future_covariates if used else ():
        columns[feature] = _make_covariate(schema, feature, steps + horizon, 0)
    for feature in schema.past_covariates if used else ():
        columns[feature] = _make_covariate(schema, feature, steps, horizon)
    for feature in schema.static_covariates if used else ():
        columns[feature] = [_make_covariate(schema, feature, number + 1, 0)[-1]] * (steps + horizon)
    return pd.DataFrame(columns)


def _make_timestamps(schema: Schema, steps: int) -> list[Any]:
    """Return timestamps in the format of the schema, from its origin on."""
    times = schema.grid.time_range(0, steps)
    if not isinstance(times, pd.DatetimeIndex):
        return list(times)
    time_format = schema.time_format
    if time_format in EPOCH_UNITS:
        return list(times.tz_localize(None).asi8 * 1000 // EPOCH_UNITS[time_format])
    if time_format == "quarter":
        return [f"{time.year}Q{time.quarter}" for time in times]
    return (
        list(times.strftime(time_format))
        if "%" in time_format and not is_joint(time_format)
        else format_timestamps(times)
    )


def _make_target(schema: Schema, steps: int, horizon: int, number: int) -> Floats:
    """Return a season and a trend with some noise; NaN for the steps to forecast."""
    step = np.arange(steps)
    noise = np.random.default_rng(number).normal(0, 2, steps)
    season = 15 * np.sin(2 * np.pi * (step / max(schema.season, 12) + number / 5))
    return np.append(np.round(100 + 40 * number + 30 * step / steps + season + noise, 1), np.full(horizon, np.nan))


def _make_covariate(schema: Schema, name: str, steps: int, horizon: int) -> list[Any]:
    """Return values of a covariate, missing for the last ``horizon`` steps."""
    if name in schema.categories:
        values = schema.categories[name] or ("",)
        return [values[step % len(values)] for step in range(steps)] + [""] * horizon
    return [round(10 + 3 * float(np.sin(step)), 1) for step in range(steps)] + [float("nan")] * horizon


def format_timestamps(times: pd.DatetimeIndex) -> list[str]:
    """Return timestamps as ISO text; as dates if all of them are midnight without a time zone."""
    if times.tz is None and (times == times.normalize()).all():
        return [str(day) for day in times.to_numpy().astype("datetime64[D]")]
    return [time.isoformat() for time in times]
