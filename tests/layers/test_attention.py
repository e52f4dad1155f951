"""Attention and pooling compared with the formulas of the papers, Keras and PyTorch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs, with_random_weights
from layer_cases import SCORE_NAMES
from numpy_reference import scores, softmax

from tsattn.errors import ConfigError
from tsattn.layers import Attention, AttentionPooling, CoverageAlignment, register_score
from tsattn.layers.attention_scores import SCORES

LENGTHS = np.array([3, 6, 1])
MASK = np.arange(6) < LENGTHS[:, None]


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).normal(size=shape).astype("float32")


def weights_of(layer: Attention) -> dict[str, np.ndarray[Any, Any]]:
    """Return the weights by their names in the formulas."""
    names = {
        "query_projection/kernel": "W",
        "key_projection/kernel": "U",
        "score_vector": "v",
        "score_bias": "b",
        "score_kernel": "M",
        "score_gain": "g",
        "score_log_scale": "log s",
    }
    ends = {weight.path.removeprefix(layer.name + "/"): weight for weight in layer.weights}
    return {names[end]: np.asarray(weight.numpy(), dtype=float) for end, weight in ends.items()}


@pytest.mark.parametrize("units", [None, 4])
@pytest.mark.parametrize("score", SCORE_NAMES)
def test_scores_match_the_formulas(score: str, units: int | None) -> None:
    layer = Attention(score, units, name="attention")
    query, value = normal(3, 2, 5 if units is None else 7), normal(3, 6, 5)
    layer(query, value)
    with_random_weights(layer)
    context, weights = outputs(layer(query, value, value_mask=MASK, return_attention_scores=True))
    known = softmax(scores(score, query, value, weights_of(layer)), MASK[:, None])
    np.testing.assert_allclose(weights, known, atol=1e-6)
    np.testing.assert_allclose(context, known @ value, atol=1e-5)
    assert (weights[~np.broadcast_to(MASK[:, None], weights.shape)] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    assert set(SCORES) == set(SCORE_NAMES)


def test_general_score_of_query_and_key_of_different_sizes() -> None:
    layer = Attention("general", name="attention")
    query, key, value = normal(2, 3, 4), normal(2, 6, 5), normal(2, 6, 2)
    layer(query, value, key)
    with_random_weights(layer)
    known = softmax(scores("general", query, key, weights_of(layer))) @ value
    np.testing.assert_allclose(outputs(layer(query, value, key))[0], known, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_dot_score_matches_keras(causal: bool) -> None:
    query, value, key = normal(3, 6, 5), normal(3, 6, 4), normal(3, 6, 5) / 2
    known = keras.layers.Attention(score_mode="dot")([query, value, key], use_causal_mask=causal)
    result = Attention("dot")(query, value, key, use_causal_mask=causal)
    np.testing.assert_allclose(outputs(result)[0], outputs(known)[0], atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_scaled_dot_matches_pytorch(causal: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    query, value, key = normal(3, 6, 5), normal(3, 6, 4), normal(3, 6, 5) / 2
    keep = MASK[:, None] & np.tril(np.ones((6, 6), bool)) if causal else np.repeat(MASK[:, None], 6, 1)
    known = torch.nn.functional.scaled_dot_product_attention(*(torch.tensor(x) for x in (query, key, value, keep)))
    result = outputs(Attention("scaled_dot")(query, value, key, value_mask=MASK, use_causal_mask=causal))[0]
    np.testing.assert_allclose(result, known.numpy(), atol=1e-5)


def test_causal_and_padded_steps_have_no_weight() -> None:
    query = normal(3, 6, 5)
    _, weights = outputs(
        Attention("dot")(query, query, value_mask=MASK, use_causal_mask=True, return_attention_scores=True)
    )
    for row, length in enumerate(LENGTHS):
        visible = np.tril(np.ones((6, 6))) * (np.arange(6) < length)
        assert ((weights[row] > 0) == (visible > 0)).all()
        np.testing.assert_allclose(weights[row].sum(-1), 1, atol=1e-6)


def test_large_scores_neither_overflow_nor_reach_padding() -> None:
    # Many layers replace masked scores by -1e9: with lower scores all weight would go to the padding.
    value = np.full((3, 6, 5), 1e5, dtype="float32")
    _, weights = outputs(Attention("dot")(-value, value, value_mask=MASK, return_attention_scores=True))
    np.testing.assert_allclose(weights[:, 0], MASK / LENGTHS[:, None], atol=1e-6)


def test_dropout_acts_in_training_only() -> None:
    layer, x = Attention("dot", dropout=0.5), normal(3, 6, 5)
    plain = outputs(layer(x, x))[0]
    np.testing.assert_array_equal(plain, outputs(Attention("dot")(x, x))[0])
    assert not np.allclose(plain, outputs(layer(x, x, training=True))[0])


def test_the_implicit_mask_of_keras_is_used() -> None:
    value = np.concatenate([normal(3, 6, 5), np.zeros((3, 2, 5))], 1).astype("float32")
    masked = keras.layers.Masking(0.0)(value)
    query = normal(3, 2, 5)
    result, known = Attention("dot")(query, masked), Attention("dot")(query, value[:, :6])
    np.testing.assert_allclose(outputs(result)[0], outputs(known)[0], atol=1e-6)


def test_query_mask_is_propagated_and_key_mask_is_used() -> None:
    values = np.concatenate([normal(3, 4, 5), np.zeros((3, 3, 5))], 1).astype("float32")
    masked = keras.layers.Masking(0.0)
    context = Attention("dot")(masked(values), normal(3, 6, 5))
    pooled = AttentionPooling(name="a")(context)
    assert keras.ops.convert_to_numpy(context._keras_mask).sum() == 12
    weights = outputs(AttentionPooling()(context, return_attention_scores=True))[1]
    assert not weights[:, 4:].any() and pooled.shape == (3, 5)
    query, value = normal(3, 2, 5), normal(3, 7, 5)
    weights = outputs(Attention("dot")(query, value, masked(values), return_attention_scores=True))[1]
    assert not weights[:, :, 4:].any() and (weights[:, :, :4] > 0).all()


def test_masks_as_positional_arguments() -> None:
    query, value = keras.Input((None, 5)), keras.Input((None, 5))
    masks = [keras.Input((None,), dtype="bool") for _ in range(2)]
    model = keras.Model([query, value, *masks], Attention("dot")(query, value, value, *masks))
    arrays = [normal(3, 6, 5), normal(3, 6, 5), MASK, MASK]
    known = Attention("dot")(*arrays[:2], query_mask=MASK, value_mask=MASK)
    np.testing.assert_allclose(outputs(model(arrays))[0], outputs(known)[0], atol=1e-6)


@pytest.mark.parametrize(("alignment", "jit"), [("softmax", True), ("local", True), ("monotonic", False)])
def test_supports_jit_is_false_where_xla_cannot_train(alignment: str, jit: bool) -> None:
    layer = Attention(alignment=alignment)
    assert layer.supports_jit == (jit or keras.backend.backend() != "tensorflow")


def test_invalid_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"query must have the shape \(batch, time, features\): x\[:, None\]"):
        Attention("dot")(normal(3, 5), normal(3, 6, 5))
    with pytest.raises(ConfigError, match=r"pooling must have the shape .*TimeDistributed.*\(3, 2, 6, 5\)"):
        AttentionPooling()(normal(3, 2, 6, 5))
    with pytest.raises(ConfigError, match=r"num_heads must be 1 or more. Received: num_heads=0"):
        AttentionPooling(num_heads=0)
    with pytest.raises(ConfigError, match="setup_memory requires a built layer"):
        Attention("dot").setup_memory(normal(3, 6, 5))
    with pytest.raises(ConfigError, match=r"alignment must have the compute dtype .*float32 in a layer of float16"):
        Attention("dot", alignment=CoverageAlignment(), dtype="mixed_float16")


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="additive, concat, cosine, dot, general, normalized_additive"):
        Attention("bahdanau")
    with pytest.raises(ConfigError, match=r"set units .* query size 4, key size 5"):
        Attention("dot")(normal(2, 3, 4), normal(2, 3, 5))


def test_a_custom_score() -> None:
    @register_score("minus_distance")
    def minus_distance(query: Any, key: Any) -> Any:
        return -keras.ops.sum((query[:, :, None] - key[:, None]) ** 2, -1)

    try:
        query, value = normal(2, 3, 4), normal(2, 6, 4)
        _, weights = outputs(Attention("minus_distance")(query, value, return_attention_scores=True))
        known = softmax(-((query[:, :, None] - value[:, None]) ** 2).sum(-1))
        np.testing.assert_allclose(weights, known, atol=1e-6)
    finally:
        del SCORES["minus_distance"]


@pytest.mark.parametrize("units", [None, 3])
def test_pooling_matches_yang_et_al(units: int | None) -> None:
    layer, x = AttentionPooling(units), normal(3, 6, 5)
    layer(x)
    with_random_weights(layer)
    kernel, bias, (context,) = (weight.numpy() for weight in layer.weights)
    importance = np.einsum("btu,u->bt", np.tanh(np.einsum("btf,fu->btu", x, kernel) + bias), context)
    known = softmax(importance, MASK)
    pooled, weights = outputs(layer(x, mask=MASK, return_attention_scores=True))
    np.testing.assert_allclose(weights, known, atol=1e-6)
    np.testing.assert_allclose(pooled, np.einsum("bt,btf->bf", known, x), atol=1e-5)
    assert (weights[~MASK] == 0).all()


def test_pooling_weights_do_not_depend_on_the_length() -> None:
    layer = AttentionPooling(3)
    layer(normal(2, 6, 5))
    assert layer.count_params() == 5 * 3 + 3 + 3
    assert outputs(layer(normal(2, 50, 5)))[0].shape == (2, 5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("score", SCORE_NAMES)
def test_step_computes_in_the_dtype_of_the_layer(score: str, policy: str) -> None:
    layer, query, value = Attention(score, units=4, dtype=policy), normal(3, 2, 5), normal(3, 6, 7)
    whole = layer(query, value, value_mask=MASK)
    memory = layer.setup_memory(value, mask=MASK)
    context, weights, _ = layer.step(query[:, 1], memory, layer.initial_state(memory))
    kinds = {keras.backend.standardize_dtype(x.dtype) for x in (*memory[:2], context, weights)}
    assert kinds == {layer.compute_dtype}
    np.testing.assert_array_equal(*outputs((context, whole[:, 1])))


def test_a_function_as_initializer() -> None:
    def ones(shape: Any, dtype: Any = None) -> Any:
        return keras.ops.ones(shape, dtype)

    value = normal(3, 6, 7)
    for layer in (
        Attention("general", units=2, kernel_initializer=ones),
        AttentionPooling(units=2, kernel_initializer=ones),
    ):
        output = outputs(layer(value, value) if isinstance(layer, Attention) else layer(value))[0]
        assert np.isfinite(output).all()
