"""Files with a row for each year and a column for each month, as climate records have them, turned into rows."""

from __future__ import annotations

import calendar

import numpy as np
import pandas as pd

from tsattn.data.kinds import is_whole

TARGET = "y"
"""Name of the one target that the twelve columns are."""

_NUMBERS = {
    name.lower(): n for names in (calendar.month_name, calendar.month_abbr) for n, name in enumerate(names) if n
}


MONTH = "month"
"""Column of the months, 1 to 12, that were columns."""


def month_columns(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the time columns of a frame that `months_as_rows` made."""
    return (next(name for name in frame.columns if name.lower() == "year"), MONTH)


def months_as_rows(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Return a frame with the columns of the year, ``month`` and ``y``, or None where months are no columns.

    A row a month, in the order of the file; before the first and after the last value of a series (which other columns
    tell apart) empty months are no rows. The index is that of the row of the file.
    """
    months = {name: _NUMBERS[name.lower()] for name in frame.columns if name.lower() in _NUMBERS}
    years = [name for name in frame.columns if name.lower() == "year" and is_whole(frame[name])]
    if sorted(months.values()) != list(range(1, 13)) or not years:
        return None
    others = [name for name in frame.columns if name not in months and name != years[0]]
    if MONTH in (name.lower() for name in others):
        return None
    columns = sorted(months, key=lambda name: months[name])
    long = frame[[*others, years[0]]].iloc[np.repeat(np.arange(len(frame)), 12)]
    # As text where any of them is, so that a cell that is no number is told like any other.
    values = frame[columns] if len(set(frame[columns].dtypes)) == 1 else frame[columns].astype(object)
    long = long.assign(**{MONTH: np.tile(np.arange(1, 13), len(frame)), TARGET: values.to_numpy().ravel()})
    long[TARGET] = long[TARGET].infer_objects()
    count = (long[years[0]] * 12 + long[MONTH]).to_numpy(dtype=float, na_value=np.nan)
    seen = pd.Series(np.where(long[TARGET].notna(), count, np.nan))
    series = long[others].astype(str).agg("/".join, axis=1).to_numpy() if others else np.zeros(len(long))
    first, last = (seen.groupby(series).transform(end).to_numpy() for end in ("min", "max"))
    # Where the year is missing too, the row stays, for the message that says so.
    return long[~((count < first) | (count > last))]
