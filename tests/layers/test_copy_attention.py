"""Copying attention against its formulas, and the forecasts that it holds as special cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras_help import on_tensorflow, outputs, with_random_weights
from numpy_reference import Array, copy_attention

from tsattn.errors import ConfigError
from tsattn.layers import CopyAttention

LENGTHS = np.array([4, 6, 1, 0])
MASK = np.arange(6) < LENGTHS[:, None]
QUERIES = 5


def normal(*shape: int) -> Array:
    return np.random.default_rng(3).normal(size=shape).astype("float32")


QUERY, MEMORY, VALUES = normal(4, QUERIES, 3), normal(4, 6, 7), normal(4, 6, 2) + 5
OBSERVED = (np.random.default_rng(1).random(VALUES.shape) < 0.6).astype("float32")
OBSERVED[1, :, 0] = 0  # an element that no key has observed


def weights_of(layer: CopyAttention) -> dict[str, Array]:
    """Weights by the names of the formulas."""
    names = {"query_projection/kernel": "W", "key_projection/kernel": "U", "vector": "v", "bias": "b", "kernel": "M"}
    ends = {weight.path.removeprefix(layer.name + "/"): weight for weight in layer.weights}
    return {names.get(end, end): np.asarray(weight.numpy(), dtype=float) for end, weight in ends.items()}


def call(layer: CopyAttention, **arguments: Any) -> list[Array]:
    """Context, copied values and weights of the arrays above, or of those that are given instead."""
    given = {"query": QUERY, "memory": MEMORY, "values": VALUES, "observed": OBSERVED, "memory_mask": MASK}
    return outputs(layer(**{**given, **arguments}, return_attention_scores=True))


def by_lag_alone(lags: int, period: int, heads: int = 4) -> CopyAttention:
    """A fresh layer whose weights depend on the lag and on nothing else."""
    layer = CopyAttention(lags, heads, period=period)
    call(layer)
    for weight in layer.weights:
        if "projection" in weight.path:
            weight.assign(np.zeros(weight.shape))
    return layer


@pytest.mark.parametrize("lags", [3, 6, 9])
@pytest.mark.parametrize("score", ["additive", "dot", "general", "scaled_dot"])
def test_it_is_the_formulas(score: str, lags: int) -> None:
    layer = CopyAttention(lags, heads=3, score=score, units=4, period=2, name="copy")
    call(layer)
    with_random_weights(layer)
    known = copy_attention(score, QUERY, MEMORY, VALUES, OBSERVED, MASK, weights_of(layer))
    for part, expected in zip(call(layer), known, strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-5)


def test_padding_has_no_weight_at_all_and_an_empty_row_gives_zero() -> None:
    layer = with_random_weights(by_lag_alone(6, 1))
    context, copied, weights = call(layer)
    assert not weights[~np.broadcast_to(MASK[:, None, None], weights.shape)].any()
    np.testing.assert_allclose(weights[:3].sum(-1), 1, atol=1e-6)
    assert not any(part[3].any() for part in (context, copied, weights))


@on_tensorflow
@pytest.mark.parametrize("content", [np.nan, np.inf, 1e30])
def test_what_was_not_observed_is_never_looked_at(content: float) -> None:
    import tensorflow as tf

    layer = with_random_weights(by_lag_alone(6, 1))
    known = call(layer)
    changed = tf.Variable(np.where(OBSERVED > 0, VALUES, np.float32(content)))
    with tf.GradientTape() as tape:
        _, copied = layer(QUERY, MEMORY, changed, OBSERVED, memory_mask=MASK)
        loss = tf.reduce_sum(copied**2)
    np.testing.assert_array_equal(copied, known[1])
    gradients = tape.gradient(loss, [changed, layer.lag_bias.value, layer.gain.value])
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    seen = MASK[:, :, None] * OBSERVED > 0
    assert not np.asarray(gradients[0])[~seen].any()
    assert not call(layer, values=changed)[1][1, :, 0].any(), "an element that was never observed is 0"


def test_all_weight_on_a_season_ago_is_the_seasonal_naive_forecast() -> None:
    period, layer = 3, by_lag_alone(6, 3)
    bias = np.full(layer.lag_bias.shape, -1e4)
    for query in range(QUERIES):
        bias[(period - 1 - query) % period, :, query] = 0
    layer.lag_bias.assign(bias)
    copied = call(layer, observed=None)[1]
    for row, length in enumerate(LENGTHS):
        if length >= period:
            season = VALUES[row, length - period : length]
            np.testing.assert_array_equal(copied[row], [season[query % period] for query in range(QUERIES)])


def test_equal_weights_are_the_mean_of_what_was_observed() -> None:
    copied = call(by_lag_alone(6, 1))[1]
    for row, element in np.ndindex(len(VALUES), VALUES.shape[2]):
        known = [VALUES[row, key, element] for key in range(LENGTHS[row]) if OBSERVED[row, key, element]]
        mean = np.mean(known) if known else 0
        np.testing.assert_allclose(copied[row, :, element], np.full(QUERIES, mean), rtol=1e-5)


def test_it_starts_near_the_mean_of_the_segments_in_phase() -> None:
    weights = call(by_lag_alone(6, 2))[2]
    # Six keys, three of them in phase with each query, which get e^3 times the weight of the others.
    in_phase = np.array([[(5 - key + query + 1) % 2 == 0 for key in range(6)] for query in range(QUERIES)])
    share = np.where(in_phase, 1.0, np.exp(-3))
    np.testing.assert_allclose(weights[1, 0], share / share.sum(-1, keepdims=True), rtol=1e-5)


def test_without_observed_all_values_are() -> None:
    layer = with_random_weights(by_lag_alone(6, 1))
    for part, known in zip(call(layer, observed=None), call(layer, observed=np.ones_like(VALUES)), strict=True):
        np.testing.assert_array_equal(part, known)
    for part, known in zip(call(layer, observed=OBSERVED > 0), call(layer), strict=True):
        np.testing.assert_array_equal(part, known)


def test_an_unknown_score_says_what_there_is() -> None:
    with pytest.raises(ConfigError, match="additive, concat, cosine, dot"):
        CopyAttention(3, score="none")


def test_dropout_leaves_out_what_is_copied_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    query, memory, values = (rng.normal(size=shape).astype("float32") for shape in ((8, 3, 4), (8, 5, 6), (8, 5, 2)))
    layer = CopyAttention(lags=5, heads=2, units=4, dropout=0.5)
    known = outputs(layer(query, memory, values, return_attention_scores=True))
    drawn = [outputs(layer(query, memory, values, return_attention_scores=True, training=True)) for _ in range(400)]
    np.testing.assert_array_equal(drawn[0][0], known[0])
    np.testing.assert_array_equal(drawn[0][2], known[2])
    assert np.abs(drawn[0][1] - known[1]).max() > 0.05
    mean = np.mean([each[1] for each in drawn], axis=0)
    np.testing.assert_allclose(mean, known[1], atol=0.25)
    assert np.abs(mean - known[1]).mean() < 0.03


def test_the_only_segment_that_was_observed_is_copied_however_small_its_weight() -> None:
    for dtype, gap in (("float32", 16.0), ("mixed_float16", 16.0), ("mixed_float16", 18.0), ("mixed_float16", 60.0)):
        layer = CopyAttention(2, heads=1, score="dot", units=1, dtype=dtype)
        query, memory = np.ones((1, 1, 1), "float32"), np.array([[[gap], [0.0]]], "float32")
        values, observed = np.array([[[7.0], [5.0]]], "float32"), np.array([[[0.0], [1.0]]], "float32")
        layer(query, memory, values, observed)
        for weight in layer.weights:
            weight.assign(np.zeros(weight.shape) if "lag_bias" in weight.path else np.ones(weight.shape))
        copied = outputs(layer(query, memory, values, observed)[1])[0]
        np.testing.assert_allclose(copied, [[[5.0]]], rtol=1e-3)
