"""Which columns beside the targets are covariates, and of which kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import quote_list
from tsattn.config import DataConfig
from tsattn.data.columns import Ints, is_date, is_number, is_text, labels, numbers
from tsattn.data.frequency import counts_of
from tsattn.data.roles import Role, is_counter, mostly_numbers, named
from tsattn.errors import ConfigError, DataError
from tsattn.timeseries.calendar import AUTO, calendar_features, check_calendar, fitting_cycles, season_cycles
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Decision, Schema

FEWEST_AHEAD = 3
"""Fewest rows behind the targets of every series that tell a column which goes on from targets that came late."""

MOST_CATEGORIES = 100
"""Most values of a category that changes within a series: each is a feature of every step."""

_NONE = Role((), "none was given")


@dataclass(frozen=True)
class Beside:
    """Columns beside the targets by kind, and the values of those that hold categories.

    Args:
        future: known over the horizon as well.
        past: known up to the forecast only.
        static: one value a series.
        categories: values of the columns that hold no numbers.
    """

    future: Role
    past: Role
    static: Role
    categories: dict[str, tuple[str, ...]]

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.future.columns, *self.past.columns, *self.static.columns)


def given_covariates(frame: pd.DataFrame, config: DataConfig, source: str) -> Beside:
    """Return the columns that were given as covariates.

    Raises:
        DataError: one does not exist.
        ConfigError: one has two parts to play.
    """
    roles = {}
    for kind in ("future", "past", "static"):
        columns = getattr(config, f"{kind}_covariates")
        option = f"--{kind}-covariates"
        found = tuple(name for text in columns or () for name in named(frame, text, option, source))
        roles[kind] = Role(found, "they were given", given=True) if found else replace(_NONE, given=columns is not None)
    parts = [*(config.target or ()), *(name for role in roles.values() for name in role.columns)]
    twice = sorted({name for name in parts if parts.count(name) > 1})
    if twice:
        raise ConfigError(
            f"{source}: {quote_list(twice)}: a column is a target, known ahead, known up to the forecast, or static"
        )
    given = Beside(**roles, categories={})
    for text in config.categories or ():
        named(frame, text, "--categories", source)
    return given


def with_categories(frame: pd.DataFrame, beside: Beside, config: DataConfig, source: str) -> Beside:
    """Return all covariates with the values of those that are categories.

    Raises:
        DataError: one holds dates, a cell that is no number, or too many categories.
        ConfigError: a column that was given as a category is no covariate.
    """
    stray = [name for name in config.categories or () if name not in beside.columns]
    if stray:
        raise ConfigError(
            f"{source}: --categories names '{stray[0]}', which is no covariate: name it by --future-, --past- or "
            "--static-covariates as well"
        )
    categories = {}
    for name in beside.columns:
        if is_date(frame[name]):
            raise DataError(f"{source}: column '{name}': expected numbers or categories as a covariate, got dates")
        if not _is_category(frame[name], config):
            numbers(frame, name, source)
            continue
        values = tuple(sorted(text for text in labels(frame[name])[1] if text.strip()))
        if len(values) > MOST_CATEGORIES and name not in beside.static.columns:
            raise DataError(
                f"{source}: column '{name}': expected at most {MOST_CATEGORIES} categories in a covariate that "
                f"changes, got {len(values):,}: leave it out, or join some of them"
            )
        categories[name] = values
    return replace(beside, categories=categories)


def _is_category(column: pd.Series[Any], config: DataConfig) -> bool:
    return str(column.name) in (config.categories or ()) or (is_text(column) and not mostly_numbers(column))


def with_static(frame: pd.DataFrame, beside: Beside, config: DataConfig, used: tuple[str, ...], codes: Ints) -> Beside:
    """Return covariates with those that the data leave no doubt of: one value in each series, shared by two or more.

    Args:
        frame: its rows.
        beside: what was given.
        config: what the user said; static covariates that were given stand, also that there are none.
        used: columns that play another part.
        codes: the series of every row, int64 [rows].
    """
    if beside.static.given or codes.max() == 0:
        return beside
    rest = _rest(frame, (*used, *beside.columns), config)
    fixed = tuple(name for name in rest if _is_shared_by_series(frame[name], codes))
    if config.target is None and all(name in fixed for name in rest if not _is_category(frame[name], config)):
        # Something must be left to forecast, be it constant.
        fixed = tuple(name for name in fixed if _is_category(frame[name], config))
    if not fixed:
        return beside
    return replace(beside, static=Role(fixed, "one value in each series, several of which share it"))


def with_future(
    frame: pd.DataFrame,
    beside: Beside,
    config: DataConfig,
    used: tuple[str, ...],
    targets: tuple[str, ...],
    codes: Ints,
    stamps: pd.Index | None,
    source: str,
) -> Beside:
    """Return covariates with those that go on in every row behind the targets, which therefore are known ahead.

    Args:
        frame: its rows.
        beside: what was found so far.
        config: what the user said; those known ahead that were given stand, also that there are none.
        used: columns that play another part.
        targets: columns to forecast.
        codes: the series of every row, int64 [rows].
        stamps: of every row; None where rows are steps.
        source: what messages call the frame.
    """
    if beside.future.given or stamps is None:
        return beside
    rest = _rest(frame, (*used, *beside.columns), config)
    behind = _behind_targets(frame, targets, codes, stamps, source) if rest else np.zeros(len(frame), dtype=bool)
    if np.bincount(codes[behind], minlength=int(codes.max()) + 1).min() < FEWEST_AHEAD:
        return beside
    ahead = tuple(name for name in rest if (labels(frame[name][behind])[0] >= 0).all())
    if not ahead:
        return beside
    return replace(beside, future=Role(ahead, "they go on where the targets have ended"))


def left_out(frame: pd.DataFrame, used: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that play no part and are not merely the row number."""
    taken = set(used)
    return tuple(str(name) for name in frame.columns if name not in taken and not is_counter(frame[name]))


def _rest(frame: pd.DataFrame, used: tuple[str, ...], config: DataConfig) -> list[str]:
    taken = set(used)
    return [str(name) for name in frame.columns if name not in taken and _usable(frame[name], config)]


def _usable(column: pd.Series[Any], config: DataConfig) -> bool:
    """Tell whether a column may be a covariate without being named so."""
    kind = is_number(column) or is_text(column) or pd.api.types.is_bool_dtype(column.dtype)
    if not kind or column.isna().all() or is_counter(column):
        return False
    if is_text(column) and mostly_numbers(column) and not mostly_numbers(column, least=1.0):
        # Neither numbers nor categories, or both.
        return False
    return not _is_category(column, config) or column.nunique() <= MOST_CATEGORIES


def _behind_targets(
    frame: pd.DataFrame, targets: tuple[str, ...], codes: Ints, stamps: pd.Index, source: str
) -> npt.NDArray[np.bool_]:
    """Tell of each row whether all targets of its series ended before it, or never were."""
    seen = np.any([np.isfinite(numbers(frame, name, source)) for name in targets], axis=0)
    when = counts_of(stamps)
    last = np.full(int(codes.max()) + 1, np.iinfo(np.int64).min)
    np.maximum.at(last, codes[seen], when[seen])
    return np.asarray(when > last[codes])


def _is_shared_by_series(column: pd.Series[Any], codes: Ints) -> bool:
    """Tell whether a column has one value in each series, and at least two series for each value."""
    head = slice(10_000)
    if (np.diff(codes[head]) == 0).any() and not _is_fixed(labels(column.iloc[head])[0], codes[head]):
        # A look at the first rows spares one at all of them.
        return False
    found, _ = labels(column)
    if not _is_fixed(found, codes):
        return False
    _, shared = np.unique(_by_series(found, codes), return_counts=True)
    return bool(len(shared) > 1 and shared.min() > 1)


def _is_fixed(found: Ints, codes: Ints) -> bool:
    """Tell whether a value, none of which is missing, is the same in all rows of each series."""
    return bool((found >= 0).all() and (_by_series(found, codes)[codes] == found).all())


def _by_series(found: Ints, codes: Ints) -> Ints:
    """Return the value of each series, of one of its rows."""
    one = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    one[codes] = found
    return one


def decide_calendar(schema: Schema, panel: Panel, config: DataConfig, season: int, source: str) -> Schema:
    """Return a schema with the holidays and the cycles of the calendar that were asked for, or that a short look-back
    needs.

    Raises:
        ConfigError: a cycle or a country is unknown, or the stamps are no dates.
    """
    wanted = config.calendar or ()
    cycles = tuple(name for name in wanted if name != AUTO)
    check_calendar(cycles, config.holidays, panel.grid, source)
    steps = float(np.median(panel.lengths))
    if config.calendar is None:
        cycles = season_cycles(panel.grid, season, config.context, steps)
    if AUTO in wanted:
        fitting = fitting_cycles(panel.grid, steps)
        cycles = tuple(dict.fromkeys((*cycles, *fitting)))
    schema = schema.model_copy(update={"calendar": cycles, "holidays": config.holidays})
    names = [feature for name in schema.covariates for feature in schema.features_of(name)]
    twice = [name for name, times in Counter([*names, *calendar_features(schema)]).items() if times > 1]
    if twice:
        raise ConfigError(
            f"{source}: expected features with different names, but two are '{twice[0]}': rename a column"
        )
    return schema


def beside_decisions(schema: Schema, beside: Beside, left: tuple[str, ...], config: DataConfig) -> list[Decision]:
    """Return the decisions on what is there."""
    roles = {"known ahead": beside.future, "known before": beside.past, "static": beside.static}
    decisions = []
    for field, role in roles.items():
        if role.columns:
            decisions.append(
                Decision(
                    field=field,
                    value=quote_list(role.columns, quote=""),
                    given=role.given,
                    reason=_reason(role, schema),
                )
            )
    if schema.calendar or config.calendar or config.holidays:
        parts = [*schema.calendar, *([f"holidays of {schema.holidays}"] if schema.holidays else [])]
        reason = f"{len(calendar_features(schema))} features of each step, known ahead"
        by_rule = config.calendar is None and bool(schema.calendar)
        found = by_rule or AUTO in (config.calendar or ())
        if by_rule:
            reason += "; a look-back of few seasons does not tell the phase of the season"
        elif found:
            reason += "; the cycles longer than a step that the series go through twice"
        decisions.append(Decision(field="calendar", value=", ".join(parts) or "none", given=not found, reason=reason))
    if left:
        reason = "not used; name them by --target, --future-, --past- or --static-covariates"
        decisions.append(Decision(field="left out", value=quote_list(left, quote=""), given=False, reason=reason))
    return decisions


def _reason(role: Role, schema: Schema) -> str:
    """Return why, and which of the columns are categories."""
    held = [
        f"'{name}' has {len(schema.categories[name])} categories" for name in role.columns if name in schema.categories
    ]
    return "; ".join([role.reason, *held])
