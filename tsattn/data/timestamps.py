"""Columns of time stamps: which form they have, and their values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.columns import LARGEST_KINDS as LARGEST
from tsattn.data.columns import coded, is_coded, is_date, is_text, is_whole
from tsattn.data.locations import row_name
from tsattn.errors import DataError
from tsattn.timeseries.grid import in_microseconds

Bools = npt.NDArray[np.bool_]

DAY_FIRST = ("%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d-%m-%Y", "%d-%m-%Y %H:%M", "%d/%m/%y")
FORMATS = (
    *DAY_FIRST,
    *(form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m") for form in DAY_FIRST),
    *("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S"),
    *(
        "%Y%m",
        "%Y/%m",
        "%m/%Y",
        "%b-%Y",
        "%b %Y",
        "%B %Y",
        "%b-%y",
        "%d-%b-%Y",
        "%d %b %Y",
        "%d-%b-%y",
        "%b %d, %Y",
    ),
)
"""Forms of dates besides ISO that are tried, as strptime writes them."""

PARTS = ("year", "quarter", "month", "day", "hour", "minute")
"""Calendar parts that may stand in columns of their own, in this order."""

TIME_NAMES = frozenset(
    [
        "ds",
        "date",
        "datetime",
        "timestamp",
        "time",
        "year",
        "month",
        "quarter",
        "week",
        "day",
        "period",
        "yearmonth",
        "step",
        "t",
    ]
)
"""Names that time columns have; a column of whole numbers must have one of them to be the time."""

AND_TIME = " and time"
"""End of the form of stamps whose time of day stands in a second column, behind the form of the dates in the first."""

SINCE_1970 = {"seconds": 1_000_000_000, "milliseconds": 1_000_000, "microseconds": 1_000, "nanoseconds": 1}
"""Forms of stamps that are counted from 1970, and the nanoseconds of each."""

_QUARTER = r"^\s*(\d{4})[-\s]?[qQ]([1-4])\s*$"
_OFFSET = r":\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)\s*$"
_CLOCK = r"\s*(\d{1,2})(?:[:.](\d\d)(?:[:.](\d\d(?:\.\d+)?))?)?\s*(?:([aApP])\.?[mM]\.?)?\s*"
_CLOCKS = frozenset(["time", "clock", "hour", "hours", "hr"])
_CLOCK_WORDS = _CLOCKS.union(["of", "day", "local", "utc", "gmt"])


def is_joint(form: str) -> bool:
    """Tell whether stamps of a form stand in several columns."""
    return form == "parts" or form.endswith(AND_TIME)


def holds_clock(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds times of the day: text such as 17:24, or hours in a column that is named so."""
    if is_text(column):
        filled = _filled(_spread(column))
        padded = filled.str.fullmatch(r"\d\d") if _words(column) & _CLOCKS else False
        clocks = filled.str.fullmatch(_CLOCK) & filled.str.contains(r"\d[:.]\d")
        return len(filled) > 0 and bool((clocks | padded).all())
    return bool(_words(column) & _CLOCKS) and is_whole(column) and bool(column.dropna().between(0, 24).all())


def is_clock(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds times of the day and is named as the one of the stamp is."""
    words = _words(column)
    return bool(words & _CLOCKS) and words <= _CLOCK_WORDS and holds_clock(column)


def _words(column: pd.Series[Any]) -> set[str]:
    return {word for word in re.split(r"[^a-z]+", str(column.name).lower()) if word}


def text_format(column: pd.Series[Any]) -> str | None:
    """Return the form of the dates in a text column, which most of its values have; None where there is none.

    Raises:
        DataError: all of it can be read with the day first and with the month first.
    """
    sample = _filled(_spread(column))
    if len(sample) < 10:
        # There are many gaps, or the whole is small.
        sample = _spread(_filled(column))
    if not len(sample) or not sample.str.contains(r"\d").mean() > 0.5:
        return None
    # ISO dates may be years alone, and so may any number of four digits look.
    years = sample.str.fullmatch(r"\d{1,4}").mean() > 0.5 and str(column.name).lower() not in TIME_NAMES
    for form in ("quarter",) if years else ("date", "quarter"):
        if parse(sample, form)[1].mean() < 0.5:
            return form
    likely = [form for form in FORMATS if parse(sample, form)[1].mean() < 0.5]
    if not likely:
        return None
    filled = _filled(column)
    misses = {form: int(parse(filled, form)[1].sum()) for form in likely}
    best = min(misses, key=lambda form: misses[form])
    other = [form for form in likely if form != best and misses[form] == misses[best]]
    if other and (parse(filled, best)[0] != parse(filled, other[0])[0]).any():
        raise DataError(
            f"column '{column.name}': expected dates that can be read in one way only, but such as "
            f"{sample.iloc[0]} fit '{best}' and '{other[0]}': write them as 2020-12-31"
        )
    return best


def _filled(column: pd.Series[Any]) -> pd.Series[Any]:
    return column[column.notna() & (column != "")].astype(str)


def _spread(column: pd.Series[Any], most: int = 50) -> pd.Series[Any]:
    """Return up to ``most`` cells, spread evenly."""
    return column.iloc[np.unique(np.linspace(0, len(column) - 1, min(len(column), most)).astype(int))]


def number_format(column: pd.Series[Any]) -> str:
    """Return the form of stamps that are whole numbers: dates such as 19580329, seconds, or integers."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    seen = values[np.isfinite(values)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    for form, least, most in (("%Y%m%d", 1e7, 3e7), ("%Y%m", 1e5, 3e5)):
        if low >= least and high < most and parse(column[np.isfinite(values)], form)[1].mean() < 0.5:
            return form
    for form, nanoseconds in SINCE_1970.items():
        if low >= 1e17 / nanoseconds and high < 1e20 / nanoseconds:
            return form
    return "integer"


def parse(columns: pd.Series[Any] | pd.DataFrame, form: str) -> tuple[pd.Index, Bools]:
    """Read stamps in a form that `text_format` or `number_format` names, or in one of several columns.

    Args:
        columns: one; or those of calendar parts; or a date and a time of day.
        form: of that one; or "parts"; or the form of the date with `AND_TIME` behind it.

    Returns:
        the stamps: int64 for "integer", else microsecond dates, time-zone-aware where the stamps are; and
        whether each could not be read, where the stamp means nothing.
    """
    if isinstance(columns, pd.DataFrame):
        return _parse_parts(columns) if form == "parts" else _parse_both(columns, form.removesuffix(AND_TIME))
    if is_coded(columns):
        texts, rows = coded(columns)
        stamps, bad = parse(texts, form)
        return stamps[rows], bad[rows]
    if form == "integer":
        values = _floats(columns)
        bad = ~np.isfinite(values) | (values != np.round(values)) | (np.abs(values) > LARGEST)
        return pd.Index(np.where(bad, 0, values).astype(np.int64)), bad
    if form == "quarter":
        found = columns.astype(str).str.extract(_QUARTER)
        return _parse_parts(pd.DataFrame({"year": found[0], "quarter": found[1]}))
    if is_date(columns):
        return _dates(columns)
    if form in SINCE_1970:
        return _parse_since(columns, SINCE_1970[form])
    text = columns.astype(str)
    if is_whole(columns):
        values = _floats(columns)
        text = pd.Series(np.where(np.isfinite(values), values, np.nan)).astype("Int64").astype(str)
    if form != "date":
        return _dates(pd.to_datetime(text, format=form, errors="coerce"))
    # A stamp with an offset from UTC and one without cannot be compared: those that most are not are none.
    offset = text.str.contains(_OFFSET)
    aware = bool(offset.mean() > 0.5)
    return _dates(pd.to_datetime(text.where(offset == aware), format="ISO8601", errors="coerce", utc=aware))


def _floats(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    numbers = pd.to_numeric(column, errors="coerce") if is_text(column) else column
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _dates(column: pd.Series[Any]) -> tuple[pd.Index, Bools]:
    stamps = in_microseconds(pd.DatetimeIndex(column))
    return (stamps if _has_name(stamps) else stamps.tz_convert("UTC")), column.isna().to_numpy()


def _has_name(stamps: pd.DatetimeIndex) -> bool:
    """Tell whether the time zone of stamps, if any, can be found again by its name, which a schema keeps."""
    try:
        return stamps.tz is None or bool(pd.Timestamp(0, tz=str(stamps.tz)) == pd.Timestamp(0, tz="UTC"))
    except (KeyError, ValueError, OSError):
        return False


def _parse_parts(columns: pd.DataFrame) -> tuple[pd.Index, Bools]:
    """Return the dates that columns of calendar parts make, each column named as in `PARTS`."""
    parts = {str(name).lower(): _floats(columns[name]) for name in columns}
    months = parts["month"] if "month" in parts else 3 * parts.pop("quarter", np.ones(len(columns))) - 2
    frame = pd.DataFrame({"year": parts.pop("year"), "month": months, "day": parts.pop("day", 1)})
    for name in ("hour", "minute"):
        if name in parts:
            frame[name] = parts[name]
    whole = (frame == frame.round()).all(axis=1)
    return _dates(pd.to_datetime(frame.where(whole), errors="coerce"))


def _parse_both(columns: pd.DataFrame, form: str) -> tuple[pd.Index, Bools]:
    """Return the stamps that dates and times of the day make together."""
    days, bad = parse(columns.iloc[:, 0], form)
    micros, wrong = _time_of_day(columns.iloc[:, 1])
    return days + pd.to_timedelta(micros, unit="us"), bad | wrong


def _time_of_day(column: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], Bools]:
    """Return microseconds since midnight, and whether each could not be read; whole numbers are hours."""
    if is_coded(column):
        texts, rows = coded(column)
        micros, bad = _time_of_day(texts)
        return micros[rows], bad[rows]
    if is_text(column):
        found = column.astype(str).str.extract(f"^{_CLOCK}$")
        hours, minutes, seconds = (pd.to_numeric(found[i].fillna("0" if i else "x"), errors="coerce") for i in range(3))
        half = found[3].str.lower()
        hours = hours.where(half.isna(), hours % 12 + 12 * (half == "p"))
    else:
        hours = pd.Series(_floats(column))
        minutes = seconds = hours * 0
    elapsed = ((hours * 60 + minutes) * 60 + seconds).to_numpy(dtype=np.float64) * 1e6
    bad = ~((elapsed >= 0) & (elapsed <= 24 * 3600e6))
    return np.where(bad, 0, np.round(elapsed)).astype(np.int64), bad


def _parse_since(column: pd.Series[Any], nanoseconds: int) -> tuple[pd.Index, Bools]:
    """Return the dates that are so many units of ``nanoseconds`` after 1970; whole numbers are exact."""
    if pd.api.types.is_integer_dtype(column.dtype) and column.notna().all():
        counts = column.to_numpy(dtype=np.int64)
        whole = counts // 1000 if nanoseconds == 1 else counts * (nanoseconds // 1000)
        return _dates(pd.Series(whole.astype("datetime64[us]")))
    micros = np.round(_floats(column) * (nanoseconds / 1000))
    never = np.iinfo(np.int64).min
    return _dates(pd.Series(np.where(np.isfinite(micros), micros, never).astype("datetime64[us]")))


def read_stamps(frame: pd.DataFrame, time: tuple[str, ...], form: str, source: str) -> pd.Index:
    """Return the stamps of every row.

    Raises:
        DataError: a stamp is missing or cannot be read.
    """
    stamps, bad = parse(frame[list(time)] if is_joint(form) else frame[time[0]], form)
    if not bad.any():
        return stamps
    row = int(np.argmax(bad))
    cell = " ".join(str(frame[name].iloc[row]) for name in time)
    got = "nothing" if frame[list(time)].iloc[row].isna().any() or not cell.strip() else f"'{cell}'"
    kind = {"integer": "a whole number", "date": "a date such as 2020-12-31"}.get(form, f"a stamp as {form}")
    where = f"{source}: {row_name(source, frame, row)}: column '{'+'.join(time)}'"
    raise DataError(f"{where}: expected {kind} as in the other rows, got {got}: mend the stamp or drop the row")
