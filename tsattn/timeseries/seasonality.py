"""Season length, from the frequency or the values, and the horizon that suits it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.config import DataConfig
from tsattn.timeseries.grid import is_steps, season_of
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import Decision

Values = npt.NDArray[np.float64]

SAMPLE = 64
"""Most series that season detection looks at, spread evenly over the data."""

MOST_STEPS = 8192
"""Most steps of a series that season detection looks at, its last ones."""

LONGEST = 400
"""Longest season, in steps, that is looked for: a year of days."""

CYCLES = 4
"""Cycles that a series must contain before a season of that length can be seen in it."""

CLEAR = 0.3
"""Least correlation between one season and the next that is worth modelling."""

SIGMAS = 3.0
"""How many sampling errors that correlation must stand above 0, since dozens of lags are tried."""

NEARLY_BEST = 0.7
"""A shorter season is preferred while it explains this share of the best one: the day before the week."""


def detect_season(series: Sequence[npt.NDArray[Any]]) -> int:
    """Return the season length that the values show, in steps; 1 where no peak is clear.

    A season of m steps must pass two tests. Lag m is a peak of the autocorrelation of the detrended series,
    averaged over a sample of the series. And after the moving average over m steps is taken away, each cycle
    still resembles the next and, half as much, the one after: a correlation above `CLEAR` and above `SIGMAS`
    sampling errors. A trend, a random walk or a long swing leaves no such remainder. The length is then
    refined by the peaks near its multiples, so that an uneven cycle is not rounded down. Missing values are
    left out of every sum.

    Args:
        series: arrays [steps] or [steps, channels]; NaN where missing.
    """
    columns = _sample(series)
    if not columns:
        return 1
    longest = min(LONGEST, max(len(column) for column in columns) // CYCLES)
    curve = _mean_curve(columns, longest + 1)
    lags = np.arange(2, longest + 1)
    peaks = [int(m) for m in lags if curve[m] > max(curve[m - 1], curve[m + 1], 0.0)]
    scores = {m: _strength(columns, m) for m in peaks}
    best = max(scores.values(), default=0.0)
    first = min((m for m, score in scores.items() if score > 0 and score >= NEARLY_BEST * best), default=1)
    return _refined(curve, first)


def _refined(curve: Values, season: int) -> int:
    """Return the season length that the first clear peaks near multiples of ``season`` agree on."""
    period = float(season)
    for cycles in (2, 3):
        low, high = (round(cycles * period) + side * (cycles - 1) for side in (-1, 1))
        if season == 1 or high >= len(curve) or max(curve[low : high + 1]) < CLEAR:
            break
        period = (low + int(np.argmax(curve[low : high + 1]))) / cycles
    return round(period)


def _sample(series: Sequence[npt.NDArray[Any]]) -> list[Values]:
    """Return up to `SAMPLE` channels that vary, detrended, without leading and trailing gaps."""
    every = max(1, len(series) // SAMPLE)
    columns: list[Values] = []
    for values in series[::every]:
        matrix = np.asarray(values, dtype=np.float64)
        for column in np.atleast_2d(matrix.T):
            seen = np.flatnonzero(np.isfinite(column))
            if len(columns) < SAMPLE and len(seen) >= 4 * CYCLES:
                level = float(np.nanmax(np.abs(column)))
                column = _detrended(column[seen[0] : seen[-1] + 1][-MOST_STEPS:])
                columns += [column] if np.nanstd(column) > 1e-9 * level else []
    return columns


def _detrended(column: Values) -> Values:
    """Return the column minus its straight line."""
    time = np.arange(len(column), dtype=np.float64)
    seen = np.isfinite(column)
    if seen.sum() < 2:
        return column - np.nanmean(column) if seen.any() else column
    return column - np.polyval(np.polyfit(time[seen], column[seen], 1), time)


def _autocorrelation(column: Values, longest: int) -> Values:
    """Return the correlation of the observed pairs at lags 0 to ``longest``; NaN where there are none."""
    seen = np.isfinite(column)
    centred = np.where(seen, column - np.nanmean(column), 0.0)
    size = 1 << int(np.ceil(np.log2(len(column) + longest + 1)))
    spectra = [np.fft.rfft(part, size) for part in (centred, seen.astype(np.float64))]
    products, pairs = (np.fft.irfft(np.abs(part) ** 2, size)[: longest + 1] for part in spectra)
    variance = products[0] / max(pairs[0], 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = products / pairs / variance
    return np.where(pairs > 2.5, correlation, np.nan)


def _mean_curve(columns: Sequence[Values], longest: int) -> Values:
    """Return the autocorrelation averaged over the columns; 0 where no column can tell."""
    curves = np.full((len(columns), longest + 1), np.nan)
    for row, column in zip(curves, columns, strict=True):
        reach = min(longest, len(column) // CYCLES + 1)
        row[: reach + 1] = _autocorrelation(column, reach)
    seen = np.isfinite(curves)
    return np.asarray(np.where(seen, curves, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1))


def _strength(columns: Sequence[Values], season: int) -> float:
    """Return the mean correlation of neighbouring cycles, moving average removed; 0 where it is not clear."""
    found = [_cycles(column, season) for column in columns if len(column) >= CYCLES * season]
    next_one, after_next, errors = (np.array(part) for part in zip(*found, strict=True))
    error = float(np.sqrt(errors.sum()) / len(errors))
    score = float(next_one.mean())
    clear = max(CLEAR, SIGMAS * error)
    return score if score > clear and after_next.mean() > clear / 2 else 0.0


def _cycles(column: Values, season: int) -> tuple[float, float, float]:
    """Return the correlations at lags ``season`` and twice that, and the sampling variance of such a figure.

    The variance is Bartlett's, (1 + 2 sum of squared correlations) / steps, over the lags before the
    correlation first falls below 0: the short memory, which noise has as well.
    """
    rest = column - _moving_average(column, season)
    rest = rest[season // 2 : len(rest) - season // 2]
    seen = np.isfinite(rest)
    rest = np.where(seen, rest - rest[seen].mean() if seen.any() else 0.0, 0.0)
    variance = float(rest @ rest) / max(int(seen.sum()), 1)
    if variance <= 1e-12 * np.nanvar(column):
        return 0.0, 0.0, 1.0

    def correlation(lag: int) -> float:
        pairs = int(seen[lag:] @ seen[:-lag].astype(np.int64))
        return float(rest[lag:] @ rest[:-lag]) / pairs / variance if pairs else 0.0

    memory = 0.0
    for lag in range(1, season):
        value = correlation(lag)
        if value <= 0:
            break
        memory += value**2
    return correlation(season), correlation(2 * season), (1 + 2 * memory) / int(seen.sum())


def _moving_average(column: Values, width: int) -> Values:
    """Return the centred moving average over ``width`` steps, half weight at both ends where that is even."""
    margin = width // 2
    seen = np.isfinite(column)
    total, weight = (
        np.concatenate([[0.0], np.cumsum(part)]) for part in (np.where(seen, column, 0.0), seen.astype(float))
    )

    def window(sums: Values) -> Values:
        odd = sums[2 * margin + 1 :] - sums[: -2 * margin - 1]
        return odd if width % 2 else (odd + sums[2 * margin : -1] - sums[1 : -2 * margin]) / 2

    average = np.full(len(column), np.nan)
    filled = window(weight)
    enough = filled > width / 2
    average[margin : len(column) - margin] = np.where(enough, window(total) / np.maximum(filled, 1.0), np.nan)
    return average


_HORIZONS = {24: 48, 48: 48, 7: 14, 5: 10, 52: 13, 12: 12, 4: 8}
"""Default horizon by the season that a frequency has."""


def default_horizon(freq: str, season: int, median_length: float) -> int:
    """Return how many steps to forecast where nobody said.

    Dated series: two days of hours, a day of anything shorter but at most 96 steps, two weeks of days, a
    quarter of weeks, a year of months, two years of quarters, six years. Integer axes: two seasons up to 48
    steps, else one season up to 96, or ten steps where there is no season. Never more than a fifth of the
    median series length, so that a validation and a test horizon leave most of the series for training; at
    least 1.
    """
    if is_steps(freq):
        wanted = max(min(2 * season, 48), min(season, 96)) if season > 1 else 10
    else:
        usual = season_of(freq)
        wanted = _HORIZONS.get(usual, min(max(usual, 6), 96))
    return int(max(1, min(wanted, median_length // 5)))


def decide_season(panel: Panel, config: DataConfig) -> Decision:
    """Return the decision on the season length: given, usual for the frequency, or seen in the values."""
    if config.season is not None:
        return Decision(field="season", value=str(config.season), given=True, reason="it was asked for")
    freq, median = config.freq or panel.grid.freq, float(np.median(panel.lengths))
    usual = season_of(freq)
    if usual > 1 and median >= 2 * usual:
        season, reason = usual, f"usual for '{freq}' steps"
    elif usual > 1:
        season, reason = 1, f"none: series of {median:g} steps do not contain the usual {usual} twice"
    else:
        season = detect_season(_spread(panel))
        reason = "the values repeat after as many steps" if season > 1 else "the values show no clear season"
    return Decision(field="season", value=str(season), given=False, reason=reason)


def _spread(panel: Panel, most: int = 256) -> list[npt.NDArray[np.float32]]:
    """Return up to ``most`` series, spread evenly over the panel."""
    chosen = np.unique(np.linspace(0, len(panel) - 1, min(len(panel), most)).astype(int))
    return [panel.series(int(index)) for index in chosen]


def decide_horizon(panel: Panel, config: DataConfig, season: int) -> Decision:
    """Return the decision on the horizon: given, or by season, frequency and the lengths of the series."""
    if config.horizon is not None:
        return Decision(field="horizon", value=str(config.horizon), given=True, reason="it was asked for")
    freq, median = config.freq or panel.grid.freq, float(np.median(panel.lengths))
    horizon = default_horizon(freq, season, median)
    usual = default_horizon(freq, season, np.inf)
    reason = f"usual for '{freq}' steps" if season == 1 or not is_steps(freq) else f"by the season of {season}"
    if horizon < usual:
        reason = f"a fifth of the median series length, {median:g}"
    return Decision(field="horizon", value=str(horizon), given=False, reason=reason)
