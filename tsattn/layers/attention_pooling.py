"""Attention pooling with a learned context vector."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor, masked_softmax, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class AttentionPooling(keras.layers.Layer):
    """Pools a sequence to one vector: the mean of its steps, weighted by a learned context vector.

    Each step is scored by `v^T tanh(W x + b)`; the raw steps are pooled. The number of parameters does not depend on
    the length. Masked steps get a weight of exactly 0, whatever they hold; a fully masked row gives zeros. The
    output carries no mask.

    Args:
        units: size of the hidden projection; the size of the input if None.
        kernel_initializer: initializer of the projection.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: boolean `(batch, time)`; True means keep.
        return_attention_scores: whether to return the weights as well.

    Output shape:
        `(batch, features)`; with `return_attention_scores` also the weights `(batch, time)`.

    Example:
        >>> states = keras.layers.LSTM(64, return_sequences=True)(x, mask=mask)
        >>> pooled = AttentionPooling(64)(states, mask=mask)

    Reference:
        Yang et al. 2016, Hierarchical Attention Networks for Document Classification.
    """

    def __init__(self, units: int | None = None, kernel_initializer: Any = "glorot_uniform", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        units = self.units or inputs_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[-1], units), initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")
        limit = (6.0 / (units + 1)) ** 0.5
        self.context = self.add_weight(
            name="context", shape=(units,), initializer=keras.initializers.RandomUniform(-limit, limit)
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None, return_attention_scores: bool = False) -> Any:
        inputs = zero_masked(inputs, mask)
        hidden = ops.tanh(ops.matmul(inputs, self.kernel) + self.bias)
        weights = masked_softmax(ops.matmul(hidden, self.context), mask)
        pooled = ops.squeeze(ops.matmul(ops.expand_dims(weights, 1), inputs), 1)
        return (pooled, weights) if return_attention_scores else pooled

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[0], inputs_shape[-1])

    def compute_output_spec(self, inputs: Any, mask: Any = None, return_attention_scores: bool = False) -> Any:
        pooled = keras.KerasTensor((inputs.shape[0], inputs.shape[-1]), dtype=self.compute_dtype)
        if not return_attention_scores:
            return pooled
        return pooled, keras.KerasTensor(inputs.shape[:2], dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
