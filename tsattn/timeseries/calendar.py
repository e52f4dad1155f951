"""Calendar features, computed in NumPy or inside a TensorFlow graph.

The arithmetic uses integer operators only, so that it works on both. Days are counted from 1970-01-01 in the proleptic
Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms", 2014). All divisions round down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from tsattn._text import quote_list
from tsattn.errors import ConfigError, import_extra
from tsattn.timeseries.grid import Grid, Span, remove_timezone
from tsattn.timeseries.panel import Covariates, Panel
from tsattn.timeseries.ragged import Ints, RaggedArray, concat_ranges
from tsattn.timeseries.schema import Schema

HOUR = 3_600
DAY = 86_400

IntArray = Any
"""An array or tensor of int64."""


def floor_divmod(seconds: IntArray, length: int) -> tuple[IntArray, IntArray]:
    """Return quotient and remainder.

    OpenVINO divides integers as float32, whose quotient can be off by one. The remainder is exact and corrects it.
    """
    quotient = seconds // length
    rest = seconds - quotient * length
    error = rest // length
    return quotient + error, rest - error * length


def to_days(seconds: IntArray) -> IntArray:
    """Return days since 1970."""
    return floor_divmod(seconds, DAY)[0]


class Date(NamedTuple):
    """Year, month from 1 and day from 1."""

    year: IntArray
    month: IntArray
    day: IntArray


def civil_from_days(days: IntArray) -> Date:
    """Return the dates of days since 1970."""
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    return Date(year + era * 400 + month // 10, month + 3 - 12 * (month // 10), day)


def days_from_civil(date: Date) -> IntArray:
    """Return the days since 1970 of dates."""
    early = (14 - date.month) // 12
    year = date.year - early
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (date.month + 12 * early - 3) + 2) // 5 + date.day - 1
    return era * 146_097 + 365 * of_era + of_era // 4 - of_era // 100 + of_year - 719_468


def month_start(months: IntArray) -> IntArray:
    """Return the first day of months, which are counted from January of year 0."""
    year = months // 12
    month = months - 12 * year + 1
    return days_from_civil(Date(year, month, month // month))


def month_number(date: Date) -> IntArray:
    """Return months since January of year 0."""
    return 12 * date.year + date.month - 1


def weekday(days: IntArray) -> IntArray:
    """Return days since Monday."""
    return (days + 3) % 7


def time_phase(length: int) -> Callable[[IntArray], tuple[IntArray, IntArray]]:
    """Return the phase function of a cycle of ``length`` seconds."""
    return lambda seconds: (floor_divmod(seconds, length)[1], seconds * 0 + length)


def month_phase(seconds: IntArray) -> tuple[IntArray, IntArray]:
    """Return days since the first of the month, and days in the month."""
    date = civil_from_days(to_days(seconds))
    months = month_number(date)
    return date.day - 1, month_start(months + 1) - month_start(months)


def year_phase(seconds: IntArray) -> tuple[IntArray, IntArray]:
    """Return days since January 1st, and days in the year."""
    days = to_days(seconds)
    months = 12 * civil_from_days(days).year
    first = month_start(months)
    return days - first, month_start(months + 12) - first


def weekday_index(seconds: IntArray) -> IntArray:
    """Return days since Monday."""
    return weekday(to_days(seconds))


def month_index(seconds: IntArray) -> IntArray:
    """Return months since January."""
    return civil_from_days(to_days(seconds)).month - 1


AUTO = "auto"
"""Selects the cycles that suit the frequency and length of the data."""

SHORT_CONTEXT_SEASONS = 12
"""A context of fewer seasons does not determine the phase of the season well."""

MIN_SEASONS = 100
"""Seasons that a series needs for the seasonal cycle to become a feature by default."""

HOLIDAY = "holiday"
"""Name of the feature of public holidays."""

HOLIDAY_YEARS = (1950, 2100)
"""First and last year with holidays: a graph holds all of them, and recent versions of the package end in 2100."""

_WAVES = tuple(f"{wave}{half}" for wave in ("sine", "cosine") for half in ("", " of half"))
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = tuple(pd.Timestamp(2000, month, 1).month_name() for month in range(1, 13))


@dataclass(frozen=True)
class Cycle:
    """One cycle of the calendar: Fourier features of its phase, or one indicator per part.

    Args:
        length: Length in seconds, without leap days and the days that some months have more.
        parts: Names of its features.
        phase: Function from seconds of local time since 1970 to elapsed time and length of the cycle. The features are
            sine and cosine of the phase and of twice the phase.
        index: Function from the same to the index of the part. The features are indicators.
        min_step: Shortest step, in seconds, that has the cycle.
    """

    length: int
    parts: tuple[str, ...]
    phase: Callable[[IntArray], tuple[IntArray, IntArray]] | None = None
    index: Callable[[IntArray], IntArray] | None = None
    min_step: int = 1

    def features(self, seconds: IntArray, xp: Any) -> list[Any]:
        """Return the features of times, computed by ``xp``: `numpy` or a namespace with its functions."""
        if self.index is not None:
            index = self.index(seconds)
            return [xp.float32(index == part) for part in range(len(self.parts))]
        assert self.phase is not None
        elapsed, length = self.phase(seconds)
        angle = 2 * np.pi * xp.float64(elapsed) / xp.float64(length)
        return [xp.float32(wave(times * angle)) for wave in (xp.sin, xp.cos) for times in (1.0, 2.0)]


CYCLES: dict[str, Cycle] = {
    "minute_of_hour": Cycle(HOUR, _WAVES, time_phase(HOUR)),
    "hour_of_day": Cycle(DAY, _WAVES, time_phase(DAY)),
    "day_of_week": Cycle(7 * DAY, _WEEKDAYS, index=weekday_index),
    "day_of_month": Cycle(30 * DAY, _WAVES, month_phase),
    "day_of_year": Cycle(365 * DAY, _WAVES, year_phase),
    "month_of_year": Cycle(365 * DAY, _MONTHS, index=month_index, min_step=28 * DAY),
}
"""The cycles by name, ascending by length."""


def _step_seconds(grid: Grid) -> float:
    """Return the approximate length of a step in seconds."""
    start = pd.Timestamp(2001, 1, 1)
    return (start + 12 * to_offset(grid.freq) - start).total_seconds() / 12


def applicable_cycles(grid: Grid, steps: float) -> tuple[str, ...]:
    """Return the cycles that are longer than two steps and occur at least twice in series of ``steps`` steps."""
    if not grid.has_dates:
        return ()
    step = _step_seconds(grid)
    names = [name for name, cycle in CYCLES.items() if cycle.min_step <= step < cycle.length / 2]
    if "month_of_year" in names:
        names = ["month_of_year"]
    return tuple(name for name in names if 2 * CYCLES[name].length <= steps * step)


def seasonal_cycles(grid: Grid, season: int, context: int | None, steps: float) -> tuple[str, ...]:
    """Return the cycle that equals the season if the context is short and the series long, else nothing.

    The reasons are in docs/design/calendar.md.

    Args:
        grid: The time grid.
        season: Season length in steps.
        context: Context in steps, if the user set it.
        steps: Length of a typical series.
    """
    if not grid.has_dates or context is None:
        return ()
    if context >= SHORT_CONTEXT_SEASONS * season or steps < MIN_SEASONS * season:
        return ()
    length = season * _step_seconds(grid)
    return tuple(
        name
        for name, cycle in CYCLES.items()
        if cycle.length == length and (cycle.phase is not None or len(cycle.parts) == season)
    )


def calendar_feature_names(schema: Schema) -> tuple[str, ...]:
    """Return the names of the calendar features, such as "day_of_week=Monday"."""
    names = [f"{cycle}={part}" for cycle in schema.calendar for part in CYCLES[cycle].parts]
    return (*names, *([HOLIDAY] if schema.holidays else []))


def check_calendar(cycles: tuple[str, ...], holidays: str | None, grid: Grid, source: str) -> None:
    """Raise a ConfigError if a cycle or a country is unknown, or timestamps are not dates."""
    unknown = [name for name in cycles if name not in CYCLES]
    if unknown:
        raise ConfigError(
            f"{source}: unknown calendar cycle '{unknown[0]}'", f"choose {{calendar}} from {AUTO}, {', '.join(CYCLES)}"
        )
    if (cycles or holidays) and not grid.has_dates:
        raise ConfigError(
            f"{source}: calendar features and holidays need timestamps that are dates",
            "leave out {calendar} and {holidays}",
        )
    if holidays:
        holiday_days(holidays, 2020, 2020)


def holiday_days(place: str, first: int, last: int) -> Ints:
    """Return the public holidays of years, within `HOLIDAY_YEARS`, as days since 1970, ascending.

    Args:
        place: Country, or part of it as in "DE-BY".
        first: First year.
        last: Last year, inclusive.

    Raises:
        ConfigError: The country or its part is unknown.
    """
    holidays = import_extra("holidays", "holidays", "the option holidays")
    country, _, part = place.partition("-")
    parts = holidays.list_supported_countries().get(country)
    if parts is None or (part and part not in parts):
        known = f"one of the parts of {country}: {quote_list(parts)}" if parts else "a country as DE, a part as DE-BY"
        raise ConfigError(f"the package holidays does not support '{place}'", f"write for {{holidays}} {known}")
    years = range(max(first, HOLIDAY_YEARS[0]), min(last, HOLIDAY_YEARS[1]) + 1)
    days = holidays.country_holidays(country, subdiv=part or None, years=years)
    return np.sort(np.array(list(days), dtype="datetime64[D]").astype(np.int64))


def add_calendar_features(panel: Panel, schema: Schema) -> Panel:
    """Return the panel with the calendar features of the schema as future covariates, up to the horizon."""
    names = calendar_feature_names(schema)
    if not names:
        return panel
    low = int(panel.starts.min())
    high = int((panel.starts + panel.lengths).max()) + schema.horizon
    edges = remove_timezone(panel.grid.to_index(panel.grid.times(np.arange(low - 1, high + 1, dtype=np.int64))))
    seconds = np.asarray(edges.asi8, dtype=np.int64) // 1_000_000
    columns = [column for cycle in schema.calendar for column in CYCLES[cycle].features(seconds[1:-1], np)]
    if schema.holidays:
        days = holiday_days(schema.holidays, int(edges[0].year), int(edges[-1].year))
        counts = count_holidays(panel.grid.span, seconds[:-2], seconds[1:-1], seconds[2:], days, np)
        columns.append(counts.astype(np.float32))
    table = np.stack(columns, axis=1)
    lengths = panel.lengths + schema.horizon
    series = RaggedArray.from_lengths(table[concat_ranges(panel.starts - low, lengths)], lengths)
    covariates = Covariates(series, names, len(names))
    return replace(panel, covariates=covariates if panel.covariates is None else panel.covariates.join(covariates))


def count_holidays(
    span: Span, previous: IntArray, times: IntArray, following: IntArray, holidays: IntArray, xp: Any
) -> Any:
    """Return the number of public holidays in each step; 0 or 1 for steps of a day or less.

    Args:
        span: Which days a step covers, see `Grid.span`.
        previous: Timestamps of the previous steps, in seconds of local time since 1970.
        times: Timestamps of the steps.
        following: Timestamps of the following steps.
        holidays: Days of holidays since 1970, ascending.
        xp: `numpy`, or a namespace with its ``searchsorted`` and ``maximum``.
    """
    first = to_days(previous) + 1 if span == "until" else to_days(times)
    last = (to_days(times) if span in ("until", "day") else to_days(following) - 1) + 1
    last = xp.maximum(last, first + 1)
    return xp.searchsorted(holidays, last) - xp.searchsorted(holidays, first)
