"""Which columns of numbers are forecast, and why the others are not: they number rows, place a series or flag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.table import Column, Table
from tsattn.data.time_parts import part_kind, words_of
from tsattn.timeseries.ragged import Ints

MIN_COUNTED_ROWS = 30
"""Rows from which on a column that increases by 1 from row to row is taken to number them, whatever its name."""

REPEATS, COUNTS = "repeats a part of the timestamps", "numbers the rows"
"""Reasons that exclude a column even if no other one remains."""

_COORDINATES = frozenset(("lat", "latitude", "lon", "lng", "long", "longitude", "elev", "elevation", "altitude"))
_FISCAL = frozenset(("fiscal", "fy"))
_CALENDAR_PARTS = frozenset(("year", "quarter", "month", "period", "week", "day"))
_CALENDAR = frozenset(("season", "weekday", "dayofweek", "dow", "wday", "weekend"))


def reasons_against(
    table: Table, names: Sequence[str], times: pd.Index | None, codes: Ints, repeating: Sequence[str]
) -> dict[str, str]:
    """Return the columns that are no targets unless they are asked for, with the reason.

    Args:
        table: The table.
        names: Columns with numbers.
        times: Timestamp of each row; None if rows are steps.
        codes: Index of the series of each row, int64 [rows].
        repeating: Columns that repeat a part of the timestamp.
    """
    found: dict[str, str] = {}
    for name in names:
        reason = REPEATS if name in repeating else _reason(table[name], times, codes)
        if reason:
            found[name] = reason
    return found


def _reason(column: Column, times: pd.Index | None, codes: Ints) -> str:
    numbers = pd.to_numeric(column.values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    seen = numbers[np.isfinite(numbers)]
    if column.kind == "text" and column.numeric_fraction < 1 and len(np.unique(seen)) <= 2:
        return "is a category"
    if not len(seen):
        return "is empty"
    levels = np.unique(seen[:1000])
    if len(levels) <= 2:
        levels = np.unique(seen)
    if len(levels) == 1:
        return "holds one value"
    if _numbers_rows(column, numbers) or (times is None and _is_axis(numbers)):
        return COUNTS
    if isinstance(times, pd.DatetimeIndex) and _follows_time(numbers, times):
        return REPEATS
    if words_of(column.name) & _COORDINATES:
        return "is a coordinate"
    if len(levels) == 2 and set(levels) == {0.0, 1.0}:
        return "is a flag of 0 and 1"
    if part_kind(column.values) is not None and _cycles(numbers):
        return "counts the calendar"
    if words_of(column.name) & _FISCAL and words_of(column.name) & _CALENDAR_PARTS and column.is_whole:
        return "counts the calendar"
    if words_of(column.name) & _CALENDAR_PARTS and column.is_whole and numbers.min() == 1 and _cycles(numbers):
        return "counts the calendar"
    if words_of(column.name) & _CALENDAR and column.is_whole and len(np.unique(seen)) <= 7:
        return "counts the calendar"
    if isinstance(times, pd.DatetimeIndex) and column.is_whole and _follows_calendar(numbers, times):
        return "counts the calendar"
    return ""


def _numbers_rows(column: Column, numbers: npt.NDArray[np.float64]) -> bool:
    """Return whether numbers increase by 1 from row to row, or are an id of each row."""
    if not column.is_whole or len(numbers) < 2 or not np.isfinite(numbers).all():
        return False
    words = words_of(column.name)
    if "id" in words and len(np.unique(numbers)) == len(numbers):
        return True
    named = bool(words & {"index", "row", "record", "instant", "nr", "no"})
    return bool((np.diff(numbers) == 1).all()) and (named or len(numbers) >= MIN_COUNTED_ROWS)


def _is_axis(numbers: npt.NDArray[np.float64]) -> bool:
    """Return whether numbers increase at equal steps, as an axis without the form of timestamps does."""
    if len(numbers) < MIN_COUNTED_ROWS or not np.isfinite(numbers).all():
        return False
    steps = np.diff(numbers)
    return bool(steps[0] > 0 and np.allclose(steps, steps.mean(), rtol=0.01, atol=0))


def _follows_time(numbers: npt.NDArray[np.float64], times: pd.DatetimeIndex) -> bool:
    """Return whether large numbers count days, seconds or parts of seconds from a fixed time on."""
    if len(numbers) < MIN_COUNTED_ROWS or not np.isfinite(numbers).all() or np.abs(numbers).min() < 20_000:
        return False
    elapsed = (times.asi8 - times.asi8[0]) / 1e6
    counted = numbers - numbers[0]
    # Fractions of days may be rounded to half a minute.
    units = ((1 / 86_400, 3e-4), (1, 0.5), (1e3, 500), (1e6, 5e5), (1e9, 5e8))
    return any(np.allclose(counted, unit * elapsed, rtol=1e-9, atol=most) for unit, most in units)


def _cycles(numbers: npt.NDArray[np.float64]) -> bool:
    """Return whether numbers count up by 1 and begin again after the largest one."""
    if len(numbers) < 10 or not np.isfinite(numbers).all():
        return False
    steps, wraps = np.diff(numbers), (numbers[:-1] == numbers.max()) & (numbers[1:] == numbers.min())
    return bool(wraps.any() and ((steps == 0) | (steps == 1) | wraps).all())


def _follows_calendar(numbers: npt.NDArray[np.float64], times: pd.DatetimeIndex) -> bool:
    """Return whether numbers are a part of the timestamps plus a constant, such as years since 2011."""
    if len(numbers) < 10 or not np.isfinite(numbers).all():
        return False
    for part in ("year", "month", "quarter", "day", "hour", "day_of_year"):
        values = np.asarray(getattr(times, part), dtype=np.float64)
        if values.min() < values.max() and np.ptp(numbers - values) == 0 and (np.diff(values) <= 0).any():
            return True
    shift = (numbers - np.asarray(times.dayofweek, dtype=np.float64)) % 7
    return bool(np.ptp(shift) == 0 and np.ptp(numbers) == 6)
