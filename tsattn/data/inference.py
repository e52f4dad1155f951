"""How a frame is to be read, decided from its columns, its stamps and its values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from tsattn._text import quote_list
from tsattn.config import Combine, DataConfig
from tsattn.data.covariate_roles import (
    Beside,
    beside_decisions,
    decide_calendar,
    given_covariates,
    left_out,
    with_categories,
    with_future,
    with_static,
)
from tsattn.data.frequency import (
    REGULAR,
    Ints,
    best_grid,
    counts_of,
    freq_for,
    infer_freq,
    median_step,
    round_grid,
    trembles,
)
from tsattn.data.locations import ENCODING
from tsattn.data.panel_builder import (
    SeriesCodes,
    check_duplicates,
    check_unique_rows,
    month_columns,
    months_as_rows,
    repeated,
    series_codes,
    to_panel,
)
from tsattn.data.roles import Role, calendar_copies, find_id, find_row_id, find_targets, find_time
from tsattn.data.timestamps import read_stamps
from tsattn.errors import ConfigError, DataError
from tsattn.timeseries.calendar import with_calendar
from tsattn.timeseries.grid import Grid, is_steps, parse_freq
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Decision, Layout, Schema
from tsattn.timeseries.seasonality import decide_horizon, decide_season

ROW_TARGET = "y"
"""Name of the one target of data that have a series a row."""

_LAYOUTS: dict[Layout, str] = {
    "long": "a row for each series and stamp",
    "wide": "a row for each stamp: one series, its channels side by side",
    "rows": "a row for each series, its values in the columns",
    "months": "a row for each year, a column for each month",
}


def infer_schema(frame: pd.DataFrame, config: DataConfig, source: str) -> Schema:
    """Decide how a frame is read; what ``config`` gives is taken, the rest is inferred.

    Args:
        frame: columns as `tsattn.data.read_frame` gives them.
        config: what the user said about the data.
        source: the file, or what messages call the frame.

    Raises:
        DataError: the frame cannot be read as series; the message names column and row, and the mend.
    """
    return infer(frame, config, source)[0]


def infer(frame: pd.DataFrame, config: DataConfig, source: str) -> tuple[Schema, Panel]:
    """Return `infer_schema`'s schema and the panel that it reads, in one go."""
    if not len(frame) or not len(frame.columns):
        raise DataError(f"{source}: expected rows of data, got none")
    months = months_as_rows(frame) if config.time is None and config.target is None else None
    frame = frame if months is None else months
    if months is None:
        time = _with_freq(frame, find_time(frame, config.time, source), config.freq, source)
    else:
        time = Role(month_columns(frame), "the year is a column, and so is each month", form="parts")
    stamps = read_stamps(frame, time.columns, time.form, source) if time.columns else None
    given = given_covariates(frame, config, source)
    if months is not None and (given.future.columns or given.past.columns):
        raise DataError(f"{source}: expected a row for each stamp beside covariates, but each month is a column")
    layout, id, series = _series(frame, config, time, stamps, given, source)
    left: tuple[str, ...] = ()
    if layout == "rows":
        rest = len(frame.columns) - len(id.columns) - len(given.static.columns)
        targets = Role((ROW_TARGET,), f"the {rest} columns with numbers are the steps of each series")
        beside = with_categories(frame, given, config, source)
    else:
        targets, beside, left = _columns(frame, config, (time, id), stamps, series[0], given, source)
    layout = layout if months is None else "months"
    grid, resample = _grid(config, time, series[0], stamps, source)
    nearest = resample is not None and config.resample is None and stamps is not None and trembles(grid, stamps)
    schema = Schema(
        layout=layout,
        time=time.columns,
        time_format=time.form,
        id=id.columns,
        targets=targets.columns,
        future_covariates=beside.future.columns,
        past_covariates=beside.past.columns,
        static_covariates=beside.static.columns,
        categories=beside.categories,
        freq=grid.freq,
        origin=grid.origin,
        tz=grid.tz,
        on_duplicate=config.on_duplicate,
        resample=resample,
        nearest=nearest,
        season=1,
        horizon=1,
    )
    panel = to_panel(frame, schema, source, series)
    season = decide_season(panel, config)
    horizon = decide_horizon(panel, config, int(season.value))
    schema = decide_calendar(schema, panel, config, int(season.value), source)
    decisions = (
        *_encoding(frame),
        Decision(field="layout", value=layout, given=False, reason=_LAYOUTS[layout]),
        _decision("time", time),
        _decision("id", id),
        _decision("targets", targets),
        *beside_decisions(schema, beside, left, config),
        _freq(panel, frame, schema, config, stamps, series[0]),
        *_duplicates(schema, stamps, series[0]),
        season,
        horizon,
    )
    found = {"season": int(season.value), "horizon": int(horizon.value), "decisions": decisions}
    schema = schema.model_copy(update=found)
    return schema, with_calendar(panel, schema)


def _with_freq(frame: pd.DataFrame, time: Role, freq: str | None, source: str) -> Role:
    """Return the time role that a given frequency needs: whole numbers are years for a calendar's."""
    if freq is None:
        return time
    try:
        dated = not is_steps(freq) and bool(parse_freq(freq))
    except DataError as error:
        raise ConfigError(f"{source}: --freq: {error}") from None
    if not time.columns or dated != (time.form == "integer"):
        return time
    name = time.columns[0]
    if not dated:
        raise DataError(f"{source}: --freq is {freq}, but '{name}' holds dates: use one such as h, D, W-SAT or MS")
    if not frame[name].between(1000, 2999).all():
        raise DataError(f"{source}: --freq is {freq}, but '{name}' holds whole numbers: use one such as 1")
    return replace(time, form="%Y", reason=f"'{name}' holds years, and --freq {freq} makes them dates")


def _series(
    frame: pd.DataFrame, config: DataConfig, time: Role, stamps: pd.Index | None, given: Beside, source: str
) -> tuple[Layout, Role, SeriesCodes]:
    """Return the layout, which columns tell series apart, and the series of every row."""
    if stamps is not None:
        codes = counts_of(stamps)
        used = (*time.columns, *given.columns, *(config.target or ()))
        id = find_id(frame, config.id, used, codes, source)
        series = series_codes(frame, id.columns, source)
        if config.on_duplicate is None and config.resample is None:
            check_duplicates(frame, series[0], codes, time.columns, id.columns, source)
        return ("long" if id.columns else "wide"), id, series
    id = find_row_id(frame, config.id, given.static.columns, source)
    series = series_codes(frame, id.columns, source)
    if not id.columns:
        return "wide", id, series
    if given.future.columns or given.past.columns:
        raise DataError(f"{source}: expected a row for each stamp beside covariates, but each series is a row")
    check_unique_rows(frame, series[0], id.columns, source)
    return "rows", id, series


def _columns(
    frame: pd.DataFrame,
    config: DataConfig,
    parts: tuple[Role, Role],
    stamps: pd.Index | None,
    codes: Ints,
    given: Beside,
    source: str,
) -> tuple[Role, Beside, tuple[str, ...]]:
    """Return which columns are forecast, which ones are covariates, and which ones are neither."""
    taken = (*parts[0].columns, *parts[1].columns)
    copies = () if stamps is None else calendar_copies(frame, stamps, (*taken, *given.columns))
    taken = (*taken, *copies)
    beside = with_static(frame, given, config, (*taken, *(config.target or ())), codes)
    used = (*taken, *beside.columns)
    targets = find_targets(frame, config.target, used, bool(parts[1].columns), source)
    if copies and config.target is None:
        targets = replace(targets, reason=f"{targets.reason}; {quote_list(copies)} only repeat the stamps")
    beside = with_future(frame, beside, config, (*taken, *targets.columns), targets.columns, codes, stamps, source)
    beside = with_categories(frame, beside, config, source)
    return targets, beside, left_out(frame, (*taken, *targets.columns, *beside.columns))


def _grid(
    config: DataConfig, time: Role, series: Ints, stamps: pd.Index | None, source: str
) -> tuple[Grid, Combine | None]:
    """Return the time grid of the stamps, and how they are brought to it where they lie beside it."""
    if stamps is None:
        return Grid("1", 0), None
    freq = config.freq
    found = infer_freq(stamps, series)
    if freq is None and found is None:
        raise DataError(
            f"{source}: column '{'+'.join(time.columns)}': expected a series of two stamps or more to tell "
            "the frequency by: give it by --freq"
        )
    if found is not None and (freq is None or (freq == "W" and found.startswith("W-"))):
        freq = found
    grid, regular = best_grid(str(freq), stamps)
    if not isinstance(stamps, pd.DatetimeIndex):
        return grid, config.resample
    if config.resample is None and (config.freq is not None or regular >= REGULAR):
        return grid, None
    return round_grid(config.freq or freq_for(stamps, series), stamps), config.resample or "mean"


def _decision(field: str, role: Role) -> Decision:
    value = quote_list(role.columns, quote="") or "none"
    return Decision(field=field, value=value, given=role.given, reason=role.reason)


def _freq(
    panel: Panel, frame: pd.DataFrame, schema: Schema, config: DataConfig, stamps: pd.Index | None, series: Ints
) -> Decision:
    """Return the decision on the frequency, with the gaps that it leaves."""
    if stamps is None:
        told = f"; --freq {config.freq} is used for season and horizon only" if config.freq else ""
        return Decision(field="freq", value="1", given=False, reason=f"without stamps a row is a step{told}")
    reason = "it was asked for" if config.freq else "the most common step between stamps"
    if schema.resample is None:
        rows = len(frame) - _repeated(schema, stamps, series)
        steps = len(panel.values) if panel.covariates is None else len(panel.covariates.values)
        gaps = steps - rows
        reason += f"; {gaps} of {steps} steps have no row and are gaps" if gaps else "; no step is missing"
    else:
        if config.resample is None and isinstance(stamps, pd.DatetimeIndex):
            usual = pd.Timedelta(median_step(stamps, series), unit="us")
            reason = f"the stamps are irregular, {_duration(usual)} apart at the median"
        empty = int(np.isnan(panel.values).all(axis=1).sum())
        which = "nearest to each step" if schema.nearest else "from each step to the next"
        reason += f"; the {schema.resample} of the rows {which} is taken (--resample), "
        reason += f"and {empty} of {len(panel.values)} steps have none"
    zone = f", {schema.tz}" if schema.tz else ""
    return Decision(field="freq", value=schema.freq + zone, given=config.freq is not None, reason=reason)


def _encoding(frame: pd.DataFrame) -> list[Decision]:
    """Return the decision on the encoding of the file, where it is not the usual one."""
    encoding = frame.attrs.get(ENCODING)
    reason = "the file is no UTF-8; if letters come out wrong, save it as that"
    return [Decision(field="encoding", value=encoding, given=False, reason=reason)] if encoding else []


def _duration(time: pd.Timedelta) -> str:
    """Return a span as text, such as "1 day 2 hours" or "7 min 30 s", in its two largest parts."""
    names = ("days", "h", "min", "s", "ms", "us")
    parts = [f"{n} {name}" for n, name in zip(time.components, names, strict=False) if n]
    return " ".join(parts[:2])


def _repeated(schema: Schema, stamps: pd.Index, series: Ints) -> int:
    """Return how many rows have the stamp of an earlier row of their series."""
    return 0 if schema.on_duplicate is None else int(repeated(series, counts_of(stamps)).sum())


def _duplicates(schema: Schema, stamps: pd.Index | None, series: Ints) -> list[Decision]:
    """Return the decision on rows with the same stamp, where one was made."""
    if schema.on_duplicate is None or stamps is None:
        return []
    count = _repeated(schema, stamps, series)
    reason = f"{count} rows have the stamp of an earlier row of their series"
    return [Decision(field="on_duplicate", value=schema.on_duplicate, given=True, reason=reason)]
