"""Detection of timestamps that are numbers: dates such as 20201231, and counts of seconds or days from a start on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import format_timestamp
from tsattn.data.columns import is_whole, kind_of
from tsattn.data.time_detection import TimeReading, as_weeks, choose_format, names_weeks, regularity
from tsattn.data.time_parts import is_time_name, names_dates, words_of
from tsattn.data.timestamps import (
    COMPACT,
    DECIMAL_YEAR,
    EPOCH_UNITS,
    EXCEL,
    changed_date,
    parse,
    valid_fraction,
)

SERIALS = (20_000, 80_000)
"""Range of the days of spreadsheets: 1954 to 2119."""

SERIAL_OF_1970 = 25_569
"""Day of spreadsheets, below which numbers are more likely counted from 1960 or 1970 on."""

MAX_YEAR = 2200
"""Last year of timestamps that are counts of seconds or parts of them."""

OTHER_STARTS = (
    (719_529, 86_400, "days since year 0, as MATLAB counts"),
    (719_163, 86_400, "days since year 1, as Python counts"),
    (2_440_587.5, 86_400, "Julian days"),
    (621_355_968_000_000_000, 1e-7, "ticks since year 1, as .NET counts"),
    (116_444_736_000_000_000, 1e-7, "ticks since 1601, as Windows counts"),
)
"""Counts that are not read: the one of 1970-01-01, the seconds of one step, and their name."""

_USUAL_SECONDS = frozenset((1, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800))
_SERIAL_SECONDS = frozenset((60, 300, 600, 900, 1800, 3600))
_DAY_SECONDS = 86_400
_EPOCH_WORDS = frozenset(("ts", "time", "timestamp", "epoch", "unix", "date", "datetime", "utc"))
MAX_SINCE_1970 = 80 * 366 * 86_400
"""Seconds before and after 1970 that counts from another start may be."""

_COUNT_WORDS = frozenset(("datenum", "ordinal", "julian", "jd"))


def detect_number_format(column: pd.Series[Any]) -> str:
    """Return the format of timestamps that are whole numbers: dates such as 19580329, epoch units or integers."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    seen = values[np.isfinite(values)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    digits = len(f"{low:.0f}") if 1 <= low == np.floor(low) and len(f"{low:.0f}") == len(f"{high:.0f}") else 0
    best = max(COMPACT.get(digits, ()), key=lambda name: valid_fraction(seen, name), default="")
    if best and valid_fraction(seen, best) > 0.5:
        return best
    for unit, nanoseconds in EPOCH_UNITS.items():
        if low >= 1e17 / nanoseconds and high < 1e20 / nanoseconds:
            return unit
    return "integer"


def read_numbers(column: pd.Series[Any]) -> TimeReading:
    """Return how a column of numbers reads as timestamps, by its values; its name decides about days of spreadsheets.

    Whole numbers without such a meaning, such as years and steps, have no format here.
    """
    if kind_of(column) != "number":
        return TimeReading(None)
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isfinite(values).sum() < 3:
        return TimeReading(None)
    if (doubt := _other_start(column, values)) is not None:
        return TimeReading(None, doubt=doubt)
    if is_whole(column):
        found = detect_number_format(column)
        named = is_time_name(str(column.name)) or (
            found in EPOCH_UNITS and words_of(str(column.name)) & _EPOCH_WORDS and column.is_monotonic_increasing
        )
        if found != "integer" and not named and not _has_usual_steps(column, found):
            return TimeReading(None)
        if found in COMPACT[6]:
            numbers = column.dropna().to_numpy(dtype=np.float64)
            likely = [name for name in COMPACT[6] if valid_fraction(numbers, name) > 0.5]
            if "week" in likely and names_weeks(str(column.name)):
                return as_weeks(column.astype("Int64"), "%Y%m" in likely)
            if found != "%Y%m":
                return choose_format(pd.Series(numbers).astype("int64").astype("str"), likely)
        last = parse(column.dropna().iloc[-1:], found)[0][0] if found in EPOCH_UNITS else pd.Timestamp(0)
        if found in EPOCH_UNITS and last.year > MAX_YEAR:
            text = f"expected dates, got {column.dropna().iloc[-1]:.0f}, which is {last:%Y-%m-%d} as {found} since 1970"
            return TimeReading(None, doubt=f"{text}, and may be counted from another year")
        if found in EPOCH_UNITS and last > pd.Timestamp.now(last.tz) + pd.DateOffset(years=2):
            text = f"{column.dropna().iloc[-1]:.0f} is read as {found} since 1970: {format_timestamp(last)}"
            return TimeReading(found, f"{text}, which is in the future")
        if found != "integer":
            return TimeReading(found)
        if names_dates(str(column.name)) and (date := changed_date(column)):
            text = f"expected dates such as 20201231, got {column.dropna().iloc[0]:.0f}, which may be {date}"
            return TimeReading(None, doubt=text)
    if (reading := _read_fractions(values, str(column.name))) is not None:
        return reading
    low, high = np.nanmin(values), np.nanmax(values)
    if low >= 1e9 and high < 1e10 and is_time_name(str(column.name)):
        return TimeReading("seconds")
    if not SERIALS[0] <= low <= high < SERIALS[1]:
        return TimeReading(None)
    is_named = names_dates(str(column.name)) or (
        is_time_name(str(column.name)) and not is_whole(column) and _usual_step(column, EXCEL) in _SERIAL_SECONDS
    )
    if is_named:
        first = parse(column.dropna().iloc[:1], EXCEL)[0][0]
        if high < SERIAL_OF_1970:
            # SAS and R count days as well.
            others = [f"{pd.Timestamp(f'{start}-01-01') + pd.Timedelta(days=low):%Y-%m-%d}" for start in (1960, 1970)]
            text = f"expected dates, got {column.dropna().iloc[0]}, which is {format_timestamp(first)} by 'excel', and"
            return TimeReading(None, doubt=f"{text} {others[0]} or {others[1]} in days since 1960 or 1970")
        text = f"{column.dropna().iloc[0]} and the others are read as days of a spreadsheet"
        return TimeReading(EXCEL, f"{text}: {format_timestamp(first)}")
    return TimeReading(None)


def _other_start(column: pd.Series[Any], values: npt.NDArray[np.float64]) -> str | None:
    """Return why numbers are no timestamps, if they are at usual steps by a count that is not read."""
    ends = np.array([np.nanmin(values), np.nanmax(values)])
    if ends[0] < OTHER_STARTS[1][0] // 2:
        return None
    name, found = str(column.name), []
    named = is_time_name(name) or names_dates(name) or bool(words_of(name) & _COUNT_WORDS)
    for start, seconds, unit in OTHER_STARTS:
        if (np.abs((ends - start) * seconds) > MAX_SINCE_1970).any():
            continue
        since = (values[np.isfinite(values)] - start) * seconds
        if named or seconds < 1 or (since % _DAY_SECONDS).any():
            times = pd.DatetimeIndex(np.round(since).astype("datetime64[s]")).as_unit("us")
            if _is_usual(_most_common(times)) and not (seconds < 1 and _has_usual_steps(column, "nanoseconds")):
                found.append(f"{format_timestamp(times[0])} in {unit}")
    return f"expected dates, got {column.dropna().iloc[0]}, which may be {' or '.join(found)}" if found else None


def _read_fractions(values: npt.NDArray[np.float64], name: str) -> TimeReading | None:
    """Return how numbers such as 2010.25 read, if they are years with fractions at equal steps."""
    if not (np.nanmin(values) >= 1500 and np.nanmax(values) < 2200):
        return None
    seen = np.unique(values[np.isfinite(values)])
    if len(seen) < 5 or seen[0] < 1500 or seen[-1] >= 2200 or (seen == np.round(seen)).all():
        return None
    steps = np.diff(seen)
    usual = float(np.median(steps))
    if (np.abs(steps - usual) < 0.1 * usual).mean() < 0.9:
        return None
    if any(abs(usual * per_year - 1) < 0.02 for per_year in (12, 4, 2)):
        first = format_timestamp(parse(pd.Series(seen[:1]), DECIMAL_YEAR)[0][0])
        return TimeReading(DECIMAL_YEAR, f"{seen[0]:.10g} and the others are read as years with fractions: {first}")
    if usual < 1 and words_of(name) & {"year", "date", "time", "jahr", "datum", "zeit", "annee", "ano"}:
        doubt = f"expected dates, got years with fractions that are neither months nor quarters, such as {seen[1]:.10g}"
        return TimeReading(None, doubt=doubt)
    return None


def _usual_step(column: pd.Series[Any], time_format: str) -> float | None:
    """Return the most common seconds between timestamps; None if cells are invalid or most steps differ."""
    times, invalid = parse(column, time_format)
    return None if invalid.any() else _most_common(times)


def _most_common(times: pd.Index) -> float | None:
    if regularity(times)[0] < 0.7:
        return None
    steps = np.diff(pd.DatetimeIndex(times).asi8)
    found, number = np.unique(steps[steps != 0], return_counts=True)
    return float(found[np.argmax(number)] / 1e6)


def _is_usual(seconds: float | None) -> bool:
    return seconds in _USUAL_SECONDS or (seconds is not None and seconds % 3600 == 0 and seconds <= 366 * _DAY_SECONDS)


def _has_usual_steps(column: pd.Series[Any], unit: str) -> bool:
    """Return whether numbers are regular timestamps, counts of a unit a usual number of seconds or days apart."""
    seconds = _usual_step(column, unit)
    if seconds is None or unit not in EPOCH_UNITS:
        return seconds is not None
    return _is_usual(seconds)
