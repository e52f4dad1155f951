"""Infer the schema of a table from its columns, timestamps and values."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from tsattn._text import quote_list
from tsattn.config import Aggregation, DataConfig
from tsattn.data.covariate_roles import (
    CovariateRoles,
    describe_covariates,
    given_covariates,
    infer_calendar,
    infer_categories,
    infer_future_covariates,
    infer_static_covariates,
    targets_that_end,
    unused_columns,
)
from tsattn.data.date_text import month_columns
from tsattn.data.frequency import (
    MIN_REGULAR,
    aligned_grid,
    best_grid,
    infer_freq,
    is_jittered,
    median_step,
    resampling_freq,
    to_integers,
    uneven_calendar,
)
from tsattn.data.panel_builder import check_duplicates, check_unique_rows, repeated, to_panel
from tsattn.data.roles import (
    COUNTS,
    REPEATS,
    Role,
    calendar_copies,
    find_id,
    find_row_id,
    find_targets,
    is_numeric,
    reasons_against,
)
from tsattn.data.series_notes import (
    aggregation_notes,
    frequency_notes,
    mixture_notes,
    series_notes,
    sign_notes,
    unread_notes,
    week_notes,
)
from tsattn.data.table import Table
from tsattn.data.time_role import complete_periods, find_time
from tsattn.data.unpivot import TARGET, TIME, unpivot
from tsattn.errors import ConfigError, DataError
from tsattn.timeseries.calendar import add_calendar_features
from tsattn.timeseries.characteristics import infer_horizon, infer_season, infer_support
from tsattn.timeseries.grid import Grid, is_integer_freq, parse_freq
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.schema import InferredSetting, Layout, ReadingNote, Schema

ROW_TARGET = "y"
"""Name of the target of data with one row per series."""

_NAMED_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)|\bFY ?\d\d")

_LAYOUTS: dict[Layout, str] = {
    "long": "one row per series and timestamp",
    "wide": "one row per timestamp: one series with one column per channel",
    "rows": "one row per series, with its values in the columns",
    "months": "one row per year, one column per month",
    "columns": "one row per series, one column per timestamp",
}


def infer_panel(table: Table, config: DataConfig) -> tuple[Panel, Schema]:
    """Return the series of a table, and the schema that is inferred from it and the options of the user.

    Raises:
        DataError: The table cannot be read as series.
        ConfigError: An option is invalid.
    """
    if not len(table) or not table.columns:
        raise table.error("expected rows of data, got none")
    table = complete_periods(table)
    unpivoted = unpivot(table) if config.time is None and config.target is None else None
    table = table if unpivoted is None else unpivoted.table
    if unpivoted is None or not unpivoted.time:
        # Other columns may hold dates as well, such as that of the last update.
        named = table.with_frame(table.frame[[TIME]]) if unpivoted is not None and TIME in table else table
        time = _apply_freq(table, find_time(named, config.time, config.time_format), config.freq)
    else:
        kinds = ("year", *unpivoted.time[1:])
        reason = (
            f"'{unpivoted.time[0]}' holds years, and {quote_list(kinds[1:], quote='')} are in the header or the rows"
        )
        time = Role(unpivoted.time, reason, time_format="+".join(kinds))
    times = table.timestamps(time.columns, time.time_format) if time.columns else None
    given = given_covariates(table, config)
    if unpivoted is not None and (given.future.columns or given.past.columns):
        raise table.error("expected one row per timestamp for future and past covariates, got timestamps in the header")
    layout, id = _layout(table, config, time, times, given)
    table = table.with_numbers((*time.columns, *id.columns, *given.static.columns))
    unused: dict[str, str] = {}
    if layout == "rows":
        rest = len(table.columns) - len(id.columns) - len(given.static.columns)
        targets = Role((ROW_TARGET,), f"the {rest} columns with numbers are the steps of each series")
        covariates = infer_categories(table, given, config)
    else:
        targets, covariates, unused = _columns(table, config, time, id, times, given, unpivoted is not None)
    layout = layout if unpivoted is None else unpivoted.layout
    series = table.series(id.columns)[0]
    grid, resample = _grid(table, config, time, series, times)
    schema = Schema(
        layout=layout,
        time=time.columns,
        time_format=time.time_format,
        id=id.columns,
        targets=targets.columns,
        future_covariates=covariates.future.columns,
        past_covariates=covariates.past.columns,
        static_covariates=covariates.static.columns,
        categories=covariates.categories,
        freq=grid.freq,
        origin=grid.origin,
        tz=grid.tz,
        on_duplicate=config.on_duplicate,
        resample=resample,
        fill_missing=config.fill_missing,
        read_options=config.read_options,
        nearest=resample is not None and config.resample is None and times is not None and is_jittered(grid, times),
        season=1,
        horizon=1,
    )
    panel = to_panel(table, schema, unique=True)
    season = infer_season(panel, config)
    horizon = infer_horizon(panel, config, int(season.value))
    support = infer_support(panel, config)
    if covariates.future.columns and not covariates.future.given and not horizon.given:
        horizon = _known_horizon(panel, horizon)
    schema = infer_calendar(schema, panel, config, int(season.value), table.name)
    inferred_settings = (
        *table.origin.settings,
        InferredSetting(field="layout", value=layout, given=False, reason=_LAYOUTS[layout]),
        _describe_role("time", time),
        _describe_role("id", id),
        _describe_role("targets", targets),
        *describe_covariates(schema, covariates, unused, config),
        *_describe_freq(panel, schema, config, times, series),
        *_describe_levels(panel),
        season,
        horizon,
        *([support] if support.given or support.value != "real" else []),
    )
    schema = schema.model_copy(
        update={
            "season": int(season.value),
            "horizon": int(horizon.value),
            "support": support.value,
            "inferred_settings": inferred_settings,
            "covariate_ranges": _covariate_ranges(panel, schema),
        }
    )
    notes = [*table.origin.notes, *_role_notes(time, covariates.future), *unread_notes(table, time, unused)]
    notes += [*sign_notes(table, unused, targets), *mixture_notes(table, unused, series)]
    if layout == "rows" and month_columns(table.columns):
        message = "the columns are months without a year, and are read as steps"
        notes.append(ReadingNote(message=message, hints=("add a column with the year",)))
    elif layout == "rows" and (dated := [name for name in table.columns if _NAMED_YEAR.search(name)]):
        message = f"the columns are read as steps; '{dated[0]}' in the header is no timestamp that can be read"
        notes.append(ReadingNote(message=message, hints=("write timestamps such as 2020-12-31 into the header",)))
    mixed: list[ReadingNote] = []
    if times is not None:
        if config.freq is None:
            mixed = frequency_notes(panel.ids, series, times, schema.freq)
        notes += aggregation_notes(panel, schema, config, len(table))
        notes += week_notes(times) if "week" in time.time_format else []
    notes += [*mixed, *series_notes(panel, schema, gaps=not mixed)]
    return add_calendar_features(panel, schema), schema.model_copy(update={"notes": tuple(notes)})


def _covariate_ranges(panel: Panel, schema: Schema) -> dict[str, tuple[float, float]]:
    """Return the least and the largest value of each future covariate with numbers, up to the ends of the series."""
    numbers = [name for name in schema.future_covariates if name not in schema.categories]
    if panel.covariates is None or not numbers:
        return {}
    past = panel.covariates.series.slice(0, panel.lengths).values
    columns = {name: past[:, panel.covariates.names.index(name)] for name in numbers}
    return {
        name: (float(np.nanmin(values)), float(np.nanmax(values)))
        for name, values in columns.items()
        if np.isfinite(values).any()
    }


def _known_horizon(panel: Panel, horizon: InferredSetting) -> InferredSetting:
    """Return a horizon over which the future covariates are known."""
    assert panel.covariates is not None
    known = int((panel.covariates.series.lengths - panel.lengths).min())
    if not 0 < known < int(horizon.value):
        return horizon
    reason = "as far as the future covariates are known"
    return InferredSetting(field="horizon", value=str(known), given=False, reason=reason)


def _apply_freq(table: Table, time: Role, freq: str | None) -> Role:
    """Return the time role that suits a given frequency: integers are years for a calendar frequency."""
    if freq is None:
        return time
    try:
        is_calendar = not is_integer_freq(freq) and bool(parse_freq(freq))
    except DataError as error:
        raise ConfigError(f"{table.name}: {error.message}", *error.hints) from None
    if not time.columns or is_calendar != (time.time_format == "integer"):
        return time
    name = time.columns[0]
    if not is_calendar:
        message = f"expected integers for the frequency {freq}, got dates"
        raise table[name].error(message, "set {freq} to a calendar frequency such as h, D, W-SAT or MS")
    if not table.frame[name].between(1000, 2999).all():
        message = f"expected dates for the frequency {freq}, got whole numbers"
        raise table[name].error(message, "set {freq} to a whole number such as 1")
    return replace(time, time_format="%Y", reason=f"'{name}' holds years, which the frequency {freq} makes dates")


def _layout(
    table: Table, config: DataConfig, time: Role, times: pd.Index | None, given: CovariateRoles
) -> tuple[Layout, Role]:
    """Return the layout, and the columns that identify series."""
    if times is not None:
        integers = to_integers(times)
        id = find_id(table, config.id, (*time.columns, *given.columns, *(config.target or ())), integers)
        codes, _ = table.series(id.columns)
        if config.on_duplicate is None and config.resample is None:
            check_duplicates(table, codes, integers, time.columns, time.time_format, id.columns)
        return ("long" if id.columns else "wide"), id
    id = find_row_id(table, config.id, given.static.columns)
    codes, _ = table.series(id.columns)
    if not id.columns:
        return "wide", id
    if given.future.columns or given.past.columns:
        raise table.error("expected one row per timestamp for future and past covariates, got one row per series")
    check_unique_rows(table, codes, id.columns)
    return "rows", id


def _columns(
    table: Table,
    config: DataConfig,
    time: Role,
    id: Role,
    times: pd.Index | None,
    given: CovariateRoles,
    is_unpivoted: bool,
) -> tuple[Role, CovariateRoles, dict[str, str]]:
    """Return the targets, the covariates and the unused columns, with the reason why they are no targets."""
    taken = (*time.columns, *id.columns)
    copies = () if times is None else calendar_copies(table, times, (*taken, *given.columns))
    codes, _ = table.series(id.columns)
    covariates = infer_static_covariates(table, given, config, (*taken, *copies, *(config.target or ())), codes)
    used = {*taken, *covariates.columns}
    numeric = [name for name in table.columns if name not in used and is_numeric(table[name])]
    if is_unpivoted:
        numeric = [TARGET]
    against = {} if is_unpivoted else reasons_against(table, numeric, times, codes, copies)
    likely = [name for name in numeric if name not in against]
    if not likely:
        # Some column must remain to be forecast, even a constant one.
        likely = [name for name in numeric if against[name] not in (REPEATS, COUNTS)] or numeric
    if not covariates.future.given:
        likely = list(targets_that_end(table, likely, [name for name in against if name not in copies], codes, times))
    targets = find_targets(table, config.target, tuple(used), likely, long=bool(id.columns))
    if copies and config.target is None:
        targets = replace(targets, reason=f"{targets.reason}; {quote_list(copies)} only repeat the timestamps")
    taken = (*taken, *copies, *targets.columns)
    covariates = infer_future_covariates(table, covariates, config, taken, targets.columns, codes, times)
    covariates = infer_categories(table, covariates, config)
    return targets, covariates, unused_columns(table, (*taken, *covariates.columns), against)


def _grid(
    table: Table, config: DataConfig, time: Role, series: Ints, times: pd.Index | None
) -> tuple[Grid, Aggregation | None]:
    """Return the time grid, and how rows off the grid are aggregated."""
    if times is None:
        return Grid("1", 0), None
    freq = config.freq
    found = infer_freq(times, series)
    if freq is None and found is None:
        message = "expected a series of at least two timestamps to infer the frequency"
        raise table.error(message, "set {freq}", names=time.columns)
    if found is not None and (freq is None or (freq == "W" and found.startswith("W-"))):
        freq = found
    grid, regular = best_grid(str(freq), times)
    if not isinstance(times, pd.DatetimeIndex):
        return grid, config.resample
    if config.resample is None and (config.freq is not None or regular >= MIN_REGULAR):
        return grid, None
    uneven = None if config.resample else uneven_calendar(times, series)
    if uneven is not None:
        message = f"expected a regular calendar, got {uneven}, which steps of equal length would average"
        raise table.error(message, "aggregate them with {resample} and {freq}", names=time.columns)
    return aligned_grid(config.freq or resampling_freq(times, series), times), config.resample or "mean"


def _role_notes(*roles: Role) -> list[ReadingNote]:
    return [ReadingNote(message=role.note) for role in roles if role.note]


def _describe_role(field: str, role: Role) -> InferredSetting:
    value = quote_list(role.columns, quote="") or "none"
    return InferredSetting(field=field, value=value, given=role.given, reason=role.reason)


def _describe_freq(
    panel: Panel, schema: Schema, config: DataConfig, times: pd.Index | None, series: Ints
) -> list[InferredSetting]:
    """Return the frequency with the gaps that it leaves, and how rows with the same timestamp are aggregated."""
    if times is None:
        note = f"; the frequency {config.freq} is used for season and horizon only" if config.freq else ""
        reason = f"without timestamps a row is a step{note}"
        return [InferredSetting(field="freq", value="1", given=False, reason=reason)]
    duplicates = 0 if schema.on_duplicate is None else int(repeated(series, to_integers(times)).sum())
    reason = "it was asked for" if config.freq else "the most common step between timestamps"
    if schema.resample is None:
        steps = len(panel.values) if panel.covariates is None else len(panel.covariates.series.values)
        gaps = steps - (len(series) - duplicates)
        reason += f"; {gaps} of {steps} steps have no row and are gaps" if gaps else "; no step is missing"
    else:
        if config.resample is None and isinstance(times, pd.DatetimeIndex):
            usual = pd.Timedelta(median_step(times, series), unit="us")
            reason = f"the timestamps are irregular, {_format_duration(usual)} apart at the median"
        empty = int(np.isnan(panel.values).all(axis=1).sum())
        which = "nearest to each step" if schema.nearest else "from each step to the next"
        reason += f"; the rows {which} are aggregated by {schema.resample}, "
        reason += f"and {empty} of {len(panel.values)} steps have none"
    zone = f", {schema.tz}" if schema.tz else ""
    settings = [InferredSetting(field="freq", value=schema.freq + zone, given=config.freq is not None, reason=reason)]
    if schema.on_duplicate is not None:
        reason = f"{duplicates} rows have the timestamp of an earlier row of their series"
        settings.append(InferredSetting(field="on_duplicate", value=schema.on_duplicate, given=True, reason=reason))
    return settings


def _describe_levels(panel: Panel) -> list[InferredSetting]:
    """Return how many series are held relative to their first value."""
    if panel.levels is None:
        return []
    series, channel = np.argwhere(panel.levels)[0]
    count = int(np.count_nonzero(panel.levels))
    name = panel.targets[channel] if len(panel) == 1 else panel.ids[series]
    reason = f"'{name}' changes by less than the resolution of float32; values are relative to this one, forecasts not"
    value = f"{panel.levels[series, channel]:.15g}" + (f" and {count - 1} more" if count > 1 else "")
    return [InferredSetting(field="level", value=value, given=False, reason=reason)]


def _format_duration(time: pd.Timedelta) -> str:
    """Return the two largest units of a duration, such as "1 days 2 h" or "7 min 30 s"."""
    names = ("days", "h", "min", "s", "ms", "us")
    parts = [f"{n} {name}" for n, name in zip(time.components, names, strict=False) if n]
    return " ".join(parts[:2])
