"""Inputs of a prediction: the history up to a cutoff, future covariates and calendar features."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from tsattn._text import format_timestamp, quote_list
from tsattn.data.columns import Bools
from tsattn.data.panel_builder import to_panel
from tsattn.data.table import Table
from tsattn.data.timestamps import EPOCH_UNITS, is_joint, parse
from tsattn.errors import DataError, DataWarning
from tsattn.timeseries.calendar import add_calendar_features
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints, concat_ranges
from tsattn.timeseries.schema import Schema


def add_future_covariates(panel: Panel, table: Table, schema: Schema) -> Panel:
    """Return a panel with the future covariates of a table of timestamps, ids and these covariates.

    Raises:
        DataError: A column is missing, a cell or a timestamp is invalid, or a series is unknown.
    """
    future = schema.future_covariates
    if not future or panel.covariates is None:
        raise table.error("expected a model with future covariates, got one that was fitted without any")
    if not len(table):
        raise table.error("expected rows of future covariates, got none")
    if not schema.time:
        message = "expected data with timestamps for separate future covariates, got rows without"
        raise table.error(message, "append the rows to the history")
    as_past = {"targets": (), "future_covariates": (), "past_covariates": future, "static_covariates": ()}
    given = to_panel(table, schema.model_copy(update=as_past))
    covariates = given.covariates
    assert covariates is not None
    index = {id: number for number, id in enumerate(panel.ids)}
    unknown = [id for id in given.ids if id not in index]
    if unknown:
        raise table.error(f"expected the series of the history, got {quote_list(unknown)}")
    series = np.repeat(np.array([index[id] for id in given.ids], dtype=np.int64), given.lengths)
    position = concat_ranges(given.starts, given.lengths) - panel.starts[series]
    later = position >= 0
    features = {name: covariates.series.values[later, number] for number, name in enumerate(covariates.names)}
    return replace(panel, covariates=panel.covariates.update(series[later], position[later], features))


def extend_calendar_features(panel: Panel, schema: Schema, horizon: int) -> Panel:
    """Return a panel with its calendar features, if any, up to ``horizon`` steps after the end of the series."""
    found = add_calendar_features(
        replace(panel, covariates=None), schema.model_copy(update={"horizon": horizon})
    ).covariates
    if found is None or panel.covariates is None:
        return panel
    series = np.repeat(np.arange(len(panel), dtype=np.int64), found.series.lengths)
    features = {name: found.series.values[:, number] for number, name in enumerate(found.names)}
    return replace(panel, covariates=panel.covariates.update(series, found.series.steps, features))


Cutoff = str | int | datetime | np.datetime64
"""Timestamp as users write it."""


def apply_cutoff(panel: Panel, cutoff: Cutoff, schema: Schema, context: int, source: str) -> Panel:
    """Return the series up to a cutoff, from where they are forecast.

    Steps up to the cutoff without a value are missing values, also if a series ends earlier. Series without a value in
    the context are dropped. Future covariates stay.

    Args:
        panel: Series.
        cutoff: Last timestamp of the history.
        schema: How the series were read.
        context: Context length in steps.
        source: Name of the data in messages.

    Warns:
        DataWarning: Series are dropped, or end before the cutoff.

    Raises:
        DataError: The cutoff cannot be parsed, is off the grid, or is outside of the history.
    """
    position = _find_position(panel, cutoff, schema, source)
    first, end = int(panel.starts.min()), int((panel.starts + panel.lengths).max())
    if not first <= position < end:
        reach = " to ".join(format_timestamp(time) for time in panel.grid.times([first, end - 1]))
        raise DataError(
            f"{source}: cutoff {cutoff}: expected a timestamp of the history, {reach}",
            "leave {cutoff} out to forecast from its end" if position >= end else "set a later {cutoff}",
        )
    lengths = np.maximum(position - panel.starts + 1, 0)
    series = np.flatnonzero(_has_recent_values(panel, lengths, context))
    if not len(series):
        raise DataError(f"{source}: cutoff {cutoff}: expected a value in the {context} steps before it, got none")
    _warn(panel, series, lengths, cutoff)
    panel = panel.take(series)
    return replace(panel, series=panel.series.resize(lengths[series]))


def _has_recent_values(panel: Panel, lengths: Ints, context: int) -> Bools:
    """Return for each series whether it has a value in the context at the end of a history of given length."""
    return np.array(
        [
            np.isfinite(panel.series[index][max(int(length) - context, 0) : max(int(length), 0)]).any()
            for index, length in enumerate(lengths)
        ]
    )


def _warn(panel: Panel, series: Ints, lengths: Ints, cutoff: Cutoff) -> None:
    """Warn about series that are dropped, and about those that end before the cutoff."""
    dropped = [panel.ids[index] for index in sorted(set(range(len(panel))) - set(series.tolist()))]
    ended = [panel.ids[index] for index in series if panel.lengths[index] < lengths[index]]
    no_history = f"have no history up to {cutoff} and are left out"
    early = f"end before {cutoff}, and the steps up to it are missing values"
    for ids, message in ((dropped, no_history), (ended, early)):
        if ids:
            text = f"{len(ids)} of {len(panel)} series {message}: {quote_list(ids)}"
            warnings.warn(text, DataWarning, stacklevel=5)


def _find_position(panel: Panel, cutoff: Cutoff, schema: Schema, source: str) -> int:
    """Return the position of a cutoff on the grid."""
    position, on_grid = panel.grid.locate(_parse(panel, cutoff, schema, source))
    if not on_grid[0]:
        around = [format_timestamp(time) for time in panel.grid.times([position[0], position[0] + 1])]
        raise DataError(
            f"{source}: cutoff {cutoff}: expected a step of '{panel.grid.freq}', got a timestamp between {around[0]} "
            f"and {around[1]}",
            "set {cutoff} to one of them",
        )
    return int(position[0])


def _parse(panel: Panel, cutoff: Cutoff, schema: Schema, source: str) -> pd.Index:
    """Return a cutoff, in the format of the data or as an ISO date, as a timestamp of the grid."""
    grid, text = panel.grid, str(cutoff)
    single = not is_joint(schema.time_format) and schema.time_format not in ("step", "integer")
    formats = [schema.time_format, "date"] if single else ["date"]
    for time_format in formats if grid.has_dates else ["integer"]:
        if time_format == "integer" or time_format in EPOCH_UNITS:
            column: pd.Series[Any] = pd.Series([pd.to_numeric(text, errors="coerce")])
        else:
            column = pd.Series([text], dtype="str")
        times, invalid = parse(column, time_format)
        if not invalid[0]:
            break
    else:
        kind = "a date such as 2020-12-31" if grid.has_dates else "a whole number"
        raise DataError(f"{source}: cutoff {cutoff}: expected {kind}")
    if not isinstance(times, pd.DatetimeIndex):
        return times
    if grid.tz is None and times.tz is not None:
        raise DataError(f"{source}: cutoff {cutoff}: expected a timestamp without a time zone, as in the data")
    if grid.tz is not None and times.tz is None:
        # Local time.
        return times.tz_localize(grid.tz, ambiguous=np.ones(1, bool), nonexistent="shift_forward")
    return times
