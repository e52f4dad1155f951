"""Constant arrays of the smoothings: every smoothing is a linear filter.

With innovations ``e`` and the response ``psi[j]`` of the forecast ``j`` steps after an innovation, the model of a
candidate is ``y[t] = sum_j psi[j] e[t - j] + e[t]``. The innovations follow from the values by the inverse filter, so
that each forecast is a fixed weighted sum of the values (Hyndman et al. 2008, section 10.1). Here these weights are
computed once, in float64, for a window, a horizon and seasons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.errors import ConfigError
from tsattn.smoothing.candidates import Candidate, candidates

Array = npt.NDArray[Any]

ORIGINS = 16
"""Past origins at which forecasts over the whole horizon are evaluated."""
_MOST_ONE_STEP = 96
_LINES = ("none", "initial", "least squares", "drift")


@dataclass(frozen=True)
class SmoothingSpec:
    """Static shape of the computation.

    Args:
        horizon: Steps to forecast.
        seasons: Season lengths above 1, shortest first; at most two.
        window: Number of last values that are read; `default_window` if None.
    """

    horizon: int
    seasons: tuple[int, ...] = ()
    window: int | None = None

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise ConfigError(f"horizon must be at least 1, but it is {self.horizon}")
        if (
            len(self.seasons) > 2
            or any(season < 2 for season in self.seasons)
            or list(self.seasons) != sorted(set(self.seasons))
        ):
            raise ConfigError(f"seasons must be at most two increasing lengths above 1, but they are {self.seasons}")
        if self.window is not None and self.window < 2:
            raise ConfigError(f"window must be at least 2, but it is {self.window}")

    @property
    def season(self) -> int:
        """The longest season; 1 without one."""
        return max(self.seasons, default=1)

    @property
    def first_season(self) -> int:
        """The shortest season; 1 without one."""
        return min(self.seasons, default=1)

    @property
    def enough(self) -> int:
        """Number of steps from which the longest season is used: two of it, and four past forecasts."""
        return 2 * self.season + 1 + self.horizon + 3 * self.spacing

    @property
    def length(self) -> int:
        """Length of the window."""
        return self.window if self.window is not None else default_window(self.horizon, self.seasons)

    @property
    def spacing(self) -> int:
        """Steps between past origins: a third of the horizon, at most 24, but at least a seventh of the season."""
        return max(1, min(self.horizon // 3, 24), -(-self.season // 7))

    @property
    def memory(self) -> int:
        """Effective number of one-step errors in the score of a candidate: two seasons and two more."""
        return 2 + 2 * self.season


def default_window(horizon: int, seasons: Sequence[int]) -> int:
    """Return how many last values are read: at least 144, and what all past origins after two seasons need.

    Args:
        horizon: Steps to forecast.
        seasons: Season lengths.
    """
    season = max(seasons, default=1)
    spec = SmoothingSpec(horizon, tuple(seasons), window=2)
    needed = 2 * season + horizon + (ORIGINS - 1) * spec.spacing + 1
    return max(needed, 144)


@dataclass(frozen=True)
class GroupKernels:
    """Constant arrays of the candidates with the same initial pattern.

    ``T`` is the window, ``h`` the horizon, ``L`` the number of candidates and ``P`` their period, at most ``h``, after
    which their forecasts repeat, apart from their trends. The last of the ``H`` columns, if ``P < h``, is the change
    over one period: ``H = P + 1``, else ``H = P``.

    Args:
        period: ``P``.
        forecast_weights: `(T, L x H)`: forecast from the window that ends at the origin, oldest value first.
        step_weights: `(T, L)`: the same for one-step forecasts.
        line_forecast: `(T + 1, L, H)`: forecast of a unit line by the number of observations at the origin, minus what
            the smoothing forecasts of that line: what one unit of slope adds to the forecast.
        line_index: `(L,)` index of the slope of each candidate: none, initial, least squares, drift.
        later_index: `(h,)` index of the step of the first period that each step repeats.
        later_rise: `(L, h)` multiple of the change over one period that is added to it.
    """

    period: int
    forecast_weights: Array
    step_weights: Array
    line_forecast: Array
    line_index: Array
    later_index: Array
    later_rise: Array


@dataclass(frozen=True)
class Kernels:
    """Constant arrays of a specification.

    ``T`` is the window, ``h`` the horizon, ``L`` the number of candidates on one scale, ``O`` that of past origins and
    ``J`` that of one-step forecasts.

    Args:
        spec: The specification.
        table: The ``L`` candidates, ordered by ``pattern``.
        groups: Arrays of the candidates of each initial pattern, none first.
        origins: `(O + 1,)` positions of the last value that each origin uses; the last one is the end of the window.
        steps: `(J,)` positions of the origins of one-step forecasts.
        origin_windows: `(O + 1, T)` positions in the window, preceded by ``T`` zeros, that each origin reads.
        step_windows: `(J, T)` the same for one-step forecasts.
        targets: `(O + 1, h)` positions of the targets, in the window followed by ``h`` steps.
        fill_weights: `(T, T)` weights of earlier values, the rows, by which missing ones, the columns, are filled.
        age_weights: `(J,)` discount of one-step errors.
        responses: `(L, h)` variance of the forecast error by step, relative to one step.
    """

    spec: SmoothingSpec
    table: tuple[Candidate, ...]
    groups: tuple[GroupKernels, ...]
    origins: Array
    steps: Array
    origin_windows: Array
    step_windows: Array
    targets: Array
    fill_weights: Array
    age_weights: Array
    responses: Array

    def astype(self, dtype: str) -> Kernels:
        """Return the same constants with floating-point arrays of another dtype."""
        groups = tuple(replace(group, **_as_dtype(group, dtype)) for group in self.groups)
        return replace(self, **_as_dtype(self, dtype), groups=groups)


def _as_dtype(kernels: Kernels | GroupKernels, dtype: str) -> dict[str, Any]:
    """Return the floating-point arrays of a dataclass in another dtype."""
    values = {field.name: getattr(kernels, field.name) for field in fields(kernels)}
    return {
        name: value.astype(dtype)
        for name, value in values.items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    }


@lru_cache(maxsize=16)
def smoothing_kernels(spec: SmoothingSpec) -> Kernels:
    """Compute the constant arrays of a specification.

    Args:
        spec: Horizon, seasons and window.
    """
    table = tuple(sorted(candidates(spec.seasons), key=lambda candidate: candidate.pattern))
    length, horizon = spec.length, spec.horizon
    responses = impulse_responses(table, spec.seasons, length + horizon)
    origins = np.array([length - 1 - horizon - spec.spacing * back for back in range(ORIGINS)])
    origins = np.array([*origins[origins >= 0][::-1], length - 1])
    steps = np.arange(length - 1)[-min(3 * spec.memory, _MOST_ONE_STEP) :]
    patterns = np.array([candidate.pattern for candidate in table])
    distance = np.arange(length)[:, None] - np.arange(length)[None]
    return Kernels(
        spec=spec,
        table=table,
        groups=tuple(
            _group_kernels([candidate for candidate in table if candidate.pattern == pattern], own, spec)
            for pattern in range(-1, len(spec.seasons))
            for own in [responses[patterns == pattern]]
        ),
        origins=origins,
        steps=steps,
        origin_windows=origins[:, None] + 1 + np.arange(length)[None],
        step_windows=steps[:, None] + 1 + np.arange(length)[None],
        targets=origins[:, None] + 1 + np.arange(horizon)[None],
        fill_weights=np.where(distance < 0, np.maximum(-distance, 1.0) ** -4, 0.0),
        age_weights=(1 - 1 / spec.memory) ** (length - 2 - steps),
        responses=np.cumsum(
            np.concatenate([np.ones((len(table), 1)), responses[:, : horizon - 1] ** 2], axis=1), axis=1
        ),
    )


def _group_kernels(table: Sequence[Candidate], responses: Array, spec: SmoothingSpec) -> GroupKernels:
    """Compute the constant arrays of the candidates of one initial pattern."""
    length, step = spec.length, np.arange(spec.horizon)
    repeats = math.lcm(*(_period(candidate, spec.seasons) for candidate in table))
    period = min(repeats, spec.horizon)
    weights = value_weights(responses, length, min(repeats + 1, spec.horizon))
    lines = _line_forecast(table, weights, spec)
    if period < spec.horizon:
        weights, lines = _with_rise(weights, axis=1), _with_rise(lines, axis=2)
    ordered = weights[:, :, ::-1].transpose(2, 0, 1)
    return GroupKernels(
        period=period,
        forecast_weights=np.ascontiguousarray(ordered.reshape(length, -1)),
        step_weights=np.ascontiguousarray(ordered[:, :, 0]),
        line_forecast=lines,
        line_index=np.array([_LINES.index(candidate.line) for candidate in table]),
        later_index=step % repeats,
        later_rise=np.array([_rise(candidate, step, repeats) for candidate in table]),
    )


def _period(candidate: Candidate, seasons: Sequence[int]) -> int:
    """Return the number of steps after which the forecasts of a candidate repeat, apart from its trend."""
    used = [season for season, weight in zip(seasons, candidate.seasonal, strict=True) if weight]
    return math.lcm(*used, seasons[candidate.pattern] if candidate.pattern >= 0 else 1)


def _with_rise(array: Array, axis: int) -> Array:
    """Replace the last step, one period after the first, by the change since the first.

    The change is a small difference of large numbers in the precision of the forecasts, and is multiplied.
    """
    first, before, last = (np.take(array, index, axis=axis) for index in ([0], range(array.shape[axis] - 1), [-1]))
    return np.concatenate([before, last - first], axis=axis)


def impulse_responses(table: Sequence[Candidate], seasons: Sequence[int], steps: int) -> Array:
    """Return how a unit innovation changes the forecasts ``1`` to ``steps`` after it, `(candidates, steps)`."""
    step = np.arange(1, steps + 1)
    rows = []
    for candidate in table:
        row = candidate.level + candidate.trend * damped_steps(candidate.damping, step)
        for weight, season in zip(candidate.seasonal, seasons, strict=True):
            row = row + weight * (step % season == 0)
        rows.append(row)
    return np.array(rows)


def damped_steps(damping: float, step: Array) -> Array:
    """Return ``damping + damping^2 + ... + damping^step``: the multiple of the trend in a forecast (Gardner 1985)."""
    if damping == 1:
        return step.astype(float)
    return np.asarray(damping * (1 - damping**step) / (1 - damping), dtype=float)


def value_weights(responses: Array, length: int, horizon: int) -> Array:
    """Return the weights of the values in the forecasts, `(candidates, horizon, length)`, the newest value first."""
    count = len(responses)
    inverse = np.zeros((count, length))
    inverse[:, 0] = 1.0
    for lag in range(1, length):
        inverse[:, lag] = -np.einsum("kj,kj->k", responses[:, :lag], inverse[:, lag - 1 :: -1][:, :lag])
    size = 2 * length
    spectrum = np.fft.rfft(inverse, size)[:, None]
    ahead = np.stack([responses[:, step : step + length] for step in range(horizon)], axis=1)
    return np.asarray(np.fft.irfft(np.fft.rfft(ahead, size) * spectrum, size)[:, :, :length])


def _rise(candidate: Candidate, step: Array, period: int) -> Array:
    """Return the change from the same step of the first period, relative to that over the first period, `(steps,)`."""

    def height(step: Array) -> Array:
        return damped_steps(candidate.damping, step + 1) if candidate.trend else step.astype(float)

    whole = height(np.array([period])) - height(np.array([0]))
    return np.asarray((height(step) - height(step % period)) / whole)


def _line_forecast(table: Sequence[Candidate], weights: Array, spec: SmoothingSpec) -> Array:
    """Return what a unit slope adds to the forecasts, by the number of observations, `(T + 1, L, steps)`."""
    length, horizon = spec.length, weights.shape[1]
    start = (spec.season + 1) / 2 if spec.season > 1 else 1.5
    step = np.arange(1, length + horizon + 1)
    result = np.zeros((length + 1, len(table), horizon))
    targets = np.arange(length + 1)[:, None] + np.arange(horizon)[None]
    size = 2 * length
    for index, candidate in enumerate(table):
        if candidate.line == "none":
            continue
        line = candidate.fraction * ((damped_steps(candidate.damping, step) if candidate.trend else step) - start)
        smooth = np.fft.irfft(np.fft.rfft(weights[index], size) * np.fft.rfft(line[:length], size), size)[:, :length]
        result[:, index] = line[targets]
        result[1:, index] -= smooth.T
    return result
