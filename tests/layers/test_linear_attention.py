"""Linear attention against a loop in NumPy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs, with_random_weights

from tsattn.layers import LinearAttention

Array = np.ndarray[Any, Any]
OPTIONS = [(True, True), (True, False), (False, True), (False, False)]
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(2, 11, 4)).astype("float32")
MASK = np.arange(11) < np.array([11, 6])[:, None]
MASK[0, 3] = False


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def recurrence(layer: LinearAttention, inputs: Array, mask: Array) -> Array:
    """Run the formulas of the docstring step by step in float64."""
    weights = {w.path.split("/", 1)[1]: np.asarray(keras.ops.convert_to_numpy(w), float) for w in layer.weights}
    result = np.zeros((*inputs.shape[:2], weights["out/kernel"].shape[1]))
    for row, history in enumerate(inputs.astype(float)):
        size = weights["value/kernel"].shape[1] // layer.num_heads
        state = np.zeros((layer.num_heads, layer.key_units, size))
        for number, x in enumerate(history):
            if not mask[row, number]:
                continue
            q, k, v = (
                (x @ weights[f"{name}/kernel"]).reshape(layer.num_heads, -1) for name in ("query", "key", "value")
            )
            q, k = (part / np.linalg.norm(part, axis=-1, keepdims=True) for part in (q, k))
            b = sigmoid(x @ weights["strength/kernel"] + weights["strength/bias"])
            a = sigmoid(x @ weights["gate/kernel"] + weights["gate/bias"]) if layer.gated else np.ones(layer.num_heads)
            read = []
            for head in range(layer.num_heads):
                old = a[head] * state[head]
                new = v[head] - (old.T @ k[head] if layer.delta_rule else 0)
                state[head] = old + b[head] * np.outer(k[head], new)
                read.append(state[head].T @ q[head])
            normed = np.stack(read)
            normed = normed / np.sqrt((normed**2).mean(-1, keepdims=True) + 1e-6) * weights["norm/scale"]
            result[row, number] = normed.reshape(-1) @ weights["out/kernel"]
    return result


def make(delta_rule: bool, gated: bool, chunk_size: int = 4) -> LinearAttention:
    layer = LinearAttention(2, 3, 5, 6, delta_rule, gated, chunk_size)
    layer(INPUTS)
    return with_random_weights(layer)


@pytest.mark.parametrize(("delta_rule", "gated"), OPTIONS)
def test_outputs_match_the_recurrence(delta_rule: bool, gated: bool) -> None:
    layer = make(delta_rule, gated)
    known = recurrence(layer, INPUTS, MASK)
    given = np.where(MASK[..., None], INPUTS, np.nan)
    np.testing.assert_allclose(outputs(layer(given, mask=MASK))[0], known, atol=2e-5)


@pytest.mark.parametrize("chunk_size", [1, 3, 64])
def test_the_chunk_size_has_no_effect(chunk_size: int) -> None:
    known, result = (outputs(make(True, True, size)(INPUTS, mask=MASK))[0] for size in (4, chunk_size))
    np.testing.assert_allclose(result, known, atol=2e-5)


@pytest.mark.parametrize(("delta_rule", "gated"), OPTIONS)
def test_steps_match_a_call(delta_rule: bool, gated: bool) -> None:
    layer = make(delta_rule, gated)
    known, state = outputs(layer(INPUTS))[0], layer.initial_state(2)
    for number in range(INPUTS.shape[1]):
        output, state = layer.step(INPUTS[:, number], state)
        np.testing.assert_allclose(outputs(output)[0], known[:, number], atol=2e-5)


def test_equal_keys_are_stable_over_a_long_sequence() -> None:
    # Powers of the triangular matrix of a chunk have entries of 1e18 here, which a series would have to cancel.
    layer = make(True, False, 64)
    inputs = np.repeat(INPUTS[:1, :1], 300, 1) * np.linspace(0.5, 2, 300, dtype="float32")[:, None]
    known = recurrence(layer, inputs, np.ones((1, 300), bool))
    np.testing.assert_allclose(outputs(layer(inputs))[0], known, atol=1e-4)
