"""Properties of every score and alignment, for random shapes and padding."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_help import outputs, with_random_weights
from layer_cases import SCORE_NAMES
from numpy_reference import Array

from tsattn.layers import Attention, AttentionPooling
from tsattn.layers.alignments import ALIGNMENTS

PROPERTY = settings(max_examples=40, deadline=None, derandomize=True)
# The fast tests try every score with one alignment and every alignment with one score.
PAIRS = [
    pytest.param(
        score,
        alignment,
        marks=[pytest.mark.slow] * (score != "additive" and alignment != "softmax"),
        id=f"{score}-{alignment}",
    )
    for score in SCORE_NAMES
    for alignment in ALIGNMENTS
]
SUMS_TO_ONE = ("softmax", "coverage", "hardmax")

sizes = st.integers(1, 6)
garbage = st.sampled_from([0.0, 1e4, -3e38, np.inf, np.nan])


@st.composite
def padded(draw: Any) -> tuple[Array, Array, Array, Array]:
    """Queries, values, a mask with gaps anywhere, and the values with garbage where it is False."""
    batch, queries, keys, size = draw(st.integers(1, 3)), draw(sizes), draw(st.integers(1, 9)), draw(sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1e-3, 1.0, 30.0]))
    query, value = (scale * rng.normal(size=(batch, n, size)).astype("float32") for n in (queries, keys))
    mask = rng.random((batch, keys)) < draw(st.sampled_from([0.0, 0.5, 0.9]))
    return query, value, mask, np.where(mask[..., None], value, np.float32(draw(garbage)))


def make_attention(
    score: str, alignment: str, query: Array, value: Array, units: int | None, dtype: str = "float32"
) -> Attention:
    layer = Attention(score, units, alignment, dtype=dtype)
    layer(query, value)
    return with_random_weights(layer)


@PROPERTY
@given(padded(), st.sampled_from(SCORE_NAMES), st.sampled_from(list(ALIGNMENTS)), st.sampled_from([None, 3]))
def test_padding_has_no_effect(arrays: Any, score: str, alignment: str, units: int | None) -> None:
    query, value, mask, filled = arrays
    layer = make_attention(score, alignment, query, value, units)
    context, weights = outputs(layer(query, filled, value_mask=mask, return_attention_scores=True))
    assert np.isfinite(context).all() and np.isfinite(weights).all()
    assert (weights >= 0).all() and (weights.sum(-1) <= 1 + 1e-5).all()
    assert not weights[~np.broadcast_to(mask[:, None], weights.shape)].any()
    empty = ~mask.any(-1)
    assert not context[empty].any() and not weights[empty].any()
    if alignment in SUMS_TO_ONE:
        np.testing.assert_allclose(weights[~empty].sum(-1), 1, atol=1e-5)
    for row in np.flatnonzero(~empty):
        alone, seen = outputs(
            layer(query[row : row + 1], value[row : row + 1, mask[row]], return_attention_scores=True)
        )
        size = np.abs(value[row]).max()
        if alignment == "coverage":  # a kernel of one key has no neighbors, so that removing masked keys is exact
            assert layer.alignment.kernel_size == 1
        np.testing.assert_allclose(weights[row][:, mask[row]], seen[0], atol=1e-4)
        np.testing.assert_allclose(context[row], alone[0], atol=1e-4 * max(size, 1))


@PROPERTY
@given(padded(), st.sampled_from(["dot", "additive", "cosine"]), st.integers(1, 3))
def test_padding_has_no_effect_on_pooling(arrays: Any, score: str, heads: int) -> None:
    _, value, mask, filled = arrays
    layer = AttentionPooling(4, heads, score)
    layer(value)
    with_random_weights(layer)
    pooled, weights = outputs(layer(filled, mask=mask, return_attention_scores=True))
    weights = weights.reshape(len(value), heads, -1)
    assert np.isfinite(pooled).all() and (weights >= 0).all()
    assert not weights[~np.broadcast_to(mask[:, None], weights.shape)].any()
    for row, valid in enumerate(mask):
        if valid.any():
            alone = outputs(layer(value[row : row + 1, valid]))[0]
            np.testing.assert_allclose(pooled[row], alone[0], atol=1e-4 * max(np.abs(value).max(), 1))
            np.testing.assert_allclose(weights[row].sum(-1), 1, atol=1e-5)
        else:
            assert not pooled[row].any()


def gradients(layer: keras.layers.Layer, *inputs: Array, **options: Any) -> list[Array]:
    """Return the gradients of the output's sum of squares with respect to all inputs and weights."""
    backend = keras.backend.backend()
    variables = layer.trainable_variables
    if backend == "tensorflow":
        import tensorflow as tf

        given = [tf.constant(x) for x in inputs]
        with tf.GradientTape() as tape:
            tape.watch(given)
            loss = tf.reduce_sum(layer(*given, **options) ** 2)
        return [np.asarray(x) for x in tape.gradient(loss, [*given, *(v.value for v in variables)]) if x is not None]
    if backend == "jax":
        import jax

        def loss_of(given: Any, weights: Any) -> Any:
            result, _ = layer.stateless_call(
                weights, [v.value for v in layer.non_trainable_variables], *given, **options
            )
            return (result**2).sum()

        found = jax.grad(loss_of, argnums=(0, 1))(list(inputs), [v.value for v in variables])
        return [np.asarray(x) for x in jax.tree.leaves(found)]
    import torch

    given = [torch.tensor(x, requires_grad=True) for x in inputs]
    (layer(*given, **options) ** 2).sum().backward()
    found = [*(x.grad for x in given), *(v.value.grad for v in variables)]
    return [x.detach().numpy() for x in found if x is not None]


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize(("score", "alignment"), PAIRS)
def test_gradients_are_finite(score: str, alignment: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    query, value = (rng.normal(size=(3, n, 4)).astype("float32") for n in (2, 5))
    query[1, 0] = value[1, 0] = 0  # such as the initial state of a decoder
    mask = np.arange(5) < np.array([0, 3, 5])[:, None]
    filled = np.where(mask[..., None], value, np.float32(np.nan))
    layer = make_attention(score, alignment, query, value, 3, dtype)
    for gradient in gradients(layer, query, filled, value_mask=mask):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() < 1e4


@pytest.mark.parametrize("score", SCORE_NAMES)
def test_gradients_of_pooling_are_finite(score: str) -> None:
    value = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    value[1, 0] = 0
    mask = np.arange(5) < np.array([0, 3, 5])[:, None]
    pooling = AttentionPooling(3, 2, score)
    pooling(value)
    with_random_weights(pooling)
    for gradient in gradients(pooling, np.where(mask[..., None], value, np.float32(np.nan)), mask=mask):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_scores_that_overflow_half_precision_are_large_and_finite(sign: int) -> None:
    query, value = (np.full((1, n, 4), 200.0, "float16") for n in (1, 3))
    value[:, 1] *= sign
    weights = outputs(Attention("dot", dtype="mixed_float16")(query, value, return_attention_scores=True))[1][0, 0]
    np.testing.assert_allclose(weights, [1 / 3] * 3 if sign > 0 else [0.5, 0, 0.5], atol=1e-3)


@pytest.mark.parametrize(("score", "alignment"), PAIRS)
def test_half_precision_is_finite_at_scores_of_ten_thousand(score: str, alignment: str) -> None:
    # Dot products are 1e4, cosines 1, and additive scores the sum of the vector.
    query, value = (np.full((2, n, 4), 50.0, "float16") for n in (2, 5))
    value[:, 1::2] *= -1
    layer = Attention(score, None, alignment, dtype="mixed_float16")
    layer(query, value)
    for weight in layer.weights:
        if weight.path.endswith("/score_vector") or weight.path.endswith("/score_gain"):
            weight.assign(np.full(weight.shape, 50.0))
    mask = np.arange(5) < np.array([0, 4])[:, None]
    context, weights = outputs(layer(query, value, value_mask=mask, return_attention_scores=True))
    assert np.isfinite(context).all() and np.isfinite(weights).all()
    assert (weights >= 0).all() and (weights.astype(float).sum(-1) <= 1 + 1e-2).all()
    assert not context[0].any()
