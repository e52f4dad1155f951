"""What is known ahead: a file or frame for the steps of the horizon, and the calendar further than that."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from tsattn._text import format_timestamp, quote_list
from tsattn.data.panel_builder import to_panel
from tsattn.data.timestamps import SINCE_1970, is_joint, parse
from tsattn.errors import DataError, DataWarning
from tsattn.timeseries.calendar import with_calendar
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Schema


def know_ahead(panel: Panel, frame: pd.DataFrame, schema: Schema, source: str) -> Panel:
    """Return a panel that knows more ahead: the rows of a frame with stamps, ids and the covariates known ahead.

    Raises:
        DataError: a column is missing, a cell or a stamp cannot be used, or a series is unknown.
    """
    ahead = schema.future_covariates
    if not ahead or panel.covariates is None:
        raise DataError(f"{source}: expected a model with covariates that are known ahead; it was fitted without any")
    if not len(frame):
        raise DataError(f"{source}: expected rows of what is known ahead, got none")
    if not schema.time:
        raise DataError(f"{source}: without stamps, the rows that are known ahead stand behind the history, not here")
    apart = schema.model_copy(
        update={"targets": (), "future_covariates": (), "past_covariates": ahead, "static_covariates": ()}
    )
    given = to_panel(frame, apart, source)
    known = given.covariates
    assert known is not None
    index = {id: number for number, id in enumerate(panel.ids)}
    unknown = [id for id in given.ids if id not in index]
    if unknown:
        raise DataError(f"{source}: expected the series of the history, but {quote_list(unknown)} are none of them")
    series = np.repeat(np.array([index[id] for id in given.ids], dtype=np.int64), given.lengths)
    step = np.arange(len(known.values)) - np.repeat(given.offsets[:-1] - given.starts, given.lengths)
    position = step - panel.starts[series]
    later = position >= 0
    features = {name: known.values[later, number] for number, name in enumerate(known.names)}
    covariates = panel.covariates.extended(series[later], position[later], features)
    return replace(panel, covariates=covariates)


def know_calendar(panel: Panel, schema: Schema, horizon: int) -> Panel:
    """Return a panel that knows what the calendar says of so many steps behind its series, where it knows any of it."""
    found = with_calendar(replace(panel, covariates=None), schema.model_copy(update={"horizon": horizon})).covariates
    if found is None or panel.covariates is None:
        return panel
    series = np.repeat(np.arange(len(panel), dtype=np.int64), found.lengths)
    position = np.arange(len(found.values)) - np.repeat(found.offsets[:-1], found.lengths)
    features = {name: found.values[:, number] for number, name in enumerate(found.names)}
    return replace(panel, covariates=panel.covariates.extended(series, position, features))


Stamp = str | int | datetime | np.datetime64
"""A stamp as people write it."""


def as_of(panel: Panel, at: Stamp, schema: Schema, context: int, source: str) -> Panel:
    """Return the series up to a stamp, the last step of each; its forecast begins at the next.

    Steps up to the stamp without a value are missing, also where a series ends before it. Series without a value in the
    look-back are left out. What is known ahead of the series stays known.

    Args:
        panel: the series.
        at: the last stamp that is seen.
        schema: how the series were read.
        context: look-back in steps.
        source: what errors call the data.

    Warns:
        DataWarning: series are left out, or end before the stamp.

    Raises:
        DataError: the stamp cannot be read, is no step of the grid, or lies before or behind all series.
    """
    position = _position(panel, at, schema, source)
    first, behind = int(panel.starts.min()), int((panel.starts + panel.lengths).max())
    if not first <= position < behind:
        reach = " to ".join(format_timestamp(stamp) for stamp in panel.grid.at([first, behind - 1]))
        mend = "leave --at out, and the forecast follows the last one" if position >= behind else "give a later one"
        raise DataError(f"{source}: --at {at}: expected a stamp of the history, {reach}: {mend}")
    lengths = np.maximum(position - panel.starts + 1, 0)
    kept = np.flatnonzero(_recent(panel, lengths, context))
    if not len(kept):
        raise DataError(f"{source}: --at {at}: expected a value in the {context} steps up to it, but there is none")
    _tell(panel, kept, lengths, at)
    values = np.full((int(lengths[kept].sum()), len(panel.targets)), np.nan, dtype=np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64)
    for place, index in enumerate(kept):
        history = panel.series(int(index))[: lengths[index]]
        values[offsets[place] : offsets[place] + len(history)] = history
    return replace(
        panel,
        values=values,
        offsets=offsets,
        ids=tuple(panel.ids[index] for index in kept),
        starts=panel.starts[kept],
        covariates=None if panel.covariates is None else panel.covariates.of(kept),
        static=tuple(static.of(kept) for static in panel.static),
    )


def _recent(panel: Panel, lengths: Any, context: int) -> Any:
    """Tell of each series whether any of its values lies in the look-back of a history of so many steps."""
    return np.array(
        [
            np.isfinite(panel.series(index)[max(int(length) - context, 0) : max(int(length), 0)]).any()
            for index, length in enumerate(lengths)
        ]
    )


def _tell(panel: Panel, kept: Any, lengths: Any, at: Stamp) -> None:
    """Warn of series that are left out, and of those that end before the stamp."""
    out = [panel.ids[index] for index in sorted(set(range(len(panel))) - set(kept.tolist()))]
    ended = [panel.ids[index] for index in kept if panel.lengths[index] < lengths[index]]
    if out:
        warnings.warn(
            f"{len(out)} of {len(panel)} series have no history as of {at} and are left out: {quote_list(out)}",
            DataWarning,
            stacklevel=5,
        )
    if ended:
        warnings.warn(
            f"{len(ended)} of {len(panel)} series end before {at}, and the steps up to it count as missing: "
            f"{quote_list(ended)}",
            DataWarning,
            stacklevel=5,
        )


def _position(panel: Panel, at: Stamp, schema: Schema, source: str) -> int:
    """Return the position of a stamp on the grid."""
    stamps = _read(panel, at, schema, source)
    position, on_grid = panel.grid.locate(stamps)
    if not on_grid[0]:
        around = [format_timestamp(stamp) for stamp in panel.grid.at([position[0], position[0] + 1])]
        raise DataError(
            f"{source}: --at {at}: expected a step of '{panel.grid.freq}', and it lies between {around[0]} and "
            f"{around[1]}: give one of them"
        )
    return int(position[0])


def _read(panel: Panel, at: Stamp, schema: Schema, source: str) -> Any:
    """Return a stamp as the grid counts: as it stands in the data, or as an ISO date."""
    grid, text = panel.grid, str(at)
    alone = not is_joint(schema.time_format) and schema.time_format not in ("step", "integer")
    forms = [schema.time_format, "date"] if alone else ["date"]
    for form in forms if grid.dated else ["integer"]:
        number = form == "integer" or form in SINCE_1970
        column = pd.Series([pd.to_numeric(text, errors="coerce")]) if number else pd.Series([text], dtype="str")
        stamps, bad = parse(column, form)
        if not bad[0]:
            break
    else:
        kind = "a date such as 2020-12-31" if grid.dated else "a whole number"
        raise DataError(f"{source}: --at {at}: expected {kind}")
    if not isinstance(stamps, pd.DatetimeIndex):
        return stamps
    if grid.tz is None and stamps.tz is not None:
        raise DataError(f"{source}: --at {at}: expected a stamp without a time zone, as those of the data")
    if grid.tz is not None and stamps.tz is None:
        # As a clock there shows it.
        return stamps.tz_localize(grid.tz, ambiguous=np.ones(1, bool), nonexistent="shift_forward")
    return stamps
