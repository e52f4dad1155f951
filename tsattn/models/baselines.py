"""Naive baselines as Keras layers with the inputs and outputs of the networks.

Forecasts and the standard deviations of their intervals follow Hyndman and Athanasopoulos, Forecasting: Principles and
Practice (3rd ed.), section 5.5. Missing values are skipped; a history without a whole season falls back to the last
observed value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import keras
from keras import ops

from tsattn.layers.ops import Tensor, batched_take
from tsattn.models.options import BaselineOptions
from tsattn.timeseries.windows import WindowSpec


@dataclass(frozen=True)
class _History:
    """Inputs of a baseline.

    Args:
        past: `(batch, time, channels)`, 0 where missing.
        observed: `(batch, time, channels)`, 0 or 1.
        length: `(batch,)` int32.
        season: Season length.
        horizon: Steps to forecast.
    """

    past: Tensor
    observed: Tensor
    length: Tensor
    season: int
    horizon: int

    def steps_ahead(self) -> Tensor:
        """Return the steps ahead, 1 to horizon, `(1, horizon, 1)`."""
        return ops.arange(1, self.horizon + 1, dtype="float32")[None, :, None]

    def end(self, *, last: bool) -> tuple[Tensor, Tensor]:
        """Return value and number of the last (or first) observed step, both `(batch, 1, channels)`."""
        time = self.past.shape[1]
        order = ops.arange(1, time + 1, dtype="float32")[None, :, None]
        rank = (order if last else time + 1 - order) * self.observed
        best = ops.max(rank, axis=1, keepdims=True)
        chosen = ops.logical_and(rank == best, self.observed > 0)
        value = ops.sum(ops.where(chosen, self.past, 0.0), axis=1, keepdims=True)
        return value, best if last else time + 1 - best

    def deviation(self, lag: int, slope: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the root mean square of the differences at a lag and their count, both `(batch, 1, channels)`."""
        both = self.observed[:, lag:] * self.observed[:, :-lag]
        square = both * (self.past[:, lag:] - self.past[:, :-lag] - slope) ** 2
        count = ops.sum(both, axis=1, keepdims=True)
        return ops.sqrt(ops.sum(square, axis=1, keepdims=True) / ops.maximum(count, 1.0)), count

    def by_season(self, values: Tensor) -> Tensor:
        """Reshape steps to `(batch, seasons, season, channels)`, latest season first; 0 before the history."""
        time = values.shape[1]
        seasons = -(-time // self.season)
        start = -self.season * ops.arange(1, seasons + 1, dtype="int32")[:, None]
        index = self.length[:, None, None] + start + ops.arange(self.season, dtype="int32")[None, :]
        flat = ops.reshape(index, (-1, seasons * self.season))
        taken = batched_take(values, ops.clip(flat, 0, time - 1))
        valid = ops.logical_and(flat >= 0, flat < self.length[:, None])
        taken = ops.where(valid[:, :, None], taken, 0.0)
        return ops.reshape(taken, (-1, seasons, self.season, values.shape[2]))

    def over_horizon(self, season: Tensor) -> Tensor:
        """Repeat one season `(batch, season, channels)` over the horizon."""
        return ops.take(season, [step % self.season for step in range(self.horizon)], axis=1)


Moments = tuple[Tensor, Tensor]
"""Mean and standard deviation of each step, `(batch, horizon, channels)`."""


def _naive(history: _History) -> Moments:
    value, _ = history.end(last=True)
    deviation, _ = history.deviation(1)
    return ops.repeat(value, history.horizon, axis=1), deviation * ops.sqrt(history.steps_ahead())


def _seasonal_naive(history: _History) -> Moments:
    values, observed = history.by_season(history.past), history.by_season(history.observed)
    # 1 for the latest observed season only: in this order it is the first.
    latest = observed * ops.cast(ops.cumsum(observed, axis=1) == 1, "float32")
    fallback, _ = history.end(last=True)
    mean = ops.where(ops.max(observed, axis=1) > 0, ops.sum(values * latest, axis=1), fallback)
    naive, _ = history.deviation(1)
    seasonal, count = history.deviation(history.season)
    cycles = 1 + (history.steps_ahead() - 1) // history.season
    return history.over_horizon(mean), ops.where(count > 0, seasonal, naive) * ops.sqrt(cycles)


def _seasonal_mean(history: _History) -> Moments:
    values, observed = history.by_season(history.past), history.by_season(history.observed)
    count = ops.sum(observed, axis=1)
    mean = ops.sum(values, axis=1) / ops.maximum(count, 1.0)
    square = ops.sum(observed * (values - ops.expand_dims(mean, 1)) ** 2, axis=(1, 2))
    variance = ops.expand_dims(square / ops.maximum(ops.sum(count, axis=1), 1.0), 1)
    deviation = ops.sqrt(variance * (1 + 1 / ops.maximum(count, 1.0)))
    fallback, _ = history.end(last=True)
    return history.over_horizon(ops.where(count > 0, mean, fallback)), history.over_horizon(deviation)


def _drift(history: _History) -> Moments:
    first, begin = history.end(last=False)
    last, end = history.end(last=True)
    span = ops.maximum(end - begin, 1.0)
    slope = (last - first) / span
    deviation, _ = history.deviation(1, slope)
    # Relative to the last observed value, which may be before the forecast origin.
    ahead = history.steps_ahead() + ops.cast(history.length, "float32")[:, None, None] - end
    return last + slope * ahead, deviation * ops.sqrt(ahead * (1 + ahead / span))


_METHODS: dict[str, Callable[[_History], Moments]] = {
    "naive": _naive,
    "seasonal_naive": _seasonal_naive,
    "seasonal_mean": _seasonal_mean,
    "drift": _drift,
}


@keras.saving.register_keras_serializable(package="tsattn")
class Baseline(keras.layers.Layer):
    """A naive forecast with intervals from the normal distribution.

    Args:
        method: `"naive"`, the last observed value; `"seasonal_naive"`, the value one season ago, or the latest
            observed value at the same point of the season; `"seasonal_mean"`, the mean of the history at the same point
            of the season; `"drift"`, the line through the first and the last observed value.
        horizon: Steps to forecast.
        season: Season length.
        levels: Quantile levels.

    Call arguments:
        past: `(batch, time, channels)`, 0 where missing.
        observed: `(batch, time, channels)`, 0 or 1.
        length: `(batch,)`.

    Output shape:
        `(batch, horizon, channels, levels)`
    """

    def __init__(self, method: str, horizon: int, season: int, levels: tuple[float, ...], **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.method = method
        self.horizon = horizon
        self.season = season
        self.levels = tuple(levels)

    def call(self, past: Tensor, observed: Tensor, length: Tensor) -> Tensor:
        past = ops.where(observed > 0, past, 0.0)
        history = _History(past, observed, ops.cast(length, "int32"), self.season, self.horizon)
        mean, deviation = _METHODS[self.method](history)
        normal = ops.array([NormalDist().inv_cdf(level) for level in self.levels], dtype="float32")
        return ops.expand_dims(mean, -1) + ops.expand_dims(deviation, -1) * normal

    def compute_output_spec(self, past: Any, observed: Any, length: Any) -> Any:
        shape = (past.shape[0], self.horizon, past.shape[2], len(self.levels))
        return keras.KerasTensor(shape, dtype="float32")


def _baseline(method: str, options: BaselineOptions, spec: WindowSpec) -> Baseline:
    """Return the layer of a baseline."""
    return Baseline(method, spec.horizon, spec.season, spec.levels)


naive, seasonal_naive, seasonal_mean, drift = (partial(_baseline, method) for method in _METHODS)
"""Builders of the models of these names."""
