"""Attention pooling of sequences."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.attention_scores import get_score, vector_initializer
from tsattn.layers.layer_utils import check_positive, check_sequence, clone_initializer, constructor_config
from tsattn.layers.ops import Tensor, masked_softmax, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class AttentionPooling(keras.layers.Layer):
    """Weighted mean of a sequence, with weights from a learned context vector.

    The score of a step is `u^T tanh(W x + b)` with the context vector `u`; the mean is taken over the inputs `x`. The
    number of parameters does not depend on the sequence length. Masked steps get a weight of exactly 0, whatever their
    content; the output of a fully masked row is 0. The output carries no mask.

    Args:
        units: Size of the hidden projection. If None, that of the input.
        heads: Number of context vectors. They use the same projection; their means are concatenated.
        score: Score of a projected step given a context vector, see `Attention`. `"dot"` is that of the paper.
        kernel_initializer: Initializer of the projection and of the matrices of the score.
        context_regularizer: Regularizer of the context vectors.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: Boolean `(batch, time)`; True means keep.
        return_attention_scores: Whether to return the attention weights as well.

    Output shape:
        `(batch, heads * features)`. With `return_attention_scores`, also the weights: `(batch, time)` for one head,
        `(batch, heads, time)` for several.

    Example:
        >>> states = keras.layers.LSTM(64, return_sequences=True)(x, mask=mask)
        >>> pooled = AttentionPooling(64)(states, mask=mask)

    References:
        Yang et al. 2016, Hierarchical Attention Networks for Document Classification; Lin et al. 2017, A Structured
        Self-attentive Sentence Embedding (several heads).
    """

    def __init__(
        self,
        units: int | None = None,
        heads: int = 1,
        score: str = "dot",
        kernel_initializer: Any = "glorot_uniform",
        context_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(units=units, heads=heads)
        self.units = units
        self.heads = heads
        self.score = score
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.context_regularizer = keras.regularizers.get(context_regularizer)
        self.supports_masking = True
        self._score = get_score(score)

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a pooling", inputs_shape, "wrap it in keras.layers.TimeDistributed for more axes")
        units = self.units or inputs_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[-1], units), initializer=clone_initializer(self.kernel_initializer)
        )
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")
        self.context = self.add_weight(
            name="context",
            shape=(self.heads, units),
            initializer=vector_initializer(units),
            regularizer=self.context_regularizer,
        )
        self._score_weights = self._score.build(self, units, units, self.kernel_initializer)

    def call(self, inputs: Tensor, mask: Tensor | None = None, return_attention_scores: bool = False) -> Any:
        inputs = zero_masked(inputs, mask)
        hidden = ops.tanh(ops.matmul(inputs, self.kernel) + self.bias)
        query = ops.cast(self.context, hidden.dtype)[None]
        keys = self._score.prepare_keys(hidden, self._score_weights)
        scores = self._score.compute_scores(query, keys, self._score_weights)
        weights = masked_softmax(scores, None if mask is None else ops.expand_dims(mask, 1))
        pooled = ops.reshape(ops.matmul(weights, inputs), (ops.shape(inputs)[0], self.heads * inputs.shape[-1]))
        weights = ops.squeeze(weights, 1) if self.heads == 1 else weights
        return (pooled, weights) if return_attention_scores else pooled

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[0], self.heads * inputs_shape[-1])

    def compute_output_spec(self, inputs: Any, mask: Any = None, return_attention_scores: bool = False) -> Any:
        pooled = keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)
        if not return_attention_scores:
            return pooled
        batch, time = inputs.shape[:2]
        shape = (batch, time) if self.heads == 1 else (batch, self.heads, time)
        return pooled, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, AttentionPooling)}
