"""Reference implementations in NumPy (float64), independent of the package."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def softmax(scores: Array, mask: Array | None = None) -> Array:
    """Return the softmax over valid entries of the last axis; 0 elsewhere and in rows without any."""
    keep = np.ones(scores.shape, dtype=bool) if mask is None else np.broadcast_to(mask, scores.shape)
    weights = np.zeros(scores.shape)
    for row in np.ndindex(*scores.shape[:-1]):
        valid = scores[row][keep[row]]
        if valid.size:
            exponents = np.exp(valid - valid.max())
            weights[row][keep[row]] = exponents / exponents.sum()
    return weights


def scores(name: str, query: Array, key: Array, weights: Mapping[str, Array]) -> Array:
    """Return scores [batch, queries, keys], pair by pair; `weights` by their names in the formulas."""
    query = query @ weights["W"] if "W" in weights else query
    key = key @ weights["U"] if "U" in weights else key
    result = np.zeros((len(query), query.shape[1], key.shape[1]))
    for b, i, j in np.ndindex(*result.shape):
        q, k = query[b, i].astype(float), key[b, j].astype(float)
        result[b, i, j] = _SCORES[name](q, k, weights)
    return result


_SCORES: dict[str, Callable[[Array, Array, Mapping[str, Array]], Any]] = {
    "additive": lambda q, k, w: w["v"] @ np.tanh(q + k + w["b"]),
    "normalized_additive": lambda q, k, w: w["g"] * w["v"] @ np.tanh(q + k + w["b"]) / np.linalg.norm(w["v"]),
    "dot": lambda q, k, w: q @ k,
    "scaled_dot": lambda q, k, w: q @ k / math.sqrt(len(k)),
    "general": lambda q, k, w: q @ w["M"] @ k,
    "scaled_general": lambda q, k, w: w["g"] * (q @ w["M"] @ k),
    "concat": lambda q, k, w: w["v"] @ np.tanh(np.concatenate([q, k]) @ w["M"]),
    "cosine": lambda q, k, w: np.exp(w["log s"]) * (q @ k) / (np.linalg.norm(q) * np.linalg.norm(k)),
}


def local_p(scores: Array, query: Array, kernel: Array, vector: Array, window: float) -> Array:
    """Return weights [queries, keys] of the local-p attention of Luong et al., for one row without padding."""
    weights = np.zeros(scores.shape)
    for i, row in enumerate(scores):
        position = len(row) * sigmoid(vector @ np.tanh(query[i] @ kernel))
        in_window = np.abs(np.arange(len(row)) - position) <= window
        density = np.exp(-((np.arange(len(row)) - position) ** 2) / (2 * (window / 2) ** 2))
        weights[i] = softmax(row, in_window) * density
    return weights


def monotonic(probabilities: Array) -> Array:
    """Return weights [queries, keys] of Raffel et al.: the sum over all keys where the previous query may stop."""
    weights = np.zeros(probabilities.shape)
    previous = np.eye(probabilities.shape[1])[0]
    for i, p in enumerate(probabilities):
        for j in range(len(p)):
            weights[i, j] = p[j] * sum(previous[k] * np.prod(1 - p[k:j]) for k in range(j + 1))
        previous = weights[i]
    return weights


def copy_attention(
    score: str,
    query: Array,
    memory: Array,
    values: Array,
    observed: Array,
    keep: Array,
    weights: Mapping[str, Array],
) -> tuple[Array, Array, Array]:
    """Return context, copied values and weights [batch, heads, queries, keys], element by element.

    Args:
        score: Name of the score.
        query: [batch, queries, size].
        memory: [batch, keys, size].
        values: [batch, keys, elements].
        observed: [batch, keys, elements].
        keep: [batch, keys].
        weights: Weights of `scores` (the projections of the heads concatenated), `lag_bias` [lags, heads, queries] and
            `gain` [heads, queries, 1].
    """
    lags, heads, queries = weights["lag_bias"].shape
    attention = np.zeros((len(query), heads, queries, memory.shape[1]))
    context, copied = (np.zeros((len(query), queries, x.shape[2])) for x in (memory, values))
    projections = {name: np.split(weights[name], heads, axis=1) for name in ("W", "U")}
    for b, h, i in np.ndindex(*attention.shape[:3]):
        keys = np.flatnonzero(keep[b])
        if not len(keys):
            continue
        head_weights = {**weights, **{name: parts[h] for name, parts in projections.items()}}
        by_content = scores(score, query[b : b + 1, i : i + 1], memory[b : b + 1, keys], head_weights)[0, 0]
        by_lag = [weights["lag_bias"][min(keys[-1] - key, lags - 1), h, i] for key in keys]
        attention[b, h, i, keys] = softmax(by_content + by_lag)
        for key in keys:
            context[b, i] += attention[b, h, i, key] * memory[b, key] / heads
        for element in range(values.shape[2]):
            valid = [key for key in keys if observed[b, key, element]]
            total = sum(attention[b, h, i, key] for key in valid)
            if total > 0:
                mean = sum(attention[b, h, i, key] * values[b, key, element] for key in valid) / total
                copied[b, i, element] += weights["gain"][h, i, 0] * mean
    return context, copied, attention


def gru_step(x: Array, h: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """Keras's GRU cell with `reset_after=True`; the kernels hold update gate, reset gate and candidate."""
    x_update, x_reset, x_new = np.split(x @ kernel + bias[0], 3, axis=-1)
    h_update, h_reset, h_new = np.split(h @ recurrent + bias[1], 3, axis=-1)
    update, reset = sigmoid(x_update + h_update), sigmoid(x_reset + h_reset)
    return update * h + (1 - update) * np.tanh(x_new + reset * h_new)


def lstm_step(x: Array, h: Array, c: Array, kernel: Array, recurrent: Array, bias: Array) -> tuple[Array, Array]:
    """Keras's LSTM cell; the kernels hold input gate, forget gate, candidate and output gate."""
    i, f, new, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
    return sigmoid(o) * np.tanh(c), c


def patches(values: Array, length: int, patch: int) -> Array:
    """Return patches [patches, patch, features] of a row: element k of patch s is step L - p ceil(L/p) + s p + k."""
    count = math.ceil(len(values) / patch)
    result = np.zeros((count, patch, values.shape[1]))
    for s in range(count):
        for k in range(patch):
            step = length - patch * math.ceil(length / patch) + s * patch + k
            if 0 <= step < length:
                result[s, k] = values[step]
    return result


def scale_of(values: Array, method: str, ratio: float) -> tuple[float, float]:
    """Return center and scale of one channel with at least one observation."""
    known = values[np.isfinite(values)].astype(float)
    level = np.abs(known).mean()
    center = {"last": known[-1], "standard": known.mean(), "mean_abs": 0.0}[method]
    spread = level if method == "mean_abs" else known.std()
    return center, math.sqrt((len(known) * spread**2 + (ratio * level) ** 2) / (len(known) + 1))


def sorted_quantiles(inputs: Array, median: int) -> Array:
    """Return softplus increments up and down from the output at `median`."""
    result = np.array(inputs, dtype=float)
    for level in range(median + 1, inputs.shape[-1]):
        result[..., level] = result[..., level - 1] + softplus(inputs[..., level])
    for level in range(median - 1, -1, -1):
        result[..., level] = result[..., level + 1] - softplus(inputs[..., level])
    return result


def calibrated(quantiles: Array, factors: Array, median: int) -> Array:
    """Return quantiles scaled around the median; a level that would cross its neighbor takes its value."""
    middle = quantiles[..., median]
    result = np.array(quantiles, dtype=float)
    for level in range(quantiles.shape[-1]):
        result[..., level] = middle + (quantiles[..., level] - middle) * factors[..., level]
    for level in range(median + 1, quantiles.shape[-1]):
        result[..., level] = np.maximum(result[..., level], result[..., level - 1])
    for level in range(median - 1, -1, -1):
        result[..., level] = np.minimum(result[..., level], result[..., level + 1])
    return result


def temporal_conv_block(values: Array, mask: Array, weights: Mapping[str, Array], dilation: int) -> Array:
    """Return Bai's residual block over values [batch, time, features], step by step; masked steps are 0."""
    values = hidden = np.where(mask[:, :, None], values, 0.0)
    for number in (1, 2):
        kernel = weights[f"kernel_{number}"]
        if f"gain_{number}" in weights:
            kernel = kernel * weights[f"gain_{number}"] / np.sqrt((kernel**2).sum(axis=(0, 1)))
        convolved = np.zeros((*hidden.shape[:2], kernel.shape[2]))
        for row, step in np.argwhere(mask):
            convolved[row, step] = weights[f"bias_{number}"]
            for tap in range(len(kernel)):
                source = step - (len(kernel) - 1 - tap) * dilation
                if source >= 0:
                    convolved[row, step] += hidden[row, source] @ kernel[tap]
            convolved[row, step] = np.maximum(convolved[row, step], 0)
        hidden = convolved
    residual = values @ weights["projection"] if "projection" in weights else values
    return np.where(mask[:, :, None], np.maximum(hidden + residual, 0), 0)
