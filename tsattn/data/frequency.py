"""Infer the frequency of timestamps with gaps, and aggregate the rows of each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries import offsets

from tsattn.config import Aggregation
from tsattn.timeseries.grid import DAY, Grid, count_values, iter_steps, parse_freq, remove_timezone, to_microseconds
from tsattn.timeseries.ragged import Floats, Ints

_UNITS = (("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1))
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def to_integers(times: pd.Index) -> Ints:
    """Return timestamps as int64: datetimes in microseconds since 1970, integers unchanged."""
    return np.asarray(to_microseconds(times).asi8 if isinstance(times, pd.DatetimeIndex) else times, dtype=np.int64)


def infer_freq(times: pd.Index, series: Ints) -> str | None:
    """Return the frequency of the most common step between adjacent timestamps of a series.

    Gaps do not matter as long as most steps are regular.

    Args:
        times: Integers, or datetimes with or without a time zone, in any order.
        series: Index of the series of each timestamp, int64 [timestamps].

    Returns:
        None if no series has two different timestamps.
    """
    elapsed = to_integers(times)
    step = _usual_step(elapsed, series)
    if step == 0:
        return None
    if not isinstance(times, pd.DatetimeIndex):
        return str(step)
    wall = to_integers(remove_timezone(times))
    wall_step = step if times.tz is None else _usual_step(wall, series)
    if wall_step % DAY:
        unit, width = next((unit, width) for unit, width in _UNITS if step % width == 0)
        return _multiple(step // width, unit)
    days = (wall // DAY).astype("datetime64[D]")
    calendar = _monthly(days, series) if wall_step >= 28 * DAY else None
    return calendar or _daily(days, wall_step // DAY)


def best_grid(freq: str, times: pd.Index) -> tuple[Grid, float]:
    """Return the grid of a frequency that has the most timestamps, and the fraction of timestamps on it.

    Its origin is one of the first three timestamps.
    """
    zone = str(times.tz) if isinstance(times, pd.DatetimeIndex) and times.tz is not None else None
    counts = to_integers(times)
    grids: list[tuple[Grid, float]] = []
    for _ in range(3):
        first: Any = int(counts.min())
        if isinstance(times, pd.DatetimeIndex):
            first = pd.Timestamp(first, unit="us", tz=times.tz).isoformat()
        grid = Grid(freq, first, zone)
        grids.append((grid, grid.on_grid_fraction(times)))
        if grids[-1][1] == 1:
            break
        counts = counts[counts > counts.min()]
        if not len(counts):
            break
    return max(grids, key=lambda found: found[1])


def _usual_step(times: Ints, series: Ints) -> int:
    """Return the most common step between neighbours within a series, the smallest of several; 0 without any."""
    counts = count_values(iter_steps(times, series))
    return min(counts, key=lambda step: (-counts[step], step)) if counts else 0


def _multiple(n: int, alias: str) -> str:
    return alias if n == 1 else f"{n}{alias}"


def _usual(values: npt.NDArray[Any]) -> tuple[int, float]:
    """Return the most common value and its relative frequency."""
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)]), float(counts.max() / len(values))


def _monthly(days: npt.NDArray[np.datetime64], series: Ints) -> str | None:
    """Return the alias of months, quarters or years that most days start or end, or None."""
    month = days.astype("datetime64[M]")
    number = month.astype(np.int64)
    n = _usual_step(number, series)
    if n == 0:
        return None
    first = _MONTHS[_usual(number % 12)[0]]
    at_end = float(((days + 1).astype("datetime64[M]") != month).mean())
    if at_end < 1 and (np.busday_offset(days, 1, roll="backward").astype("datetime64[M]") != month).all():
        return _multiple(n, "BME")
    if at_end >= 0.5:
        return _month_alias(n, "E", first, ("MAR", "JUN", "SEP", "DEC"), "DEC")
    day, fraction = _usual((days - month.astype("datetime64[D]")).astype(np.int64))
    if day and (np.busday_offset(month.astype("datetime64[D]"), 0, roll="forward") == days).all():
        return _multiple(n, "BMS")
    if fraction < 0.5:
        return None
    return _month_alias(n, "S", first, ("JAN", "APR", "JUL", "OCT"), "JAN")


def _month_alias(n: int, side: str, month: str, quarters: tuple[str, ...], year: str) -> str:
    """Return the alias of ``n`` months, as years or quarters if possible."""
    if n % 12 == 0:
        return _multiple(n // 12, f"Y{side}" + ("" if month == year else f"-{month}"))
    if n % 3 == 0:
        anchor = _MONTHS[_MONTHS.index(month) % 3]
        return _multiple(n // 3, f"Q{side}" + ("" if month in quarters else f"-{anchor}"))
    return _multiple(n, f"M{side}")


def _daily(days: npt.NDArray[np.datetime64], step: int) -> str:
    """Return the alias of steps of whole days: weeks, business days or days."""
    weekday = (days.astype(np.int64) + 3) % 7
    if step % 7 == 0:
        return _multiple(step // 7, f"W-{_WEEKDAYS[_usual(weekday)[0]]}")
    weeks = np.unique((days.astype(np.int64) + 3) // 7)
    if step == 1 and weekday.max() < 5 and len(weeks) > 1:
        return "B"
    return _multiple(step, "D")


MIN_REGULAR = 0.5
"""Fraction of timestamps on the grid of the most common step from which on the others count as mistakes."""

_SECOND = 1_000_000
_WIDTHS: dict[str, int] = {f"{n}ms" if n > 1 else "ms": n * 1000 for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)}
_WIDTHS |= {f"{n}s" if n > 1 else "s": n * _SECOND for n in (1, 2, 5, 10, 15, 30)}
_WIDTHS |= {f"{n}min" if n > 1 else "min": n * 60 * _SECOND for n in (1, 2, 5, 10, 15, 30)}
_WIDTHS |= {f"{n}h" if n > 1 else "h": n * 3600 * _SECOND for n in (1, 2, 3, 4, 6, 8, 12)}
_WIDTHS |= {"D": DAY, "W-SUN": 7 * DAY, "MS": 31 * DAY, "QS": 92 * DAY, "YS": 366 * DAY}
"""Usual frequencies, ascending, with their steps in microseconds."""


def median_step(times: pd.DatetimeIndex, series: Ints) -> int:
    """Return the median step between adjacent timestamps of a series, in microseconds; 0 without any."""
    steps = np.concatenate([*iter_steps(to_integers(times), series), np.zeros(0, dtype=np.int64)])
    return int(np.median(steps)) if len(steps) else 0


def resampling_freq(times: pd.DatetimeIndex, series: Ints) -> str:
    """Return the frequency to resample irregular timestamps to: the smallest usual step above their median step.

    A step of up to a twentieth below the median counts as above, for timestamps with jitter.
    """
    step = median_step(times, series)
    return next((freq for freq, width in _WIDTHS.items() if width >= 0.95 * step), "YS")


def is_jittered(grid: Grid, times: pd.Index) -> bool:
    """Return whether nine in ten timestamps are within a quarter of a step of the grid: late or early, but regular."""
    earlier, nearer = (grid.locate(times, nearest=nearest)[0] for nearest in (False, True))
    width = grid.to_index(grid.times(earlier + 1)) - grid.to_index(grid.times(earlier))
    away = grid.to_index(times) - grid.to_index(grid.times(nearer))
    return bool((np.abs(away / width) < 0.25).mean() > 0.9)


def aligned_grid(freq: str, times: pd.Index) -> Grid:
    """Return the grid of a frequency aligned with clock and calendar, such as at full hours or midnights.

    Frequencies of month ends, quarter ends and year ends are aligned at the end.
    """
    assert isinstance(times, pd.DatetimeIndex)
    zone = None if times.tz is None else str(times.tz)
    offset: Any = parse_freq(freq)
    first = times.min().tz_localize(None)
    if isinstance(offset, offsets.Tick):
        first = first.floor(freq)
    else:
        first = first.normalize()
        at_end = isinstance(offset, (offsets.MonthEnd, offsets.QuarterEnd, offsets.YearEnd))
        first = offset.rollforward(first) if at_end else offset.rollback(first)
    origin = first.tz_localize(zone, ambiguous=True, nonexistent="shift_forward") if zone else first
    return Grid(freq, origin.isoformat(), zone)


def aggregate(
    values: Floats, series: Ints, position: Ints, how: Aggregation, num_targets: int
) -> tuple[Floats, Ints, Ints]:
    """Return one row per step of each series, ordered, with its series and position.

    Args:
        values: Targets and features of covariates, [rows, channels], NaN where missing.
        series: Index of the series of each row, int64 [rows].
        position: Step of each row, int64 [rows].
        how: Aggregation of several observed values; "last" is the last row. Covariates are averaged for "sum", because
            a price does not add up as sales do.
        num_targets: Number of targets, which are the first channels.
    """
    order = np.lexsort((position, series))
    values, series, position = values[order], series[order], position[order]
    new = np.append(True, (np.diff(series) != 0) | (np.diff(position) != 0))
    starts = np.flatnonzero(new)
    if how == "last":
        result = _last(values, starts)
    else:
        count = np.add.reduceat(np.isfinite(values).astype(np.int64), starts, axis=0)
        total = np.add.reduceat(np.where(np.isfinite(values), values, 0).astype(np.float64), starts, axis=0)
        is_sum = (how == "sum") & (np.arange(values.shape[1]) < num_targets)
        result = np.where(count > 0, total / np.where(is_sum, 1, np.maximum(count, 1)), np.nan)
    return result.astype(np.float32), series[starts], position[starts]


def _last(values: Floats, starts: Ints) -> Floats:
    """Return the last observed value of each group of rows, by their first rows; NaN without any."""
    rows = np.where(np.isfinite(values), np.arange(len(values))[:, None], -1)
    last = np.maximum.reduceat(rows, starts, axis=0)
    found = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, found, np.float32(np.nan))


def uneven_calendar(times: pd.Index, series: Ints) -> str | None:
    """Return which calendar of periods of unequal length timestamps have, in words; None for others.

    These are weeks that are grouped into months, as in 4-4-5 calendars, and two or three days of each month, such as
    the 1st and the 15th.
    """
    assert isinstance(times, pd.DatetimeIndex)
    wall = remove_timezone(times)
    if (wall != wall.normalize()).any():
        return None
    counts = count_values(iter_steps(to_integers(wall), series))
    days = {step // DAY: number for step, number in counts.items()}
    total = sum(days.values())
    if total < 6:
        return None
    if sum(days.get(weeks, 0) for weeks in (28, 35)) >= 0.9 * total and min(days.get(28, 0), days.get(35, 0)) > 0:
        return "periods of 28 and 35 days, as in a 4-4-5 calendar"
    of_month = np.where((wall + pd.Timedelta(days=1)).day == 1, 31, wall.day)
    found, number = np.unique(of_month, return_counts=True)
    usual = found[number >= 0.1 * len(wall)]
    if 2 <= len(usual) <= 3 and np.isin(of_month, usual).mean() >= 0.9 and max(days) < 25:
        texts = ["the last day" if day == 31 else str(day) for day in usual]
        return f"{len(texts)} dates in each month ({', '.join(texts)})"
    return None
