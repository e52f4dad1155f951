"""Generators of synthetic series by kind, and the parts that several of them use: patterns, noise, trends, filters.

Each generator returns `(count, length)`; units differ from series to series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Array = npt.NDArray[np.float64]

Generator = Callable[[np.random.Generator, int, int, Sequence[int]], Array]


def _log_uniform(rng: np.random.Generator, low: float, high: float, size: int | tuple[int, ...]) -> Array:
    """Return values whose logarithms are uniform between those of ``low`` and ``high``."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def standardize(values: Array) -> Array:
    """Return each row with mean 0 and standard deviation 1; a constant row becomes 0."""
    centred = values - values.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return np.asarray(centred / np.where(spread > 1e-12, spread, 1.0))


def noise(rng: np.random.Generator, count: int, length: int) -> Array:
    """Return white noise, `(count, length)`: normal, or of Student's t distribution with 3 degrees of freedom."""
    heavy = rng.random((count, 1)) < 0.3
    normal = rng.normal(size=(count, length))
    # A t variable is a normal one over the root of a mean of squares.
    squares = rng.chisquare(3, size=(count, length)) / 3 if heavy.any() else np.ones((count, length))
    return np.asarray(np.where(heavy, normal / np.sqrt(squares), normal))


def _autocorrelated(rng: np.random.Generator, count: int, length: int, low: float = 0.0, high: float = 0.95) -> Array:
    """Return AR(1) noise of standard deviation about 1, `(count, length)`, with a coefficient per series."""
    coefficients = rng.uniform(low, high, count)
    shocks = noise(rng, count, length)
    rows = [lfilter([1.0], [1.0, -a], row) for a, row in zip(coefficients, shocks, strict=True)]
    return np.asarray(np.stack(rows) * np.sqrt(1 - coefficients[:, None] ** 2))


def _seasonal_pattern(rng: np.random.Generator, count: int, season: int) -> Array:
    """Return one period per series, `(count, season)`, standardized: harmonics, single phases, or both."""
    phase = np.arange(season)
    pattern = np.zeros((count, season))
    for harmonic in range(1, min(season // 2, 6) + 1):
        amplitude = rng.normal(size=(count, 1)) / harmonic * (rng.random((count, 1)) < 0.7)
        pattern += amplitude * np.sin(2 * np.pi * harmonic * phase / season + rng.uniform(0, 2 * np.pi, (count, 1)))
    free = rng.normal(size=(count, season))
    if season > 12:  # neighbouring phases are alike
        width = rng.integers(1, max(season // 8, 2) + 1)
        free = np.stack([np.convolve(np.concatenate([row, row, row]), np.ones(width) / width, "same") for row in free])
        free = standardize(free[:, season : 2 * season])
    pattern += free * (rng.random((count, 1)) < 0.4) * 0.8
    return standardize(pattern)


def seasonal(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int], evolving: bool = True) -> Array:
    """Return seasonal components, `(count, length)`, of standard deviation about 1: a sum over the season lengths.

    Phases are aligned over the series: step 0 is the first phase of each season. Part of the series has an amplitude
    that changes slowly. Where the second season is a multiple of the first, as a week of days, half of the series
    have a level by period in place of a pattern, or other amplitudes of the first season in part of the periods.
    """
    total = np.zeros((count, length))
    for index, season in enumerate(seasons):
        pattern = _seasonal_pattern(rng, count, season)
        if index and season % seasons[0] == 0:
            levels = _period_levels(rng, count, season // seasons[0])
            has_levels = rng.random((count, 1)) < 0.5
            pattern = np.where(has_levels, _by_period(standardize(levels), seasons[0], season), pattern)
            damped = np.where(rng.random((count, 1)) < 0.2, rng.uniform(-1, 0.8, (count, 1)), 0.0)
            total *= _by_period(1 + damped * levels, seasons[0], length)
        part = np.take(pattern, np.arange(length) % season, axis=1)
        if evolving:
            growth = rng.normal(0, 0.5, (count, 1)) * (rng.random((count, 1)) < 0.4)
            part = part * np.exp(growth * np.linspace(-1, 1, length))
        weight = 1.0 if index == 0 else _log_uniform(rng, 0.1, 3, (count, 1)) * (rng.random((count, 1)) < 0.8)
        total += weight * part
    return total


def _period_levels(rng: np.random.Generator, count: int, periods: int) -> Array:
    """Return a level per period, `(count, periods)`: -1 in a few consecutive ones and 0 in others, or random."""
    first, width = rng.integers(0, periods, (count, 1)), rng.integers(1, max(periods // 3, 1) + 1, (count, 1))
    off = (np.arange(periods)[None] - first) % periods < width
    return np.where(rng.random((count, 1)) < 0.6, -1.0 * off, rng.normal(size=(count, periods)))


def _by_period(levels: Array, season: int, length: int) -> Array:
    """Return levels `(count, periods)`, each for one season and all of them again and again, `(count, length)`."""
    return np.asarray(np.take(levels, np.arange(length) // season % levels.shape[1], axis=1))


def _linear_filter(numerators: Sequence[Array], denominators: Sequence[Array], shocks: Array) -> Array:
    """Filter each row by its own ARMA polynomials, `(count, length)`."""
    rows = [lfilter(b, a, row) for b, a, row in zip(numerators, denominators, shocks, strict=True)]
    return np.asarray(np.stack(rows))


def _piecewise_constant(rng: np.random.Generator, count: int, length: int, changes: float) -> Array:
    """Return step functions with ``changes`` jumps in the mean per series, `(count, length)`; jumps are normal."""
    jumps = rng.normal(size=(count, length)) * (rng.random((count, length)) < changes / length)
    return np.asarray(np.cumsum(jumps, axis=1))


def exponential_smoothing(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Innovations state-space models with damped trend and up to two additive seasons (Hyndman et al. 2008).

    Half of the series are exponentials of such a process.
    """
    random = rng.random
    level_weight = np.where(
        random(count) < 0.4, rng.beta(1, 3, count), np.where(random(count) < 0.5, random(count), rng.beta(4, 1, count))
    )
    trend_weight = np.where(random(count) < 0.6, level_weight * rng.beta(1, 8, count), 0.0)
    damping = np.where(random(count) < 0.2, 1.0, rng.uniform(0.8, 0.995, count))
    spread = _log_uniform(rng, 0.004, 0.3, count)
    slope = rng.normal(size=count) * spread * rng.choice([0, 0.1, 0.4, 0.8], count)
    patterns, weights = [], []
    for season in seasons:
        amplitude = spread * _log_uniform(rng, 0.2, 12, count) * (random(count) < 0.85)
        patterns.append(amplitude[:, None] * _seasonal_pattern(rng, count, season))
        weights.append((1 - level_weight) * rng.beta(1, 6, count))
    shocks = noise(rng, count, length) * spread[:, None]
    jumps = 5 * rng.normal(size=(count, length)) * (random((count, length)) < 2 / length) * spread[:, None]
    jumps *= random((count, 1)) < 0.25
    level, values = np.zeros(count), np.empty((length, count))
    shocks, jumps = np.ascontiguousarray(shocks.T), np.ascontiguousarray(jumps.T)
    patterns = [np.ascontiguousarray(pattern.T) for pattern in patterns]
    for step in range(length):
        error = shocks[step]
        slope = damping * slope
        level = level + slope
        value = level + error
        for pattern, season in zip(patterns, seasons, strict=True):
            value = value + pattern[step % season]
        values[step] = value
        level = level + level_weight * error + jumps[step]
        slope = slope + trend_weight * error
        for pattern, weight, season in zip(patterns, weights, seasons, strict=True):
            pattern[step % season] += weight * error
    result = values.T - values.T.mean(axis=1, keepdims=True)
    return np.asarray(np.where(random((count, 1)) < 0.5, np.exp(np.clip(result, -4, 4)), result))


def sarima(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Autoregressive and moving-average polynomials at the lags 1 and the seasons (Box and Jenkins 1970)."""
    numerators, denominators = [], []
    for _ in range(count):
        radius, angle = rng.uniform(0, 0.98), rng.uniform(0, np.pi)
        regular = (
            np.array([1, -2 * radius * np.cos(angle), radius**2])
            if rng.random() < 0.4
            else np.array([1.0, -rng.uniform(-0.5, 0.98)])
        )
        moving = np.array([1.0, rng.uniform(-0.8, 0.8)])
        for season in seasons:
            seasonal_ar = np.zeros(season + 1)
            seasonal_ar[0], seasonal_ar[-1] = 1.0, -rng.choice([0.0, rng.uniform(0.3, 0.95), 0.98])
            seasonal_ma = np.zeros(season + 1)
            seasonal_ma[0], seasonal_ma[-1] = 1.0, rng.uniform(-0.9, 0.2) * (seasonal_ar[-1] != 0)
            regular, moving = np.convolve(regular, seasonal_ar), np.convolve(moving, seasonal_ma)
        numerators.append(moving)
        denominators.append(regular)
    start = min(2 * max(seasons, default=12), 400)
    shocks = noise(rng, count, length + start)
    values = _linear_filter(numerators, denominators, shocks)
    integrated = rng.random(count) < 0.4
    values[integrated] = np.cumsum(values[integrated] + rng.normal(0, 0.1, (int(integrated.sum()), 1)), axis=1)
    initial = seasonal(rng, count, length, seasons, evolving=False) * _log_uniform(rng, 0.1, 5, (count, 1))
    spread = values[:, start:].std(axis=1, keepdims=True)
    return np.asarray(values[:, start:] + initial * spread * (rng.random((count, 1)) < 0.6))


def gaussian_process(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Sums and products of Gaussian processes with random kernels, as KernelSynth (Ansari et al. 2024).

    The processes are drawn by random Fourier features (Rahimi and Recht 2007): smooth, rough, periodic and linear ones.
    """
    time = np.arange(length) / length
    total = np.zeros((count, length))
    for number in range(int(rng.integers(2, 5))):
        kind = rng.choice(["smooth", "rough", "periodic", "linear"], p=[0.3, 0.15, 0.4, 0.15])
        if kind == "linear":
            part = rng.normal(size=(count, 1)) * time[None] * 3
        elif kind == "periodic" and seasons:
            part = seasonal(rng, count, length, [int(rng.choice(list(seasons)))], evolving=False)
        else:
            part = _fourier_features(rng, count, time, heavy=kind == "rough")
        weight = _log_uniform(rng, 0.2, 2, (count, 1))
        product = rng.random((count, 1)) < (0.25 if number else 0.0)
        total = np.where(product, total * (1 + 0.5 * part), total + weight * part)
    return np.asarray(total + noise(rng, count, length) * _log_uniform(rng, 0.01, 0.6, (count, 1)))


def _fourier_features(rng: np.random.Generator, count: int, time: Array, heavy: bool, features: int = 16) -> Array:
    scale = _log_uniform(rng, 0.02, 1.0, (count, 1, 1))
    frequency = rng.standard_cauchy((count, 1, features)) if heavy else rng.normal(size=(count, 1, features))
    angle = np.clip(frequency, -30, 30) / scale * time[None, :, None] + rng.uniform(0, 2 * np.pi, (count, 1, features))
    return np.asarray(np.cos(angle).sum(axis=2) * np.sqrt(2 / features))


def trend_and_season(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Trend times season times Weibull noise (Dooley et al. 2023, ForecastPFN)."""
    time = np.arange(length) / max(length, 1)
    linear = 1 + rng.normal(0, 1, (count, 1)) * time * (rng.random((count, 1)) < 0.7)
    exponential = np.exp(rng.normal(0, 0.8, (count, 1)) * time * (rng.random((count, 1)) < 0.6))
    season = 1 + _log_uniform(rng, 0.02, 0.6, (count, 1)) * seasonal(rng, count, length, seasons)
    shape = rng.uniform(1, 5, (count, 1))
    weibull = rng.weibull(np.broadcast_to(shape, (count, length)))
    spread = _log_uniform(rng, 0.01, 0.8, (count, 1))
    return np.asarray(linear * exponential * season * (1 + spread * (weibull - 0.9)))


def regime_switching(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Ornstein-Uhlenbeck processes whose mean, speed and spread switch between two regimes, plus a season."""
    switch = rng.random((count, length)) < _log_uniform(rng, 0.5, 6, (count, 1)) / length
    regime = np.cumsum(switch, axis=1) % 2
    means, spreads = rng.normal(0, 2, (2, count)), _log_uniform(rng, 0.1, 1.5, (2, count))
    speeds = _log_uniform(rng, 0.01, 0.6, (2, count))
    shocks, value, values = rng.normal(size=(length, count)), rng.normal(size=count), np.empty((length, count))
    index = np.arange(count)
    for step in range(length):
        now = regime[:, step]
        value = value + speeds[now, index] * (means[now, index] - value) + spreads[now, index] * shocks[step]
        values[step] = value
    season = seasonal(rng, count, length, seasons) * _log_uniform(rng, 0.1, 3, (count, 1))
    return np.asarray(values.T + season * (rng.random((count, 1)) < 0.7))


def piecewise_trend(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Piecewise linear trends and level shifts with a season and _autocorrelated noise."""
    level = _piecewise_constant(rng, count, length, 1.5) * (rng.random((count, 1)) < 0.6) * 3
    slope = _piecewise_constant(rng, count, length, 2.0) + rng.normal(size=(count, 1))
    trend = np.cumsum(slope, axis=1) / length * _log_uniform(rng, 0.5, 8, (count, 1))
    season = seasonal(rng, count, length, seasons) * _log_uniform(rng, 0.1, 4, (count, 1))
    error = _autocorrelated(rng, count, length) * _log_uniform(rng, 0.05, 1.5, (count, 1))
    return np.asarray(level + trend + season + error)


def waveforms(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Sawtooth, square, triangular and pulse waves with the period of a season or one of their own, with noise."""
    season = int(rng.choice(list(seasons))) if seasons else 1
    period = np.where(rng.random((count, 1)) < 0.75, season, _log_uniform(rng, 3, 60, (count, 1)))
    period = np.where(period < 2, _log_uniform(rng, 3, 40, (count, 1)), period)
    phase = (np.arange(length)[None] / period + rng.random((count, 1))) % 1.0
    duty = rng.uniform(0.1, 0.9, (count, 1))
    waves = np.stack([phase - 0.5, (phase < duty) - 0.5, np.abs(phase - 0.5) * 2 - 0.5, np.exp(-8 * phase)])
    chosen = waves[rng.integers(0, len(waves), count), np.arange(count)]
    amplitude = np.exp(0.3 * _autocorrelated(rng, count, length, 0.9, 0.999))
    drift = (
        np.cumsum(rng.normal(size=(count, length)), axis=1) / np.sqrt(length) * _log_uniform(rng, 0.05, 2, (count, 1))
    )
    return np.asarray(
        chosen * amplitude * 3 + drift + noise(rng, count, length) * _log_uniform(rng, 0.02, 1, (count, 1))
    )


def spikes(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """A quiet level with spikes that come at a phase of the season or at random and decay."""
    season = max(seasons, default=12)
    regular = (np.arange(length)[None] + rng.integers(0, season, (count, 1))) % season == 0
    random = rng.random((count, length)) < _log_uniform(rng, 0.005, 0.1, (count, 1))
    active = np.where(rng.random((count, 1)) < 0.6, regular & (rng.random((count, length)) < 0.95), random)
    height = np.exp(rng.normal(0, 0.4, (count, length))) * _log_uniform(rng, 1, 20, (count, 1))
    decay = rng.uniform(0, 0.8, count)
    pulses = np.stack([lfilter([1.0], [1.0, -a], row) for a, row in zip(decay, active * height, strict=True)])
    base = seasonal(rng, count, length, seasons) * _log_uniform(rng, 0.1, 1, (count, 1))
    sign = rng.choice([-1.0, 1.0], (count, 1), p=[0.25, 0.75])
    return np.asarray(sign * pulses + base + _autocorrelated(rng, count, length))


def counts(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Counts: Poisson and negative binomial variables with a seasonal, changing rate, part of them intermittent."""
    rate = _log_uniform(rng, 0.05, 50, (count, 1))
    season = seasonal(rng, count, length, seasons) * rng.uniform(0, 0.7, (count, 1))
    drift = np.cumsum(rng.normal(size=(count, length)), axis=1) / np.sqrt(length) * rng.uniform(0, 0.8, (count, 1))
    mean = rate * np.exp(np.clip(season + drift, -4, 4))
    dispersion = np.where(rng.random((count, 1)) < 0.5, 1e3, _log_uniform(rng, 0.5, 10, (count, 1)))
    values = rng.poisson(np.minimum(mean * rng.gamma(dispersion, 1 / dispersion, (count, length)), 1e6)).astype(float)
    demand = rng.random((count, length)) < _log_uniform(rng, 0.05, 1.0, (count, 1))
    return np.asarray(np.where(rng.random((count, 1)) < 0.35, values * demand, values))


def profiles(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Non-negative profiles of activity, such as a day by the day of the week, with multiplicative noise."""
    total = np.zeros((count, length))
    for season in seasons:
        pattern = _seasonal_pattern(rng, count, season) * _log_uniform(rng, 0.1, 1.0, (count, 1))
        total += np.take(pattern, np.arange(length) % season, axis=1)
    if len(seasons) == 2:  # some periods of the first season, such as days of a week, are at another level
        periods = max(seasons[1] // seasons[0], 1)
        off = rng.random((count, periods)) < 0.3
        factor = np.where(off, -_log_uniform(rng, 0.1, 2, (count, 1)), 0.0)
        total += _by_period(factor, seasons[0], length)
    drift = np.cumsum(rng.normal(size=(count, length)), axis=1) / np.sqrt(length) * rng.uniform(0, 0.8, (count, 1))
    error = _autocorrelated(rng, count, length) * _log_uniform(rng, 0.02, 0.4, (count, 1))
    values = np.exp(np.clip(total + drift + error, -6, 6))
    closed = (total < np.quantile(total, 0.25, axis=1, keepdims=True)) & (rng.random((count, 1)) < 0.15)
    return np.where(closed, 0.0, values)


def random_walks(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Random walks with drift and volatility that changes (stochastic volatility), half of them geometric."""
    volatility = np.exp(_autocorrelated(rng, count, length, 0.8, 0.995) * rng.uniform(0, 1, (count, 1)))
    drift = rng.normal(0, 0.15, (count, 1)) * (rng.random((count, 1)) < 0.6)
    walk = np.cumsum(noise(rng, count, length) * volatility + drift, axis=1)
    season = seasonal(rng, count, length, seasons) * _log_uniform(rng, 0.1, 4, (count, 1))
    walk = walk + season * (rng.random((count, 1)) < 0.4)
    geometric = np.exp(np.clip(walk * _log_uniform(rng, 0.005, 0.08, (count, 1)), -5, 5))
    return np.where(rng.random((count, 1)) < 0.5, geometric, walk)


def cycles(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Stochastic cycles with a period that is not a season (Harvey 1989), part of them skewed, plus a season."""
    period, radius = _log_uniform(rng, 3, 60, count), 1 - _log_uniform(rng, 0.0005, 0.1, count)
    polynomials = [np.array([1, -2 * r * np.cos(2 * np.pi / p), r * r]) for p, r in zip(period, radius, strict=True)]
    ones = [np.array([1.0])] * count
    start = 200
    cycle = standardize(_linear_filter(ones, polynomials, rng.normal(size=(count, length + start)))[:, start:])
    skewed = np.exp(cycle * rng.uniform(0.3, 1.2, (count, 1)))
    cycle = np.where(rng.random((count, 1)) < 0.4, standardize(skewed), cycle)
    season = seasonal(rng, count, length, seasons) * _log_uniform(rng, 0.1, 3, (count, 1))
    error = _autocorrelated(rng, count, length) * _log_uniform(rng, 0.02, 0.6, (count, 1))
    return np.asarray(cycle + season * (rng.random((count, 1)) < 0.6) + error)


def growth(rng: np.random.Generator, count: int, length: int, seasons: Sequence[int]) -> Array:
    """Local linear trends with a rate of growth that changes slowly, most of them of a logarithm (Harvey 1989)."""
    rate = _log_uniform(rng, 0.3, 8, (count, 1)) / length * rng.choice([1.0, -1.0], (count, 1), p=[0.8, 0.2])
    changes = _autocorrelated(rng, count, length, 0.3, 0.99) * _log_uniform(rng, 0.1, 2, (count, 1))
    level = np.cumsum(rate + np.abs(rate) * changes, axis=1)
    error = noise(rng, count, length) * _log_uniform(rng, 0.05, 3, (count, 1))
    season = seasonal(rng, count, length, seasons) * _log_uniform(rng, 0.3, 10, (count, 1))
    values = level + np.abs(rate) * (error + season * (rng.random((count, 1)) < 0.7))
    return np.asarray(np.where(rng.random((count, 1)) < 0.6, np.exp(np.clip(values, -10, 10)), values))


GENERATORS: dict[str, Generator] = {
    function.__name__: function
    for function in (
        exponential_smoothing,
        sarima,
        gaussian_process,
        trend_and_season,
        regime_switching,
        piecewise_trend,
        waveforms,
        spikes,
        counts,
        profiles,
        random_walks,
        growth,
        cycles,
    )
}
