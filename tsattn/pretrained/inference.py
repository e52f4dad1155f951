"""Forecasts of the pretrained network with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from scipy.special import erf, expit, ndtri

from tsattn.pretrained.features import LEVELS, Array, Features, Layout, compute_features

MAX_PATCHES = 48
"""Length of the longest history, in patches."""
HEADS = 4
_LAYERS = 2

Weights = Mapping[str, Array]
"""Weights by name, such as ``encoder_0/kernel``."""


@dataclass(frozen=True)
class NetworkForecast:
    """Forecasts of the pretrained network.

    Args:
        quantiles: `(N, h, levels)` at the levels of the network.
        candidate_weights: `(N, h, K)` weights of the candidates, sum 1.
        attention: `(N, h, S)` weights of the patches, mean over the heads.
    """

    quantiles: Array
    candidate_weights: Array
    attention: Array


def inference_layout(horizon: int, seasons: Sequence[int], longest: int | None = None) -> Layout:
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
    return Layout(season, second, patches, (patches - 1,), steps)


@cache
def read_weights() -> Weights:
    """Return the weights of the network, float32, by name."""
    content = (files("tsattn.pretrained") / "weights.npz").read_bytes()
    with np.load(BytesIO(content)) as stored:
        return {name: stored[name].astype("float32") for name in stored.files}


def level_weights(levels: Sequence[float]) -> Array:
    """Return the matrix from the quantiles of the network to those of other levels, `(levels of the network, levels)`.

    Between two levels the quantile is linear in that of a normal distribution.
    """
    known, asked = ndtri(np.asarray(LEVELS)), ndtri(np.asarray(levels))
    return np.stack([np.interp(asked, known, row) for row in np.eye(len(LEVELS))])


def forecast(weights: Weights, values: Array, observed: Array, layout: Layout) -> NetworkForecast:
    """Forecast each series from the end of its history.

    Args:
        weights: Weights of the network.
        values: `(N, T)`, right-aligned; values that are not observed are ignored.
        observed: `(N, T)` bool.
        layout: Result of `inference_layout`.
    """
    features = compute_features(np, values, observed, layout)
    relative, mixed, attention = _network(weights, features)
    quantiles = relative * features.scale[:, 0, None, None] + features.centre[:, 0, None, None]
    return NetworkForecast(quantiles, mixed, attention)


def _network(weights: Weights, features: Features) -> tuple[Array, Array, Array]:
    states = _gelu(_dense(weights, "embedding", features.patches.astype("float32")))
    for number in range(_LAYERS):
        states = _gru(weights, f"encoder_{number}", states, features.started)
    count, steps = features.queries.shape[0], features.queries.shape[2]
    queries = features.queries[:, 0].astype("float32")
    query = _gelu_tanh(_dense(weights, "query", queries) + (states[:, -1] @ weights["state/kernel"])[:, None])
    keys, values = (
        (states @ weights[f"{name}/kernel"]).reshape(count, -1, HEADS, states.shape[2] // HEADS)
        for name in ("key", "value")
    )
    size = keys.shape[3]
    queried = query.reshape(count, steps, HEADS, size).swapaxes(1, 2)
    scores = queried @ keys.transpose(0, 2, 3, 1) / np.float32(size**0.5)
    scores = np.where(features.started[:, None, None], scores, np.float32(-3e38))
    attention = _softmax(scores)
    read = (attention @ values.swapaxes(1, 2)).swapaxes(1, 2).reshape(count, steps, -1)
    hidden = _gelu(_dense(weights, "first", np.concatenate([read, query, queries], axis=-1)))
    hidden = _gelu(_dense(weights, "second", hidden))
    available = features.available[:, 0] > 0
    mixed = _softmax(np.where(available, _dense(weights, "scores", hidden), np.float32(-3e38)))
    base = np.sum(mixed * np.clip(features.candidates[:, 0], -60, 60), axis=-1, keepdims=True)
    offsets = _dense(weights, "offsets", hidden)
    middle = offsets.shape[-1] // 2
    median = base + offsets[..., middle : middle + 1]
    upper = np.cumsum(np.logaddexp(offsets[..., middle + 1 :], 0), axis=-1)
    lower = np.cumsum(np.logaddexp(offsets[..., :middle], 0), axis=-1)
    relative = np.concatenate([median - lower[..., ::-1], median, median + upper], axis=-1)
    return relative, mixed, attention.mean(axis=1)


def _dense(weights: Weights, name: str, inputs: Array) -> Array:
    return np.asarray(inputs @ weights[f"{name}/kernel"] + weights[f"{name}/bias"])


def _gru(weights: Weights, name: str, inputs: Array, started: Array) -> Array:
    kernel, recurrent, bias = (weights[f"{name}/{part}"] for part in ("kernel", "recurrent_kernel", "bias"))
    projected = inputs @ kernel + bias[0]
    units = recurrent.shape[0]
    state = np.zeros((len(inputs), units), "float32")
    states = np.empty((*inputs.shape[:2], units), "float32")
    for step in range(inputs.shape[1]):
        own = projected[:, step]
        inner = state @ recurrent + bias[1]
        gates = expit(own[:, : 2 * units] + inner[:, : 2 * units])
        update, reset = gates[:, :units], gates[:, units:]
        proposal = np.tanh(own[:, 2 * units :] + reset * inner[:, 2 * units :])
        state = np.where(started[:, step, None], update * state + (1 - update) * proposal, 0)
        states[:, step] = state
    return states


def _gelu(inputs: Array) -> Array:
    return np.asarray(0.5 * inputs * (1 + erf(inputs / np.float32(np.sqrt(2)))))


def _gelu_tanh(inputs: Array) -> Array:
    return np.asarray(0.5 * inputs * (1 + np.tanh(np.sqrt(2 / np.pi) * (inputs + 0.044715 * inputs**3))))


def _softmax(scores: Array) -> Array:
    exponential = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(exponential / exponential.sum(axis=-1, keepdims=True))
