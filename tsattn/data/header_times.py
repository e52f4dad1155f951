"""Names of columns that are timestamps or parts of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from tsattn.data.cells import cell_kind
from tsattn.data.date_text import fold, month_of, weekday_of

MIN_TIMESTAMPS = 3
"""Number of columns with a timestamp as name from which on they are taken for steps."""

YEAR_NAME = re.compile(r"(?:YR|FY)?((?:1[5-9]|20|21)\d\d)(?:\s*\[YR\d{4}\]|(?P<mark>\*+|[peEPF]|\s*\([A-Za-z]\)))?")
"""Year as the name of a column, such as 2010, FY2010, 2010 [YR2010] or 2010*."""

_HOUR_NAMES = ("", "h", "hr", "hour", "he", "hourending", "std", "stunde")
_PERIOD_PREFIXES = ("p", "sp", "period", "q", "qh", "hh", "int", "interval", "slot", "kwh", "val", "value", "reading")
_PERIODS_PER_DAY = (24, 25, 48, 50, 96, 100, 144, 288)
_USUAL_DAYS = ((1,), (7,), (28, 29, 30, 31), (90, 91, 92), (365, 366))
_QUARTER = re.compile(
    r"(?:q|qtr|quarter|quartal|trim[a-z]*)[ _.]?([1-4])|([1-4])[. ]*(?:q|qtr|quarter|quartal|trim[a-z]*)"
)
_MONTH_NUMBER = re.compile(r"m?(0?[1-9]|1[0-2])")
_DAY = re.compile(r"(?:d|day|tag|jour|dia)?[ _.]?(\d{1,2})")
_WEEK = re.compile(r"(?:w|wk|week|kw|semaine|semana|settimana)[ _.]?(\d{1,2})")
_CLOCK = re.compile(r"(\d{1,2}):?(?<=\d[\d:])(\d\d)(?::00)?(?:\s*-\s*\d{1,2}:\d\d)?")
_HOUR = re.compile(r"([a-z]*)[ _.]?(\d{1,2})")
_PERIOD = re.compile(r"([a-z]*)[ _.]?(\d{1,3})")


def period_of_year(name: str) -> str:
    """Return a month as 01 and a quarter as Q1; "" for other names."""
    if quarter := _QUARTER.fullmatch(fold(name.strip())):
        return f"Q{quarter[1] or quarter[2]}"
    number = month_of(name.strip()) or (
        int(match[1]) if (match := _MONTH_NUMBER.fullmatch(name.strip().lower())) else 0
    )
    return f"{number:02d}" if number else ""


def month_columns(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the months of a year, or the first months of its quarters, with their numbers."""
    named = {name: number for name in names if (number := month_of(name.strip()))}
    numbered = {name: int(match[1]) for name in names if (match := _MONTH_NUMBER.fullmatch(name.strip().lower()))}
    quarters = {
        name: 3 * int(match[1] or match[2]) - 2 for name in names if (match := _QUARTER.fullmatch(fold(name.strip())))
    }
    for found, count in ((named, 12), (numbered, 12), (quarters, 4)):
        if len(found) == count == len(set(found.values())):
            return found
    return {}


def day_columns(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the days of a month, with their numbers."""
    found = {name: int(match[1]) for name in names if (match := _DAY.fullmatch(fold(name.strip())))}
    return found if list(found.values()) == list(range(1, 32)) else {}


def week_columns(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the weeks of a year, with their numbers."""
    found = {name: int(match[1]) for name in names if (match := _WEEK.fullmatch(fold(name.strip())))}
    return found if sorted(found.values()) in (list(range(1, 53)), list(range(1, 54))) else {}


def weekday_columns(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the days of a week, with their numbers from 0 on for Monday."""
    words = [name for name in names if not name[-1:].isdigit()]
    found = {name: number for name in words if (number := weekday_of(name.strip())) is not None}
    return found if len(found) == 7 == len(set(found.values())) else {}


def times_of_day(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that are the times of a day at equal steps, with their minutes; 1440 for the next midnight."""
    clocks = {name: 60 * int(match[1]) + int(match[2]) for name in names if (match := _CLOCK.fullmatch(name.strip()))}
    hours = [(match, name) for name in names if (match := _HOUR.fullmatch(name.strip().lower()))]
    numbers = [int(match[2]) for match, _ in hours]
    is_named = {match[1] for match, _ in hours} in [{name} for name in _HOUR_NAMES]
    if is_named and numbers in (list(range(24)), list(range(1, 25))):
        return {name: 60 * (number - numbers[0]) for number, (_, name) in zip(numbers, hours, strict=True)}
    counted = [int(name) for name in names if re.fullmatch(r"\d{1,4}", name.strip())]
    if len(counted) >= 24 and counted == list(range(0, 1440, 1440 // len(counted))):
        return {name: int(name) for name in names if re.fullmatch(r"\d{1,4}", name.strip())}
    if len(clocks) < 24:
        return {}
    last = list(clocks)[-1]
    if clocks[last] == 0:
        clocks[last] = 24 * 60
    minutes = list(clocks.values())
    ends = [0, *minutes] if minutes[-1] == 24 * 60 else [*minutes, 24 * 60]
    return clocks if ends[0] == 0 and len(set(np.diff(ends))) == 1 else {}


def repeated_hour(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the columns of an hour such as 3A and 3B, the second for its repetition when summer time ends."""
    hours = [name for name in names if (match := _HOUR.fullmatch(name.strip().lower())) and match[1] in _HOUR_NAMES]
    pairs = [
        (first, f"{first[:-1]}{'B' if first[-1] == 'A' else 'b'}") for first in names if re.search(r"\d[Aa]$", first)
    ]
    return pairs[0] if len(pairs) == 1 and pairs[0][1] in names and len(hours) == 23 else None


def numbered_periods(names: Sequence[str]) -> dict[str, int]:
    """Return the columns that number the periods of a day, such as P1 to P48, with their numbers.

    There may be columns for the further hour of the day on which daylight saving time ends, such as H25.
    """
    found = [(match, name) for name in names if (match := _PERIOD.fullmatch(name.strip().lower()))]
    prefixes = {match[1] for match, _ in found}
    numbers = [int(match[2]) for match, _ in found]
    if len(prefixes) != 1 or numbers != list(range(1, len(numbers) + 1)):
        return {}
    is_hour = prefixes <= {*_HOUR_NAMES} and len(found) == 25
    is_period = prefixes <= {"", *_PERIOD_PREFIXES} and len(found) in _PERIODS_PER_DAY
    return {name: int(match[2]) for match, name in found} if is_hour or is_period else {}


def serial_days(names: Sequence[str]) -> dict[str, str]:
    """Return the names that are days as spreadsheets count them, a usual number of days apart, with their dates."""
    found = [name for name in names if re.fullmatch(r"[2-7]\d{4}", name.strip())]
    steps = set(np.diff([int(name) for name in found]).tolist())
    if len(found) < MIN_TIMESTAMPS or not any(steps <= set(usual) for usual in _USUAL_DAYS):
        return {}
    return {name: str((pd.Timestamp(1899, 12, 30) + pd.Timedelta(days=int(name))).date()) for name in found}


def common_prefix(names: Sequence[str]) -> str:
    """Return the words that precede a timestamp in all names, such as those of "Persons 2015M01"; else ""."""
    if len(names) < MIN_TIMESTAMPS:
        return ""
    prefixes = (names[0][: blank.end()] for blank in re.finditer(" ", names[0]))
    prefix = max((text for text in prefixes if all(name.startswith(text) for name in names)), key=len, default="")
    rest = [name.removeprefix(prefix) for name in names]
    return prefix if all(YEAR_NAME.fullmatch(name) or cell_kind(name) == "date" for name in rest) else ""
