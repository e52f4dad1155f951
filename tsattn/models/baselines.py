"""The naive baselines that every forecast is held against, as a Keras layer of the same window contract.

Forecasts and the standard deviations behind their intervals follow Hyndman and Athanasopoulos, Forecasting: Principles
and Practice (3rd ed.), section 5.5. Missing values are skipped; a history without a whole season falls back to the
last observed value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor
from tsattn.layers.windowing import take_steps
from tsattn.timeseries.window_spec import WindowSpec


@dataclass(frozen=True)
class _History:
    """What a baseline sees.

    Args:
        past: `(batch, time, channels)`, 0 where missing.
        seen: the same shape, 0 or 1.
        length: `(batch,)` int32.
        season: season length.
        horizon: steps to forecast.
    """

    past: Tensor
    seen: Tensor
    length: Tensor
    season: int
    horizon: int

    def ahead(self) -> Tensor:
        """Steps ahead, 1 to horizon, `(1, horizon, 1)`."""
        return ops.arange(1, self.horizon + 1, dtype="float32")[None, :, None]

    def end(self, *, last: bool) -> tuple[Tensor, Tensor]:
        """Value and step of the last (or first) observed step, both `(batch, 1, channels)`."""
        time = self.past.shape[1]
        order = ops.arange(1, time + 1, dtype="float32")[None, :, None]
        rank = (order if last else time + 1 - order) * self.seen
        best = ops.max(rank, axis=1, keepdims=True)
        chosen = ops.logical_and(rank == best, self.seen > 0)
        value = ops.sum(ops.where(chosen, self.past, 0.0), axis=1, keepdims=True)
        return value, best if last else time + 1 - best

    def deviation(self, lag: int, slope: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Root mean square of the differences at a lag, and their number, both `(batch, 1, channels)`."""
        both = self.seen[:, lag:] * self.seen[:, :-lag]
        square = both * (self.past[:, lag:] - self.past[:, :-lag] - slope) ** 2
        count = ops.sum(both, axis=1, keepdims=True)
        return ops.sqrt(ops.sum(square, axis=1, keepdims=True) / ops.maximum(count, 1.0)), count

    def by_season(self, values: Tensor) -> Tensor:
        """Steps `(batch, time, channels)` as `(batch, seasons, season, channels)`, latest season first; else 0."""
        time = values.shape[1]
        seasons = -(-time // self.season)
        start = -self.season * ops.arange(1, seasons + 1, dtype="int32")[:, None]
        index = self.length[:, None, None] + start + ops.arange(self.season, dtype="int32")[None, :]
        flat = ops.reshape(index, (-1, seasons * self.season))
        taken = take_steps(values, ops.clip(flat, 0, time - 1))
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
    return ops.repeat(value, history.horizon, axis=1), deviation * ops.sqrt(history.ahead())


def _seasonal_naive(history: _History) -> Moments:
    values, known = history.by_season(history.past), history.by_season(history.seen)
    # 1 for the latest observed season only: in this order no observed one comes before it.
    latest = known * ops.cast(ops.cumsum(known, axis=1) == 1, "float32")
    fallback, _ = history.end(last=True)
    mean = ops.where(ops.max(known, axis=1) > 0, ops.sum(values * latest, axis=1), fallback)
    naive, _ = history.deviation(1)
    seasonal, count = history.deviation(history.season)
    cycles = 1 + (history.ahead() - 1) // history.season
    return history.over_horizon(mean), ops.where(count > 0, seasonal, naive) * ops.sqrt(cycles)


def _seasonal_mean(history: _History) -> Moments:
    values, known = history.by_season(history.past), history.by_season(history.seen)
    count = ops.sum(known, axis=1)
    mean = ops.sum(values, axis=1) / ops.maximum(count, 1.0)
    square = ops.sum(known * (values - ops.expand_dims(mean, 1)) ** 2, axis=(1, 2))
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
    # Counted from the last observed value, which may lie before the origin.
    ahead = history.ahead() + ops.cast(history.length, "float32")[:, None, None] - end
    return last + slope * ahead, deviation * ops.sqrt(ahead * (1 + ahead / span))


_METHODS: dict[str, Callable[[_History], Moments]] = {
    "naive": _naive,
    "seasonal_naive": _seasonal_naive,
    "seasonal_mean": _seasonal_mean,
    "drift": _drift,
}


@keras.saving.register_keras_serializable(package="tsattn")
class Baseline(keras.layers.Layer):
    """A naive forecast with normal intervals.

    Args:
        method: `"naive"`, the last observed value; `"seasonal_naive"`, the value one season ago, or where that is
            missing the latest one at the same point of the season; `"seasonal_mean"`, the mean of the history at the
            same point of the season; `"drift"`, the line through the first and the last observed value.
        horizon: steps to forecast.
        season: season length.
        levels: quantile levels.

    Call arguments:
        past: `(batch, time, channels)`, 0 where missing.
        observed: the same shape, 0 or 1.
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

    def get_config(self) -> dict[str, Any]:
        names = ("method", "horizon", "season", "levels")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def baseline(method: str, spec: WindowSpec) -> Baseline:
    """Return the layer of a baseline by name."""
    return Baseline(method, spec.horizon, spec.season, spec.levels)
