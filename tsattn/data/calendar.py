"""What the calendar says of each step: known as far ahead as one likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.frequencies import to_offset

from tsattn.data.covariates import Covariates
from tsattn.data.frequency import Grid
from tsattn.data.panel import Panel
from tsattn.data.schema import Schema
from tsattn.errors import ConfigError

Floats = npt.NDArray[np.float32]
Parts = Callable[[pd.DatetimeIndex], npt.NDArray[Any]]

_HOUR, _DAY = 3_600, 86_400

AUTO = "auto"
"""Stands for the cycles that suit frequency and length of the data."""

HOLIDAY = "holiday"
"""Name of the feature of public holidays."""


def _phase(index: pd.DatetimeIndex, length: int) -> npt.NDArray[Any]:
    seconds: npt.NDArray[Any] = np.asarray(index.asi8) / 1_000_000
    return np.asarray(np.mod(seconds, length) / length)


def _waves(phase: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return sine and cosine of a cycle and of its half, [steps, 4], of phases in [0, 1)."""
    angles = 2 * np.pi * phase[:, None] * np.array([1, 2])
    return np.asarray(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))


def _indicators(number: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    return np.asarray(number[:, None] == np.arange(count))


_WAVES = ("sine", "cosine")
_WAVE_NAMES = tuple(f"{wave}{half}" for wave in _WAVES for half in ("", " of half"))
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = tuple(pd.Timestamp(2000, month, 1).month_name() for month in range(1, 13))

_CYCLES: dict[str, tuple[int, int, tuple[str, ...], Parts]] = {
    "minute_of_hour": (1, _HOUR, _WAVE_NAMES, lambda at: _waves(_phase(at, _HOUR))),
    "hour_of_day": (1, _DAY, _WAVE_NAMES, lambda at: _waves(_phase(at, _DAY))),
    "day_of_week": (1, 7 * _DAY, _WEEKDAYS, lambda at: _indicators(np.asarray(at.day_of_week), 7)),
    "day_of_month": (
        1,
        31 * _DAY,
        _WAVE_NAMES,
        lambda at: _waves(((at.day - 1) / at.days_in_month).to_numpy()),
    ),
    "day_of_year": (
        1,
        366 * _DAY,
        _WAVE_NAMES,
        lambda at: _waves(((at.day_of_year - 1) / (365 + at.is_leap_year)).to_numpy()),
    ),
    "month_of_year": (28 * _DAY, 366 * _DAY, _MONTHS, lambda at: _indicators(np.asarray(at.month) - 1, 12)),
}
"""Shortest step in seconds that has the cycle, its own length, what its features are called, and they themselves."""

CYCLES = tuple(_CYCLES)
"""Names of the cycles."""


def fitting_cycles(grid: Grid, steps: float) -> tuple[str, ...]:
    """Return the cycles that series of so many steps go through twice or more, and whose parts a step does not span."""
    if not grid.dated:
        return ()
    start = pd.Timestamp(2001, 1, 1)
    step = (start + 12 * to_offset(grid.freq) - start).total_seconds() / 12
    fine = [name for name, (least, length, _, _) in _CYCLES.items() if least <= step < length / 2]
    if "month_of_year" in fine:
        fine = ["month_of_year"]
    return tuple(name for name in fine if 2 * _CYCLES[name][1] <= steps * step)


def calendar_features(schema: Schema) -> tuple[str, ...]:
    """Return the names of the features of the calendar, such as "day_of_week=Monday"."""
    names = [f"{cycle}={part}" for cycle in schema.calendar for part in _CYCLES[cycle][2]]
    return (*names, *([HOLIDAY] if schema.holidays else []))


def check_calendar(cycles: tuple[str, ...], holidays: str | None, grid: Grid, source: str) -> None:
    """Raise a ConfigError where a cycle or a country is unknown, or steps are no dates."""
    unknown = [name for name in cycles if name not in _CYCLES]
    if unknown:
        raise ConfigError(f"{source}: --calendar: '{unknown[0]}' is none of {AUTO}, {', '.join(CYCLES)}")
    if (cycles or holidays) and not grid.dated:
        raise ConfigError(f"{source}: --calendar and --holidays need stamps that are dates")
    if holidays:
        _holidays(holidays, 2020, 2020)


def _holidays(place: str, first: int, last: int) -> npt.NDArray[Any]:
    """Return the public holidays of a country, or of a part of it as in "DE-BY", as sorted days.

    Raises:
        ConfigError: the country or its part is unknown.
    """
    import holidays

    country, _, part = place.partition("-")
    try:
        days = holidays.country_holidays(country, subdiv=part or None, years=range(first, last + 1))
    except (NotImplementedError, AttributeError) as error:
        raise ConfigError(
            f"--holidays: '{place}' is no country, or no part of one, that the package holidays knows; write it as DE "
            f"or DE-BY ({str(error).rstrip('.')})"
        ) from None
    return np.sort(np.array(list(days), dtype="datetime64[D]"))


def _holiday_share(grid: Grid, positions: npt.NDArray[Any], place: str) -> npt.NDArray[Any]:
    """Return how many public holidays each step holds; steps of a day or less are one of them or not."""
    edges = grid.index(grid.at(np.append(positions, positions[-1] + 1))).tz_localize(None)
    days = edges.to_numpy().astype("datetime64[D]")
    known = _holidays(place, int(edges[0].year), int(edges[-1].year))
    first, last = days[:-1], np.maximum(days[1:], days[:-1] + 1)
    return np.asarray(np.searchsorted(known, last) - np.searchsorted(known, first))


def with_calendar(panel: Panel, schema: Schema) -> Panel:
    """Return a panel that knows what the calendar says of its steps and of a horizon more."""
    names = calendar_features(schema)
    if not names:
        return panel
    low = int(panel.starts.min())
    high = int((panel.starts + panel.lengths).max()) + schema.horizon
    positions = np.arange(low, high, dtype=np.int64)
    index = panel.grid.index(panel.grid.at(positions)).tz_localize(None)
    columns = [_CYCLES[cycle][3](index) for cycle in schema.calendar]
    if schema.holidays:
        columns.append(_holiday_share(panel.grid, positions, schema.holidays)[:, None])
    table = np.concatenate(columns, axis=1).astype(np.float32)
    lengths = panel.lengths + schema.horizon
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.repeat(panel.starts - low - offsets[:-1], lengths) + np.arange(offsets[-1])
    known = Covariates(table[rows], offsets, names, len(names))
    return replace(panel, covariates=known if panel.covariates is None else panel.covariates.beside(known))
