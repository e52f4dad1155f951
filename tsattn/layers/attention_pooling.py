"""Attention pooling with learned context vectors."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention_scores import get_score, vector_initializer
from tsattn.layers.masking import Tensor, check_sequence, fresh, masked_softmax, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class AttentionPooling(keras.layers.Layer):
    """Pools a sequence to one vector: the mean of its steps, weighted by a learned context vector.

    Each step is scored by `u^T tanh(W x + b)`, `u` being the context vector; the raw steps are pooled. The number of
    parameters does not depend on the length. Masked steps get a weight of exactly 0, whatever they hold; a fully masked
    row gives zeros. The output carries no mask.

    Args:
        units: size of the hidden projection; the size of the input if None.
        heads: number of context vectors, which share the projection; their means stand side by side.
        score: how a context vector scores a hidden step, see `Attention`; `"dot"` is the paper's.
        kernel_initializer: initializer of the projection and of the score's matrices.
        context_regularizer: regularizer of the context vectors.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: boolean `(batch, time)`; True means keep.
        return_attention_scores: whether to return the weights as well.

    Output shape:
        `(batch, heads * features)`; with `return_attention_scores` also the weights: `(batch, time)` of one head,
        `(batch, heads, time)` of several.

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
        if heads < 1:
            raise ConfigError(f"heads must be 1 or more. Received: heads={heads}")
        self.units = units
        self.heads = heads
        self.score = score
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.context_regularizer = keras.regularizers.get(context_regularizer)
        self.supports_masking = True
        self._score = get_score(score)

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a pooling", inputs_shape, "keras.layers.TimeDistributed pools what has more axes")
        units = self.units or inputs_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[-1], units), initializer=fresh(self.kernel_initializer)
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
        scores = self._score.scores(query, self._score.keys(hidden, self._score_weights), self._score_weights)
        weights = masked_softmax(scores, None if mask is None else ops.expand_dims(mask, 1))
        pooled = ops.reshape(ops.matmul(weights, inputs), (-1, self.heads * inputs.shape[-1]))
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
        return {
            **super().get_config(),
            "units": self.units,
            "heads": self.heads,
            "score": self.score,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "context_regularizer": keras.regularizers.serialize(self.context_regularizer),
        }
