"""Multi-head attention that also averages raw patches of the history."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.attention_scores import get_score
from tsattn.layers.layer_utils import (
    check_positive,
    check_rate,
    check_same,
    check_sequence,
    constructor_config,
    dense_options,
    set_weight_options,
)
from tsattn.layers.ops import Tensor, masked_softmax, resolve_mask, zero_masked

OUT_OF_PHASE_BIAS = -3.0
"""Initial bias of keys in another phase of the season: 1/20 of the weight of a key in phase."""


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
