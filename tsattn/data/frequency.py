"""The frequency of stamps that may have gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries import offsets

from tsattn.config import Combine
from tsattn.timeseries.grid import DAY, Grid, counted, naive, parse_freq, steps_between

Ints = npt.NDArray[np.int64]

_UNITS = (("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1))
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def counts_of(stamps: pd.Index) -> Ints:
    """Return stamps as whole numbers, int64: integers as they are, dates in microseconds."""
    return np.asarray(stamps.asi8 if isinstance(stamps, pd.DatetimeIndex) else stamps, dtype=np.int64)


def infer_freq(stamps: pd.Index, series: Ints) -> str | None:
    """Return the frequency whose step is the most common one between neighbouring stamps of a series.

    Gaps do not matter while most steps are regular. None where no series has two different stamps.

    Args:
        stamps: integers, or dates with or without a time zone, in any order.
        series: which series each stamp belongs to, int64 [stamps].
    """
    elapsed = counts_of(stamps)
    step = _usual_step(elapsed, series)
    if step == 0:
        return None
    if not isinstance(stamps, pd.DatetimeIndex):
        return str(step)
    wall = np.asarray(naive(stamps).asi8, dtype=np.int64)
    wall_step = step if stamps.tz is None else _usual_step(wall, series)
    if wall_step % DAY:
        unit, width = next((unit, width) for unit, width in _UNITS if step % width == 0)
        return _times(step // width, unit)
    days = (wall // DAY).astype("datetime64[D]")
    calendar = _monthly(days, series) if wall_step >= 28 * DAY else None
    return calendar or _daily(days, wall_step // DAY)


def best_grid(freq: str, stamps: pd.Index) -> tuple[Grid, float]:
    """Return the grid of ``freq`` on which most stamps lie, its origin one of the first three, and their share."""
    zone = str(stamps.tz) if isinstance(stamps, pd.DatetimeIndex) and stamps.tz is not None else None
    counts = counts_of(stamps)
    grids: list[tuple[Grid, float]] = []
    for _ in range(3):
        first: Any = int(counts.min())
        if isinstance(stamps, pd.DatetimeIndex):
            first = pd.Timestamp(first, unit="us", tz=stamps.tz).isoformat()
        grid = Grid(freq, first, zone)
        grids.append((grid, grid.share(stamps)))
        if grids[-1][1] == 1:
            break
        counts = counts[counts > counts.min()]
        if not len(counts):
            break
    return max(grids, key=lambda found: found[1])


def _usual_step(counts: Ints, series: Ints) -> int:
    """Return the most common difference of neighbours within a series, the smallest of several; 0 without any."""
    times = counted(steps_between(counts, series))
    return min(times, key=lambda step: (-times[step], step)) if times else 0


def _times(n: int, alias: str) -> str:
    return alias if n == 1 else f"{n}{alias}"


def _usual(values: npt.NDArray[Any]) -> tuple[int, float]:
    """Return the most common value and its share."""
    found, times = np.unique(values, return_counts=True)
    return int(found[np.argmax(times)]), float(times.max() / len(values))


def _monthly(days: npt.NDArray[np.datetime64], series: Ints) -> str | None:
    """Return the alias of months, quarters or years that most days start or end; None for neither."""
    month = days.astype("datetime64[M]")
    number = month.astype(np.int64)
    n = _usual_step(number, series)
    if n == 0:
        return None
    first = _MONTHS[_usual(number % 12)[0]]
    at_end = float(((days + 1).astype("datetime64[M]") != month).mean())
    if at_end < 1 and (np.busday_offset(days, 1, roll="backward").astype("datetime64[M]") != month).all():
        return _times(n, "BME")
    if at_end >= 0.5:
        return _month_alias(n, "E", first, ("MAR", "JUN", "SEP", "DEC"), "DEC")
    day, share = _usual((days - month.astype("datetime64[D]")).astype(np.int64))
    if day and (np.busday_offset(month.astype("datetime64[D]"), 0, roll="forward") == days).all():
        return _times(n, "BMS")
    if share < 0.5:
        return None
    return _month_alias(n, "S", first, ("JAN", "APR", "JUL", "OCT"), "JAN")


def _month_alias(n: int, side: str, month: str, quarters: tuple[str, ...], year: str) -> str:
    """Return the alias of ``n`` months, as years or quarters where they are such."""
    if n % 12 == 0:
        return _times(n // 12, f"Y{side}" + ("" if month == year else f"-{month}"))
    if n % 3 == 0:
        anchor = _MONTHS[_MONTHS.index(month) % 3]
        return _times(n // 3, f"Q{side}" + ("" if month in quarters else f"-{anchor}"))
    return _times(n, f"M{side}")


def _daily(days: npt.NDArray[np.datetime64], step: int) -> str:
    """Return the alias of steps of whole days: weeks, business days or days."""
    weekday = (days.astype(np.int64) + 3) % 7
    if step % 7 == 0:
        return _times(step // 7, f"W-{_WEEKDAYS[_usual(weekday)[0]]}")
    weeks = np.unique((days.astype(np.int64) + 3) // 7)
    if step == 1 and weekday.max() < 5 and len(weeks) > 1:
        return "B"
    return _times(step, "D")


Floats = npt.NDArray[np.float32]

REGULAR = 0.5
"""Share of the stamps that have to lie on the grid of their most common step, for the others to be mistakes."""

_SECOND = 1_000_000
_WIDTHS: dict[str, int] = {f"{n}ms" if n > 1 else "ms": n * 1000 for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)}
_WIDTHS |= {f"{n}s" if n > 1 else "s": n * _SECOND for n in (1, 2, 5, 10, 15, 30)}
_WIDTHS |= {f"{n}min" if n > 1 else "min": n * 60 * _SECOND for n in (1, 2, 5, 10, 15, 30)}
_WIDTHS |= {f"{n}h" if n > 1 else "h": n * 3600 * _SECOND for n in (1, 2, 3, 4, 6, 8, 12)}
_WIDTHS |= {"D": DAY, "W-SUN": 7 * DAY, "MS": 31 * DAY, "QS": 92 * DAY, "YS": 366 * DAY}
"""Steps that people use, ascending, in microseconds."""


def median_step(stamps: pd.DatetimeIndex, series: Ints) -> int:
    """Return the median of the steps between neighbouring stamps of a series, in microseconds; 0 without any."""
    steps = np.concatenate([*steps_between(counts_of(stamps), series), np.zeros(0, dtype=np.int64)])
    return int(np.median(steps)) if len(steps) else 0


def freq_for(stamps: pd.DatetimeIndex, series: Ints) -> str:
    """Return the frequency that irregular stamps are brought to: the step in use nearest above their median step.

    Stamps that only tremble about a step keep it: up to a twentieth below the median is still above.
    """
    step = median_step(stamps, series)
    return next((freq for freq, width in _WIDTHS.items() if width >= 0.95 * step), "YS")


def trembles(grid: Grid, stamps: pd.Index) -> bool:
    """Tell whether nine stamps of ten lie within a quarter of a step from one: late or early, but not irregular."""
    earlier, nearer = (grid.locate(stamps, nearest=nearest)[0] for nearest in (False, True))
    width = grid.index(grid.at(earlier + 1)) - grid.index(grid.at(earlier))
    away = grid.index(stamps) - grid.index(grid.at(nearer))
    return bool((np.abs(away / width) < 0.25).mean() > 0.9)


def round_grid(freq: str, stamps: pd.Index) -> Grid:
    """Return the grid of a frequency whose steps begin where a clock or calendar begins them: full hours, midnights.

    The months, quarters and years that end with their stamp have it at their end.
    """
    assert isinstance(stamps, pd.DatetimeIndex)
    zone = None if stamps.tz is None else str(stamps.tz)
    offset: Any = parse_freq(freq)
    first = stamps.min().tz_localize(None)
    if isinstance(offset, offsets.Tick):
        first = first.floor(freq)
    else:
        first = first.normalize()
        at_end = isinstance(offset, (offsets.MonthEnd, offsets.QuarterEnd, offsets.YearEnd))
        first = offset.rollforward(first) if at_end else offset.rollback(first)
    origin = first.tz_localize(zone, ambiguous=True, nonexistent="shift_forward") if zone else first
    return Grid(freq, origin.isoformat(), zone)


def combine(values: Floats, series: Ints, position: Ints, how: Combine, targets: int) -> tuple[Floats, Ints, Ints]:
    """Return one row for each step of each series, ordered, with its series and position.

    Args:
        values: [rows, targets and features of covariates], NaN where missing.
        series: of each row, int64 [rows].
        position: step of each row, int64 [rows].
        how: what becomes of several observed values; "last" takes the lowest one in the file. Of covariates "sum" takes
            the mean: a price does not add up as sales do.
        targets: how many columns are targets; they come first.
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
        adds_up = (how == "sum") & (np.arange(values.shape[1]) < targets)
        result = np.where(count > 0, total / np.where(adds_up, 1, np.maximum(count, 1)), np.nan)
    return result.astype(np.float32), series[starts], position[starts]


def _last(values: Floats, starts: Ints) -> Floats:
    """Return the last observed value of each run of rows, by where they start; NaN where there is none."""
    rows = np.where(np.isfinite(values), np.arange(len(values))[:, None], -1)
    last = np.maximum.reduceat(rows, starts, axis=0)
    found = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, found, np.float32(np.nan))
