"""The candidates of the combination: a table of exponential smoothings with fixed parameters.

A candidate is an innovations state-space model with additive error (Holt 1957; Winters 1960; Gardner 1985; Hyndman et
al. 2008): ``level``, ``trend`` with damping, and one or two additive seasons. No parameter is estimated. Each candidate
is evaluated on the raw and on the logarithmic scale; the second gives multiplicative seasons and growth.

The naive methods are members of the family: ``level = 1`` is the last value, ``season = 1`` without a level the
seasonal naive method. With ``line``, a part of the linear trend of the whole history is removed before the smoothing
and added again: one half of the least-squares line is the Theta method (Assimakopoulos and Nikolopoulos 2000; Hyndman
and Billah 2003), the whole line from the first to the last value the drift method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Line = Literal["none", "initial", "least squares", "drift"]
"""Linear trend that a candidate removes before the smoothing and adds again."""


@dataclass(frozen=True)
class Candidate:
    """Parameters of one smoothing, in error-correction form.

    Args:
        level: Weight of an innovation in the level, 0 to 1.
        trend: Weight of an innovation in the trend, 0 to 1.
        damping: Factor of the trend per step, 0 (no trend) to 1 (not damped).
        seasonal: Weight of an innovation in each season, one per season of the specification.
        pattern: Index of the season whose initial pattern is used; -1 without one.
        line: Linear trend that is removed before the smoothing: the trend of the first observations, which initialises
            a trend state, the least-squares line of the history, or the line from its first to its last value.
        fraction: Fraction of the line that is removed.
    """

    level: float
    trend: float = 0.0
    damping: float = 0.0
    seasonal: tuple[float, ...] = ()
    pattern: int = -1
    line: Line = "none"
    fraction: float = 1.0

    @property
    def kind(self) -> str:
        """Kind of the candidate, by which weights are reported: ``"damped trend, seasonal"``."""
        return self._trend_kind() + (", seasonal" if self.pattern >= 0 else "")

    def _trend_kind(self) -> str:
        if self.line == "least squares":
            return "theta"
        if self.line == "drift":
            return "drift"
        if self.level == 1 and not self.trend:
            return "last value"
        if self.trend:
            return "linear trend" if self.damping == 1 else "damped trend"
        return "level" if self.level else "naive"


# Levels, and (trend relative to level, damping), for each number of seasons.
_LEVELS = (
    (0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
    (0.03, 0.1, 0.3, 0.6, 0.9),
    (0.02, 0.1, 0.3, 0.6, 0.9),
)
_TRENDS = (
    ((0.2, 0.9), (0.05, 0.98), (0.2, 0.98), (0.4, 0.98), (0.1, 1.0), (0.3, 1.0)),
    ((0.2, 0.9), (0.1, 0.98), (0.4, 0.98)),
    ((0.2, 0.9),),
)
_SEASONAL_TRENDS = (0.1, 0.98), (0.2, 0.9)
_SEASONAL_WEIGHTS = (0.2, 0.5, 0.8)


def candidates(seasons: Sequence[int]) -> tuple[Candidate, ...]:
    """Return the candidates on one scale for series with the given seasons.

    Args:
        seasons: Season lengths, shortest first; none, one or two.
    """
    count = len(seasons)
    none = (0.0,) * count
    table: list[Candidate] = []
    for level in _LEVELS[count]:
        table += _smoothings(level, none, -1, _TRENDS[count], theta=count < 2)
        for index in range(count):
            for weight in _SEASONAL_WEIGHTS:
                seasonal = tuple(round(weight * (1 - level), 6) * (index == position) for position in range(count))
                trends = _SEASONAL_TRENDS[count - 1 : count] if weight < _SEASONAL_WEIGHTS[-1] else ()
                table += _smoothings(level, seasonal, index, trends, theta=count < 2)
        if count == 2:
            both = (round(0.2 * (1 - level), 6), round(0.3 * (1 - level), 6))
            table += _smoothings(level, both, 1, _SEASONAL_TRENDS[1:], theta=False)
    return tuple(dict.fromkeys([*table, *_naive_candidates(count)]))


def _smoothings(
    level: float, seasonal: tuple[float, ...], pattern: int, trends: Sequence[tuple[float, float]], *, theta: bool
) -> list[Candidate]:
    """Return the candidates with one level and season: without a trend, Theta, and with each trend."""
    table = [Candidate(level, seasonal=seasonal, pattern=pattern)]
    if theta:
        table.append(Candidate(level, seasonal=seasonal, pattern=pattern, line="least squares", fraction=0.5))
    for trend, damping in trends:
        table.append(Candidate(level, round(level * trend, 6), damping, seasonal, pattern, "initial"))
    return table


def _naive_candidates(seasons: int) -> tuple[Candidate, ...]:
    """Return last value, drift and, for each season, the seasonal naive method without and with drift."""
    none = (0.0,) * seasons
    table = [Candidate(1.0, seasonal=none), Candidate(1.0, seasonal=none, line="drift")]
    for index in range(seasons):
        one = tuple(float(position == index) for position in range(seasons))
        table.append(Candidate(0.0, seasonal=one, pattern=index))
        table.append(Candidate(0.0, seasonal=one, pattern=index, line="drift"))
    return tuple(table)
