"""The pretrained network with NumPy alone; `tsattn.layers.PretrainedNetwork` computes the same with Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from scipy.special import erf, expit, ndtri

from tsattn.pretrained.features import LEVELS, MEDIAN, Array, Features, Layout

HEADS = 4
_LAYERS = 2

Weights = Mapping[str, Array]
"""Weights by name, such as ``encoder_0/kernel``."""


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


def encode(weights: Weights, features: Features) -> Array:
    """Return the states of the encoder, `(N, S, width)`."""
    states = _gelu(_dense(weights, "embedding", features.patches.astype("float32")))
    for number in range(_LAYERS):
        states = _gru(weights, f"encoder_{number}", states, features.started)
    return states


@dataclass(frozen=True)
class Decoded:
    """Forecasts of the network and their weights. ``H`` heads, ``K`` candidates.

    Args:
        quantiles: `(N, O, J, levels)`, in the units of the series.
        attention: `(N, H, O, J, S)`, over the patches.
        candidates: `(N, O, J, K)`, of the candidate forecasts in the median, before its residual.
    """

    quantiles: Array
    attention: Array
    candidates: Array


def decode(weights: Weights, states: Array, features: Features, layout: Layout) -> Decoded:
    """Return the forecasts at the origins and steps of a layout.

    Args:
        weights: Weights of the network.
        states: `(N, S, width)`, of the same window.
        features: Inputs of the network for this layout.
        layout: Origins and steps.
    """
    (count, origins, steps, _), width = features.queries.shape, states.shape[2]
    queries = features.queries.astype("float32")
    last = states[:, list(layout.origins)] @ weights["state/kernel"]
    query = _gelu_tanh(_dense(weights, "query", queries) + last[:, :, None])
    keys, values = (
        (states @ weights[f"{name}/kernel"]).reshape(count, -1, HEADS, width // HEADS) for name in ("key", "value")
    )
    queried = query.reshape(count, origins * steps, HEADS, width // HEADS).swapaxes(1, 2)
    scores = queried @ keys.transpose(0, 2, 3, 1) / np.float32((width // HEADS) ** 0.5)
    keep = (layout.attends > 0)[None] & features.started[:, None]
    scores = np.where(keep[:, None, :, None], scores.reshape(count, HEADS, origins, steps, -1), np.float32(-3e38))
    attention = _softmax(scores)
    read = attention.reshape(count, HEADS, origins * steps, -1) @ values.swapaxes(1, 2)
    read = read.swapaxes(1, 2).reshape(count, origins, steps, width)
    hidden = _gelu(_dense(weights, "first", np.concatenate([read, query, queries], axis=-1)))
    hidden = _gelu(_dense(weights, "second", hidden))
    scores = np.where(features.available > 0, _dense(weights, "scores", hidden), np.float32(-3e38))
    candidates = _softmax(scores)
    base = np.sum(candidates * features.candidates, axis=-1, keepdims=True)
    offsets = _dense(weights, "offsets", hidden)
    median = base + offsets[..., MEDIAN : MEDIAN + 1]
    upper = np.cumsum(np.logaddexp(offsets[..., MEDIAN + 1 :], 0), axis=-1)
    lower = np.cumsum(np.logaddexp(offsets[..., :MEDIAN], 0), axis=-1)
    relative = np.concatenate([median - lower[..., ::-1], median, median + upper], axis=-1)
    quantiles = relative * features.scale[:, :, None, None] + features.centre[:, :, None, None]
    return Decoded(quantiles, attention, candidates)


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
    inner = np.float32(np.sqrt(2 / np.pi)) * inputs * (1 + np.float32(0.044715) * inputs * inputs)
    return np.asarray(0.5 * inputs * (1 + np.tanh(inner)))


def _softmax(scores: Array) -> Array:
    exponential = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(exponential / exponential.sum(axis=-1, keepdims=True))
