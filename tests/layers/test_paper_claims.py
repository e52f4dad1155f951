"""Claims of the attention papers, verified on synthetic data with fixed seeds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras_help import on_tensorflow, outputs
from numpy_reference import Array, softmax

from tsattn.layers import Attention, AttentionDecoder, AttentionPooling, BahdanauAttention


def gradient_at_the_first_step(layer: Any, x: Array) -> float:
    """Return the norm of the gradient of a layer's output with respect to the first step of a sequence."""
    import tensorflow as tf

    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = tf.reduce_sum(layer(inputs) ** 2)
    return float(np.linalg.norm(tape.gradient(result, inputs).numpy()[:, 0]))


@on_tensorflow
def test_the_gradient_at_the_first_step_vanishes_through_an_rnn_and_not_through_attention() -> None:
    keras.utils.set_random_seed(0)
    lengths = (10, 40, 160)
    rnn = keras.layers.LSTM(32)
    pooling = AttentionPooling(32)
    sequences = [np.random.default_rng(0).normal(size=(8, length, 32)).astype("float32") for length in lengths]
    through_rnn, through_attention = (
        [gradient_at_the_first_step(layer, x) for x in sequences] for layer in (rnn, pooling)
    )
    # Through a mean of T steps it falls with 1/T^2, as the mean itself falls with 1/T; through an LSTM exponentially.
    assert through_rnn[1] < 1e-3 * through_rnn[0] and through_rnn[2] < 1e-9 * through_rnn[0]
    assert through_attention[2] > through_attention[0] / 16**2


@pytest.mark.parametrize("width", [16, 256])
def test_dot_products_grow_with_the_size_unless_scaled(width: int) -> None:
    rng = np.random.default_rng(0)
    query, key = (rng.normal(size=(1, n, width)).astype("float32") for n in (400, 400))
    products = query[0] @ key[0].T
    assert products.var() == pytest.approx(width, rel=0.1)
    weights = {name: outputs(Attention(name)(query, key, return_attention_scores=True))[1][0] for name in SCALED}
    np.testing.assert_allclose(weights["scaled_dot"], softmax(products / np.sqrt(width)), atol=1e-5)
    np.testing.assert_allclose(weights["dot"], softmax(products), atol=1e-5)
    # The diagonal of the softmax's Jacobian is w (1 - w): near 0 if one weight is near 1.
    slopes = {name: float((part * (1 - part)).sum(-1).mean()) for name, part in weights.items()}
    assert slopes["scaled_dot"] > 0.95
    assert width < 100 or slopes["dot"] < 0.3 * slopes["scaled_dot"]


SCALED = ("dot", "scaled_dot")


def reversal(length: int, attention: Attention | None, epochs: int) -> float:
    """Return the unexplained variance ratio of an encoder-decoder trained to reverse a sequence."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((length, 1))
    encoded, state = keras.layers.GRU(48, return_sequences=True, return_state=True)(inputs)
    decoder = AttentionDecoder(keras.layers.GRUCell(48), length, 1, attention, teacher_forcing=0.0)
    model = keras.Model(inputs, decoder(encoded, initial_state=[state]))
    # Without clipped gradients, the training leaves its optimum with some initial weights.
    model.compile(keras.optimizers.Adam(3e-3, clipnorm=1.0), "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    x, held_out = (rng.normal(size=(n, length, 1)).astype("float32") for n in (4096, 512))
    model.fit(x, x[:, ::-1], batch_size=64, epochs=epochs, verbose=0)
    return float(model.evaluate(held_out, held_out[:, ::-1], verbose=0) / held_out.var())


@pytest.mark.slow
@pytest.mark.release
def test_reversal_of_long_sequences_needs_attention() -> None:
    without = [reversal(length, None, 12) for length in (4, 24)]
    attended = reversal(24, BahdanauAttention(48), 12)
    assert without[0] < 0.02 and without[1] > 0.3
    assert attended < 0.1 * without[1]


@pytest.mark.parametrize("units", [None, 8])
def test_the_number_of_weights_does_not_depend_on_the_length(units: int | None) -> None:
    counts: dict[int, list[int]] = {}
    for length in (5, 500):
        x = keras.KerasTensor((1, length, 8))
        layers = [Attention("additive", units), Attention("dot", units, "coverage"), AttentionPooling(units, 2)]
        for layer in layers:
            layer(x, x) if isinstance(layer, Attention) else layer(x)
        counts[length] = [layer.count_params() for layer in layers]
    assert counts[5] == counts[500]
