"""Synthetic time series: seeded generators of many kinds, on which the pretrained network was trained.

Every generator is a function of a random generator, the number of series, their length and their season lengths, and
returns an array `(count, length)`. `generate` mixes them in equal parts, with convex combinations of series and
observation effects. Nothing here imports Keras or TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsattn.errors import ConfigError
from tsattn.synthetic.generators import GENERATORS, Array, standardize

__all__ = ["GENERATORS", "generate"]

_MIXED = 0.15
"""Fraction of series that are convex combinations of others (TSMixup, Ansari et al. 2024)."""


def generate(
    count: int,
    length: int,
    seasons: Sequence[int] = (),
    *,
    seed: int | np.random.Generator = 0,
    generators: Sequence[str] = tuple(GENERATORS),
) -> Array:
    """Return synthetic series of all kinds in equal parts, in random order.

    Args:
        count: Number of series.
        length: Steps of each series.
        seasons: Season lengths, shortest first; at most two.
        seed: Seed or random generator.
        generators: Names of the generators, keys of `GENERATORS`.

    Returns:
        `(count, length)`, float64. Units differ from series to series.

    Raises:
        ConfigError: A generator is unknown, or there are more than two seasons.

    Example:
        >>> series = generate(1000, 120, seasons=(12,), seed=1)
    """
    unknown = sorted(set(generators) - set(GENERATORS))
    if unknown or not generators:
        raise ConfigError(f"generators must be some of {', '.join(GENERATORS)}. Received: {', '.join(generators)}")
    if len(seasons) > 2 or any(season < 2 for season in seasons):
        raise ConfigError(f"seasons must be at most two lengths above 1. Received: {tuple(seasons)}")
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.arange(count) % len(generators))
    values = np.empty((count, length))
    for index, name in enumerate(generators):
        rows = np.flatnonzero(kinds == index)
        if len(rows):
            values[rows] = GENERATORS[name](rng, len(rows), length, tuple(seasons))
    return _observe(rng, _mix(rng, values))


def _mix(rng: np.random.Generator, values: Array) -> Array:
    """Replace part of the series by convex combinations of two standardized ones."""
    count = len(values)
    rows = np.flatnonzero(rng.random(count) < _MIXED)
    if len(rows):
        weight = rng.beta(1.5, 1.5, (len(rows), 1))
        first, second = (standardize(values[rng.integers(0, count, len(rows))]) for _ in range(2))
        values[rows] = weight * first + (1 - weight) * second
    return values


def _observe(rng: np.random.Generator, values: Array) -> Array:
    """Return the series in other units: offsets, outliers, rounding, bounds, and part of them turned over."""
    count, length = values.shape
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    spread = np.maximum(high - low, 1e-9)
    # Where a series is real-valued, its distance to 0 is arbitrary.
    offset = np.where(low < 0, -low + spread * rng.choice([0.0, 0.05, 0.3, 1.0, 5.0], (count, 1)), 0.0)
    values = values + offset * (rng.random((count, 1)) < 0.7)
    turned = rng.random((count, 1)) < 0.1
    values = np.where(turned & (low < 0), -values, values)
    outliers = (rng.random((count, length)) < 0.01) & (rng.random((count, 1)) < 0.08)
    values = values + outliers * rng.normal(0, 6, (count, length)) * values.std(axis=1, keepdims=True)
    steps = spread / rng.integers(3, 40, (count, 1))
    rounded = rng.random((count, 1)) < 0.08
    values = np.where(rounded, np.round(values / steps) * steps, values)
    bound = np.quantile(values, 0.3, axis=1, keepdims=True)
    return np.where(rng.random((count, 1)) < 0.03, np.maximum(values, bound), values)
