"""Several rows for one step of a series become one: duplicates, and stamps between the steps of a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries import offsets

from tsattn.config import Combine
from tsattn.data.cadence import counts_of
from tsattn.data.frequency import DAY, Grid, parse_freq
from tsattn.data.order import steps_between

Ints = npt.NDArray[np.int64]
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
