"""Forecasts of intermittent demand: Croston's method, its bias-corrected form, and the method of Teunter and others.

The recursions have closed forms. With ``c`` the number of demands so far, Croston's smoothed size and interval are
weighted means over the demands with weights ``(1 - a)^(c[origin] - c[t])``. The steps before a demand belong to its
interval, so that both are sums over steps (Croston 1972; Syntetos and Boylan 2005). The third method replaces the
interval by the smoothed frequency of a demand, which also falls when demand ends (Teunter, Syntetos and Babai 2011).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tsattn.smoothing.history import Positions, Tensor
from tsattn.smoothing.kernels import Kernels

INTERMITTENT = 3
"""Number of candidates: Croston, Syntetos-Boylan and Teunter-Syntetos-Babai."""
INTERMITTENT_KINDS = ("croston", "syntetos-boylan", "teunter-syntetos-babai")
_SMOOTHING = 0.1
_LOG_KEEP = math.log(1 - _SMOOTHING)


def is_intermittent(xp: Any, values: Tensor, where: Positions) -> Tensor:
    """Return whether at least half of the observed values are 0 and none is negative, `(N, 1)` bool."""
    count = xp.sum(where.weight, axis=1, keepdims=True)
    zeros = xp.sum(xp.where(values == 0, 1.0, 0.0) * where.weight, axis=1, keepdims=True)
    negative = xp.sum(xp.where(values < 0, 1.0, 0.0) * where.weight, axis=1, keepdims=True)
    return (zeros >= 0.5 * count) & (negative < 0.5) & (zeros < count)


def intermittent_forecasts(xp: Any, values: Tensor, where: Positions, kernels: Kernels) -> Tensor:
    """Return the forecasts at each origin, `(N, O + 1, 3, h)`: the same for each step of the horizon.

    Args:
        xp: NumPy or `keras.ops`.
        values: `(N, T)`, 0 where nothing is observed.
        where: Positions of the observed values.
        kernels: Constant arrays of the specification.
    """
    demand = xp.where(values > 0, 1.0, 0.0) * where.weight
    number = xp.cumsum(demand, axis=1)
    position = np.arange(kernels.spec.length)[None]
    age = kernels.origins[:, None] - position
    past = xp.where(age >= 0, 1.0, 0.0)[None] * where.weight[:, None]
    later = xp.take(number, kernels.origins, axis=1)[:, :, None] - number[:, None]
    of_demand = xp.exp(_LOG_KEEP * xp.maximum(later, 0.0)) * past
    size = xp.sum(of_demand * (demand * values)[:, None], axis=2)
    until = later - 1.0 + demand[:, None]
    of_step = xp.where(until > -0.5, xp.exp(_LOG_KEEP * xp.maximum(until, 0.0)), 0.0) * past
    croston = size / xp.maximum(xp.sum(of_step, axis=2), 1.0)
    recent = xp.exp(_LOG_KEEP * (past * np.maximum(age, 0))) * past
    total = xp.sum(recent, axis=2)
    frequency = xp.sum(recent * demand[:, None], axis=2) / xp.where(total > 0, total, 1.0)
    smoothed = frequency * size / xp.maximum(xp.sum(of_demand * demand[:, None], axis=2), 1.0)
    rates = xp.stack([croston, (1 - _SMOOTHING / 2) * croston, smoothed], axis=2)
    return rates[:, :, :, None] + xp.zeros_like(values)[:, None, None, :1] * np.zeros(kernels.spec.horizon, dtype=int)
