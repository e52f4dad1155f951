"""What the layers of the cases compute, to be the same on every Keras backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from case import TIME, Case, normal
from cases import CASES
from keras_help import built, compiled, with_random_weights

from tsattn.layers import Attention, AttentionDecoder, CopyAttention, ForecastDistribution


def compute(case: Case) -> list[Any]:
    """Call the layer of a case with weights that are the same on every backend."""
    layer = with_random_weights(built(case.make(), case.inputs, case.options))
    return compiled(layer, case.options)(case.inputs)


def compute_all(arrays: dict[str, Any]) -> dict[str, Any]:
    """All outputs of all cases, by name and position, and what is no output of a layer with random weights."""
    figures = {f"{case.name}/{i}": part for case in CASES for i, part in enumerate(compute(case))}
    return {
        **figures,
        "dropout_loss": np.array(dropout_losses(4)),
        "start_of_copying": start_of_copying(),
        "counts": quantiles_of_counts(),
    }


def quantiles_of_counts() -> np.ndarray[Any, Any]:
    """Quantiles of negative binomial distributions, which have no gradient: `(1, 4, 1, 3)`."""
    layer = ForecastDistribution("negative_binomial", (0.1, 0.5, 0.9))
    parameters = np.array([[0.3, 0.5], [7.0, 2.0], [60.0, 0.05], [3e4, 0.01]], "float32")[None, :, None]
    return np.asarray(keras.ops.convert_to_numpy(layer(parameters)))


def start_of_copying() -> np.ndarray[Any, Any]:
    """The biases by lag `(lags, heads, queries)` of a fresh layer, for a season of three segments."""
    layer = CopyAttention(lags=7, heads=2, period=3)
    layer(normal(1, 4, 2), normal(1, 5, 2), normal(1, 5, 1))
    return np.asarray(keras.ops.convert_to_numpy(layer.lag_bias))


def dropout_losses(*batch_sizes: int) -> list[float]:
    """Train a decoder with dropout in its cells and its attention, one step for each size of batch."""
    cells = [keras.layers.GRUCell(4, dropout=0.3), keras.layers.LSTMCell(4, recurrent_dropout=0.3)]
    decoder = AttentionDecoder(keras.layers.StackedRNNCells(cells), 3, 1, Attention("additive", 4, dropout=0.3))
    memory = keras.Input((TIME, 4))
    model = keras.Model(memory, decoder(memory))
    model.compile("adam", "mse", jit_compile=keras.backend.backend() == "jax")
    model.optimizer.build(model.trainable_variables)
    return [
        model.fit(normal(size, TIME, 4), normal(size, 3, 1), batch_size=size, verbose=0).history["loss"][0]
        for size in batch_sizes
    ]
