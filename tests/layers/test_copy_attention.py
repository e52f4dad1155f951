"""CopyAttention compared with its formulas and with the naive forecasts that are special cases."""

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
OBSERVED[1, :, 0] = 0  # an element observed by no key


def weights_of(layer: CopyAttention) -> dict[str, Array]:
    """Return the weights by their names in the formulas."""
    names = {"query_projection/kernel": "W", "key_projection/kernel": "U"}
    names |= {"score_vector": "v", "score_bias": "b", "score_kernel": "M"}
    ends = {weight.path.removeprefix(layer.name + "/"): weight for weight in layer.weights}
    return {names.get(end, end): np.asarray(weight.numpy(), dtype=float) for end, weight in ends.items()}


def call(layer: CopyAttention, **arguments: Any) -> list[Array]:
    """Return context, copied values and weights for the arrays above, updated by the arguments."""
    defaults = {"query": QUERY, "memory": MEMORY, "values": VALUES, "observed": OBSERVED, "memory_mask": MASK}
    return outputs(layer(**{**defaults, **arguments}, return_attention_scores=True))


def lag_only(lags: int, period: int, heads: int = 4) -> CopyAttention:
    """Return a new layer whose attention weights depend on the lag only."""
    layer = CopyAttention(lags, heads, period=period)
    call(layer)
    for weight in layer.weights:
        if "projection" in weight.path:
            weight.assign(np.zeros(weight.shape))
    return layer


@pytest.mark.parametrize("lags", [3, 6, 9])
@pytest.mark.parametrize("score", ["additive", "dot", "general", "scaled_dot"])
def test_outputs_match_the_formulas(score: str, lags: int) -> None:
    layer = CopyAttention(lags, num_heads=3, score=score, units=4, period=2, name="copy")
    call(layer)
    with_random_weights(layer)
    known = copy_attention(score, QUERY, MEMORY, VALUES, OBSERVED, MASK, weights_of(layer))
    for part, expected in zip(call(layer), known, strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-5)


def test_padding_has_no_weight_and_an_empty_row_gives_zero() -> None:
    layer = with_random_weights(lag_only(6, 1))
    context, copied, weights = call(layer)
    assert not weights[~np.broadcast_to(MASK[:, None, None], weights.shape)].any()
    np.testing.assert_allclose(weights[:3].sum(-1), 1, atol=1e-6)
    assert not any(part[3].any() for part in (context, copied, weights))


@on_tensorflow
@pytest.mark.parametrize("content", [np.nan, np.inf, 1e30])
def test_unobserved_values_have_no_effect_and_no_gradient(content: float) -> None:
    import tensorflow as tf

    layer = with_random_weights(lag_only(6, 1))
    known = call(layer)
    changed = tf.Variable(np.where(OBSERVED > 0, VALUES, np.float32(content)))
    with tf.GradientTape() as tape:
        _, copied = layer(QUERY, MEMORY, changed, OBSERVED, memory_mask=MASK)
        loss = tf.reduce_sum(copied**2)
    np.testing.assert_array_equal(copied, known[1])
    gradients = tape.gradient(loss, [changed, layer.lag_bias.value, layer.gain.value])
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    observed = MASK[:, :, None] * OBSERVED > 0
    assert not np.asarray(gradients[0])[~observed].any()
    assert not call(layer, values=changed)[1][1, :, 0].any(), "an element without observations is 0"


def test_all_weight_on_the_last_season_is_the_seasonal_naive_forecast() -> None:
    period, layer = 3, lag_only(6, 3)
    bias = np.full(layer.lag_bias.shape, -1e4)
    for query in range(QUERIES):
        bias[(period - 1 - query) % period, :, query] = 0
    layer.lag_bias.assign(bias)
    copied = call(layer, observed=None)[1]
    for row, length in enumerate(LENGTHS):
        if length >= period:
            season = VALUES[row, length - period : length]
            np.testing.assert_array_equal(copied[row], [season[query % period] for query in range(QUERIES)])


def test_equal_weights_give_the_mean_of_the_observed_values() -> None:
    copied = call(lag_only(6, 1))[1]
    for row, element in np.ndindex(len(VALUES), VALUES.shape[2]):
        known = [VALUES[row, key, element] for key in range(LENGTHS[row]) if OBSERVED[row, key, element]]
        mean = np.mean(known) if known else 0
        np.testing.assert_allclose(copied[row, :, element], np.full(QUERIES, mean), rtol=1e-5)


def test_initial_weights_prefer_patches_in_phase() -> None:
    weights = call(lag_only(6, 2))[2]
    # Three of six keys are in phase with each query and get e^3 times the weight of the others.
    in_phase = np.array([[(5 - key + query + 1) % 2 == 0 for key in range(6)] for query in range(QUERIES)])
    expected = np.where(in_phase, 1.0, np.exp(-3))
    np.testing.assert_allclose(weights[1, 0], expected / expected.sum(-1, keepdims=True), rtol=1e-5)


def test_observed_defaults_to_all_and_may_be_boolean() -> None:
    layer = with_random_weights(lag_only(6, 1))
    for part, known in zip(call(layer, observed=None), call(layer, observed=np.ones_like(VALUES)), strict=True):
        np.testing.assert_array_equal(part, known)
    for part, known in zip(call(layer, observed=OBSERVED > 0), call(layer), strict=True):
        np.testing.assert_array_equal(part, known)


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(ConfigError, match="additive, concat, cosine, dot"):
        CopyAttention(3, score="none")


def test_dropout_acts_on_copied_values_only() -> None:
    rng, draws = np.random.default_rng(0), 400
    query, memory, values = (rng.normal(size=shape).astype("float32") for shape in ((8, 3, 4), (8, 5, 6), (8, 5, 2)))
    layer = CopyAttention(lags=5, num_heads=2, units=4, dropout=0.5)
    repeated = [np.repeat(x, draws, 0) for x in (query, memory, values)]
    known, dropped = (
        outputs(layer(*repeated, return_attention_scores=True, training=training)) for training in (False, True)
    )
    np.testing.assert_array_equal(dropped[0], known[0])
    np.testing.assert_array_equal(dropped[2], known[2])
    copied, expected = dropped[1].reshape(8, draws, 3, 2), known[1][::draws]
    assert np.abs(copied[:, 0] - expected).max() > 0.05
    mean = copied.mean(1)
    np.testing.assert_allclose(mean, expected, atol=0.25)
    assert np.abs(mean - expected).mean() < 0.03


def test_the_only_observed_patch_is_copied_however_small_its_weight() -> None:
    for dtype, gap in (("float32", 16.0), ("mixed_float16", 16.0), ("mixed_float16", 18.0), ("mixed_float16", 60.0)):
        layer = CopyAttention(2, num_heads=1, score="dot", units=1, dtype=dtype)
        query, memory = np.ones((1, 1, 1), "float32"), np.array([[[gap], [0.0]]], "float32")
        values, observed = np.array([[[7.0], [5.0]]], "float32"), np.array([[[0.0], [1.0]]], "float32")
        layer(query, memory, values, observed)
        for weight in layer.weights:
            weight.assign(np.zeros(weight.shape) if "lag_bias" in weight.path else np.ones(weight.shape))
        copied = outputs(layer(query, memory, values, observed)[1])[0]
        np.testing.assert_allclose(copied, [[[5.0]]], rtol=1e-3)
