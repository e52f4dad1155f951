"""Timestamps of a known format: one column of dates, or several columns with parts of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import quote_list
from tsattn.data.columns import MAX_INTEGER, Bools, is_categorical, is_whole, kind_of, unique_texts
from tsattn.data.date_text import normalize
from tsattn.data.time_parts import add_time_of_day, date_of_parts, iso_weeks
from tsattn.errors import ConfigError
from tsattn.timeseries.grid import to_microseconds

TIME_SUFFIX = " and time"
"""Suffix of a date format for timestamps with the time of day in a second column."""

EPOCH_UNITS = {"seconds": 1_000_000_000, "milliseconds": 1_000_000, "microseconds": 1_000, "nanoseconds": 1}
"""Formats of timestamps that count units since 1970, with the nanoseconds of each unit."""

EXCEL = "excel"
"""Format of timestamps that count days since 1899-12-30, as spreadsheets do."""

DECIMAL_YEAR = "decimal year"
"""Format of timestamps such as 2010.25, whose fractions are months."""

WEEK_BEFORE_YEAR = r"(?P<part>\d{1,2})[-/.](?P<year>[12]\d{3})"
"""Week and year such as 05/2021, which is a month unless the column is named after weeks."""

PERIODS: dict[str, tuple[str, ...]] = {
    "quarter": (
        r"(?P<year>[12]\d{3})[-/: ]?[kKqQtT]0?(?P<part>[1-4])",
        r"[qQtT]0?(?P<part>[1-4])[-/ ]?(?P<year>[12]\d{3})",
        r"(?P<part>[1-4])[qQtT][-/ ']?(?P<year>[12]\d{3}|\d\d)",
        r"[qQtT](?P<part>[1-4])[-/ ']?(?P<year>\d\d)",
        r"(?P<year>\d\d)[-/ ]?[qQtT](?P<part>[1-4])",
    ),
    "half-year": (r"(?P<year>[12]\d{3})[-/ ]?[hHsS](?P<part>[12])", r"[hHsS](?P<part>[12])[-/ ]?(?P<year>[12]\d{3})"),
    "week": (
        r"(?P<year>[12]\d{3})[-/ ]?[wW][-/ ]?(?P<part>\d{1,2})",
        r"[wW][-/ ]?(?P<part>\d{1,2})[-/ ]?(?P<year>[12]\d{3})",
        r"(?P<year>[12]\d{3})[-/ ]?[sS]?(?P<part>\d\d)",
        WEEK_BEFORE_YEAR,
    ),
    "fiscal year": (
        r"(?:[fF][yY] ?)?(?P<year>[12]\d{3})[-/](?P<part>\d{4}|\d\d)",
        r"[fF][yY][ ']?(?P<year>[12]\d{3}|\d\d)(?P<part>)",
    ),
}
"""Formats of longer periods that strptime does not have, as regular expressions of year and part."""

COMPACT = {4: (), 6: ("%Y%m", "week", "%y%m%d"), 7: ("%Y%j",), 8: ("%Y%m%d",), 10: ("%Y%m%d%H",), 12: ("%Y%m%d%H%M",)}
COMPACT |= {14: ("%Y%m%d%H%M%S",)}
"""Formats that whole numbers may have, by their number of digits."""

_OFFSET = r":\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)\s*$"
_MIDNIGHT = r"(?<=[ T])24(?=:00(?::00)?$)"
_JOINT = re.compile(r"(.+)( and (?:time|fraction|hhmmss|hhmm|period of \d+(?: in [\w/]+)?))")
_COMPACT = re.compile(r"(?:%[YmdHMSj])+")
_DIGITS = {"Y": 4, "j": 3}


def is_joint(time_format: str) -> bool:
    """Return whether a format reads several columns."""
    return "+" in time_format or _JOINT.fullmatch(time_format) is not None


def parse(columns: pd.Series[Any] | pd.DataFrame, time_format: str) -> tuple[pd.Index, Bools]:
    """Parse timestamps.

    Args:
        columns: One column; or several with calendar parts; or a date and a time of day.
        time_format: "date" for ISO dates or datetimes, a strptime format, a key of `PERIODS`, "integer", one of
            `EPOCH_UNITS`, "excel", "decimal year", the kinds of parts such as "year+month", or a date format followed
            by " and time", " and fraction" (of a day), " and hhmm" (numbers such as 1330), " and hhmmss",
            " and period of 48" (numbers from 1 on) or " and period of 48 in Europe/London", whose days may have 23 or
            25 hours.

    Returns:
        The timestamps, and a mask of those that could not be parsed, whose values are undefined. Timestamps are int64
        for "integer", else datetimes in microseconds, with a time zone if the column has one.
    """
    if isinstance(columns, pd.DataFrame):
        joint = _JOINT.fullmatch(time_format)
        if joint is None:
            return _dates(date_of_parts(columns, time_format.split("+")))
        days, invalid_days = parse(columns.iloc[:, 0], joint[1])
        kind = joint[2].removeprefix(" and ")
        joined, invalid_times = add_time_of_day(pd.DatetimeIndex(days), columns.iloc[:, 1], kind)
        return to_microseconds(joined), invalid_days | invalid_times
    if is_categorical(columns):
        texts, rows = unique_texts(columns)
        times, invalid = parse(texts, time_format)
        return times[rows], invalid[rows]
    if time_format == "integer":
        values = _floats(columns)
        invalid = ~np.isfinite(values) | (values != np.round(values)) | (np.abs(values) > MAX_INTEGER)
        return pd.Index(np.where(invalid, 0, values).astype(np.int64)), invalid
    if kind_of(columns) == "date":
        return _dates(columns)
    if time_format in EPOCH_UNITS:
        return _parse_epoch(columns, EPOCH_UNITS[time_format])
    if time_format == EXCEL:
        seconds = np.round(_floats(columns) * 86400) - 25569 * 86400
        return _from_micros(np.where(np.abs(seconds) < 1e11, seconds * 1e6, np.nan))
    if time_format == DECIMAL_YEAR:
        # A small number, because fractions are rounded.
        months = np.floor(_floats(columns) * 12 + 0.02)
        valid = (months >= 12) & (months < 120_000)
        since = np.where(valid, months - 1970 * 12, 0).astype(np.int64).astype("datetime64[M]")
        return to_microseconds(pd.DatetimeIndex(since.astype("datetime64[us]"))), ~valid
    text = columns.astype(str)
    if is_whole(columns):
        numbers = _floats(columns)
        text = pd.Series(np.where(np.isfinite(numbers), numbers, np.nan)).astype("Int64").astype(str)
    if time_format in PERIODS:
        return _parse_period(text, time_format)
    return _parse_text(text, time_format)


def _parse_text(text: pd.Series[Any], time_format: str) -> tuple[pd.Index, Bools]:
    """Return the dates of text. Cells in another spelling, such as months in German, are normalized first."""
    if _COMPACT.fullmatch(time_format):
        digits = sum(_DIGITS.get(sign, 2) for sign in time_format[1::2])
        text = text.where(text.str.fullmatch(rf"\d{{{digits}}}"))
    # Timestamps with and without an offset from UTC cannot be compared: the less frequent kind is invalid.
    aware = "%z" in time_format
    if time_format == "date":
        offset = text.str.contains(_OFFSET)
        aware = bool(offset.mean() > 0.5)
        text = text.where(offset == aware)
    form = "ISO8601" if time_format == "date" else time_format
    times = pd.to_datetime(text, format=form, errors="coerce", utc=aware)
    missed = times.isna() & text.notna()
    if missed.any():
        spelled = normalize(text[missed])
        spelled = spelled.where(spelled.str.contains(_OFFSET, na=False) == aware)
        days = pd.to_timedelta(spelled.str.contains(_MIDNIGHT, na=False).astype(int), unit="D")
        spelled = spelled.str.replace(_MIDNIGHT, "00", regex=True)
        times[missed] = pd.to_datetime(spelled, format=form, errors="coerce", utc=aware) + days
    return _dates(times)


def _parse_period(text: pd.Series[Any], time_format: str) -> tuple[pd.Index, Bools]:
    """Return the first days of quarters, half-years, ISO weeks or fiscal years."""
    text = normalize(text)
    year = pd.Series(np.nan, index=text.index)
    part = year.copy()
    for pattern in PERIODS[time_format]:
        found = text.str.extract(f"^{pattern}$")
        year = year.fillna(pd.to_numeric(found["year"], errors="coerce"))
        part = part.fillna(pd.to_numeric(found["part"], errors="coerce"))
    year = year.where(year > 99, year + np.where(year < 69, 2000, 1900))
    if time_format == "week":
        return _dates(iso_weeks(year, part))
    if time_format == "fiscal year":
        year = year.where(part.isna() | (part == year + 1) | (part == (year + 1) % 100))
        part = year * 0 + 1
    months = (part - 1) * {"quarter": 3, "half-year": 6, "fiscal year": 12}[time_format] + 1
    return _dates(pd.to_datetime(pd.DataFrame({"year": year, "month": months, "day": 1}), errors="coerce"))


def _floats(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    numbers = pd.to_numeric(column, errors="coerce") if kind_of(column) == "text" else column
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _dates(column: pd.Series[Any]) -> tuple[pd.Index, Bools]:
    times = to_microseconds(pd.DatetimeIndex(column))
    return (times if _has_zone_name(times) else times.tz_convert("UTC")), column.isna().to_numpy()


def _has_zone_name(times: pd.DatetimeIndex) -> bool:
    """Return whether timestamps have no time zone, or one that can be restored from its name in a schema."""
    try:
        return times.tz is None or bool(pd.Timestamp(0, tz=str(times.tz)) == pd.Timestamp(0, tz="UTC"))
    except (KeyError, ValueError, OSError):
        return False


def _parse_epoch(column: pd.Series[Any], nanoseconds: int) -> tuple[pd.Index, Bools]:
    """Return the dates of counts of a unit of ``nanoseconds`` since 1970; integers are exact."""
    if pd.api.types.is_integer_dtype(column.dtype) and column.notna().all():
        counts = column.to_numpy(dtype=np.int64)
        whole = counts // 1000 if nanoseconds == 1 else counts * (nanoseconds // 1000)
        return _dates(pd.Series(whole.astype("datetime64[us]")))
    return _from_micros(np.round(_floats(column) * (nanoseconds / 1000)))


def _from_micros(micros: npt.NDArray[np.float64]) -> tuple[pd.Index, Bools]:
    never = np.iinfo(np.int64).min
    return _dates(pd.Series(np.where(np.isfinite(micros), micros, never).astype("datetime64[us]")))


def describe_format(time_format: str) -> str:
    """Return a format of timestamps in words."""
    names = {"date": "ISO dates", "integer": "whole numbers", EXCEL: "days as spreadsheets count them"}
    names |= {DECIMAL_YEAR: "years with fractions"}
    names |= {"quarter": "quarters such as 1959Q1", "half-year": "half-years"}
    names |= {"week": "ISO weeks, dated by their Monday", "fiscal year": "fiscal years, dated by their first year"}
    names |= {unit: f"{unit} since 1970" for unit in EPOCH_UNITS}
    return names.get(time_format, f"dates written as {time_format}")


def check_format(time_format: str, source: str) -> None:
    """Raise a ConfigError if a format of timestamps is unknown."""
    words = ("date", "integer", EXCEL, DECIMAL_YEAR, *PERIODS, *EPOCH_UNITS)
    if time_format not in words and "%" not in time_format:
        raise ConfigError(
            f"{source}: expected a format of timestamps such as %d/%m/%Y, or {quote_list(words)}, got '{time_format}'",
            "correct {time_format}",
        )


def valid_fraction(numbers: npt.NDArray[np.float64], time_format: str) -> float:
    """Return the fraction of numbers that are timestamps of a format, in years that are likely."""
    times, invalid = parse(pd.Series(numbers), time_format)
    years = pd.DatetimeIndex(times).year
    first, last = (1900, 2100) if time_format in COMPACT[6] else (1800, 2200)
    return float((~invalid & np.asarray((years >= first) & (years < last))).mean())


def changed_date(column: pd.Series[Any]) -> str:
    """Return the first date of whole numbers such as 1220131, 1312022 or 31122022; "" if they are no such dates."""
    numbers = column.dropna()
    if numbers.min() < 10**6 or numbers.max() >= 10**8:
        return ""
    texts = numbers.astype("int64").astype("str")
    if texts.str.fullmatch(r"1\d{6}").all() and not parse(texts.str[1:], "%y%m%d")[1].any():
        return f"20{texts.iloc[0][1:]} with a digit for the century"
    if not texts.str.fullmatch(r"\d{7,8}").all():
        return ""
    padded = texts.str.zfill(8)
    for order in ("%d%m%Y", "%m%d%Y"):
        times, invalid = parse(padded, order)
        if not invalid.any() and ((pd.DatetimeIndex(times).year > 1900) & (pd.DatetimeIndex(times).year < 2100)).all():
            return f"{padded.iloc[0]}, a date written as '{order}'"
    return ""
