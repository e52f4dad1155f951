"""Columns that a model expects in a forecast request, and synthetic example data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.table import FILE
from tsattn.data.timestamps import EPOCH_UNITS, is_joint
from tsattn.export.column_samples import ColumnSample
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
        sample = _sample(metadata, schema.targets[channel if len(targets) > 1 else 0])
        columns[target] = _make_target(sample, schema.season, steps, horizon, number + channel)
    rng = np.random.default_rng(number)
    for feature in schema.future_covariates if used else ():
        columns[feature] = _make_covariate(metadata, feature, steps + horizon, rng)
    for feature in schema.past_covariates if used else ():
        missing: Any = "" if feature in schema.categories else float("nan")
        columns[feature] = _make_covariate(metadata, feature, steps, rng) + [missing] * horizon
    for feature in schema.static_covariates if used else ():
        columns[feature] = _make_covariate(metadata, feature, 1, rng) * (steps + horizon)
    return pd.DataFrame(columns)


def _sample(metadata: ModelMetadata, column: str) -> ColumnSample:
    return metadata.column_samples.get(column, ColumnSample())


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


def _make_target(sample: ColumnSample, season: int, steps: int, horizon: int, number: int) -> Floats:
    """Return a season with some noise in the range of the training data; NaN for the steps to forecast."""
    step = np.arange(steps)
    noise = np.random.default_rng(number).normal(0, 0.1, steps)
    wave = 0.7 * np.sin(2 * np.pi * (step / (season if season > 1 else 12) + number / 5)) + noise
    values = sample.low + (sample.high - sample.low) * np.clip((1 + wave) / 2, 0, 1)
    return np.append(np.round(values, sample.decimals), np.full(horizon, np.nan))


def _make_covariate(metadata: ModelMetadata, name: str, steps: int, rng: np.random.Generator) -> list[Any]:
    """Return values of a covariate that are like those of the training data."""
    categories = metadata.data_schema.categories
    if name in categories:
        values = categories[name] or ("",)
        return [values[index] for index in rng.integers(0, len(values), steps)]
    drawn = _sample(metadata, name).draw(steps, rng)
    return [int(value) for value in drawn] if all(value.is_integer() for value in drawn) else drawn


def format_timestamps(times: pd.DatetimeIndex) -> list[str]:
    """Return timestamps as ISO text; as dates if all of them are midnight without a time zone."""
    if times.tz is None and (times == times.normalize()).all():
        return [str(day) for day in times.to_numpy().astype("datetime64[D]")]
    return [time.isoformat() for time in times]
