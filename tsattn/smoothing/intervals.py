"""Quantiles of the combination from its own errors at past origins, scaled by step.

The errors of the combination at past origins, over the whole horizon, and its one-step errors are divided by how the
error variance of the candidates grows with the step (Hyndman et al. 2008, section 6.3). Together they give one scale
for each series. The shape is the sorted standardised errors, mixed with Student's t distribution: where a series has
few past origins, the distribution takes their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tsattn.smoothing.combination import Combination, few_errors
from tsattn.smoothing.history import Tensor
from tsattn.smoothing.intermittent import INTERMITTENT
from tsattn.smoothing.kernels import Array, Kernels

_STEP_ORIGINS = 4.0
"""Number of past origins that weigh as much as the one-step errors."""
_GAUSSIAN = 1.2533
"""Standard deviation of a normal variable, divided by its mean absolute deviation."""
_UNBOUNDED = 1e30
_REFERENCE_FRACTION = 0.5
"""Size of the sample of Student's t distribution, relative to the number of errors of a long series."""
# Factors of the offsets at the first step and their growth over the horizon, for season lengths 1, 4 and 12, chosen on
# the M1 series with an even number; they hold up to the number of observations 24 + 6 x season.
_SEASONS = (1.0, 4.0, 12.0)
SHORT_HISTORY = (24.0, 6.0)
"""Number of steps up to which a series is short: a constant, and a factor of the season length."""
_CALIBRATION = ((1.35, 1.6, 1.38), (0.8, 0.28, 0.07))


def quantiles(xp: Any, result: Combination, kernels: Kernels, levels: Sequence[float]) -> Tensor:
    """Return quantiles of the forecasts, `(N, h, levels)`. The 0.5 quantile is the forecast itself.

    Args:
        xp: NumPy or `keras.ops`.
        result: Weights, forecasts and errors.
        kernels: Constant arrays of the specification.
        levels: Quantile levels from 0.01 to 0.99.
    """
    profile = _growth_by_step(xp, result, kernels)
    errors, weight = horizon_errors(xp, result, kernels)
    errors = errors / profile[:, None]
    scale = _error_scale(xp, result, kernels, errors, weight)
    shape = _shape(xp, errors / xp.maximum(scale, 1e-12)[:, :, None], weight, xp.zeros_like(scale), levels)
    # The median of the errors is not that of the future: the forecast itself is more accurate.
    array = np.asarray(levels)
    shape = xp.maximum(shape, _constant(xp, np.where(array < 0.5, -_UNBOUNDED, 0.0)))
    shape = xp.minimum(shape, _constant(xp, np.where(array > 0.5, _UNBOUNDED, 0.0)))
    offsets = scale[:, :, None] * profile[:, :, None] * _calibration(xp, result, kernels)[:, :, None] * shape[:, None]
    return result.forecast[:, :, None] + offsets * result.bank.scale[:, :, None]


def _raw_and_log(result: Combination, kernels: Kernels) -> tuple[Tensor, Tensor]:
    """Return the weights of the smoothings on the raw and on the logarithmic scale, each `(N, L)`."""
    count = len(kernels.table)
    return result.weights[:, :count], result.weights[:, count : 2 * count]


def _growth_by_step(xp: Any, result: Combination, kernels: Kernels) -> Tensor:
    """Return the standard deviation of the error by step, relative to one step, `(N, h)`."""
    raw, log = _raw_and_log(result, kernels)
    variance = xp.matmul(raw + log, kernels.responses)
    return xp.sqrt(variance + xp.sum(result.weights[:, -INTERMITTENT:], axis=1, keepdims=True))


def horizon_errors(xp: Any, result: Combination, kernels: Kernels) -> tuple[Tensor, Tensor]:
    """Return the errors of the combination at the past origins and their weights, both `(N, O, h)`.

    As far as the combination uses logarithms, the errors are scaled to the level at the end.
    """
    parts = result.bank
    forecast = xp.sum(result.weights[:, None, :, None] * parts.forecasts[:, :-1], axis=2)
    log = xp.sum(_raw_and_log(result, kernels)[1], axis=1, keepdims=True)
    growth = 1.0 + log * (parts.growth - 1.0)
    return (parts.actual - forecast) * parts.weight * growth[:, :, None], parts.weight


def _error_scale(xp: Any, result: Combination, kernels: Kernels, errors: Tensor, weight: Tensor) -> Tensor:
    """Return the scale of the standardised errors, `(N, 1)`: the more past origins, the less of the one-step errors."""
    parts = result.bank
    step_weight = parts.step_weight * kernels.age_weights
    step_errors = xp.abs(xp.sum(parts.step_errors * result.weights[:, None], axis=2))
    total = xp.sum(step_weight, axis=1, keepdims=True)
    step = xp.sum(step_errors * step_weight, axis=1, keepdims=True) / xp.maximum(total, 1e-9)
    few = few_errors(xp.sum(parts.step_weight, axis=1, keepdims=True))
    step = (1.0 - few) * step + few * parts.change
    pairs = xp.sum(xp.sum(weight, axis=2), axis=1, keepdims=True)
    horizon = xp.sum(xp.sum(xp.abs(errors), axis=2), axis=1, keepdims=True) / xp.maximum(pairs, 1.0)
    origins = xp.sum(xp.max(weight, axis=2), axis=1, keepdims=True)
    return _GAUSSIAN * (_STEP_ORIGINS * step + origins * horizon) / (_STEP_ORIGINS + origins)


def _shape(xp: Any, standard: Tensor, weight: Tensor, none: Tensor, levels: Sequence[float]) -> Tensor:
    """Return quantiles of the standardised errors mixed with Student's t distribution, `(N, levels)`.

    ``none`` is `(N, 1)` zeros: without past origins there are no errors.
    """
    size = standard.shape[1] * standard.shape[2]
    extra = max(int(size * _REFERENCE_FRACTION), 99)
    parts = [none + _constant(xp, _student_quantiles(extra))]
    if size:
        seen = xp.reshape(weight, (-1, size)) > 0
        parts.append(xp.where(seen, xp.reshape(standard, (-1, size)), none + _constant(xp, _student_quantiles(size))))
    ordered = xp.sort(xp.concatenate(parts, axis=1), axis=1)
    place = np.clip(np.asarray(levels) * (size + extra) - 0.5, 0, size + extra - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, size + extra - 1)
    part = _constant(xp, place - below)
    return xp.take(ordered, below, axis=1) * (1 - part) + xp.take(ordered, above, axis=1) * part


def _student_quantiles(count: int) -> Array:
    """Return quantiles at the centres of ``count`` equal parts of Student's t distribution with 4 degrees of freedom.

    They are scaled to the mean absolute value of a standard normal variable (Shaw 2006, closed form for 4 degrees).
    """
    level = (np.arange(count) + 0.5) / count
    root = np.sqrt(4 * level * (1 - level))
    return np.asarray(np.sign(level - 0.5) * 2 * np.sqrt(np.cos(np.arccos(root) / 3) / root - 1) / _GAUSSIAN)


def _constant(xp: Any, values: Array) -> Tensor:
    """Return a constant in the floating-point type of the namespace, `(1, values)`."""
    return xp.array(values[None].tolist())


def _calibration(xp: Any, result: Combination, kernels: Kernels) -> Tensor:
    """Return the factor of the offsets, `(N, h)`: later errors are larger than those to which the weights were fitted.

    It falls to 1 as the history grows.
    """
    season = kernels.spec.season
    first, growth = (np.interp(np.log(season), np.log(_SEASONS), row) for row in _CALIBRATION)
    step = np.arange(kernels.spec.horizon) / max(kernels.spec.horizon - 1, 1)
    short = xp.minimum((SHORT_HISTORY[0] + SHORT_HISTORY[1] * season) / xp.maximum(result.bank.count, 1.0), 1.0)
    return 1.0 + short * _constant(xp, first * (1 + growth * step) - 1)
