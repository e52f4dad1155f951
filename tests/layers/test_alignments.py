"""Alignments compared with the formulas of their papers, and step by step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs, with_random_weights
from numpy_reference import Array, local_p, monotonic, scores, sigmoid, softmax

from tsattn.errors import ConfigError
from tsattn.layers import (
    Alignment,
    Attention,
    BahdanauAttention,
    CoverageAlignment,
    HardmaxAlignment,
    LocalAlignment,
    LuongAttention,
    MonotonicAlignment,
)
from tsattn.layers.alignments import ALIGNMENTS, linear_recurrence

LENGTHS = (4, 7)
MASK = np.arange(7) < np.array(LENGTHS)[:, None]


def normal(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


QUERY, VALUE = normal(2, 5, 3), normal(2, 7, 3) * 1.5


def attended(alignment: Any, **options: Any) -> tuple[Attention, Array, Array]:
    """Return a dot attention with random weights, the unaligned scores and the attention weights."""
    layer = Attention("dot", alignment=alignment)
    layer(QUERY, VALUE)
    with_random_weights(layer)
    context, weights = outputs(layer(QUERY, VALUE, value_mask=MASK, return_attention_scores=True, **options))
    np.testing.assert_allclose(context, weights @ VALUE, atol=1e-5)
    return layer, scores("dot", QUERY, VALUE, {}), weights


def rows(weights: Array) -> list[Array]:
    """Return the valid weights of each row, after a check that the others are 0."""
    assert not weights[0, :, LENGTHS[0] :].any()
    return [weights[row, :, :length] for row, length in enumerate(LENGTHS)]


@pytest.mark.parametrize("window", [1, 2.5, 10])
def test_local_matches_luong_et_al(window: float) -> None:
    layer, scored, weights = attended(LocalAlignment(window))
    kernel, vector = (np.asarray(weight.numpy(), float) for weight in layer.alignment.weights)
    for row, found in enumerate(rows(weights)):
        known = local_p(scored[row, :, : LENGTHS[row]], QUERY[row], kernel, vector, window)
        np.testing.assert_allclose(found, known, atol=1e-5)


def test_monotonic_matches_raffel_et_al() -> None:
    layer, scored, weights = attended("monotonic")
    bias = float(layer.alignment.bias.numpy())
    for row, found in enumerate(rows(weights)):
        np.testing.assert_allclose(found, monotonic(sigmoid(scored[row, :, : LENGTHS[row]] + bias)), atol=1e-6)


def test_hard_monotonic_stops_at_the_first_positive_score_and_never_goes_back() -> None:
    layer, scored, weights = attended(MonotonicAlignment(hard=True))
    positive = scored + float(layer.alignment.bias.numpy()) > 0
    for row, found in enumerate(rows(weights)):
        position: int | None = 0
        for query, weight in enumerate(found):
            stops = [] if position is None else [j for j in range(position, LENGTHS[row]) if positive[row, query, j]]
            position = stops[0] if stops else None
            np.testing.assert_array_equal(weight, np.arange(LENGTHS[row]) == (-1 if position is None else position))


def test_monotonic_weights_are_accurate_after_many_likely_stops() -> None:
    # The paper's quotient of cumulative products is 0 / 0 after about 40 stops of probability 0.9.
    stop = np.full((3, 300), 0.9)
    stop[1, :200] = 1e-4
    layer = Attention("dot", alignment=MonotonicAlignment(initial_bias=0.0))
    query, value = np.eye(3, dtype="float32")[None], np.log(stop / (1 - stop)).T[None].astype("float32")
    weights = outputs(layer(query, value, return_attention_scores=True))[1][0]
    np.testing.assert_allclose(weights, monotonic(stop), rtol=1e-4, atol=1e-9)
    assert weights[2, 200:].sum() > 0.9


@pytest.mark.parametrize("steps", [1, 2, 7, 64, 100])
def test_linear_recurrence_matches_a_loop(steps: int) -> None:
    rng = np.random.default_rng(steps)
    factor, added = rng.uniform(0, 1, (2, 3, steps)), rng.normal(size=(2, 3, steps))
    known, last = np.zeros_like(added), 0.0
    for j in range(steps):
        known[..., j] = last = factor[..., j] * last + added[..., j]
    result = linear_recurrence(*(keras.ops.convert_to_tensor(x, "float32") for x in (factor, added)))
    np.testing.assert_allclose(outputs(result)[0], known, atol=1e-5)


@pytest.mark.parametrize("cumulative", [True, False])
def test_coverage_adds_previous_weights_to_the_keys(cumulative: bool) -> None:
    layer, _, weights = attended(CoverageAlignment(3, cumulative))
    (kernel,) = (np.asarray(weight.numpy(), float)[:, 0] for weight in layer.alignment.weights)  # [3, size]
    for row, found in enumerate(rows(weights)):
        count, previous = LENGTHS[row], np.zeros(LENGTHS[row])
        for query, weight in enumerate(found):
            padded = np.pad(previous, 1)
            keys = VALUE[row, :count] + np.stack([padded[j : j + 3] @ kernel for j in range(count)])
            known = softmax(keys @ QUERY[row, query].astype(float))
            np.testing.assert_allclose(weight, known, atol=1e-5)
            previous = previous + known if cumulative else known


def test_coverage_with_the_additive_score_is_location_sensitive_attention() -> None:
    layer = Attention("additive", 4, CoverageAlignment(1))
    layer(QUERY, VALUE)
    with_random_weights(layer)
    paths = {weight.path.split("/", 1)[1]: np.asarray(weight.numpy(), float) for weight in layer.weights}
    w, u, v, b = (paths[x] for x in ("query_projection/kernel", "key_projection/kernel", "score_vector", "score_bias"))
    location = next(x for path, x in paths.items() if "location" in path)[0, 0]
    weights = outputs(layer(QUERY, VALUE, return_attention_scores=True))[1]
    previous = np.zeros(7)
    for query in range(5):
        hidden = QUERY[0, query] @ w + VALUE[0] @ u + previous[:, None] * location + b
        np.testing.assert_allclose(weights[0, query], softmax(np.tanh(hidden) @ v), atol=1e-5)
        previous = previous + weights[0, query]


def test_hardmax_selects_the_highest_score_and_trains_straight_through() -> None:
    _, scored, weights = attended("hardmax")
    for row, found in enumerate(rows(weights)):
        best = scored[row, :, : LENGTHS[row]].argmax(-1)
        np.testing.assert_array_equal(found, np.eye(LENGTHS[row])[best])
    hard, soft = Attention("general", alignment=HardmaxAlignment()), Attention("general")
    for layer in (hard, soft):
        layer(QUERY, VALUE)
        with_random_weights(layer)
    trained = [outputs(layer(QUERY, VALUE, training=True))[0] for layer in (hard, soft)]
    assert not np.allclose(*trained, atol=1e-2)


@pytest.mark.parametrize("alignment", list(ALIGNMENTS))
def test_steps_match_a_single_call(alignment: str) -> None:
    layer = Attention("additive", 4, alignment)
    known = outputs(layer(QUERY, VALUE, value_mask=MASK, return_attention_scores=True))
    memory = layer.setup_memory(VALUE, mask=MASK)
    state = layer.initial_state(memory)
    for query in range(5):
        context, weights, state = layer.step(QUERY[:, query], memory, state)
        np.testing.assert_allclose(outputs(context)[0], known[0][:, query], atol=1e-6)
        np.testing.assert_allclose(outputs(weights)[0], known[1][:, query], atol=1e-6)


@pytest.mark.parametrize("alignment", ["monotonic", "coverage"])
def test_a_masked_query_does_not_affect_later_ones(alignment: str) -> None:
    layer = Attention("dot", alignment=alignment)
    layer(QUERY, VALUE)
    keep = np.array([True, False, True, True, True])
    masked = outputs(layer(QUERY, VALUE, query_mask=np.tile(keep, (2, 1))))[0]
    np.testing.assert_allclose(masked[:, keep], outputs(layer(QUERY[:, keep], VALUE))[0], atol=1e-6)
    assert not masked[:, ~keep].any()


def test_causal_queries_attend_to_no_later_key() -> None:
    for alignment in ALIGNMENTS:
        layer = Attention("dot", alignment=alignment)
        weights = outputs(layer(VALUE, VALUE, use_causal_mask=True, return_attention_scores=True))[1]
        assert not np.triu(weights, 1).any()
        assert (weights.sum((0, 2))[:3] > 0).all()


def test_noise_is_sampled_in_training_only() -> None:
    layer = Attention("dot", alignment=MonotonicAlignment(noise_stddev=2.0))
    quiet = outputs(layer(QUERY, VALUE))[0]
    np.testing.assert_array_equal(outputs(layer(QUERY, VALUE))[0], quiet)
    noisy = [outputs(layer(QUERY, VALUE, training=True))[0] for _ in range(2)]
    assert not np.allclose(noisy[0], quiet, atol=1e-2) and not np.allclose(*noisy, atol=1e-2)


def test_bahdanau_and_luong_attention_match_the_general_layer() -> None:
    pairs: list[tuple[Attention, Attention]] = [
        (BahdanauAttention(4), Attention("additive", 4)),
        (BahdanauAttention(4, normalize=True, alignment="local"), Attention("normalized_additive", 4, "local")),
        (LuongAttention(), Attention("general")),
        (LuongAttention("dot", units=4), Attention("dot", 4)),
        (LuongAttention("concat", alignment="monotonic"), Attention("concat", alignment="monotonic")),
        (LuongAttention(scale=True), Attention("scaled_general")),
    ]
    for named, general in pairs:
        for layer in (named, general):
            layer(QUERY, VALUE)
            with_random_weights(layer)
        one, other = (outputs(layer(QUERY, VALUE, value_mask=MASK))[0] for layer in (named, general))
        np.testing.assert_array_equal(one, other)


def test_projected_values() -> None:
    layer = Attention("dot", value_units=6)
    context, weights = outputs(layer(QUERY, VALUE, value_mask=MASK, return_attention_scores=True))
    (kernel,) = (np.asarray(weight.numpy(), float) for weight in layer.weights)
    np.testing.assert_allclose(context, weights @ (VALUE @ kernel), atol=1e-5)


def test_a_custom_alignment() -> None:
    @keras.saving.register_keras_serializable(package="test")
    class Last(Alignment):
        def align(self, inputs: Any, state: Any) -> Any:
            count = keras.ops.sum(keras.ops.cast(inputs.mask, "int32"), -1)
            last = keras.ops.one_hot(count - 1, keras.ops.shape(inputs.scores)[-1])
            return keras.ops.broadcast_to(last, keras.ops.shape(inputs.scores)), state

    layer = Attention("dot", alignment=Last())
    known = np.stack([np.tile(VALUE[row, length - 1], (5, 1)) for row, length in enumerate(LENGTHS)])
    np.testing.assert_allclose(outputs(layer(QUERY, VALUE, value_mask=MASK))[0], known, atol=1e-6)
    twin = Attention.from_config(layer.get_config())
    np.testing.assert_allclose(outputs(twin(QUERY, VALUE, value_mask=MASK))[0], known, atol=1e-6)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="alignment must be one of softmax, hardmax, local, monotonic, coverage"):
        Attention(alignment="monotone")
    with pytest.raises(ConfigError, match=r"window of a local alignment must be 1 or more. Received: window=0.5"):
        LocalAlignment(0.5)
    with pytest.raises(ConfigError, match="general, dot or concat"):
        LuongAttention("additive")
    with pytest.raises(ConfigError, match="scale requires the general score"):
        LuongAttention("dot", scale=True)
