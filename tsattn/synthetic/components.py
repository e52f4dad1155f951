"""Parts that several generators use: seasonal patterns, noise, trends, and filters with parameters per series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Array = npt.NDArray[np.float64]


def log_uniform(rng: np.random.Generator, low: float, high: float, size: int | tuple[int, ...]) -> Array:
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


def autocorrelated(rng: np.random.Generator, count: int, length: int, low: float = 0.0, high: float = 0.95) -> Array:
    """Return AR(1) noise of standard deviation about 1, `(count, length)`, with a coefficient per series."""
    coefficients = rng.uniform(low, high, count)
    shocks = noise(rng, count, length)
    rows = [lfilter([1.0], [1.0, -a], row) for a, row in zip(coefficients, shocks, strict=True)]
    return np.asarray(np.stack(rows) * np.sqrt(1 - coefficients[:, None] ** 2))


def seasonal_pattern(rng: np.random.Generator, count: int, season: int) -> Array:
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
    that changes slowly.
    """
    total = np.zeros((count, length))
    for index, season in enumerate(seasons):
        pattern = seasonal_pattern(rng, count, season)
        part = np.take(pattern, np.arange(length) % season, axis=1)
        if evolving:
            steps = np.linspace(-1, 1, length)
            growth = rng.normal(0, 0.5, (count, 1)) * (rng.random((count, 1)) < 0.4)
            part = part * np.exp(growth * steps)
        weight = 1.0 if index == 0 else log_uniform(rng, 0.1, 1.5, (count, 1)) * (rng.random((count, 1)) < 0.8)
        total += weight * part
    return total


def linear_filter(numerators: Sequence[Array], denominators: Sequence[Array], shocks: Array) -> Array:
    """Filter each row by its own ARMA polynomials, `(count, length)`."""
    rows = [lfilter(b, a, row) for b, a, row in zip(numerators, denominators, shocks, strict=True)]
    return np.asarray(np.stack(rows))


def piecewise_constant(rng: np.random.Generator, count: int, length: int, changes: float) -> Array:
    """Return step functions with ``changes`` jumps in the mean per series, `(count, length)`; jumps are normal."""
    jumps = rng.normal(size=(count, length)) * (rng.random((count, length)) < changes / length)
    return np.asarray(np.cumsum(jumps, axis=1))
