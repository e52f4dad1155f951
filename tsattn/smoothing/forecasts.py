"""Forecasts of any number of series in batches of bounded memory, with NumPy only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from tsattn.errors import ConfigError
from tsattn.smoothing.combination import combine, weights_by_kind
from tsattn.smoothing.intervals import quantiles
from tsattn.smoothing.kernels import Array, Kernels, SmoothingSpec, smoothing_kernels

Result = TypeVar("Result")

_BATCH_VALUES = 128 * 144
_WINDOW_STEP = 24


@dataclass(frozen=True)
class SmoothingForecast:
    """Forecasts of several series.

    Args:
        forecast: `(series, horizon)`.
        quantiles: `(series, horizon, levels)`, increasing along the levels.
        levels: The quantile levels.
        weights: Summed weights by kind of candidate, each `(series,)`.
    """

    forecast: Array
    quantiles: Array
    levels: tuple[float, ...]
    weights: dict[str, Array]


def forecast_series(
    series: Sequence[npt.ArrayLike],
    horizon: int,
    seasons: Sequence[int] = (),
    levels: Sequence[float] = (0.1, 0.9),
) -> SmoothingForecast:
    """Forecast each series by itself with the combination of exponential smoothings.

    Forecasts commute with a positive factor. They commute with a shift as well if the series has a value of 0 or below
    before and after it, because candidates on the logarithmic scale are then not used. A series without any observed
    value is forecast as 0.

    Args:
        series: Values of each series, oldest first; NaN where a value is missing.
        horizon: Steps to forecast.
        seasons: Season lengths, at most two.
        levels: Quantile levels, 0.01 to 0.99.

    Raises:
        ConfigError: If the horizon, the seasons or a level is out of range.
    """
    ordered = sorted_levels(levels)
    arrays = [np.asarray(values, dtype=float) for values in series]
    kernels = kernels_of(arrays, SmoothingSpec(horizon, tuple(sorted(seasons))))
    size = max(1, _BATCH_VALUES // kernels.spec.length)
    parts = map_batches(lambda batch: _forecast_batch(batch, kernels, ordered), arrays, size)
    if not parts:
        return SmoothingForecast(np.zeros((0, horizon)), np.zeros((0, horizon, len(ordered))), ordered, {})
    forecast, bands, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return SmoothingForecast(forecast, bands, ordered, weights_by_kind(weights, kernels.table))


def _forecast_batch(batch: Sequence[Array], kernels: Kernels, levels: Sequence[float]) -> tuple[Array, Array, Array]:
    values, observed = right_aligned(batch, kernels.spec.length)
    result = combine(np, values, observed, kernels)
    return result.forecast, quantiles(np, result, kernels, levels), result.weights


def sorted_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return quantile levels in ascending order.

    Raises:
        ConfigError: If a level is out of range.
    """
    if any(not 0.01 <= level <= 0.99 for level in levels):
        raise ConfigError(f"levels must lie between 0.01 and 0.99, but they are {list(levels)}")
    return tuple(sorted(float(level) for level in levels))


def kernels_of(series: Sequence[Array], spec: SmoothingSpec) -> Kernels:
    """Return the constant arrays for series, with a window that is no longer than they need."""
    longest = max(map(len, series), default=2)
    return smoothing_kernels(replace(spec, window=min(spec.length, -(-longest // _WINDOW_STEP) * _WINDOW_STEP)))


def _threads() -> int:
    """Return the number of threads: `OMP_NUM_THREADS` where several processes divide the processors, else all."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def map_batches(function: Callable[[Sequence[Array]], Result], series: Sequence[Array], size: int) -> list[Result]:
    """Return the results of a function for batches of series, in order, in threads."""
    # One thread per batch: the threads of one small matrix product mostly wait for each other.
    with threadpool_limits(1), ThreadPoolExecutor(_threads()) as pool:
        return list(pool.map(function, (series[start : start + size] for start in range(0, len(series), size))))


def right_aligned(series: Sequence[Array], length: int) -> tuple[Array, Array]:
    """Return the last values of each series, `(series, length)`, and which are observed, bool of the same shape.

    Args:
        series: Values of each series, oldest first; NaN where a value is missing.
        length: Length of the window.
    """
    values = np.full((len(series), length), np.nan)
    for row, array in zip(values, series, strict=True):
        if len(array):
            row[-min(len(array), length) :] = array[-length:]
    observed = np.isfinite(values)
    return np.where(observed, values, 0.0), observed
