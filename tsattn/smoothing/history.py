"""The history of each series on one scale: initial level, trend and seasonal patterns, and the residual window.

What the initial states forecast is subtracted from the values before the linear filters. Positions before the start of
a series are then exactly 0 and contribute nothing. A missing value takes the residual of earlier values, mostly the
last one; its errors do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsattn.smoothing.kernels import Kernels, SmoothingSpec

Tensor = Any
"""An array of the namespace ``xp``: NumPy or `keras.ops`."""


@dataclass(frozen=True)
class Positions:
    """Where each series starts and which values are observed. ``N`` series, ``T`` steps.

    Args:
        weight: `(N, T)` 1 where a value is observed, else 0.
        started: `(N, T)` bool, from the first observed value on.
        number: `(N, T)` int: position since the start, 1 at the first observed value, 0 before.
        first: `(N, 1)` int: index of the first observed value; ``T`` without any.
        season: `(N, 1)` int: the longest season that is used; with two, the first one until the series is long enough.
    """

    weight: Tensor
    started: Tensor
    number: Tensor
    first: Tensor
    season: Tensor


def positions(xp: Any, observed: Tensor, spec: SmoothingSpec) -> Positions:
    """Return the positions of the observed values.

    Args:
        xp: NumPy or `keras.ops`.
        observed: `(N, T)` bool.
        spec: Horizon, seasons and window ``T``.
    """
    seen = xp.where(observed, 1, 0)
    started = xp.cumsum(seen, axis=1) > 0
    after = xp.where(started, 1, 0)
    steps = xp.sum(after, axis=1, keepdims=True)
    season = xp.where(steps >= spec.enough, spec.season, spec.first_season)
    return Positions(xp.where(observed, 1.0, 0.0), started, xp.cumsum(after, axis=1), spec.length - steps, season)


@dataclass(frozen=True)
class History:
    """Initial states and residuals of each series on one scale. ``N`` series, ``T`` steps, ``h`` horizon.

    Args:
        level: `(N, 1)` initial level.
        residuals: Per pattern (none first), `(N, T)`: values minus initial level and pattern, 0 before the start.
        patterns: Per pattern, `(N, T + h)`: the pattern, repeated.
        slopes: `(N, T, 4)` at each position: 0, the trend of the first observations, the least-squares slope and the
            slope from the first to this value.
    """

    level: Tensor
    residuals: tuple[Tensor, ...]
    patterns: tuple[Tensor, ...]
    slopes: Tensor

    def relative(self, level: Tensor, ratio: Tensor) -> History:
        """Return the same with another level and everything else times a factor, both `(N, 1)`."""
        residuals, patterns = (tuple(part * ratio for part in parts) for parts in (self.residuals, self.patterns))
        return History(level, residuals, patterns, self.slopes * ratio[:, :, None])


def history(xp: Any, values: Tensor, where: Positions, kernels: Kernels) -> History:
    """Return initial states and residuals.

    Args:
        xp: NumPy or `keras.ops`.
        values: `(N, T)`, 0 where nothing is observed.
        where: Positions of the observed values.
        kernels: Constant arrays of the specification.
    """
    spec = kernels.spec
    head, weight = _head(xp, values, where, spec.length, 2 * spec.season if spec.season > 1 else 4)
    if spec.season > 1:
        step = np.arange(2 * spec.season)[None]
        weight = weight * xp.where(step < 2 * where.season, 1.0, 0.0)
        level = _mean(xp, head, weight * xp.where(step < where.season, 1.0, 0.0))
        long, short = (_season_trend(xp, head, weight, season) for season in (spec.season, spec.first_season))
        trend = xp.where(where.season == spec.season, long, short)
    else:
        level, trend = _mean(xp, head[:, :2], weight[:, :2]), _line_slope(xp, head, weight)
    phases = xp.maximum(where.number[:, -1:] - spec.length + np.arange(spec.length + spec.horizon)[None], 0)
    patterns = [xp.where(phases >= 0, 0.0, 0.0)]
    for season in spec.seasons:
        pattern = _initial_pattern(xp, head, weight, trend, season)
        patterns.append(xp.take_along_axis(pattern, phases % season, axis=1))
    residuals = _residuals(xp, values, [level + pattern[:, : spec.length] for pattern in patterns], where, kernels)
    return History(level, residuals, tuple(patterns), _slopes(xp, residuals[-1], trend, where, spec.length))


def _head(xp: Any, values: Tensor, where: Positions, length: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the first ``count`` values of each series and their weights, `(N, count)`."""
    index = where.first + np.arange(count)[None]
    inside = xp.where(index < length, 1.0, 0.0)
    index = xp.minimum(index, length - 1)
    weight = inside * xp.take_along_axis(where.weight, index, axis=1)
    return xp.take_along_axis(values, index, axis=1), weight


def _mean(xp: Any, values: Tensor, weight: Tensor) -> Tensor:
    return xp.sum(values * weight, axis=1, keepdims=True) / xp.maximum(xp.sum(weight, axis=1, keepdims=True), 1.0)


def _line_slope(xp: Any, head: Tensor, weight: Tensor) -> Tensor:
    """Return the least-squares slope of the first observations, `(N, 1)`; 0 for a single one."""
    step = xp.zeros_like(head) + np.arange(head.shape[1])[None]
    step = step - _mean(xp, step, weight)
    squares = xp.sum(weight * step * step, axis=1, keepdims=True)
    centred = head - _mean(xp, head, weight)
    return xp.sum(weight * step * centred, axis=1, keepdims=True) / xp.where(squares > 0, squares, 1.0)


def _season_trend(xp: Any, head: Tensor, weight: Tensor, season: int) -> Tensor:
    """Return the trend per step between the means of the first two seasons, `(N, 1)`.

    Only phases that are observed in both seasons count; 0 without two complete seasons' length.
    """
    second = slice(season, 2 * season)
    both = weight[:, :season] * weight[:, second]
    return _mean(xp, head[:, second] - head[:, :season], both) / season


def _initial_pattern(xp: Any, head: Tensor, weight: Tensor, trend: Tensor, season: int) -> Tensor:
    """Return the mean deviation of each phase from the first observations' line, `(N, season)`; its mean is 0.

    A series with less than half of the second season observed has no initial pattern.
    """
    count = head.shape[1] // season * season
    step = trend * np.arange(head.shape[1])[None]
    line = step + _mean(xp, head - step, weight)
    deviation = ((head - line) * weight)[:, :count]
    number = xp.sum(xp.reshape(weight[:, :count], (-1, count // season, season)), axis=1)
    pattern = xp.sum(xp.reshape(deviation, (-1, count // season, season)), axis=1) / xp.maximum(number, 1.0)
    seen = xp.where(number > 0, 1.0, 0.0)
    pattern = (pattern - _mean(xp, pattern, seen)) * seen
    second = xp.sum(weight[:, season : 2 * season], axis=1, keepdims=True)
    return pattern * xp.where(second > 0.5 * season, 1.0, 0.0)


def _residuals(
    xp: Any, values: Tensor, initial: Sequence[Tensor], where: Positions, kernels: Kernels
) -> tuple[Tensor, ...]:
    """Return values minus initial states; missing ones are filled with a mean of earlier residuals, mostly the last."""
    known = [(values - part) * where.weight for part in initial]
    # One product, so that its constant is only once in a graph.
    sums = xp.matmul(xp.concatenate([where.weight, *known], axis=0), kernels.fill_weights)
    total, *filled = xp.split(sums, 1 + len(known), axis=0)
    divisor = xp.where(total > 0, total, 1.0)
    return tuple(
        xp.where(where.weight > 0, residual, xp.where(where.started, part / divisor, 0.0))
        for residual, part in zip(known, filled, strict=True)
    )


def _slopes(xp: Any, residual: Tensor, trend: Tensor, where: Positions, length: int) -> Tensor:
    """Return the slopes of the lines at each position, `(N, T, 4)`."""
    inside = xp.where(where.started, 1.0, 0.0)
    count = xp.cumsum(inside, axis=1)
    step = count * (1.0 / length)
    sums = [xp.cumsum(array, axis=1) for array in (step, step * step, residual, step * residual)]
    spread = count * sums[1] - sums[0] * sums[0]
    least_squares = (count * sums[3] - sums[0] * sums[2]) / xp.where(count > 1.5, spread, 1.0) / length
    least_squares = xp.where(count > 1.5, least_squares, 0.0)
    index = xp.minimum(where.first, length - 1)
    start = xp.take_along_axis(residual, index, axis=1)
    drift = xp.where(count > 1.5, (residual - start) / xp.maximum(count - 1, 1.0), 0.0)
    none = xp.zeros_like(drift)
    return xp.stack([none, none + trend, least_squares, drift], axis=-1)
