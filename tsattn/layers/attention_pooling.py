"""Attention over the steps of a history: pooling of sequences, and heads that also average raw patches."""

from __future__ import annotations

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention_scores import get_score, vector_initializer
from tsattn.layers.layer_utils import (
    check_positive,
    check_rate,
    check_same,
    check_sequence,
    constructor_config,
    dense_options,
    set_weight_options,
    weight_options,
)
from tsattn.layers.ops import Tensor, masked_softmax, resolve_mask, sequence_mask, zero_masked

OUT_OF_PHASE_BIAS = -3.0
"""Initial bias of keys in another phase of the season: 1/20 of the weight of a key in phase."""


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


@keras.saving.register_keras_serializable(package="tsattn")
class CopyAttention(keras.layers.Layer):
    """Multi-head attention over encoded patches whose values are the raw patches as well.

    Each head scores a patch of the history by query, key and *lag* (its distance to the last patch):
    `softmax(score(q, k) + bias[query, lag])`. The weights give two outputs: a context, the weighted mean of the memory;
    and copied values, the weighted mean of the raw patches with a learned gain per head and query:
    `copied = sum_h gain[query, h] * sum_k weight[h, query, k] * value[k]`. A seasonal naive forecast (all weight on one
    lag) and a seasonal mean (equal weights) are special cases. Initially the copied values are the mean of the patches
    in the same phase of the season, so a network next to it has to learn the deviation only.

    Unobserved elements of a patch are excluded from the mean, whatever their content. Masked keys get a weight of
    exactly 0; if all keys are masked, the outputs are 0. The outputs carry no mask.

    Args:
        lags: Number of distinct lags; larger lags use the bias of the last one.
        num_heads: Number of attention heads.
        score: Name of the score, see `Attention`.
        units: Size of query and key per head.
        period: Number of patches per season. Queries are assumed to follow the last patch one by one.
        dropout: Fraction of the pairs of query and key, across all heads, dropped from the copied values.
        kernel_initializer: Initializer of the projections and of the matrices of the score.
        kernel_regularizer: Regularizer of the projections and of the matrices of the score.
        kernel_constraint: Constraint of the projections and of the matrices of the score.
        seed: Seed of the dropout.

    Call arguments:
        query: `(batch, queries, query_size)`.
        memory: `(batch, keys, memory_size)`, such as the outputs of an encoder, in order of time.
        values: `(batch, keys, size)`, the raw patches.
        observed: `(batch, keys, size)`, 0 where a value is missing. Defaults to all observed.
        memory_mask: Boolean `(batch, keys)`; True means keep. Padding is on the right.
        return_attention_scores: Whether to return the attention weights as well.
        training: Whether to apply dropout.

    Output shape:
        The context `(batch, queries, memory_size)`, averaged over heads, and the copied values
        `(batch, queries, size)`. With `return_attention_scores`, also the weights `(batch, num_heads, queries, keys)`.

    Example:
        >>> layer = CopyAttention(lags=30, period=1)
        >>> context, copied = layer(decoded, encoded, patches, memory_mask=mask)
        >>> forecast = keras.layers.Dense(24)(context) + copied

    References:
        Vaswani et al. 2017, Attention Is All You Need (heads); Gu et al. 2016, Incorporating Copying Mechanism in
        Sequence-to-Sequence Learning (attention that copies).
    """

    def __init__(
        self,
        lags: int,
        num_heads: int = 4,
        score: str = "scaled_dot",
        units: int = 16,
        period: int = 1,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(lags=lags, num_heads=num_heads, units=units, period=period)
        check_rate(dropout=dropout)
        self.lags = lags
        self.num_heads = num_heads
        self.score = score
        self.units = units
        self.period = period
        self.dropout = dropout
        set_weight_options(
            self,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
        )
        self.seed = seed
        self.supports_masking = True
        self._score = get_score(score)
        self._dropout = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy, name="dropout")
        self._project_query, self._project_key = (
            keras.layers.Dense(num_heads * units, use_bias=False, name=f"{name}_projection", **dense_options(self))
            for name in ("query", "key")
        )

    def build(self, query_shape: Any, memory_shape: Any, values_shape: Any = None, observed_shape: Any = None) -> None:
        shapes = {"query": query_shape, "memory": memory_shape, "values": values_shape, "observed": observed_shape}
        shapes = {name: shape for name, shape in shapes.items() if shape is not None}
        for name, shape in shapes.items():
            check_sequence(name, shape)
        check_same("keys", **{name: shape[1] for name, shape in shapes.items() if name != "query"})
        check_same("features", **{name: shape[2] for name, shape in shapes.items() if name in ("values", "observed")})
        queries = query_shape[1]
        if queries is None:
            raise ConfigError(
                "the number of queries of a copy attention must be known, as each query has its weights. "
                f"Received: query shape {tuple(query_shape)}"
            )
        self._project_query.build(query_shape)
        self._project_key.build(memory_shape)
        self._score_weights = self._score.build(self, self.units, self.units)
        self.lag_bias = self.add_weight(
            name="lag_bias", shape=(self.lags, self.num_heads, queries), initializer=self._in_phase
        )
        self.gain = self.add_weight(
            name="gain", shape=(self.num_heads, queries, 1), initializer=keras.initializers.Constant(1 / self.num_heads)
        )

    def _in_phase(self, shape: Any, dtype: Any = None) -> Tensor:
        lag, query = np.arange(shape[0])[:, None, None], np.arange(shape[2])[None, None, :]
        bias = np.where((lag + query + 1) % self.period == 0, 0.0, OUT_OF_PHASE_BIAS)
        return ops.convert_to_tensor(np.broadcast_to(bias, shape), dtype=dtype)

    def call(
        self,
        query: Tensor,
        memory: Tensor,
        values: Tensor,
        observed: Tensor | None = None,
        memory_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        if query.shape[1] not in (None, self.lag_bias.shape[2]):
            raise ConfigError(
                f"a copy attention has weights for the {self.lag_bias.shape[2]} queries that it was built with. "
                f"Received: query shape {tuple(query.shape)}"
            )
        memory = zero_masked(memory, memory_mask)
        valid = ops.ones_like(values) if observed is None else ops.cast(observed, values.dtype)
        valid = zero_masked(valid, memory_mask)
        values = ops.where(valid > 0, values, ops.zeros_like(values))
        keep = resolve_mask(memory_mask, memory)
        scores = self._scores(query, memory) + self._lag_biases(keep)
        # In half precision the total weight of the observed values can underflow.
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        wide_weights = masked_softmax(scores, keep[:, None, None, :], wide)
        weights = ops.cast(wide_weights, self.compute_dtype)
        context = ops.matmul(ops.mean(weights, axis=1), memory)
        dropout_mask = self._dropout(ops.ones_like(weights[:, :1]), training=training)
        means = self._means(wide_weights, wide_weights * ops.cast(dropout_mask, wide), values, valid)
        copied = ops.sum(ops.cast(self.gain, self.compute_dtype) * means, axis=1)
        return (context, copied, weights) if return_attention_scores else (context, copied)

    def _scores(self, query: Tensor, memory: Tensor) -> Tensor:
        """Return the scores `(batch, heads, queries, keys)`."""
        query, key = self._split_heads(self._project_query(query)), self._split_heads(self._project_key(memory))
        keys = self._score.prepare_keys(key, self._score_weights)
        scores = self._score.compute_scores(query, keys, self._score_weights)
        return ops.reshape(scores, (ops.shape(memory)[0], self.num_heads, *scores.shape[1:2], ops.shape(scores)[2]))

    def _split_heads(self, x: Tensor) -> Tensor:
        """Reshape `(batch, time, heads * units)` to `(batch * heads, time, units)`."""
        batch, time = ops.shape(x)[:2]
        split = ops.transpose(ops.reshape(x, (batch, time, self.num_heads, self.units)), (0, 2, 1, 3))
        return ops.reshape(split, (batch * self.num_heads, time, self.units))

    def _lag_biases(self, keep: Tensor) -> Tensor:
        """Return the biases `(batch, heads, queries, keys)` by the lag of each key."""
        count = ops.sum(ops.cast(keep, "int32"), axis=1, keepdims=True)
        lag = count - 1 - ops.arange(ops.shape(keep)[1], dtype="int32")[None, :]
        one_hot = ops.one_hot(ops.clip(lag, 0, self.lags - 1), self.lags, dtype=self.compute_dtype)
        table = ops.reshape(ops.cast(self.lag_bias, self.compute_dtype), (self.lags, -1))
        biases = ops.reshape(ops.matmul(one_hot, table), (*ops.shape(keep), self.num_heads, self.lag_bias.shape[2]))
        return ops.transpose(biases, (0, 2, 3, 1))

    def _means(self, weights: Tensor, dropped: Tensor, values: Tensor, valid: Tensor) -> Tensor:
        """Return weighted means `(batch, heads, queries, size)` of the observed values.

        Args:
            weights: `(batch, heads, queries, keys)`, which normalize the means.
            dropped: The same weights after dropout, which are averaged with.
            values: `(batch, keys, size)`.
            valid: `(batch, keys, size)`, 0 where a value is missing.
        """
        values, valid = (ops.cast(ops.expand_dims(x, 1), weights.dtype) for x in (values, valid))
        total = ops.matmul(weights, valid)
        means = ops.matmul(dropped, values) / ops.where(total > 0, total, ops.ones_like(total))
        return ops.cast(means, self.compute_dtype)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None

    def compute_output_shape(
        self, query_shape: Any, memory_shape: Any, values_shape: Any, observed_shape: Any = None
    ) -> Any:
        return (*query_shape[:2], memory_shape[-1]), (*query_shape[:2], values_shape[-1])

    def compute_output_spec(
        self, query: Any, memory: Any, values: Any, *args: Any, return_attention_scores: bool = False, **kwargs: Any
    ) -> Any:
        batch, queries, _ = query.shape
        context, copied = (
            keras.KerasTensor(shape, dtype=self.compute_dtype)
            for shape in self.compute_output_shape(query.shape, memory.shape, values.shape)
        )
        if not return_attention_scores:
            return context, copied
        weights = keras.KerasTensor((batch, self.num_heads, queries, memory.shape[1]), dtype=self.compute_dtype)
        return context, copied, weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, CopyAttention)}
