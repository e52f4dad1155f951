"""Forecasts of all candidates at past origins and at the end, and their one-step forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tsattn.smoothing.history import History, Positions, Tensor, history, positions
from tsattn.smoothing.intermittent import INTERMITTENT, intermittent_forecasts, is_intermittent
from tsattn.smoothing.kernels import GroupKernels, Kernels

TINY = 1e-30
SHORT_SEASON = 4
"""Season length up to which a season is not expected without evidence."""
_MAX_EXCESS = 7.0
"""How far a forecast of logarithms leaves their range at most, as a logarithm: a factor of 1,100."""


@dataclass(frozen=True)
class Bank:
    """What all candidates forecast. ``N`` series, ``K`` candidates, ``O`` past origins, ``h`` horizon, ``J`` steps.

    Forecasts, values and errors are relative: minus `centre`, divided by `scale`.

    Args:
        forecasts: `(N, O + 1, K, h)`; the last origin is the end of the history.
        actual: `(N, O, h)` values after the past origins.
        weight: `(N, O, h)` 1 where such a value is observed and the origin comes late enough, else 0.
        step_errors: `(N, J, K)` errors of one-step forecasts; 0 where nothing is observed.
        step_weight: `(N, J)` 1 where a one-step error counts, else 0.
        growth: `(N, O)` how much larger the level at the end is than at the past origins.
        open: `(N, K)` bool: whether a candidate can be used.
        intermittent: `(N, 1)` bool: whether the series is intermittent.
        count: `(N, 1)` number of observed values.
        season: `(N, 1)` the longest season that is used.
        centre: `(N, 1)`.
        scale: `(N, 1)` mean absolute change of the values; the absolute level if they are constant. Above 0.
        change: `(N, 1)` expected absolute change: 1, but 0 for a constant series and 0.1 for a single value.
    """

    forecasts: Tensor
    actual: Tensor
    weight: Tensor
    step_errors: Tensor
    step_weight: Tensor
    growth: Tensor
    open: Tensor
    intermittent: Tensor
    count: Tensor
    season: Tensor
    centre: Tensor
    scale: Tensor
    change: Tensor


def bank(xp: Any, values: Tensor, observed: Tensor, kernels: Kernels) -> Bank:
    """Evaluate all candidates.

    Args:
        xp: NumPy or `keras.ops`.
        values: `(N, T)`, right-aligned; values that are not observed are ignored.
        observed: `(N, T)` bool: False before the start and where a value is missing.
        kernels: Constant arrays of the specification.
    """
    where = positions(xp, observed, kernels.spec)
    values = xp.where(observed, values, 0.0)
    count = xp.sum(where.weight, axis=1, keepdims=True)
    positive = xp.sum(xp.where(observed & (values <= 0), 1.0, 0.0), axis=1, keepdims=True) < 0.5
    positive = positive & (count > 0.5)
    logs, middle, width = _logarithms(xp, values, where, positive)
    # One call for both scales: each constant array is then only once in a graph.
    twice = Positions(*(xp.concatenate([part, part], axis=0) for part in vars(where).values()))
    past = history(xp, xp.concatenate([values, logs], axis=0), twice, kernels)
    centre, log_level = xp.split(past.level, 2, axis=0)
    scale, change = _scale(xp, xp.split(past.residuals[0], 2, axis=0)[0], centre, where)
    growth = _growth(xp, log_level + xp.split(past.residuals[-1], 2, axis=0)[1], kernels)
    ratio, shift = 1.0 / scale, centre / scale
    level = xp.concatenate([xp.zeros_like(centre), log_level], axis=0)
    past = past.relative(level, xp.concatenate([ratio, xp.ones_like(ratio)], axis=0))
    forecasts, steps = (xp.split(part, 2, axis=0) for part in _linear_forecasts(xp, past, twice, kernels))
    limit = xp.where(positive, 0.5 * width + xp.minimum(width, _MAX_EXCESS), 0.0)
    middle = xp.where(positive, middle - xp.log(scale), 0.0)

    def raise_to_raw(array: Tensor, axes: int) -> Tensor:
        """Return forecasts of logarithms, within `limit` of the middle of their range, as relative values."""
        bound, offset, zero = (xp.reshape(part, (-1, *(1,) * axes)) for part in (limit, middle, shift))
        return xp.exp(xp.minimum(xp.maximum(array, -bound), bound) + offset) - zero

    log_forecasts, log_steps = raise_to_raw(forecasts[1], 3), raise_to_raw(steps[1], 2)
    counts, sparse = intermittent_forecasts(xp, values, where, kernels), is_intermittent(xp, values, where)
    counts = counts * ratio[:, :, None, None] - shift[:, :, None, None]
    relative = (values - centre) * ratio
    actual, weight = _targets(xp, relative, where, kernels)
    errors, step_weight = _step_errors(xp, xp.concatenate([steps[0], log_steps], axis=2), relative, where, kernels)
    mean_error = xp.zeros_like(errors[:, :, :INTERMITTENT]) + errors[:, :, :1]
    return Bank(
        forecasts=xp.concatenate([forecasts[0], log_forecasts, counts], axis=2),
        actual=actual,
        weight=weight,
        step_errors=xp.concatenate([errors, mean_error], axis=2),
        step_weight=step_weight,
        growth=xp.where(positive, growth, 1.0),
        open=_open(xp, positive, sparse, where, kernels),
        intermittent=sparse,
        count=count,
        season=xp.where(
            where.season == kernels.spec.season, 1.0 * kernels.spec.season, 1.0 * kernels.spec.first_season
        ),
        centre=centre,
        scale=scale,
        change=change,
    )


def _open(xp: Any, positive: Tensor, sparse: Tensor, where: Positions, kernels: Kernels) -> Tensor:
    """Return which candidates can be used, `(N, K)` bool.

    Logarithms need positive values. An intermittent series has the intermittent candidates and, of the smoothings,
    those that react slowly and have no trend. The second season needs a series that is long enough for it.
    """
    slow = np.array([candidate.line == "none" and candidate.level <= 0.1 for candidate in kernels.table])
    every = np.ones(len(kernels.table), dtype=bool)
    first = np.array([candidate.pattern < 1 for candidate in kernels.table])
    long_enough = xp.logical_or(where.season == kernels.spec.season, first[None])
    raw = xp.logical_and(xp.logical_or(xp.logical_not(sparse), slow[None]), long_enough)
    log = xp.logical_and(positive, long_enough)
    return xp.concatenate([raw, log, xp.logical_and(sparse, every[None, :INTERMITTENT])], axis=1)


def _scale(xp: Any, residual: Tensor, centre: Tensor, where: Positions) -> tuple[Tensor, Tensor]:
    """Return the scale and the expected change in units of it, both `(N, 1)`."""
    change = xp.abs(residual[:, 1:] - residual[:, :-1])
    inside = xp.where(where.started[:, :-1], 1.0, 0.0)
    count = xp.sum(inside, axis=1, keepdims=True)
    mean = xp.sum(change * inside, axis=1, keepdims=True) / xp.maximum(count, 1.0)
    level = xp.abs(centre)
    scale = xp.where(mean > TINY, mean, xp.where(level > TINY, level, 1.0))
    return scale, xp.where(mean > TINY, 1.0, xp.where((count < 0.5) & (level > TINY), 0.1, 0.0))


def _logarithms(xp: Any, values: Tensor, where: Positions, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logarithms `(N, T)`, minus the middle of their range, this middle and the width, both `(N, 1)`."""
    logs = xp.log(xp.where((where.weight > 0) & positive, xp.maximum(values, TINY), 1.0))
    low = xp.where(where.weight > 0, logs, 1e9)
    high = xp.max(xp.where(where.weight > 0, logs, -1e9), axis=1, keepdims=True)
    low = -xp.max(-low, axis=1, keepdims=True)
    middle = (low + high) / 2
    return (logs - middle) * where.weight, middle, xp.maximum(high - low, 0.0)


def _growth(xp: Any, logs: Tensor, kernels: Kernels) -> Tensor:
    """Return how much larger the values at the end are than at the past origins, `(N, O)`."""
    at = xp.take(logs, kernels.origins, axis=1)
    return xp.exp(xp.minimum(xp.maximum(at[:, -1:] - at[:, :-1], -2.0), 2.0))


def _linear_forecasts(xp: Any, past: History, where: Positions, kernels: Kernels) -> tuple[Tensor, Tensor]:
    """Return the forecasts of the smoothings on one scale, `(N, O + 1, L, h)`, and at one step, `(N, J, L)`."""
    slopes, step_slopes = (xp.take(past.slopes, at, axis=1) for at in (kernels.origins, kernels.steps))
    number, step_number = (xp.take(where.number, at, axis=1) for at in (kernels.origins, kernels.steps))
    forecasts, steps = [], []
    for residual, pattern, group in zip(past.residuals, past.patterns, kernels.groups, strict=True):
        padded = xp.concatenate([xp.zeros_like(residual), residual], axis=1)
        ahead = xp.matmul(xp.take(padded, kernels.origin_windows, axis=1), group.forecast_weights)
        ahead = xp.reshape(ahead, (-1, len(kernels.origins), *group.line_forecast.shape[1:]))
        ahead = ahead + (
            xp.take(slopes, group.line_index, axis=2)[:, :, :, None] * xp.take(group.line_forecast, number, axis=0)
        )
        initial = past.level[:, :, None] + xp.take(pattern, kernels.targets[:, : group.period], axis=1)
        forecasts.append(_all_steps(xp, ahead, initial[:, :, None], group))
        one = xp.matmul(xp.take(padded, kernels.step_windows, axis=1), group.step_weights)
        line = xp.take(group.line_forecast[:, :, 0], step_number, axis=0)
        one = one + xp.take(step_slopes, group.line_index, axis=2) * line
        steps.append(one + (past.level + xp.take(pattern, kernels.steps + 1, axis=1))[:, :, None])
    return xp.concatenate(forecasts, axis=2), xp.concatenate(steps, axis=2)


def _all_steps(xp: Any, ahead: Tensor, initial: Tensor, group: GroupKernels) -> Tensor:
    """Return the forecasts of all steps, `(N, O + 1, L, h)`.

    Args:
        xp: NumPy or `keras.ops`.
        ahead: `(N, O + 1, L, H)`: first period, and the change over it if the horizon is longer.
        initial: `(N, O + 1, 1, P)`, added to the first period.
        group: Constant arrays of the candidates.
    """
    if ahead.shape[3] == group.period:
        return ahead + initial
    first, rise = ahead[:, :, :, : group.period] + initial, ahead[:, :, :, group.period :]
    return xp.take(first, group.later_index, axis=3) + rise * group.later_rise[None, None]


def _targets(xp: Any, relative: Tensor, where: Positions, kernels: Kernels) -> tuple[Tensor, Tensor]:
    """Return the values after the past origins and their weights, both `(N, O, h)`."""
    targets = kernels.targets[:-1]
    first = xp.maximum(2 * where.season, 4) + 1
    late = xp.where(xp.take(where.number, kernels.origins[:-1], axis=1) >= first, 1.0, 0.0)
    return xp.take(relative, targets, axis=1), xp.take(where.weight, targets, axis=1) * late[:, :, None]


def _step_errors(
    xp: Any, forecasts: Tensor, relative: Tensor, where: Positions, kernels: Kernels
) -> tuple[Tensor, Tensor]:
    """Return errors of one-step forecasts, `(N, J, K)`, and which ones count, `(N, J)`: from the fourth value on.

    Before the end of the second season, only those of this season count.
    """
    # A method with a season cannot be right before it has seen one.
    young = (where.season > SHORT_SEASON) & (where.number[:, -1:] < 2 * where.season)
    first = xp.where(young, where.season, 3)
    late = xp.where(xp.take(where.number, kernels.steps + 1, axis=1) > first, 1.0, 0.0)
    weight = late * xp.take(where.weight, kernels.steps + 1, axis=1)
    return (forecasts - xp.take(relative, kernels.steps + 1, axis=1)[:, :, None]) * weight[:, :, None], weight
