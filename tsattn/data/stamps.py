"""Columns of time stamps: which form they have, and their values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.errors import DataError

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

LARGEST = 2.0**53
"""Largest whole number that is surely one: beyond it, floats skip some."""

_QUARTER = r"^\s*(\d{4})[-\s]?[qQ]([1-4])\s*$"
_OFFSET = re.compile(r":\d\d.*(?:Z|[+-]\d\d:?\d\d)$")


def is_text(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds text."""
    kind = column.cat.categories.dtype if is_coded(column) else column.dtype
    return bool(pd.api.types.is_string_dtype(kind) or pd.api.types.is_object_dtype(kind))


def is_coded(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds text that comes again and again as the numbers of a dictionary."""
    return isinstance(column.dtype, pd.CategoricalDtype)


def coded(column: pd.Series[Any]) -> tuple[pd.Series[Any], npt.NDArray[np.int64]]:
    """Return the different texts of a coded column, a missing one last, and which one stands in each row."""
    texts = pd.Series([*column.cat.categories, None], dtype="str")
    return texts, np.asarray(column.cat.codes, dtype=np.int64)


def is_date(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds dates as pandas knows them."""
    return bool(pd.api.types.is_datetime64_any_dtype(column.dtype))


def is_number(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds numbers; true and false are none."""
    return bool(pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype))


def is_whole(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds whole numbers only, missing ones aside."""
    if not is_number(column):
        return False
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    seen = values[np.isfinite(values)]
    return len(seen) > 0 and bool((seen == np.round(seen)).all() and np.abs(seen).max() < LARGEST)


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
    for form in ("date", "quarter"):
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
    if low >= 1e8 and high < 1e11:
        return "seconds"
    return "milliseconds" if low >= 1e11 and high < 1e14 else "integer"


def parse(columns: pd.Series[Any] | pd.DataFrame, form: str) -> tuple[pd.Index, Bools]:
    """Read stamps in a form that `text_format` or `number_format` names, or in "parts" of several columns.

    Returns:
        the stamps: int64 for "integer", else microsecond dates, time-zone-aware where the stamps are; and
        whether each could not be read, where the stamp means nothing.
    """
    if isinstance(columns, pd.DataFrame):
        return _parse_parts(columns)
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
    if form in ("seconds", "milliseconds"):
        scale = 1_000_000 if form == "seconds" else 1_000
        values = _floats(columns)
        micros = np.where(np.isfinite(values), values * scale, np.iinfo(np.int64).min).astype(np.int64)
        return _dates(pd.Series(micros.astype("datetime64[us]")))
    text = columns.astype(str)
    if is_whole(columns):
        values = _floats(columns)
        text = pd.Series(np.where(np.isfinite(values), values, np.nan)).astype("Int64").astype(str)
    if form != "date":
        return _dates(pd.to_datetime(text, format=form, errors="coerce"))
    aware = any(_OFFSET.search(value) for value in text.iloc[:50].dropna())
    return _dates(pd.to_datetime(text, format="ISO8601", errors="coerce", utc=aware))


def _floats(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    numbers = pd.to_numeric(column, errors="coerce") if is_text(column) else column
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _dates(column: pd.Series[Any]) -> tuple[pd.Index, Bools]:
    return in_microseconds(pd.DatetimeIndex(column)), column.isna().to_numpy()


def in_microseconds(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return dates in the unit in which this package counts, without a copy where they are."""
    return index if index.unit == "us" else index.as_unit("us")


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
