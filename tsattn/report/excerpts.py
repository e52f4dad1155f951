"""Parts of series that plots and reports show, and their numbers and timestamps as text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

MAX_SERIES = 6
"""Maximum number of series in a plot or report."""
_MIN_STEPS = 24
_MAX_STEPS = 400


@dataclass(frozen=True)
class Interval:
    """Two columns of a forecast that are the bounds of a prediction interval.

    Args:
        level: Nominal coverage in percent, as in the names of the columns ("80").
        low: Column of the lower bound.
        high: Column of the upper bound.
    """

    level: str
    low: str
    high: str

    @property
    def label(self) -> str:
        """Name in legends and tables."""
        return f"{self.level} % interval"


@dataclass(frozen=True)
class Excerpt:
    """The part of one series that a plot shows.

    Args:
        name: Its id, on one line.
        history: Last steps before the forecast, `ds` and `y`; may be empty.
        forecast: `ds`, `y` and the bounds of the intervals.
        intervals: The intervals, widest first.
        time: Name of the time column.
        value: Name of the column of values.
    """

    name: str
    history: pd.DataFrame
    forecast: pd.DataFrame
    intervals: tuple[Interval, ...]
    time: str
    value: str


def standard_names(frame: pd.DataFrame, value: str = "") -> pd.DataFrame:
    """Return a frame whose first two columns, the value and its bounds are ``unique_id``, ``ds``, ``y``, ``y-lo-80``.

    Args:
        frame: Id, time, value and bounds.
        value: Name of the value; the third column if empty.
    """
    value = value or str(frame.columns[2])
    names = {str(frame.columns[0]): "unique_id", str(frame.columns[1]): "ds", value: "y"}
    bounds = re.compile(rf"{re.escape(value)}(?=-(?:lo|hi)-[\d.]+$)")
    return frame.set_axis([names.get(str(name)) or bounds.sub("y", str(name)) for name in frame.columns], axis=1)


def find_intervals(forecast: pd.DataFrame) -> tuple[Interval, ...]:
    """Return the intervals of a forecast with standard names, widest first."""
    levels = [found[1] for name in forecast.columns if (found := re.fullmatch(r"y-lo-([\d.]+)", str(name)))]
    complete = sorted((level for level in levels if f"y-hi-{level}" in forecast.columns), key=float, reverse=True)
    return tuple(Interval(level, f"y-lo-{level}", f"y-hi-{level}") for level in complete)


def take_excerpts(history: pd.DataFrame, forecast: pd.DataFrame, season: int) -> list[Excerpt]:
    """Return the first series of a forecast, each with the end of its history.

    Args:
        history: Id, time and value, with gaps as NaN.
        forecast: Id, time, value and the bounds of intervals, such as `y-lo-80`, `y-hi-80`.
        season: Season length in steps; 1 for no season.
    """
    time, value = (str(name) for name in forecast.columns[1:3])
    history = standard_names(history, value if value in history.columns else "")
    forecast = standard_names(forecast)
    intervals = find_intervals(forecast)
    found = []
    for id in forecast["unique_id"].unique()[:MAX_SERIES]:
        ahead = forecast[forecast["unique_id"] == id].reset_index(drop=True)
        past = history.loc[history["unique_id"] == id, ["ds", "y"]]
        past = past.tail(_history_steps(len(ahead), season)).reset_index(drop=True)
        found.append(Excerpt(" ".join(str(id).split()), past, ahead, intervals, time, value))
    return found


def _history_steps(horizon: int, season: int) -> int:
    """Return the steps of history to show: three horizons or four seasons, within the limits of a plot."""
    return min(max(3 * horizon, 4 * season, _MIN_STEPS), max(_MAX_STEPS, horizon))


def count_shown(forecast: pd.DataFrame) -> str:
    """Return a count such as "6 of 414 series" if not all series are shown, else an empty string."""
    total = forecast["unique_id"].nunique()
    return f"{MAX_SERIES} of {total:,} series" if total > MAX_SERIES else ""


def time_zone(times: pd.Series) -> str:
    """Return the name of the time zone of timestamps, or an empty string."""
    return str(times.dt.tz) if isinstance(times.dtype, pd.DatetimeTZDtype) else ""


def format_number(value: float, decimals: int) -> str:
    """Return a number with thousands separators, or a dash for a missing one."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    rounded = round(value, decimals) + 0.0  # adding 0 turns -0 into 0
    return f"{rounded:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def decimals_for(values: pd.Series | pd.DataFrame) -> int:
    """Return the decimals that show four digits of the largest value and three of the range."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size or not numbers.any():
        return 0
    decimals = 3 - math.floor(math.log10(np.abs(numbers).max()))
    spread = float(np.ptp(numbers))
    if spread > 0:
        decimals = max(decimals, 2 - math.floor(math.log10(spread)))
    return min(max(decimals, 0), 8)


def format_timestamps(times: pd.Series) -> list[str]:
    """Return timestamps as text: dates if all are at midnight, else to the minute or second."""
    if not pd.api.types.is_datetime64_any_dtype(times.dtype):
        return [str(time) for time in times]
    local = times.dt.tz_localize(None)
    if (local == local.dt.normalize()).all():
        pattern = "%Y-%m-%d"
    else:
        pattern = "%Y-%m-%d %H:%M" if (local == local.dt.floor("min")).all() else "%Y-%m-%d %H:%M:%S"
    return list(local.dt.strftime(pattern))


def shorten(text: str, width: int) -> str:
    """Return ``text``, without its middle if it is longer than ``width`` characters."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"
