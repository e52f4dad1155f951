"""What rows the friendlier door expects for a model: its columns, and data made up to show them."""

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
"""Fewest and most steps of history in the example."""

_NAMES = ("north", "south")
"""Series of the example, where there are several."""

Floats = npt.NDArray[np.float64]


def list_columns(description: ModelMetadata) -> list[dict[str, Any]]:
    """Return the columns of a request: name, other name, what stands in it, and whether it has to be there."""
    schema = description.data_schema
    ids, time, targets = _plain_names(schema)
    told = [(name, ID if len(ids) == 1 else None, "id of the series", False) for name in ids]
    told += [(name, TIME, "time stamp", True) for name in time]
    told += [(name, VALUE if len(targets) == 1 else None, "value to forecast", True) for name in targets]
    if uses_covariates(description):
        told += [(name, None, "known ahead, over the horizon too", True) for name in schema.future_covariates]
        told += [(name, None, "known up to the forecast", True) for name in schema.past_covariates]
        told += [(name, None, "one value a series", False) for name in schema.static_covariates]
    return [
        {"name": name, "or": plain if plain != name else None, "meaning": meaning, "needed": needed}
        for name, plain, meaning, needed in told
    ]


def _plain_names(schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the columns of ids, stamps and targets of a row a stamp, whichever layout the schema has."""
    ids = tuple(name for name in schema.id if name != FILE)
    if schema.layout in ("rows", "months"):
        return ids[:1] and (ID,), (TIME,), (VALUE,)
    return ids, schema.time if len(schema.time) < 2 else (TIME,), schema.targets


def make_example_csv(description: ModelMetadata) -> str:
    """Return made-up history that the model can forecast, with what is known ahead, as CSV."""
    schema = description.data_schema
    ids, _, _ = _plain_names(schema)
    names = _NAMES if ids else _NAMES[:1]
    parts = [_series(description, number, name) for number, name in enumerate(names)]
    return pd.concat(parts, ignore_index=True).to_csv(index=False)


def _series(description: ModelMetadata, number: int, name: str) -> pd.DataFrame:
    """Return one series of the example."""
    schema = description.data_schema
    ids, time, targets = _plain_names(schema)
    used = uses_covariates(description)
    steps = int(np.clip(max(3 * schema.season, 4 * description.horizon), *_STEPS))
    ahead = description.horizon if used and schema.future_covariates else 0
    columns: dict[str, Any] = {id: [name] * (steps + ahead) for id in ids}
    columns |= {column: _stamps(schema, steps + ahead) for column in time}
    for channel, target in enumerate(targets):
        columns[target] = _wave(schema, steps, ahead, number + channel)
    for feature in schema.future_covariates if used else ():
        columns[feature] = _covariate(schema, feature, steps + ahead, 0)
    for feature in schema.past_covariates if used else ():
        columns[feature] = _covariate(schema, feature, steps, ahead)
    for feature in schema.static_covariates if used else ():
        columns[feature] = [_covariate(schema, feature, number + 1, 0)[-1]] * (steps + ahead)
    return pd.DataFrame(columns)


def _stamps(schema: Schema, steps: int) -> list[Any]:
    """Return stamps in the form of the schema, from its origin on."""
    stamps = schema.grid.time_range(0, steps)
    if not isinstance(stamps, pd.DatetimeIndex):
        return list(stamps)
    form = schema.time_format
    if form in EPOCH_UNITS:
        return list(stamps.tz_localize(None).asi8 * 1000 // EPOCH_UNITS[form])
    if form == "quarter":
        return [f"{stamp.year}Q{stamp.quarter}" for stamp in stamps]
    return list(stamps.strftime(form)) if "%" in form and not is_joint(form) else format_timestamps(stamps)


def _wave(schema: Schema, steps: int, ahead: int, number: int) -> Floats:
    """Return a season on a slope with some noise; nothing ahead."""
    step = np.arange(steps)
    noise = np.random.default_rng(number).normal(0, 2, steps)
    season = 15 * np.sin(2 * np.pi * (step / max(schema.season, 12) + number / 5))
    return np.append(np.round(100 + 40 * number + 30 * step / steps + season + noise, 1), np.full(ahead, np.nan))


def _covariate(schema: Schema, name: str, steps: int, ahead: int) -> list[Any]:
    """Return values of a covariate; nothing for the steps ahead."""
    if name in schema.categories:
        values = schema.categories[name] or ("",)
        return [values[step % len(values)] for step in range(steps)] + [""] * ahead
    return [round(10 + 3 * float(np.sin(step)), 1) for step in range(steps)] + [float("nan")] * ahead


def format_timestamps(stamps: pd.DatetimeIndex) -> list[str]:
    """Return stamps as ISO text: dates alone where all of them are midnights without a time zone."""
    if stamps.tz is None and (stamps == stamps.normalize()).all():
        return [str(day) for day in stamps.to_numpy().astype("datetime64[D]")]
    return [stamp.isoformat() for stamp in stamps]
