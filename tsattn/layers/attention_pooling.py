"""Attention pooling of sequences."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention_scores import get_score, vector_initializer
from tsattn.layers.layer_utils import (
    check_positive,
    check_sequence,
    constructor_config,
    set_weight_options,
    weight_options,
)
from tsattn.layers.ops import Tensor, masked_softmax, sequence_mask, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class AttentionPooling(keras.layers.Layer):
    """Weighted mean of a sequence, with weights from a learned context vector.

    The score of a step is `u^T tanh(W x + b)` with the context vector `u`; the mean is taken over the inputs `x`. The
    number of parameters does not depend on the sequence length. Masked steps get a weight of exactly 0, whatever their
    content; the output of a fully masked row is 0. The output carries no mask.

    Args:
        units: Size of the hidden projection. If None, that of the input.
        num_heads: Number of context vectors. They use the same projection; their means are concatenated.
        score: Score of a projected step given a context vector, see `Attention`. `"dot"` is that of the paper.
        kernel_initializer: Initializer of the projections and of the matrices of the score.
        context_regularizer: Regularizer of the context vectors.
        gated: Whether to multiply the hidden projection by `sigmoid(W' x + b')` (gated attention, Ilse et al. 2018).
        reduction: Whether the means of the heads are concatenated (`"concat"`), or their maximum is taken for each
            feature (`"max"`).
        kernel_regularizer: Regularizer of the projections and of the matrices of the score.
        bias_initializer: Initializer of the biases of the projections.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the projections and of the matrices of the score.
        bias_constraint: Constraint of the biases.

    Call arguments:
        inputs: `(batch, time, features)`; on TensorFlow also a `RaggedTensor`, without a mask.
        mask: Boolean `(batch, time)`; True means keep.
        return_attention_scores: Whether to return the attention weights as well.

    Output shape:
        `(batch, num_heads * features)`, or `(batch, features)` with `reduction="max"`. With `return_attention_scores`,
        also the weights: `(batch, time)` for one head, `(batch, num_heads, time)` for several.

    Example:
        >>> states = keras.layers.LSTM(64, return_sequences=True)(x, mask=mask)
        >>> pooled = AttentionPooling(64)(states, mask=mask)

    References:
        Yang et al. 2016, Hierarchical Attention Networks for Document Classification; Lin et al. 2017, A Structured
        Self-attentive Sentence Embedding (several heads); Ilse et al. 2018, Attention-based Deep Multiple Instance
        Learning (gated).
    """

    def __init__(
        self,
        units: int | None = None,
        num_heads: int = 1,
        score: str = "dot",
        kernel_initializer: Any = "glorot_uniform",
        context_regularizer: Any = None,
        gated: bool = False,
        reduction: Literal["concat", "max"] = "concat",
        kernel_regularizer: Any = None,
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(units=units, num_heads=num_heads)
        self.units = units
        self.num_heads = num_heads
        self.score = score
        if reduction not in ("concat", "max"):
            raise ConfigError(f"reduction must be concat or max. Received: reduction={reduction!r}")
        self.gated = gated
        self.reduction = reduction
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            context_regularizer=context_regularizer,
            kernel_regularizer=kernel_regularizer,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.supports_masking = True
        self._score = get_score(score)

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a pooling", inputs_shape, "wrap it in keras.layers.TimeDistributed for more axes")
        units = self.units or inputs_shape[-1]
        self.kernel, self.bias = self._add_projection("", inputs_shape[-1], units)
        self.context = self.add_weight(
            name="context",
            shape=(self.num_heads, units),
            initializer=vector_initializer(units),
            regularizer=self.context_regularizer,
        )
        self._score_weights = self._score.build(self, units, units)
        if self.gated:
            self.gate_kernel, self.gate_bias = self._add_projection("gate_", inputs_shape[-1], units)

    def _add_projection(self, prefix: str, size: int, units: int) -> tuple[Any, Any]:
        kernel = self.add_weight(name=f"{prefix}kernel", shape=(size, units), **weight_options(self, "kernel"))
        return kernel, self.add_weight(name=f"{prefix}bias", shape=(units,), **weight_options(self, "bias"))

    def call(self, inputs: Tensor, mask: Tensor | None = None, return_attention_scores: bool = False) -> Any:
        if hasattr(inputs, "row_lengths"):  # a RaggedTensor
            lengths, inputs = inputs.row_lengths(), inputs.to_tensor()
            mask = sequence_mask(lengths, ops.shape(inputs)[1])
        inputs = zero_masked(inputs, mask)
        hidden = ops.tanh(ops.matmul(inputs, self.kernel) + self.bias)
        if self.gated:
            hidden = hidden * ops.sigmoid(ops.matmul(inputs, self.gate_kernel) + self.gate_bias)
        query = ops.cast(self.context, hidden.dtype)[None]
        keys = self._score.prepare_keys(hidden, self._score_weights)
        scores = self._score.compute_scores(query, keys, self._score_weights)
        weights = masked_softmax(scores, None if mask is None else ops.expand_dims(mask, 1))
        pooled = ops.matmul(weights, inputs)
        if self.reduction == "max":
            pooled = ops.amax(pooled, axis=1)
        else:
            pooled = ops.reshape(pooled, (ops.shape(inputs)[0], self.num_heads * inputs.shape[-1]))
        weights = ops.squeeze(weights, 1) if self.num_heads == 1 else weights
        return (pooled, weights) if return_attention_scores else pooled

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[0], inputs_shape[-1] * (1 if self.reduction == "max" else self.num_heads))

    def compute_output_spec(self, inputs: Any, mask: Any = None, return_attention_scores: bool = False) -> Any:
        pooled = keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)
        if not return_attention_scores:
            return pooled
        batch, time = inputs.shape[:2]
        shape = (batch, time) if self.num_heads == 1 else (batch, self.num_heads, time)
        return pooled, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, AttentionPooling)}
