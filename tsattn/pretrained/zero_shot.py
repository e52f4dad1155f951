"""Forecasts without training: the pretrained network and exponential smoothings, combined by their past errors.

The weights of both are those of a softmax over two scores. A score is minus the logarithm of the mean absolute error of
the forecasts from past origins, times an inverse temperature that grows with the number of origins; without any past
forecast the weight of the network is `PRIOR`, with a season 0.5, with two 0.71.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.pretrained.features import MEDIAN, Array, Layout, Tensor, describe, features_at
from tsattn.pretrained.network import Weights, decode, encode, level_weights, read_weights
from tsattn.smoothing import Kernels, SmoothingSpec, combine, default_window, quantiles, weights_by_kind
from tsattn.smoothing.bank import SHORT_SEASON
from tsattn.smoothing.forecasts import kernels_of, map_batches, right_aligned, sorted_levels
from tsattn.smoothing.intervals import horizon_errors

NETWORK_KIND = "pretrained network"
"""Name of the network among the methods of the forecast."""
MAX_VALUE = float(np.finfo("float32").max)
"""Largest value of a forecast."""
MAX_PATCHES = 48
"""Length of the longest history that the network reads, in patches."""
_ORIGINS = 8
"""Past origins at which the network is evaluated."""
_STEPS = 24
"""Steps ahead at which both are compared, at most; they are spread over the horizon."""
# See docs/design/pretraining.md.
PRIOR = 0.2
"""Weight of the network without any past forecast and without a season that was seen again."""
SEASONAL_ODDS, SECOND_ODDS = 4.0, 2.5
"""Factors of the odds of the network from one and a half seasons on, for a season and for a second one."""
SPREAD_ODDS = 5.0
"""Further factor of these odds in the width of the intervals, for seasons longer than `SHORT_SEASON`."""
_TEMPERATURE = 2.0
_MAX_EVIDENCE = 1.5
_MIN_VALUES = 3
"""Observed values from which the network is used."""
_BATCH_VALUES = 2**16
_ERROR_FLOOR = 1e-2
"""Sum of errors, relative to the mean absolute change of the series, that is regarded as exact."""


@dataclass(frozen=True)
class ZeroShotForecasts:
    """Forecasts of several series.

    Args:
        quantiles: `(series, horizon, levels)`, increasing along the levels.
        weights: Weights of the methods, each `(series,)`: that of the network, and those of each kind of smoothing.
    """

    quantiles: Array
    weights: dict[str, Array]


def network_layout(horizon: int, seasons: Sequence[int], longest: int | None = None) -> Layout:
    """Return the layout of forecasts from the end of the history.

    Args:
        horizon: Steps ahead.
        seasons: Season lengths, shortest first; at most two.
        longest: Steps of the longest history; all that the network can read if None.
    """
    season, second = seasons[0] if seasons else 1, seasons[1] if len(seasons) > 1 else 0
    steps = np.arange(1, horizon + 1)[None]
    patch = Layout(season, second, 1, (0,), steps).patch
    patches = MAX_PATCHES if longest is None else min(max(-(-longest // patch), 1), MAX_PATCHES)
    # Phases count from the end, so that they do not depend on the length of the window.
    phase = -patches * patch % math.lcm(season, second or 1)
    return Layout(season, second, patches, (patches - 1,), steps, phase)


def past_layout(layout: Layout, horizon: int) -> Layout:
    """Return the layout of the past forecasts by which the network is compared.

    They are a third of the horizon apart, or more, so that they span a second season.
    """
    spacing = max(1, round(horizon / (3 * layout.patch)), math.ceil(layout.second / (_ORIGINS * layout.patch)))
    last = layout.patches - 1
    origins = tuple(range(last - _ORIGINS * spacing, last, spacing))
    origins = tuple(origin for origin in origins if origin >= 0) or (last,)
    steps = np.unique(np.linspace(1, horizon, min(horizon, _STEPS)).round().astype(int))
    return replace(layout, origins=origins, steps=np.tile(steps, (len(origins), 1)))


def zero_shot_window(horizon: int, seasons: Sequence[int]) -> int:
    """Return how many last values the network and the exponential smoothings read.

    Args:
        horizon: Steps to forecast.
        seasons: Season lengths, shortest first; at most two.
    """
    return max(default_window(horizon, seasons), network_layout(horizon, seasons).length)


def past_errors(xp: Any, median: Tensor, values: Tensor, observed: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return sums of the absolute errors of past forecasts of the network and their number by step, both `(N, J)`.

    A past origin counts from two seasons and a value on, as those of the smoothings do.

    Args:
        xp: NumPy or `keras.ops`.
        median: `(N, O, J)`.
        values: `(N, T)`.
        observed: `(N, T)` bool.
        layout: Origins and steps.
    """
    inside = layout.targets < layout.length
    index = np.minimum(layout.targets, layout.length - 1).astype("int32")
    shape = (-1, *index.shape)
    seen = xp.where(observed, 1.0, 0.0)
    actual, weight = (xp.reshape(xp.take(part, index.reshape(-1), axis=1), shape) for part in (values, seen))
    known = xp.take(xp.cumsum(seen, axis=1), layout.origin_ends.astype("int32"), axis=1)
    late = xp.where(known > max(2 * layout.season, 4) + 0.5, 1.0, 0.0)
    weight = weight * late[:, :, None] * np.asarray(inside, "float32")[None]
    return xp.sum(xp.abs(median - actual) * weight, axis=1), xp.sum(weight, axis=1)


def network_weight(
    xp: Any,
    count: Tensor,
    network: tuple[Tensor, Tensor],
    smoothing: tuple[Tensor, Tensor],
    scale: Tensor,
    horizon: int,
    layout: Layout,
    prior: Tensor = PRIOR,
) -> tuple[Tensor, Tensor]:
    """Return the weights of the network in the median and in the width of the intervals, both `(N, 1)`.

    Args:
        xp: NumPy or `keras.ops`.
        count: `(N, 1)` number of observed values.
        network: Sums of the absolute errors and their number by step, see `past_errors`.
        smoothing: The same of the smoothings, at the same steps.
        scale: `(N, 1)` mean absolute change of the series; much smaller errors are regarded as exact.
        horizon: Steps of a forecast.
        layout: Has the season lengths.
        prior: Weight without any past forecast and without a season.
    """
    (own, own_count), (other, other_count) = network, smoothing
    both = xp.where((own_count > 0.5) & (other_count > 0.5), 1.0, 0.0)
    own_error, other_error = (
        xp.sum(total / xp.maximum(number, 1.0) * both, axis=1, keepdims=True)
        for total, number in ((own, own_count), (other, other_count))
    )
    forecasts = xp.sum(own_count * both, axis=1, keepdims=True) / min(horizon, _STEPS)
    evidence = xp.minimum(xp.sqrt(forecasts), _MAX_EVIDENCE)
    floor = _ERROR_FLOOR * scale
    score = _TEMPERATURE * evidence * (xp.log(other_error + floor) - xp.log(own_error + floor))
    known = xp.where(count > 1.5 * layout.season - 0.5, 1.0 if layout.season > 1 else 0.0, 0.0)
    score = score + math.log(SEASONAL_ODDS * (SECOND_ODDS if layout.second else 1.0)) * known
    wider = score + (math.log(SPREAD_ODDS) if layout.season > SHORT_SEASON else 0.0) * known
    against = 1 / prior - 1
    weight, spread = (1.0 / (1.0 + against * xp.exp(-part)) for part in (score, wider))
    enough = xp.where(count > _MIN_VALUES - 0.5, 1.0, 0.0)
    return weight * enough, spread * enough


def mix(network: tuple[Tensor, Tensor], smoothing: tuple[Tensor, Tensor], weight: tuple[Tensor, Tensor]) -> Tensor:
    """Return the quantiles of the combination.

    Args:
        network: Its median, with a last axis of 1, and its quantiles.
        smoothing: The same of the smoothings.
        weight: Weights of the network in the median and in the width; see `network_weight`.
    """
    (own_median, own), (other_median, other), (central, spread) = network, smoothing, weight
    return spread * own + (1 - spread) * other + (central - spread) * (own_median - other_median)


def smoothing_errors(xp: Any, result: Any, kernels: Kernels, steps: Array) -> tuple[Tensor, Tensor]:
    """Return sums of the absolute errors of past forecasts of the smoothings and their number by step.

    Args:
        xp: NumPy or `keras.ops`.
        result: Their combination.
        kernels: Constant arrays of the specification.
        steps: Steps ahead, from 1 on, `(J,)`.
    """
    errors, weight = horizon_errors(xp, result, kernels)
    index = (steps - 1).astype("int32")
    errors = xp.sum(xp.abs(errors), axis=1) * result.bank.scale
    return xp.take(errors, index, axis=1), xp.take(xp.sum(weight, axis=1), index, axis=1)


def forecast_series(
    series: Sequence[npt.ArrayLike], horizon: int, seasons: Sequence[int] = (), levels: Sequence[float] = (0.1, 0.9)
) -> ZeroShotForecasts:
    """Forecast each series by itself, in batches of bounded memory.

    Forecasts commute with a positive factor. A series without any observed value is forecast as 0.

    Args:
        series: Values of each series, oldest first; NaN where a value is missing.
        horizon: Steps to forecast.
        seasons: Season lengths, at most two.
        levels: Ascending quantile levels, 0.01 to 0.99.

    Raises:
        ConfigError: If the horizon, the seasons or a level is out of range.
    """
    ordered = sorted_levels(levels)
    arrays = [np.asarray(values, dtype=float) for values in series]
    if not arrays:
        return ZeroShotForecasts(np.zeros((0, horizon, len(ordered))), {})
    seasons = tuple(sorted(seasons))
    kernels = kernels_of(arrays, SmoothingSpec(horizon, seasons))
    layout = network_layout(horizon, seasons, max(map(len, arrays)))
    size = max(1, _BATCH_VALUES // (layout.length + 16 * horizon + kernels.spec.length))
    parts = map_batches(lambda batch: _forecast_batch(batch, kernels, layout, ordered), arrays, size)
    bands, own, others = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return ZeroShotForecasts(bands, {NETWORK_KIND: own, **weights_by_kind(others, kernels.table)})


@dataclass(frozen=True)
class NetworkWeights:
    """What the forecasts of the network at the end of each series rest on.

    Args:
        attention: `(series, heads, horizon, patches)`, over the patches of ``layout``.
        candidates: `(series, horizon, candidates)`, of the candidate forecasts in the median, before its residual.
        layout: Patches of the history.
    """

    attention: Array
    candidates: Array
    layout: Layout


def network_weights(
    series: Sequence[npt.ArrayLike], horizon: int, seasons: Sequence[int] = (), weights: Weights | None = None
) -> NetworkWeights:
    """Return the weights of the network in the forecasts of `forecast_series`, for a few series.

    Args:
        series: Values of each series, oldest first; NaN where a value is missing.
        horizon: Steps to forecast.
        seasons: Season lengths, at most two.
        weights: Those of the network; the ones of the package if None.
    """
    arrays = [np.asarray(values, dtype=float) for values in series]
    layout = network_layout(horizon, tuple(sorted(seasons)), max(map(len, arrays)))
    weights = read_weights() if weights is None else weights
    features = features_at(np, describe(np, *right_aligned(arrays, layout.length), layout), layout)
    decoded = decode(weights, encode(weights, features), features, layout)
    return NetworkWeights(decoded.attention[:, :, 0], decoded.candidates[:, 0], layout)


def _forecast_batch(
    batch: Sequence[Array], kernels: Kernels, layout: Layout, levels: tuple[float, ...]
) -> tuple[Array, Array, Array]:
    """Return the quantiles of a batch, `(N, h, levels)`, and the weights of the network and of each candidate."""
    horizon = kernels.spec.horizon
    values, observed = right_aligned(batch, kernels.spec.length)
    result = combine(np, values, observed, kernels)
    smoothed = quantiles(np, result, kernels, levels)
    values, observed = right_aligned(batch, layout.length)
    weights, past = read_weights(), past_layout(layout, horizon)
    history = describe(np, values, observed, layout)
    features = features_at(np, history, layout)
    states = encode(weights, features)
    learned = decode(weights, states, features, layout).quantiles[:, 0]
    tried = decode(weights, states, features_at(np, history, past), past).quantiles
    weight, spread = network_weight(
        np,
        observed.sum(axis=1, keepdims=True),
        past_errors(np, tried[..., MEDIAN], values, observed, past),
        smoothing_errors(np, result, kernels, past.steps[0]),
        result.bank.scale,
        horizon,
        layout,
    )
    mixed = mix(
        (learned[..., MEDIAN : MEDIAN + 1], learned @ level_weights(levels)),
        (result.forecast[..., None], smoothed),
        (weight[:, :, None], spread[:, :, None]),
    )
    return mixed, weight[:, 0], (1 - weight) * result.weights
