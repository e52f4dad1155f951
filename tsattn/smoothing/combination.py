"""Attention over forecasters: scores of the candidates from their errors in the history, and the weighted forecast.

The score of a candidate is minus its mean absolute error relative to the smallest one, times an inverse temperature
that grows with the evidence. Errors over the whole horizon at past origins decide where there are enough of them.
Before, discounted errors of one-step forecasts decide, the less the longer the horizon. The weights are the softmax of
the scores. For intermittent series the errors are root mean squared, because the median of a mostly zero series is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsattn.smoothing.bank import SHORT_SEASON, TINY, Bank, bank
from tsattn.smoothing.candidates import Candidate
from tsattn.smoothing.history import Tensor
from tsattn.smoothing.intermittent import INTERMITTENT, INTERMITTENT_KINDS
from tsattn.smoothing.kernels import Array, Kernels

# Chosen on the M1 series with an even number.
_STEP_TEMPERATURE = 32.0
_STEP_PRIOR = 5.0
"""Number of one-step errors at which their temperature is half of its final value."""
_STEP_HORIZON = 6.0
"""Longest horizon for which one-step errors count in full."""
_HORIZON_TEMPERATURE = 6.0
_FULL_ORIGINS = 8
"""Number of past origins from which one-step errors are ignored."""
_REFERENCE_ERRORS = 64.0
"""Number of errors at which the temperature of the errors over the horizon has its stated value."""
_THETA_PRIOR = 1.0
_KNOWN_SEASONS = 8.0
"""Seasons after the first at which one-step errors of a seasonal series count in full."""
_REPETITION_PRIOR = 2.5
"""Advantage of the seasonal naive method without past forecasts, by the binary logarithm of season / `SHORT_SEASON`."""
_TREND_PENALTY = 10.0
"""Penalty of a trend in a seasonal series of one value; none from two seasons on."""
_FAR_PENALTY = 2.0
"""Penalty of a trend in a series without seasons, by length of the horizon relative to the history, beyond 1.5."""
_ERROR_FLOOR = 1e-2
"""Error, relative to the mean absolute change of the series, that is regarded as exact."""
_CLOSED = -1e30


@dataclass(frozen=True)
class Combination:
    """Weights and forecasts. ``N`` series, ``K`` candidates, ``O`` past origins, ``J`` one-step errors, ``h`` horizon.

    Args:
        weights: `(N, K)`, sum 1: the candidates on the raw scale, on the logarithmic scale, and the intermittent ones.
        forecast: `(N, h)` in the units of the values.
        bank: Forecasts and errors of all candidates.
    """

    weights: Tensor
    forecast: Tensor
    bank: Bank


def combine(xp: Any, values: Tensor, observed: Tensor, kernels: Kernels) -> Combination:
    """Forecast each series by the combination.

    Args:
        xp: NumPy or `keras.ops`.
        values: `(N, T)`, right-aligned; values that are not observed are ignored.
        observed: `(N, T)` bool: False before the start and where a value is missing.
        kernels: Constant arrays of the specification.
    """
    parts = bank(xp, values, observed, kernels)
    scores = candidate_scores(xp, parts, kernels)
    exponential = xp.exp(scores - xp.max(scores, axis=1, keepdims=True))
    weights = exponential / xp.sum(exponential, axis=1, keepdims=True)
    relative = xp.matmul(weights[:, None], parts.forecasts[:, -1])[:, 0]
    return Combination(weights, relative * parts.scale + parts.centre, parts)


def candidate_scores(xp: Any, parts: Bank, kernels: Kernels) -> Tensor:
    """Return the scores of the candidates, `(N, K)`.

    Args:
        xp: NumPy or `keras.ops`.
        parts: Forecasts and errors of all candidates.
        kernels: Constant arrays of the specification.
    """
    step_weight = parts.step_weight * kernels.age_weights
    step_error = xp.matmul(step_weight[:, None], xp.abs(parts.step_errors))[:, 0]
    step_error = step_error / xp.maximum(xp.sum(step_weight, axis=1, keepdims=True), 1e-9)
    deviation = (parts.forecasts[:, :-1] - parts.actual[:, :, None]) * parts.weight[:, :, None]
    pairs = xp.sum(xp.sum(parts.weight, axis=2), axis=1, keepdims=True)
    absolute = xp.sum(xp.sum(xp.abs(deviation), axis=3), axis=1) / xp.maximum(pairs, 1.0)
    mean_square = xp.sum(xp.sum(deviation * deviation, axis=3), axis=1) / xp.maximum(pairs, 1.0)
    squared = xp.sqrt(xp.maximum(mean_square, TINY))  # the gradient of the root is infinite at 0
    horizon_error = xp.where(parts.intermittent, squared, absolute)

    origins = xp.sum(xp.max(parts.weight, axis=2), axis=1, keepdims=True)
    steps = xp.sum(parts.step_weight, axis=1, keepdims=True)
    proven = xp.minimum(origins * (1 / _FULL_ORIGINS), 1.0)
    evidence = proven * proven
    near = min(1.0, _STEP_HORIZON / kernels.spec.horizon)
    # The level from step to step says little about a season ahead while few seasons are known.
    known = xp.minimum(xp.maximum(parts.count / parts.season - 1.0, 0.0) * (1 / _KNOWN_SEASONS), 1.0)
    known = xp.where(parts.season > SHORT_SEASON, known, 1.0)
    step_temperature = _STEP_TEMPERATURE * near * known * steps / (steps + _STEP_PRIOR) * (1.0 - evidence)
    horizon_temperature = _HORIZON_TEMPERATURE * xp.sqrt(pairs * (1 / _REFERENCE_ERRORS)) * evidence
    return (
        _prior(xp, parts, kernels, proven)
        - step_temperature * _excess(xp, step_error, parts.open, _ERROR_FLOOR + few_errors(steps))
        - horizon_temperature * _excess(xp, horizon_error, parts.open, _ERROR_FLOOR)
    )


def few_errors(count: Tensor) -> Tensor:
    """Return the weight of the mean absolute change in a mean of few errors: half for two, near 0 for many."""
    return 1.0 / (1.0 + 0.25 * count * count)


def _excess(xp: Any, error: Tensor, usable: Tensor, floor: Tensor) -> Tensor:
    """Return the errors relative to the smallest one, minus 1; an error below ``floor`` is regarded as exact."""
    smallest = -xp.max(xp.where(usable, -error, _CLOSED), axis=1, keepdims=True)
    return (error - smallest) / (smallest + floor)


def _prior(xp: Any, parts: Bank, kernels: Kernels, proven: Tensor) -> Tensor:
    """Return the scores without any error.

    Theta is preferred, a trend needs two seasons or a long history, and the last season is expected to repeat until
    past forecasts over the horizon have proven the better one: ``proven``, `(N, 1)`, 0 to 1.
    """

    def of_all(condition: Callable[[Candidate], bool]) -> Array:
        """Return on which candidates, `(1, K)`, a condition holds; the intermittent ones are no smoothings."""
        one = [condition(candidate) for candidate in kernels.table]
        return np.array([*one, *one, *[False] * INTERMITTENT], dtype=int)[None]

    theta = of_all(lambda candidate: candidate.line == "least squares")
    trend = of_all(lambda candidate: candidate.line != "none")
    naive = of_all(lambda candidate: candidate.level == 0 and candidate.pattern == 0 and candidate.line == "none")
    if kernels.spec.seasons:
        unseen = _TREND_PENALTY * xp.maximum(1.0 - parts.count * (0.5 / parts.season), 0.0)
    else:
        unseen = _FAR_PENALTY * xp.maximum(kernels.spec.horizon / xp.maximum(parts.count, 1.0) - 1.5, 0.0)
    seen = parts.count > parts.season - 0.5
    long = xp.maximum(xp.log(parts.season / SHORT_SEASON), 0.0) * (_REPETITION_PRIOR / math.log(2)) * (1.0 - proven)
    score = _THETA_PRIOR * (xp.zeros_like(unseen) + theta) - unseen * trend
    score = score + xp.where(seen, long, 0.0) * naive
    return xp.where(parts.open, score, _CLOSED)


def candidate_kinds(table: tuple[Candidate, ...]) -> tuple[str, ...]:
    """Return the kind of each candidate in the order of the weights of a combination.

    Args:
        table: The candidates on one scale.
    """
    kinds = tuple(candidate.kind for candidate in table)
    return (*kinds, *(f"{kind}, logarithms" for kind in kinds), *INTERMITTENT_KINDS)


def weights_by_kind(weights: Tensor, table: tuple[Candidate, ...]) -> dict[str, Tensor]:
    """Return the summed weights of each kind of candidate, each `(N,)`, for explanations.

    Args:
        weights: `(N, K)` weights of a combination, as NumPy.
        table: The candidates on one scale.
    """
    array = np.asarray(weights)
    result: dict[str, Tensor] = {}
    for index, name in enumerate(candidate_kinds(table)):
        result[name] = result[name] + array[:, index] if name in result else array[:, index]
    return result
