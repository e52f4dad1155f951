"""Inference of the columns that are covariates, of their kind and of their categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tsattn._text import quote_list
from tsattn.config import DataConfig
from tsattn.data.columns import Bools, encode, find_duplicate
from tsattn.data.frequency import to_integers
from tsattn.data.roles import COUNTS, Role, is_counter
from tsattn.data.table import Column, Table
from tsattn.errors import ConfigError
from tsattn.timeseries.calendar import AUTO, applicable_cycles, calendar_feature_names, check_calendar, seasonal_cycles
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import Ints
from tsattn.timeseries.schema import InferredSetting, Schema

MIN_FUTURE_ROWS = 3
"""Rows after the last target of every series from which on a column is a future covariate; fewer may be late data."""

MAX_FUTURE_FRACTION = 0.2
"""Rows after the last target, relative to all, up to which they are the future; more are targets that ended early."""

MIN_ROWS_FOR_ENDS = 30
"""Rows from which on the columns that end first are the targets."""

MAX_KNOWN_PER_TARGET = 2
"""Most columns that continue per target that ends, besides flags; more are other channels."""

MAX_MISSING_FRACTION = 0.2
"""Missing values in the rows after the last target up to which a column is a future covariate."""

MIN_ROWS_PER_SERIES = 10
"""Rows per series from which on numbers with one value per series are static even if no two series have the same."""

MAX_CATEGORIES = 100
"""Most categories of a covariate that changes over time, as each is a feature of every step."""

_NONE = Role((), "none was given")


@dataclass(frozen=True)
class CovariateRoles:
    """Covariate columns by kind, and the values of the categorical ones.

    Args:
        future: Known over the horizon as well.
        past: Known up to the forecast origin only.
        static: One value per series.
        categories: Values of the categorical columns.
    """

    future: Role
    past: Role
    static: Role
    categories: dict[str, tuple[str, ...]]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all covariates."""
        return (*self.future.columns, *self.past.columns, *self.static.columns)


def given_covariates(table: Table, config: DataConfig) -> CovariateRoles:
    """Return the covariates that the user named.

    Raises:
        DataError: A column does not exist.
        ConfigError: A column has two roles.
    """
    roles = {}
    for kind in ("future", "past", "static"):
        option = f"{kind}_covariates"
        texts = getattr(config, option)
        names = tuple(name for text in texts or () for name in table.find_columns(text, option))
        roles[kind] = Role(names, "they were given", given=True) if names else replace(_NONE, given=texts is not None)
    used = Counter([*(config.target or ()), *(name for role in roles.values() for name in role.columns)])
    repeated = sorted(name for name, times in used.items() if times > 1)
    if repeated:
        raise ConfigError(
            f"{table.name}: {quote_list(repeated)}: expected one role per column: a target, or a future, past or "
            "static covariate"
        )
    for text in config.categories or ():
        table.find_columns(text, "categories")
    return CovariateRoles(**roles, categories={})


def infer_categories(table: Table, covariates: CovariateRoles, config: DataConfig) -> CovariateRoles:
    """Return covariates with the values of the categorical ones.

    Raises:
        DataError: A covariate holds dates, a cell that is not a number, or too many categories.
        ConfigError: A column that was given as categorical is not a covariate.
    """
    stray = [name for name in config.categories or () if name not in covariates.columns]
    if stray:
        raise ConfigError(
            f"{table.name}: expected covariates as categories, got '{stray[0]}', which is no covariate",
            "name it with {future_covariates}, {past_covariates} or {static_covariates} as well",
        )
    categories = {}
    for name in covariates.columns:
        column = table[name]
        if column.kind == "date":
            raise column.error("expected numbers or categories as a covariate, got dates")
        if not _is_category(column, config):
            # Raises an error if a cell is not a number.
            _ = column.numbers
            continue
        values = tuple(sorted(text for text in column.labels[1] if text.strip()))
        if len(values) > MAX_CATEGORIES and name not in covariates.static.columns:
            message = f"expected at most {MAX_CATEGORIES} categories in a covariate that changes, got {len(values):,}"
            raise column.error(message, "leave it out", "merge some of them")
        categories[name] = values
    return replace(covariates, categories=categories)


def _is_category(column: Column, config: DataConfig) -> bool:
    return column.name in (config.categories or ()) or (column.kind == "text" and not column.is_numeric_text)


def infer_static_covariates(
    table: Table, covariates: CovariateRoles, config: DataConfig, used: tuple[str, ...], codes: Ints
) -> CovariateRoles:
    """Return covariates with the columns that have one value per series, each shared by several series.

    Args:
        covariates: Covariates so far. Nothing is inferred if the user named static ones, or said that there are none.
        used: Columns with another role.
        codes: Index of the series of each row, int64 [rows].
    """
    if covariates.static.given or codes.max() == 0:
        return covariates
    rest = _candidates(table, (*used, *covariates.columns), config)
    long = len(codes) >= MIN_ROWS_PER_SERIES * (int(codes.max()) + 1)
    static = tuple(
        name
        for name in rest
        if _is_static(table[name], codes, shared=_is_category(table[name], config) or not long)
        if table[name].values.nunique() > 1
    )
    if config.target is None and all(name in static for name in rest if not _is_category(table[name], config)):
        # Some column must remain to be forecast, even a constant one.
        static = tuple(name for name in static if _is_category(table[name], config))
    if not static:
        return covariates
    return replace(covariates, static=Role(static, "one value per series"))


def infer_future_covariates(
    table: Table,
    covariates: CovariateRoles,
    config: DataConfig,
    used: tuple[str, ...],
    targets: tuple[str, ...],
    codes: Ints,
    times: pd.Index | None,
) -> CovariateRoles:
    """Return covariates with the columns that continue in the rows after the last target.

    Args:
        covariates: Covariates so far. Nothing is inferred if the user named future ones, or said that there are none.
        used: Columns with another role.
        targets: Columns to forecast.
        codes: Index of the series of each row, int64 [rows].
        times: Timestamp of each row; None if rows are steps.
    """
    if covariates.future.given or times is None:
        return covariates
    rest = _candidates(table, (*used, *covariates.columns), config)
    after = _is_after_targets(table, targets, codes, times) if rest else np.zeros(len(table), dtype=bool)
    if np.bincount(codes[after], minlength=int(codes.max()) + 1).min() < MIN_FUTURE_ROWS:
        return covariates
    future = tuple(name for name in rest if _missing_fraction(table, name, after) <= MAX_MISSING_FRACTION)
    if not future:
        return covariates
    missing = [name for name in future if _missing_fraction(table, name, after)]
    notes = []
    if config.target is None:
        ended, known = quote_list(targets), quote_list(future)
        notes.append(f"{ended} end before {known}, which are read as known ahead")
    if missing:
        number = sum(round(_missing_fraction(table, name, after) * int(after.sum())) for name in missing)
        values = "1 value is" if number == 1 else f"{number} values are"
        notes.append(f"{values} missing in {quote_list(missing)} after the last targets")
    return replace(covariates, future=Role(future, "they continue after the last targets", note="; ".join(notes)))


def _missing_fraction(table: Table, name: str, rows: Bools) -> float:
    return float((encode(table.frame[name][rows])[0] < 0).mean())


def targets_that_end(
    table: Table, names: Sequence[str], others: Sequence[str], codes: Ints, times: pd.Index | None
) -> tuple[str, ...]:
    """Return the targets among columns of numbers, if the others continue after them and are thus known ahead.

    Args:
        names: Columns that may be targets.
        others: Further columns that may continue.
        codes: Index of the series of each row, int64 [rows].
        times: Timestamp of each row; None if rows are steps.
    """
    if times is None or len(table) < MIN_ROWS_FOR_ENDS:
        return tuple(names)
    ended = [name for name in names if _ends(table, (name,), codes, times) is not None]
    after = _ends(table, ended, codes, times) if ended else None
    if after is None:
        return tuple(names)
    known = {name for name in (*names, *others) if _missing_fraction(table, name, after) <= MAX_MISSING_FRACTION}
    rest = tuple(name for name in names if name not in known)
    if len(names) - len(rest) > MAX_KNOWN_PER_TARGET * len(rest):
        # One of many channels ended early.
        return tuple(names)
    return rest if _ends(table, rest, codes, times) is not None else tuple(names)


def _ends(table: Table, names: Sequence[str], codes: Ints, times: pd.Index) -> Bools | None:
    """Return the rows after the last values of columns; None unless they are a few rows of every series."""
    first = codes == codes[0]
    if _is_after_targets(table, tuple(names), codes, times, first).sum() < MIN_FUTURE_ROWS:
        # One series is often enough.
        return None
    after = _is_after_targets(table, tuple(names), codes, times)
    count = np.bincount(codes[after], minlength=int(codes.max()) + 1)
    return after if count.min() >= MIN_FUTURE_ROWS and after.mean() <= MAX_FUTURE_FRACTION else None


def unused_columns(table: Table, used: tuple[str, ...], reasons: Mapping[str, str]) -> dict[str, str]:
    """Return the columns without a role, with the reason why they are no targets."""
    rest = [name for name in table.columns if name not in set(used)]
    return {name: reasons.get(name, COUNTS if is_counter(table[name]) else "") for name in rest}


def _candidates(table: Table, used: tuple[str, ...], config: DataConfig) -> list[str]:
    taken = set(used)
    return [name for name in table.columns if name not in taken and _may_be_covariate(table[name], config)]


def _may_be_covariate(column: Column, config: DataConfig) -> bool:
    """Return whether a column can be a covariate without being named by the user."""
    if column.kind not in ("number", "bool", "text") or column.values.isna().all() or is_counter(column):
        return False
    if column.kind == "text" and 0.5 <= column.numeric_fraction < 1:
        # Mixed numbers and categories.
        return False
    return not _is_category(column, config) or column.values.nunique() <= MAX_CATEGORIES


def _is_after_targets(
    table: Table, targets: tuple[str, ...], codes: Ints, times: pd.Index, rows: Bools | slice = slice(None)
) -> Bools:
    """Return for each of some rows whether all targets of its series ended before it, or have no values."""
    observed = np.any([np.isfinite(table[name].numbers[rows]) for name in targets], axis=0)
    codes, time = codes[rows], to_integers(times)[rows]
    last = np.full(int(codes.max()) + 1, np.iinfo(np.int64).min)
    np.maximum.at(last, codes[observed], time[observed])
    return np.asarray(time > last[codes])


def _is_static(column: Column, codes: Ints, *, shared: bool) -> bool:
    """Return whether a column has one value per series and, if ``shared``, each value in at least two series."""
    head = slice(10_000)
    if (np.diff(codes[head]) == 0).any() and not _is_constant(encode(column.values.iloc[head])[0], codes[head]):
        # The first rows are often enough.
        return False
    values, _ = column.labels
    if not _is_constant(values, codes) or not shared:
        return _is_constant(values, codes)
    _, times = np.unique(_value_of_series(values, codes), return_counts=True)
    return bool(len(times) > 1 and times.min() > 1)


def _is_constant(values: Ints, codes: Ints) -> bool:
    """Return whether no value is missing and all rows of each series have the same one."""
    return bool((values >= 0).all() and (_value_of_series(values, codes)[codes] == values).all())


def _value_of_series(values: Ints, codes: Ints) -> Ints:
    """Return the value of one row of each series."""
    result = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    result[codes] = values
    return result


def infer_calendar(schema: Schema, panel: Panel, config: DataConfig, season: int, source: str) -> Schema:
    """Return a schema with the holidays and the calendar cycles that were asked for or that a short context needs.

    Raises:
        ConfigError: A cycle or a country is unknown, or the timestamps are not dates.
    """
    wanted = config.calendar or ()
    cycles = tuple(name for name in wanted if name != AUTO)
    check_calendar(cycles, config.holidays, panel.grid, source)
    steps = float(np.median(panel.lengths))
    if config.calendar is None:
        cycles = seasonal_cycles(panel.grid, season, config.context, steps)
    if AUTO in wanted:
        cycles = tuple(dict.fromkeys((*cycles, *applicable_cycles(panel.grid, steps))))
    schema = schema.model_copy(update={"calendar": cycles, "holidays": config.holidays})
    names = [*schema.feature_names(*schema.covariates), *calendar_feature_names(schema)]
    if (name := find_duplicate(names)) is not None:
        raise ConfigError(f"{source}: expected unique feature names, got '{name}' twice", "rename a column")
    return schema


def describe_covariates(
    schema: Schema, covariates: CovariateRoles, unused: Mapping[str, str], config: DataConfig
) -> list[InferredSetting]:
    """Return the settings of covariates, calendar and unused columns, some with the reason why they are no targets."""
    inferred_settings = []
    for kind in ("future", "past", "static"):
        role = getattr(covariates, kind)
        if role.columns:
            counts = [
                f"'{name}' has {len(schema.categories[name])} categories"
                for name in role.columns
                if name in schema.categories
            ]
            inferred_settings.append(
                InferredSetting(
                    field=f"{kind} covariates",
                    value=quote_list(role.columns, quote=""),
                    given=role.given,
                    reason="; ".join([role.reason, *counts]),
                )
            )
    if schema.calendar or config.calendar or config.holidays:
        parts = [*schema.calendar, *([f"holidays of {schema.holidays}"] if schema.holidays else [])]
        reason = f"{len(calendar_feature_names(schema))} features of each step, known in advance"
        by_rule = config.calendar is None and bool(schema.calendar)
        inferred = by_rule or AUTO in (config.calendar or ())
        if by_rule:
            reason += "; a context of few seasons does not determine the phase of the season"
        elif inferred:
            reason += "; the cycles longer than a step that occur at least twice in the series"
        inferred_settings.append(
            InferredSetting(field="calendar", value=", ".join(parts) or "none", given=not inferred, reason=reason)
        )
    if unused:
        reason = "not used; they can be named as targets or covariates"
        by_reason: dict[str, list[str]] = {}
        for name, why in unused.items():
            by_reason.setdefault(why, []).append(name)
        reason += "".join(f"; {quote_list(names)} {why}" for why, names in by_reason.items() if why)
        inferred_settings.append(
            InferredSetting(field="left out", value=quote_list(unused, quote=""), given=False, reason=reason)
        )
    return inferred_settings
