"""Parts of timestamps in separate columns: year and month, year and week, a date and an hour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.columns import Bools, is_categorical, is_whole, kind_of, unique_texts
from tsattn.data.date_text import fold, month_of
from tsattn.timeseries.ragged import Ints

PART_NAMES: dict[str, str] = {
    "year": "year isoyear mmwryear calendaryear yr yyyy jahr annee an ano anno jaar rok",
    "half": "half halfyear halbjahr semester semestre semestr",
    "quarter": "quarter qtr quartal trimestre trim kwartaal kwartal q",
    "month": "month mon mnth mo mm monat mois mes mese maand miesiac monthnumber monthno",
    "week from sunday": "mmwrweek cdcweek",
    "week": "week wk weekno weeknumber weekofyear isoweek epiweek kw woche kalenderwoche semaine semana settimana",
    "day of year": "doy dayofyear yday jday julianday",
    "day": "day dd dy dayofmonth tag jour dia giorno dag dzien",
    "hour": "hour hours hr hh he hourending stunde std heure hora ora uur godzina",
    "minute": "minute min minuten minuto mi",
}
"""Usual names of the columns of calendar parts, without accents and other signs, from the longest part on."""

TIME_NAMES = frozenset(("ds", "date", "datetime", "timestamp", "time", "year", "month", "quarter", "week", "day"))
TIME_NAMES |= {"period", "yearmonth", "step", "t"}
TIME_NAMES |= {"datum", "zeit", "zeitstempel", "zeitpunkt", "fecha", "fechahora", "data", "dato", "jahr", "monat"}
TIME_NAMES |= {"fiscal year", "fiscal_year", "fiscalyear", "financial year", "fy"}
TIME_NAMES |= {"annee", "ano", "anno", "mois", "woche", "quartal"}
TIME_NAMES |= {"日期", "时间", "年月", "日付"}
"""Usual names of time columns, without accents."""
DATE_NAMES = frozenset(("ds", "date", "datetime", "timestamp", "datum", "zeitstempel", "fecha", "data", "dato"))
DATE_NAMES |= {"day", "tag", "jour", "dia"}
"""Names of columns whose numbers may be days as spreadsheets count them."""

_KIND_OF_NAME = {name: kind for kind, names in PART_NAMES.items() for name in names.split()}
_RANGES = {
    **{
        "year": (1000, 2999),
        "half": (1, 2),
        "quarter": (1, 4),
        "month": (1, 12),
        "week": (1, 53),
        "week from sunday": (1, 53),
        "day of year": (1, 366),
    },
    **{"day": (1, 31), "hour": (0, 24), "minute": (0, 59)},
}
DATE_PARTS = (("month", "day"), ("day of year",), ("week",), ("week from sunday",), ("month",), ("quarter",), ("half",))
"""Parts that form a date with the year, from the finest on."""

_CLOCK_NAMES = frozenset(("time", "clock", "hour", "hours", "hr", "zeit", "uhrzeit", "stunde", "heure", "heures"))
_CLOCK_NAMES |= {
    "hora",
    "horas",
    "ora",
    "ore",
    "tijd",
    "uur",
    "he",
    "hh",
    "von",
    "from",
    "start",
    "begin",
    "beginn",
    "anfang",
}
_CLOCK_WORDS = _CLOCK_NAMES | {"of", "day", "local", "utc", "gmt", "ending", "end"}
_PERIOD_NAMES = frozenset(
    ("period", "interval", "sp", "he", "hh", "settlement", "hour", "hours", "hr", "viertelstunde")
)
_PERIOD_NAMES |= {"stunde", "quarter", "slot"}
_SHIFTING_ZONES = ("Europe/London", "Europe/Berlin", "America/New_York", "Australia/Sydney")
"""Zones of which the first is taken that turns the clock on the days of 23 and 25 hours."""

_COUNTS = (24, 48, 96, 144, 288, 1440)
_NAMED_PART = r"(?:(?:\.|er|e|st|nd|rd|th)? ?(?:quarter|quartal|trimestre|kwartaal|kwarta[\u0142l]|halbjahr|semestre))?"
_CLOCK = r"\s*(\d{1,2})(?:[:.h](\d\d)(?:[:.](\d\d(?:\.\d+)?))?)?\s*(?:([aApP])(?:\.?[mM])?\.?)?\s*"
_CLOCK_SIGN = r"\d[:.h]\d|\d\d-\d\d|\d\s+(?:-|\u2013|to|bis)\s+\d|[aApP]\.?[mM]"
_RANGE = rf"{_CLOCK}(?:(?:-|\u2013|to|bis)\s*\d{{1,2}}(?:[:.h]\d\d){{0,2}}\s*(?:[aApP](?:\.?[mM])?\.?)?\s*)?"


@cache
def words_of(name: str) -> frozenset[str]:
    """Return the words of the name of a column, in lower case."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return frozenset(word for word in re.split(r"[^a-z]+", fold(spaced)) if word)


def part_kind(column: pd.Series[Any]) -> str | None:
    """Return the kind of calendar part that a column holds by its name and values; None for other columns."""
    name = str(column.name)
    kind = kind_of_name(name)
    if kind is None and "period" in words_of(name):
        kind = _kind_of_tokens(column)
    if kind is None and not name.strip():
        kind = _kind_of_values(column)
    if kind is None:
        return None
    values = part_values(column)
    low, high = _RANGES[kind]
    fits = np.isfinite(values) & (values >= low) & (values <= high)
    return kind if fits.mean() > 0.5 and (kind_of(column) == "text" or is_whole(column)) else None


def is_time_name(name: str) -> bool:
    """Return whether a column has a usual name of a time column, also with a unit in brackets."""
    return re.sub(r"\s*(?:\([^)]*\)|\[[^]]*\])$", "", fold(name).strip().strip("<>")) in TIME_NAMES


def names_dates(name: str) -> bool:
    """Return whether a column has a name of dates, whose numbers may be days as spreadsheets count them."""
    return fold(name).strip() in DATE_NAMES or any(word.endswith(("date", "datum")) for word in words_of(name))


@cache
def kind_of_name(name: str) -> str | None:
    """Return the kind of calendar part that a name is usual for, if there is one."""
    return _KIND_OF_NAME.get(re.sub(r"[^a-z0-9]", "", fold(name)))


def _kind_of_values(column: pd.Series[Any]) -> str | None:
    """Return the kind of parts of a column without a name: years or names of months."""
    if is_whole(column):
        return "year" if column.dropna().between(1800, 2200).all() else None
    if kind_of(column) != "text":
        return None
    texts = pd.unique(column.dropna().astype("str"))
    return "month" if 2 < len(texts) <= 12 and all(month_of(text.strip()) for text in texts) else None


def names_months(column: pd.Series[Any]) -> bool:
    """Return whether a column of text has the names of all months and nothing else."""
    return kind_of(column) == "text" and _kind_of_values(column) == "month" and column.nunique() == 12


def _kind_of_tokens(column: pd.Series[Any]) -> str | None:
    """Return the kind of parts such as M01, Q1, W05 or S01."""
    if kind_of(column) != "text":
        return None
    letters = set(pd.unique(column.dropna().astype("str").str.extract(r"^([MQWSH])\d{1,2}$")[0].dropna()))
    return (
        {"M": "month", "Q": "quarter", "W": "week", "S": "half", "H": "half"}[letters.pop()]
        if len(letters) == 1
        else None
    )


def part_values(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return the numbers of calendar parts: 1, 01, M01, Q1 or January; NaN for other cells."""
    if is_categorical(column):
        texts, rows = unique_texts(column)
        return part_values(texts)[rows]
    if kind_of(column) != "text":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = column.astype("str")
    numbers = pd.to_numeric(
        texts.str.extract(rf"^\s*(?:[MQWTDPHS]|KW ?|Q ?|W ?)?(\d+){_NAMED_PART}\s*$", re.I)[0], errors="coerce"
    )
    months = texts.map(lambda text: month_of(text.strip()), na_action="ignore")
    return numbers.fillna(pd.to_numeric(months, errors="coerce")).to_numpy(dtype=np.float64)


def date_of_parts(columns: pd.DataFrame, kinds: Sequence[str]) -> pd.Series[Any]:
    """Return the dates that columns of calendar parts form; NaT where they form none.

    Args:
        columns: The columns.
        kinds: Kind of each, see `PART_NAMES`.
    """
    part = {kind: pd.Series(part_values(columns[name])) for kind, name in zip(kinds, columns, strict=True)}
    year = part["year"]
    year = year.where((year >= 1) & (year <= 9999) & (year == year.round()))
    if "week" in part:
        date = iso_weeks(year, part["week"])
    elif "week from sunday" in part:
        date = iso_weeks(year, part["week from sunday"], first=1)
    elif "day of year" in part:
        first = _first_days(year, year * 0 + 1)
        days = part["day of year"]
        date = first + pd.to_timedelta(days.where((days >= 1) & (days == days.round())) - 1, unit="D")
        date = date.where(date.dt.year == year)
    else:
        first = 6 * part["half"] - 5 if "half" in part else 3 * part.get("quarter", year * 0 + 1) - 2
        months = part.get("month", first)
        day = part.get("day", year * 0 + 1)
        date = _first_days(year, months) + pd.to_timedelta(day.where((day >= 1) & (day == day.round())) - 1, unit="D")
        date = date.where(date.dt.month == months)
    for kind, most in (("hour", 24), ("minute", 59)):
        if kind in part:
            values = part[kind]
            elapsed = values.where((values >= 0) & (values <= most)) * (3600 if kind == "hour" else 60)
            date = date + pd.to_timedelta(elapsed, unit="s")
    return date


def _first_days(year: pd.Series[Any], month: pd.Series[Any]) -> pd.Series[Any]:
    return pd.to_datetime(pd.DataFrame({"year": year, "month": month, "day": 1}), errors="coerce")


def iso_weeks(year: pd.Series[Any], week: pd.Series[Any], first: int = 0) -> pd.Series[Any]:
    """Return the Mondays of ISO weeks, or the Sundays before with ``first`` 1; NaT where a year has no such week."""
    start, following = (_start_of_first_week(number, first) for number in (year, year + 1))
    monday = start + pd.to_timedelta((week.where((week >= 1) & (week == week.round())) - 1) * 7, unit="D")
    return monday.where(monday < following)


def _start_of_first_week(year: pd.Series[Any], first: int) -> pd.Series[Any]:
    """Return the first day of the week with 4 January."""
    fourth = pd.to_datetime(pd.DataFrame({"year": year, "month": 1, "day": 4}), errors="coerce")
    return fourth - pd.to_timedelta((fourth.dt.dayofweek + first) % 7, unit="D")


def has_times_of_day(column: pd.Series[Any]) -> bool:
    """Return whether a column holds times of day: text such as 17:24, or hours in a column with such a name."""
    if kind_of(column) == "text":
        texts = pd.Series(pd.unique(column.dropna())).astype("str")
        filled = texts[texts != ""].iloc[:2000]
        padded = filled.str.fullmatch(r"\d\d") if words_of(str(column.name)) & _CLOCK_NAMES else False
        clocks = filled.str.fullmatch(_RANGE) & filled.str.contains(_CLOCK_SIGN)
        return len(filled) > 0 and bool((clocks | padded).all())
    named = bool(words_of(str(column.name)) & _CLOCK_NAMES)
    return named and is_whole(column) and bool(column.dropna().between(0, 24).all())


def has_steps_of_day(column: pd.Series[Any]) -> bool:
    """Return whether a column of text holds times of day at equal steps, at least 12 different ones."""
    if kind_of(column) != "text" or not has_times_of_day(column.iloc[:1000]) or not has_times_of_day(column):
        return False
    micros = np.unique(clock_times(pd.Series(column.dropna().unique()).astype("str"), "time")[0])
    return len(micros) >= 12 and len(set(np.diff(micros))) == 1


def day_part(column: pd.Series[Any], days: pd.Index, *, named: bool = False) -> str | None:
    """Return how a column continues dates: "time", "fraction", "hhmm", "hhmmss" or "period of 48"; else None.

    Args:
        column: A column.
        days: The date of each row.
        named: Whether the user named it, so that its name does not matter.
    """
    words = words_of(str(column.name))
    usual = bool(words & _CLOCK_NAMES) and words <= _CLOCK_WORDS
    if (usual or named) and has_times_of_day(column):
        return "time"
    if kind_of(column) == "text" and pd.Series(pd.unique(column)).str.fullmatch(r"\d{4}|\d{6}").eq(True).all():
        column = pd.to_numeric(column.astype("str"))
    if kind_of(column) != "number" or column.isna().all():
        return None
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    low, high = np.nanmin(values), np.nanmax(values)
    if not is_whole(column):
        is_fraction = low >= 0 and high < 1 and (named or (usual and _divides_day(values)))
        return "fraction" if is_fraction else None
    if re.sub(r"[^a-z]", "", fold(str(column.name))) in ("hhmm", "hrmn", "time", "hour") and high > 60:
        parts = np.nan_to_num(values)
        if low >= 0 and high > 2400:
            return "hhmmss" if high <= 240000 and (parts % 100 < 60).all() and (parts // 100 % 100 < 60).all() else None
        return "hhmm" if low >= 0 and (parts % 100 < 60).all() else None
    return _periods_of_day(values, pd.DatetimeIndex(days)) if low == 1 and (named or words & _PERIOD_NAMES) else None


def _round_seconds(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return seconds as whole numbers, as whole minutes if all of them are at most 5 seconds from one."""
    minutes = np.round(seconds / 60) * 60
    near = np.abs(seconds - minutes)[np.isfinite(seconds)] <= 5
    return minutes if near.all() else np.round(seconds)


def _divides_day(fractions: npt.NDArray[np.float64]) -> bool:
    """Return whether fractions of days, rounded to a few seconds, are those of all hours or parts of hours."""
    seconds = np.unique(np.round(fractions[np.isfinite(fractions)] * 86_400))
    count = len(seconds)
    return count in _COUNTS and bool((np.abs(seconds - np.arange(count) * 86_400 / count) <= 5).all())


def _periods_of_day(values: npt.NDArray[np.float64], days: pd.DatetimeIndex) -> str | None:
    """Return the kind of numbers that count the periods of each day, also on days of 23 and 25 hours; else None."""
    per_day = pd.Series(values).groupby(days.tz_localize(None).normalize()).agg(["nunique", "max"])
    usual = int(per_day["max"].mode().iloc[0])
    whole = per_day[per_day["nunique"] == per_day["max"]]
    if usual not in _COUNTS or (whole["max"] == usual).mean() <= 0.5:
        return None
    hours = whole["max"] * 24 / usual
    shifted = hours[(hours == 25) | ((hours == 23) & (whole.index != per_day.index[-1]))]
    for zone in _SHIFTING_ZONES if (hours == 25).any() or len(shifted) else ():
        start, end = (day.tz_localize(zone) for day in (shifted.index, shifted.index + pd.Timedelta(days=1)))
        if ((end - start) == pd.to_timedelta(shifted.to_numpy(), unit="h")).all():
            return f"period of {usual} in {zone}"
    return f"period of {usual}" if per_day["max"].max() <= usual else None


def zone_of_repeated_hour(times: pd.Index) -> str | None:
    """Return a zone in which all of some local times occur twice, when daylight saving time ends; None without any."""
    if not isinstance(times, pd.DatetimeIndex) or times.tz is not None:
        return None
    for zone in _SHIFTING_ZONES:
        summer, winter = (
            times.tz_localize(zone, ambiguous=np.full(len(times), flag), nonexistent="shift_forward")
            for flag in (True, False)
        )
        if (summer != winter).all():
            return zone
    return None


def add_time_of_day(days: pd.DatetimeIndex, column: pd.Series[Any], kind: str) -> tuple[pd.DatetimeIndex, Bools]:
    """Return the timestamps of dates and a column that continues them, and a mask of the invalid ones.

    Args:
        days: The dates.
        column: Times of day.
        kind: See `day_part`; in a time zone, periods are counted from the midnight there.
    """
    kind, _, zone = kind.partition(" in ")
    micros, invalid = clock_times(column, kind)
    elapsed = pd.to_timedelta(micros, unit="us")
    if not zone:
        return days + elapsed, invalid
    times = days.tz_localize(zone) + elapsed
    return times, invalid | np.asarray(times.tz_localize(None).normalize() != days)


def clock_times(column: pd.Series[Any], kind: str) -> tuple[Ints, Bools]:
    """Return microseconds since midnight and a mask of invalid cells.

    Args:
        column: Times of day; the first one of a range such as 00 - 01. Numbers are hours for "time".
        kind: See `day_part`.
    """
    if is_categorical(column):
        texts, rows = unique_texts(column)
        micros, invalid = clock_times(texts, kind)
        return micros[rows], invalid[rows]
    if kind == "time" and kind_of(column) == "text":
        found = column.astype(str).str.extract(f"^{_RANGE}$")
        hours, minutes, seconds = (pd.to_numeric(found[i].fillna("0" if i else "x"), errors="coerce") for i in range(3))
        half = found[3].str.lower()
        hours = hours.where(half.isna(), hours % 12 + 12 * (half == "p"))
    else:
        numbers = pd.to_numeric(column, errors="coerce") if kind_of(column) == "text" else column
        hours = pd.Series(numbers.to_numpy(dtype=np.float64, na_value=np.nan))
        minutes = seconds = hours * 0
        if kind == "fraction":
            # Fractions of days are rounded, often to a few seconds.
            hours = pd.Series(_round_seconds(hours.to_numpy() * 86_400) / 3600)
        elif kind == "hhmmss":
            hours, minutes, seconds = hours // 10000, hours // 100 % 100, hours % 100
        elif kind == "hhmm":
            hours, minutes = hours // 100, hours % 100
        elif kind != "time":
            count = int(kind.rpartition(" ")[2])
            hours = (hours.where(hours >= 1) - 1) * 24 / count
    elapsed = ((hours * 60 + minutes) * 60 + seconds).to_numpy(dtype=np.float64) * 1e6
    invalid = ~((elapsed >= 0) & (elapsed <= (25 if kind.startswith("period") else 24) * 3600e6))
    return np.where(invalid, 0, np.round(elapsed)).astype(np.int64), invalid
