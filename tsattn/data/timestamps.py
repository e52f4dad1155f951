"""Formats of timestamps: detection and parsing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.columns import MAX_INTEGER, Bools, is_categorical, is_whole, kind_of, unique_texts
from tsattn.errors import DataError
from tsattn.timeseries.grid import to_microseconds
from tsattn.timeseries.ragged import Ints

DAY_FIRST = ("%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d-%m-%Y", "%d-%m-%Y %H:%M", "%d/%m/%y")
FORMATS = (
    *DAY_FIRST,
    *(form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m") for form in DAY_FIRST),
    *("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S"),
    *("%Y%m", "%Y/%m", "%m/%Y", "%b-%Y", "%b %Y", "%B %Y", "%b-%y", "%d-%b-%Y", "%d %b %Y", "%d-%b-%y", "%b %d, %Y"),
)
"""Date formats besides ISO that are tried, in the syntax of strptime."""

PARTS = ("year", "quarter", "month", "day", "hour", "minute")
"""Calendar parts that may be separate columns, in this order."""

TIME_NAMES = frozenset(("ds", "date", "datetime", "timestamp", "time", "year", "month", "quarter", "week", "day"))
TIME_NAMES |= {"period", "yearmonth", "step", "t"}
"""Usual names of time columns; a column of whole numbers is a time column only with one of them."""

TIME_SUFFIX = " and time"
"""Suffix of a date format for timestamps with the time of day in a second column."""

EPOCH_UNITS = {"seconds": 1_000_000_000, "milliseconds": 1_000_000, "microseconds": 1_000, "nanoseconds": 1}
"""Formats of timestamps that count units since 1970, with the nanoseconds of each unit."""

_QUARTER = r"^\s*(\d{4})[-\s]?[qQ]([1-4])\s*$"
_OFFSET = r":\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)\s*$"
_CLOCK = r"\s*(\d{1,2})(?:[:.](\d\d)(?:[:.](\d\d(?:\.\d+)?))?)?\s*(?:([aApP])\.?[mM]\.?)?\s*"
_CLOCKS = frozenset(["time", "clock", "hour", "hours", "hr"])
_CLOCK_WORDS = _CLOCKS.union(["of", "day", "local", "utc", "gmt"])


def is_joint(time_format: str) -> bool:
    """Return whether a format reads several columns."""
    return time_format == "parts" or time_format.endswith(TIME_SUFFIX)


def has_times_of_day(column: pd.Series[Any]) -> bool:
    """Return whether a column holds times of day: text such as 17:24, or hours in a column with such a name."""
    if kind_of(column) == "text":
        filled = _filled(_spread(column))
        padded = filled.str.fullmatch(r"\d\d") if _words(column) & _CLOCKS else False
        clocks = filled.str.fullmatch(_CLOCK) & filled.str.contains(r"\d[:.]\d")
        return len(filled) > 0 and bool((clocks | padded).all())
    return bool(_words(column) & _CLOCKS) and is_whole(column) and bool(column.dropna().between(0, 24).all())


def is_time_of_day(column: pd.Series[Any]) -> bool:
    """Return whether a column holds times of day and has the name of the time of day of a timestamp."""
    words = _words(column)
    return bool(words & _CLOCKS) and words <= _CLOCK_WORDS and has_times_of_day(column)


def _words(column: pd.Series[Any]) -> set[str]:
    return {word for word in re.split(r"[^a-z]+", str(column.name).lower()) if word}


def detect_format(column: pd.Series[Any]) -> str | None:
    """Return the date format of most values of a text column, or None if they are not dates.

    Raises:
        DataError: All values can be read with the day first and with the month first.
    """
    sample = _filled(_spread(column))
    if len(sample) < 10:
        # There are many gaps, or the column is short.
        sample = _spread(_filled(column))
    if not len(sample) or not sample.str.contains(r"\d").mean() > 0.5:
        return None
    # An ISO date may be a year alone, but any number of four digits looks the same.
    years = sample.str.fullmatch(r"\d{1,4}").mean() > 0.5 and str(column.name).lower() not in TIME_NAMES
    for time_format in ("quarter",) if years else ("date", "quarter"):
        if _fits(sample, time_format):
            return time_format
    likely = [time_format for time_format in FORMATS if _fits(sample, time_format)]
    if not likely:
        return None
    filled = _filled(column)
    misses = {time_format: int(parse(filled, time_format)[1].sum()) for time_format in likely}
    best = min(misses, key=lambda time_format: misses[time_format])
    other = [time_format for time_format in likely if time_format != best and misses[time_format] == misses[best]]
    if other and (parse(filled, best)[0] != parse(filled, other[0])[0]).any():
        raise DataError(
            f"column '{column.name}': expected unambiguous dates, got dates such as {sample.iloc[0]} that fit both "
            f"'{best}' and '{other[0]}'",
            "write them as 2020-12-31",
        )
    return best


def _fits(column: pd.Series[Any], time_format: str) -> bool:
    """Return whether more than half of the cells have a format."""
    return bool(parse(column, time_format)[1].mean() < 0.5)


def _filled(column: pd.Series[Any]) -> pd.Series[Any]:
    return column[column.notna() & (column != "")].astype(str)


def _spread(column: pd.Series[Any], most: int = 50) -> pd.Series[Any]:
    """Return up to ``most`` cells, evenly spaced."""
    return column.iloc[np.unique(np.linspace(0, len(column) - 1, min(len(column), most)).astype(int))]


def detect_number_format(column: pd.Series[Any]) -> str:
    """Return the format of timestamps that are whole numbers: dates such as 19580329, epoch units or integers."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    seen = values[np.isfinite(values)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    for time_format, least, most in (("%Y%m%d", 1e7, 3e7), ("%Y%m", 1e5, 3e5)):
        if low >= least and high < most and _fits(column[np.isfinite(values)], time_format):
            return time_format
    for unit, nanoseconds in EPOCH_UNITS.items():
        if low >= 1e17 / nanoseconds and high < 1e20 / nanoseconds:
            return unit
    return "integer"


def parse(columns: pd.Series[Any] | pd.DataFrame, time_format: str) -> tuple[pd.Index, Bools]:
    """Parse timestamps.

    Args:
        columns: One column; or several with calendar parts; or a date and a time of day.
        time_format: "date" for ISO dates or datetimes, a strptime format, "quarter", "integer", one of `EPOCH_UNITS`,
            "parts", or a date format followed by `TIME_SUFFIX`.

    Returns:
        The timestamps, and a mask of those that could not be parsed, whose values are undefined. Timestamps are int64
        for "integer", else datetimes in microseconds, with a time zone if the column has one.
    """
    if isinstance(columns, pd.DataFrame):
        if time_format == "parts":
            return _parse_parts(columns)
        return _parse_date_and_time(columns, time_format.removesuffix(TIME_SUFFIX))
    if is_categorical(columns):
        texts, rows = unique_texts(columns)
        times, invalid = parse(texts, time_format)
        return times[rows], invalid[rows]
    if time_format == "integer":
        values = _floats(columns)
        invalid = ~np.isfinite(values) | (values != np.round(values)) | (np.abs(values) > MAX_INTEGER)
        return pd.Index(np.where(invalid, 0, values).astype(np.int64)), invalid
    if time_format == "quarter":
        found = columns.astype(str).str.extract(_QUARTER)
        return _parse_parts(pd.DataFrame({"year": found[0], "quarter": found[1]}))
    if kind_of(columns) == "date":
        return _dates(columns)
    if time_format in EPOCH_UNITS:
        return _parse_epoch(columns, EPOCH_UNITS[time_format])
    text = columns.astype(str)
    if is_whole(columns):
        values = _floats(columns)
        text = pd.Series(np.where(np.isfinite(values), values, np.nan)).astype("Int64").astype(str)
    if time_format != "date":
        return _dates(pd.to_datetime(text, format=time_format, errors="coerce"))
    # Timestamps with and without an offset from UTC cannot be compared: the less frequent kind is invalid.
    offset = text.str.contains(_OFFSET)
    aware = bool(offset.mean() > 0.5)
    return _dates(pd.to_datetime(text.where(offset == aware), format="ISO8601", errors="coerce", utc=aware))


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


def _parse_parts(columns: pd.DataFrame) -> tuple[pd.Index, Bools]:
    """Return the dates that columns of calendar parts form; their names are `PARTS`."""
    parts = {str(name).lower(): _floats(columns[name]) for name in columns}
    months = parts["month"] if "month" in parts else 3 * parts.pop("quarter", np.ones(len(columns))) - 2
    frame = pd.DataFrame({"year": parts.pop("year"), "month": months, "day": parts.pop("day", 1)})
    for name in ("hour", "minute"):
        if name in parts:
            frame[name] = parts[name]
    whole = (frame == frame.round()).all(axis=1)
    return _dates(pd.to_datetime(frame.where(whole), errors="coerce"))


def _parse_date_and_time(columns: pd.DataFrame, date_format: str) -> tuple[pd.Index, Bools]:
    """Return the timestamps that dates and times of day form."""
    days, invalid_days = parse(columns.iloc[:, 0], date_format)
    micros, invalid_times = _parse_time_of_day(columns.iloc[:, 1])
    return days + pd.to_timedelta(micros, unit="us"), invalid_days | invalid_times


def _parse_time_of_day(column: pd.Series[Any]) -> tuple[Ints, Bools]:
    """Return microseconds since midnight and a mask of invalid cells; numbers are hours."""
    if is_categorical(column):
        texts, rows = unique_texts(column)
        micros, invalid = _parse_time_of_day(texts)
        return micros[rows], invalid[rows]
    if kind_of(column) == "text":
        found = column.astype(str).str.extract(f"^{_CLOCK}$")
        hours, minutes, seconds = (pd.to_numeric(found[i].fillna("0" if i else "x"), errors="coerce") for i in range(3))
        half = found[3].str.lower()
        hours = hours.where(half.isna(), hours % 12 + 12 * (half == "p"))
    else:
        hours = pd.Series(_floats(column))
        minutes = seconds = hours * 0
    elapsed = ((hours * 60 + minutes) * 60 + seconds).to_numpy(dtype=np.float64) * 1e6
    invalid = ~((elapsed >= 0) & (elapsed <= 24 * 3600e6))
    return np.where(invalid, 0, np.round(elapsed)).astype(np.int64), invalid


def _parse_epoch(column: pd.Series[Any], nanoseconds: int) -> tuple[pd.Index, Bools]:
    """Return the dates of counts of a unit of ``nanoseconds`` since 1970; integers are exact."""
    if pd.api.types.is_integer_dtype(column.dtype) and column.notna().all():
        counts = column.to_numpy(dtype=np.int64)
        whole = counts // 1000 if nanoseconds == 1 else counts * (nanoseconds // 1000)
        return _dates(pd.Series(whole.astype("datetime64[us]")))
    micros = np.round(_floats(column) * (nanoseconds / 1000))
    never = np.iinfo(np.int64).min
    return _dates(pd.Series(np.where(np.isfinite(micros), micros, never).astype("datetime64[us]")))
