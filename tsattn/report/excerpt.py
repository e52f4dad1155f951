"""The part of a history and a forecast that reads well in one picture."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

MOST_SERIES = 6
"""Series that are shown; the rest are counted."""

_LEAST_STEPS = 24
_MOST_STEPS = 400


@dataclass(frozen=True)
class Interval:
    """Two columns of a forecast that bound a share of the outcomes.

    Args:
        share: percent between the bounds, as the columns have it ("80").
        low: column of the lower bound.
        high: column of the upper bound.
    """

    share: str
    low: str
    high: str

    @property
    def label(self) -> str:
        """The name for people."""
        return f"{self.share} % interval"


@dataclass(frozen=True)
class Excerpt:
    """One series to show.

    Args:
        name: its id, on one line.
        history: the last steps before the forecast, `ds` and `y`; may be empty.
        forecast: `ds`, `y` and the bounds of the intervals.
        intervals: the intervals, widest first.
    """

    name: str
    history: pd.DataFrame
    forecast: pd.DataFrame
    intervals: tuple[Interval, ...]


def intervals_of(forecast: pd.DataFrame) -> tuple[Interval, ...]:
    """Return the intervals that a forecast has, widest first."""
    shares = [found[1] for name in forecast.columns if (found := re.fullmatch(r"y-lo-([\d.]+)", str(name)))]
    known = [share for share in shares if f"y-hi-{share}" in forecast.columns]
    return tuple(Interval(share, f"y-lo-{share}", f"y-hi-{share}") for share in sorted(known, key=float, reverse=True))


def excerpts(history: pd.DataFrame, forecast: pd.DataFrame, season: int) -> list[Excerpt]:
    """Return the first series of a forecast, each with as much history as reads well beside it.

    Args:
        history: `unique_id`, `ds`, `y`, gaps as NaN.
        forecast: `unique_id`, `ds`, `y` and intervals such as `y-lo-80`, `y-hi-80`.
        season: season length in steps; 1 where there is none.
    """
    intervals = intervals_of(forecast)
    found = []
    for id in forecast["unique_id"].unique()[:MOST_SERIES]:
        ahead = forecast[forecast["unique_id"] == id].reset_index(drop=True)
        past = history.loc[history["unique_id"] == id, ["ds", "y"]]
        past = past.tail(_steps(len(ahead), season)).reset_index(drop=True)
        found.append(Excerpt(" ".join(str(id).split()), past, ahead, intervals))
    return found


def _steps(horizon: int, season: int) -> int:
    """Return the steps of history to show: three horizons or four seasons, within what a picture can hold."""
    wanted = max(3 * horizon, 4 * season, _LEAST_STEPS)
    return min(wanted, max(_MOST_STEPS, horizon))


def series_count(forecast: pd.DataFrame) -> str:
    """Return "6 of 414 series" where not all of them are shown, else nothing."""
    total = forecast["unique_id"].nunique()
    return f"{MOST_SERIES} of {total:,} series" if total > MOST_SERIES else ""


def time_zone(stamps: pd.Series) -> str:
    """Return the name of the stamps' time zone, or nothing."""
    return str(stamps.dt.tz) if isinstance(stamps.dtype, pd.DatetimeTZDtype) else ""
