"""Characteristics of series that are inferred from them: season lengths, horizon, and domain of the targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.config import DataConfig
from tsattn.timeseries.grid import default_season, is_integer_freq, steps_per_day
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.schema import InferredSetting, Schema

Values = npt.NDArray[np.float64]

MAX_CHANNELS = 64
"""Channels that season detection uses, spread evenly over the series."""

MAX_STEPS = 8192
"""Steps of a channel that season detection uses, its last ones."""

MAX_SEASON = 400
"""Longest season to detect, in steps: a year of days."""

MIN_CYCLES = 4
"""Cycles that a series must contain for a season of that length to be detected."""

MIN_CORRELATION = 0.3
"""Least correlation between neighbouring cycles."""

MIN_SIGMAS = 3.0
"""Least ratio of that correlation to its standard error. It is high because dozens of lags are tested."""

SHORTER_SEASON_RATIO = 0.7
"""A shorter season is preferred if its correlation is this fraction of the best: the day over the week."""


def detect_season(series: Sequence[npt.NDArray[Any]]) -> int:
    """Return the season length in steps that the values show; 1 if there is no clear peak.

    A season of m steps must pass two tests. Lag m is a peak of the autocorrelation of the detrended series,
    averaged over a sample of the series. After subtraction of the moving average over m steps, the correlation of each
    cycle with the next exceeds `MIN_CORRELATION` and `MIN_SIGMAS` standard errors, and with the one after half of
    that. A trend, a random walk or a long swing fails the second test. The length is then refined by the peaks near
    its multiples, so that an uneven cycle is not rounded down. Missing values are excluded from all sums.

    Args:
        series: Arrays [steps] or [steps, channels]; NaN where missing.
    """
    columns = _sample_columns(series)
    if not columns:
        return 1
    max_lag = min(MAX_SEASON, max(len(column) for column in columns) // MIN_CYCLES)
    curve = _mean_autocorrelation(columns, max_lag + 1)
    lags = np.arange(2, max_lag + 1)
    peaks = [int(m) for m in lags if curve[m] > max(curve[m - 1], curve[m + 1], 0.0)]
    scores = {m: _seasonal_correlation(columns, m) for m in peaks}
    best = max(scores.values(), default=0.0)
    first = min((m for m, score in scores.items() if score > 0 and score >= SHORTER_SEASON_RATIO * best), default=1)
    return _refine_season(curve, first)


def _refine_season(curve: Values, season: int) -> int:
    """Return the season length that fits the first clear peaks near multiples of ``season``."""
    period = float(season)
    for cycles in (2, 3):
        low, high = (round(cycles * period) + side * (cycles - 1) for side in (-1, 1))
        if season == 1 or high >= len(curve) or max(curve[low : high + 1]) < MIN_CORRELATION:
            break
        period = (low + int(np.argmax(curve[low : high + 1]))) / cycles
    return round(period)


def _sample_columns(series: Sequence[npt.NDArray[Any]]) -> list[Values]:
    """Return up to `MAX_CHANNELS` channels that are not constant, detrended, without leading and trailing gaps."""
    every = max(1, len(series) // MAX_CHANNELS)
    columns: list[Values] = []
    for values in series[::every]:
        matrix = np.asarray(values, dtype=np.float64)
        for column in np.atleast_2d(matrix.T):
            seen = np.flatnonzero(np.isfinite(column))
            if len(columns) < MAX_CHANNELS and len(seen) >= 4 * MIN_CYCLES:
                level = float(np.nanmax(np.abs(column)))
                column = _detrend(column[seen[0] : seen[-1] + 1][-MAX_STEPS:])
                columns += [column] if np.nanstd(column) > 1e-9 * level else []
    return columns


def _detrend(column: Values) -> Values:
    """Return the residuals of a linear regression on time."""
    time = np.arange(len(column), dtype=np.float64)
    seen = np.isfinite(column)
    if seen.sum() < 2:
        return column - np.nanmean(column) if seen.any() else column
    return column - np.polyval(np.polyfit(time[seen], column[seen], 1), time)


def _autocorrelation(column: Values, max_lag: int) -> Values:
    """Return the correlation of the observed pairs at lags 0 to ``max_lag``; NaN for lags without enough pairs."""
    seen = np.isfinite(column)
    centred = np.where(seen, column - np.nanmean(column), 0.0)
    size = 1 << int(np.ceil(np.log2(len(column) + max_lag + 1)))
    spectra = [np.fft.rfft(part, size) for part in (centred, seen.astype(np.float64))]
    products, pairs = (np.fft.irfft(np.abs(part) ** 2, size)[: max_lag + 1] for part in spectra)
    variance = products[0] / max(pairs[0], 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = products / pairs / variance
    return np.where(pairs > 2.5, correlation, np.nan)


def _mean_autocorrelation(columns: Sequence[Values], max_lag: int) -> Values:
    """Return the autocorrelation averaged over the columns; 0 for lags that no column is long enough for."""
    curves = np.full((len(columns), max_lag + 1), np.nan)
    for row, column in zip(curves, columns, strict=True):
        reach = min(max_lag, len(column) // MIN_CYCLES + 1)
        row[: reach + 1] = _autocorrelation(column, reach)
    seen = np.isfinite(curves)
    return np.asarray(np.where(seen, curves, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1))


def _seasonal_correlation(columns: Sequence[Values], season: int) -> float:
    """Return the mean correlation of neighbouring cycles without moving average; 0 if it is not significant."""
    found = [_cycle_correlations(column, season) for column in columns if len(column) >= MIN_CYCLES * season]
    next_one, after_next, errors = (np.array(part) for part in zip(*found, strict=True))
    error = float(np.sqrt(errors.sum()) / len(errors))
    score = float(next_one.mean())
    threshold = max(MIN_CORRELATION, MIN_SIGMAS * error)
    return score if score > threshold and after_next.mean() > threshold / 2 else 0.0


def _cycle_correlations(column: Values, season: int) -> tuple[float, float, float]:
    """Return the correlations at lags ``season`` and twice that, and their sampling variance.

    The variance is Bartlett's, (1 + 2 sum of squared correlations) / steps, over the lags before the
    correlation first falls below 0: the short memory, which noise has too.
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
    """Return the centred moving average over ``width`` steps, with half weight at both ends if that is even."""
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


DAYS_PER_WEEK = 7

HOURS_PER_DAY = 24

MIN_WEEKS = 3
"""Weeks that a series must contain for a weekly season in addition to the daily one."""

_HORIZONS = {24: 48, 48: 48, 7: 14, 5: 10, 52: 13, 12: 12, 4: 8}
"""Default horizon by the season of a frequency."""


def default_horizon(freq: str, season: int, median_length: float) -> int:
    """Return the number of steps to forecast by default.

    Two days of hours, a day of shorter steps but at most 96, two weeks of days, a quarter of weeks, a year of months,
    two years of quarters, six years. Integer timestamps: two seasons up to 48 steps, else one season up to 96, or ten
    steps without seasonality. At least 1 and at most a fifth of the median series length, so that a validation and a
    test horizon leave most of the series for training.
    """
    if is_integer_freq(freq):
        wanted = max(min(2 * season, 48), min(season, 96)) if season > 1 else 10
    else:
        usual = default_season(freq)
        wanted = _HORIZONS.get(usual, min(max(usual, 6), 96))
    return int(max(1, min(wanted, median_length // 5)))


def infer_season(panel: Panel, config: DataConfig) -> InferredSetting:
    """Return the season length: given, the usual one of the frequency, or detected in the values."""
    if config.season is not None:
        return InferredSetting(field="season", value=str(config.season), given=True, reason="set by the user")
    freq, median = config.freq or panel.grid.freq, float(np.median(panel.lengths))
    usual = default_season(freq)
    if usual > 1 and median >= 2 * usual:
        season, reason = usual, f"usual for '{freq}' steps"
    elif usual > 1:
        season, reason = 1, f"none: series of {median:g} steps do not contain the usual {usual} twice"
    else:
        season = detect_season(_sample_series(panel))
        reason = "detected in the values" if season > 1 else "the values have no clear season"
    return InferredSetting(field="season", value=str(season), given=False, reason=reason)


def combined_seasons(panel: Panel, schema: Schema, *, given: bool) -> tuple[int, ...]:
    """Return the season lengths for methods that model two seasons, shortest first; none without seasonality.

    The second season is the week of steps shorter than a day, if series of median length contain it
    `MIN_WEEKS` times and it has at most `MAX_SEASON` steps. Without timestamps, a season of `HOURS_PER_DAY` steps that
    was detected in the values is taken for a day.

    Args:
        panel: The series.
        schema: How they were read, with the season.
        given: Whether the user has set the season, which then is the only one.
    """
    seasons = (schema.season,) if schema.season > 1 else ()
    week = DAYS_PER_WEEK * schema.season
    day = HOURS_PER_DAY if is_integer_freq(schema.freq) else steps_per_day(schema.freq)
    is_day = schema.season == day > 12
    if given or not is_day or week > MAX_SEASON or np.median(panel.lengths) < MIN_WEEKS * week:
        return seasons
    return (*seasons, week)


def _sample_series(panel: Panel, size: int = 256) -> list[npt.NDArray[np.float32]]:
    """Return up to ``size`` series, spread evenly over the panel."""
    chosen = np.unique(np.linspace(0, len(panel) - 1, min(len(panel), size)).astype(int))
    return [panel.series[int(index)] for index in chosen]


def infer_horizon(panel: Panel, config: DataConfig, season: int) -> InferredSetting:
    """Return the horizon: given, or by season, frequency and the lengths of the series."""
    if config.horizon is not None:
        return InferredSetting(field="horizon", value=str(config.horizon), given=True, reason="set by the user")
    freq, median = config.freq or panel.grid.freq, float(np.median(panel.lengths))
    horizon = default_horizon(freq, season, median)
    usual = default_horizon(freq, season, np.inf)
    reason = f"usual for '{freq}' steps" if season == 1 or not is_integer_freq(freq) else f"by the season of {season}"
    if horizon < usual:
        reason = f"a fifth of the median series length, {median:g}"
    return InferredSetting(field="horizon", value=str(horizon), given=False, reason=reason)


MIN_VALUES = 20
"""Values of a target from which on its domain is inferred."""

MAX_NEAR = 0.1
"""Values up to this fraction of the mean of their series are near 0."""

MIN_FRACTION = 0.03
"""Fraction of values near 0 from which on a target is near 0."""


def infer_support(panel: Panel, config: DataConfig) -> InferredSetting:
    """Return the domain of the targets: "positive" if no value is below 0 and many are near it, else "real".

    Args:
        panel: The series.
        config: Options of the user.
    """
    if config.support is not None:
        return InferredSetting(field="support", value=config.support, given=True, reason="it was asked for")
    real = InferredSetting(field="support", value="real", given=False, reason="values below 0 are possible")
    if panel.levels is not None or np.fmin.reduce(panel.values, axis=None, initial=0) < 0:
        return real
    lengths = panel.lengths[panel.lengths > 0]
    starts = np.cumsum(lengths) - lengths
    for channel, name in enumerate(panel.targets):
        values = panel.values[:, channel]
        least, largest = np.fmin.reduce(values, initial=np.inf), np.fmax.reduce(values, initial=-np.inf)
        if least > MAX_NEAR * largest:
            continue
        seen = np.isfinite(values)
        if (count := int(seen.sum())) < MIN_VALUES:
            continue
        # Sums of float32 would overflow.
        totals = np.add.reduceat(np.where(seen, values, 0), starts, dtype=np.float64)
        means = totals / np.maximum(np.add.reduceat(seen, starts, dtype=np.int64), 1)
        near = int((values <= np.repeat(MAX_NEAR * means, lengths)).sum()) / count
        if near >= MIN_FRACTION:
            reason = f"no value is below 0, and {max(round(100 * near), 1)} % of those of '{name}' are near 0"
            return InferredSetting(field="support", value="positive", given=False, reason=reason)
    return real
