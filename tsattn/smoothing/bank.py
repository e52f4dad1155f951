"""Forecasts of all candidates at past origins and at the end, and their one-step forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tsattn.smoothing.history import History, Positions, Tensor, history, positions
from tsattn.smoothing.intermittent import INTERMITTENT, intermittent_forecasts, is_intermittent
from tsattn.smoothing.kernels import Kernels

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
    raw = history(xp, values, where, kernels)
    centre = raw.level
    scale, change = _scale(xp, raw, where)
    forecasts, steps = _linear_forecasts(xp, raw, where, kernels)
    forecasts, steps = (
        (forecasts - centre[:, :, None, None]) / scale[:, :, None, None],
        (steps - centre[:, :, None]) / scale[:, :, None],
    )
    count = xp.sum(where.weight, axis=1, keepdims=True)
    positive = xp.sum(xp.where(observed & (values <= 0), 1.0, 0.0), axis=1, keepdims=True) < 0.5
    positive = positive & (count > 0.5)
    log_forecasts, log_steps, growth = _log_forecasts(xp, values, where, positive, kernels)
    ratio, shift = 1.0 / scale, centre / scale
    log_forecasts = log_forecasts * ratio[:, :, None, None] - shift[:, :, None, None]
    log_steps = log_steps * ratio[:, :, None] - shift[:, :, None]
    counts, sparse = intermittent_forecasts(xp, values, where, kernels), is_intermittent(xp, values, where)
    counts = counts * ratio[:, :, None, None] - shift[:, :, None, None]
    relative = (values - centre) * ratio
    actual, weight = _targets(xp, relative, where, kernels)
    errors, step_weight = _step_errors(xp, xp.concatenate([steps, log_steps], axis=2), relative, where, kernels)
    mean_error = xp.zeros_like(errors[:, :, :INTERMITTENT]) + errors[:, :, :1]
    return Bank(
        forecasts=xp.concatenate([forecasts, log_forecasts, counts], axis=2),
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


def _scale(xp: Any, raw: History, where: Positions) -> tuple[Tensor, Tensor]:
    """Return the scale and the expected change in units of it, both `(N, 1)`."""
    change = xp.abs(raw.residuals[0][:, 1:] - raw.residuals[0][:, :-1])
    inside = xp.where(where.started[:, :-1], 1.0, 0.0)
    count = xp.sum(inside, axis=1, keepdims=True)
    mean = xp.sum(change * inside, axis=1, keepdims=True) / xp.maximum(count, 1.0)
    level = xp.abs(raw.level)
    scale = xp.where(mean > TINY, mean, xp.where(level > TINY, level, 1.0))
    return scale, xp.where(mean > TINY, 1.0, xp.where((count < 0.5) & (level > TINY), 0.1, 0.0))


def _linear_forecasts(xp: Any, past: History, where: Positions, kernels: Kernels) -> tuple[Tensor, Tensor]:
    """Return the forecasts of the smoothings on one scale, `(N, O + 1, L, h)`, and at one step, `(N, J, L)`."""
    spec, origins = kernels.spec, len(kernels.origins)
    forecasts, steps = [], []
    for residual, pattern, weights, step_weights in zip(
        past.residuals, past.patterns, kernels.forecast_weights, kernels.step_weights, strict=True
    ):
        padded = xp.concatenate([xp.zeros_like(residual), residual], axis=1)
        ahead = xp.matmul(xp.take(padded, kernels.origin_windows, axis=1), weights)
        ahead = xp.reshape(ahead, (-1, origins, weights.shape[1] // spec.head, spec.head))
        initial = past.level[:, :, None] + xp.take(pattern, kernels.targets[:, : spec.head], axis=1)
        forecasts.append(ahead + initial[:, :, None])
        one = xp.matmul(xp.take(padded, kernels.step_windows, axis=1), step_weights)
        steps.append(one + (past.level + xp.take(pattern, kernels.steps + 1, axis=1))[:, :, None])
    joined, joined_steps = xp.concatenate(forecasts, axis=2), xp.concatenate(steps, axis=2)
    lines, step_lines = _lines(xp, past, where, kernels)
    return _all_steps(xp, joined + lines, kernels), joined_steps + step_lines


def _all_steps(xp: Any, head: Tensor, kernels: Kernels) -> Tensor:
    """Return the forecasts of all steps, `(N, O + 1, L, h)`, from those up to one period and a step."""
    if kernels.spec.head == kernels.spec.horizon:
        return head
    rise = head[:, :, :, -1:] - head[:, :, :, :1]
    return xp.take(head, kernels.later_index, axis=3) + rise * kernels.later_rise[None, None]


def _lines(xp: Any, past: History, where: Positions, kernels: Kernels) -> tuple[Tensor, Tensor]:
    """Return what the lines add to the forecasts, `(N, O + 1, L, H)`, and at one step, `(N, J, L)`."""
    slopes = xp.take(xp.take(past.slopes, kernels.origins, axis=1), kernels.line_index, axis=2)
    number = xp.take(where.number, kernels.origins, axis=1)
    step_slopes = xp.take(xp.take(past.slopes, kernels.steps, axis=1), kernels.line_index, axis=2)
    step_number = xp.take(where.number, kernels.steps, axis=1)
    return (
        slopes[:, :, :, None] * xp.take(kernels.line_forecast, number, axis=0),
        step_slopes * xp.take(kernels.line_forecast[:, :, 0], step_number, axis=0),
    )


def _log_forecasts(
    xp: Any, values: Tensor, where: Positions, positive: Tensor, kernels: Kernels
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the forecasts of the smoothings of the logarithms, on the raw scale, and the growth since each origin.

    A forecast leaves the range of the logarithms by at most the width of this range, and by `_MAX_EXCESS`.
    """
    logs = xp.log(xp.where((where.weight > 0) & positive, xp.maximum(values, TINY), 1.0))
    low = xp.where(where.weight > 0, logs, 1e9)
    high = xp.max(xp.where(where.weight > 0, logs, -1e9), axis=1, keepdims=True)
    low = -xp.max(-low, axis=1, keepdims=True)
    middle, width = (low + high) / 2, xp.maximum(high - low, 0.0)
    past = history(xp, (logs - middle) * where.weight, where, kernels)
    forecasts, steps = _linear_forecasts(xp, past, where, kernels)
    bound = 0.5 * width + xp.minimum(width, _MAX_EXCESS)
    middle, bound = xp.where(positive, middle, 0.0), xp.where(positive, bound, 0.0)

    def raise_to_raw(array: Tensor, axes: int) -> Tensor:
        shape = (-1, *(1,) * axes)
        limit = xp.reshape(bound, shape)
        return xp.exp(xp.minimum(xp.maximum(array, -limit), limit) + xp.reshape(middle, shape))

    level = past.level + past.residuals[-1]
    at = xp.take(level, kernels.origins, axis=1)
    growth = xp.exp(xp.minimum(xp.maximum(at[:, -1:] - at[:, :-1], -2.0), 2.0))
    return raise_to_raw(forecasts, 3), raise_to_raw(steps, 2), growth


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
