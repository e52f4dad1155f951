"""Attention that reads a memory and copies what its keys stand for."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tsattn.layers.attention_scores import get_score
from tsattn.layers.masking import Tensor, keep_mask, masked_softmax, zero_masked

OUT_OF_PHASE = -3.0
"""Bias at the start of keys of another phase of the season: they get a twentieth of the weight of those in phase."""


@keras.saving.register_keras_serializable(package="tsattn")
class CopyAttention(keras.layers.Layer):
    """Multi-head attention over encoded segments whose values are the raw segments as well.

    Each head weighs the segments of a history by query, key and the *lag* of the segment, counted back from the last
    one: `softmax(score(q, k) + bias[query, lag])`. The weights are used twice. They pool the memory, as attention
    does, to a context; and they average the raw segments themselves, each query with a learned gain a head:
    `copied = sum_h gain[query, h] * sum_k weight[h, query, k] * value[k]`. A seasonal naive forecast (all weight on one
    lag) and a mean of the seasons (equal weights) are special cases; at the start it is the mean of the segments in
    phase. What has to be learned beside it is what differs from the past.

    An element of a segment that was not observed is left out of its mean, whatever it holds. Masked keys get a weight
    of exactly 0; where all are masked, the outputs are 0. The outputs carry no mask.

    Args:
        lags: lags that are told apart; keys further back share the last one.
        heads: number of heads.
        score: score by name, see `Attention`.
        units: size of the projections of query and key, for each head.
        period: segments in a season; the queries are taken to follow the last segment one by one.
        dropout: share of the pairs of query and key left out of the copying in training, for all heads at once.

    Call arguments:
        query: `(batch, queries, query_size)`.
        memory: `(batch, keys, memory_size)`, such as an encoder's outputs, the newest key last.
        values: `(batch, keys, size)`, what each key stands for.
        observed: the same shape as the values, 0 where one is missing; None: all are observed.
        memory_mask: boolean `(batch, keys)`; True means keep. Padding stands on the right.
        return_attention_scores: whether to return the weights as well.
        training: whether to apply dropout.

    Output shape:
        The context `(batch, queries, memory_size)`, the mean over the heads, and the copied values
        `(batch, queries, size)`; with `return_attention_scores` also the weights `(batch, heads, queries, keys)`.

    Example:
        >>> layer = CopyAttention(lags=30, period=1)
        >>> context, copied = layer(decoded, encoded, segments, memory_mask=mask)
        >>> forecast = keras.layers.Dense(24)(context) + copied

    References:
        Vaswani et al. 2017, Attention Is All You Need (heads); Gu et al. 2016, Incorporating Copying Mechanism in
        Sequence-to-Sequence Learning (attention that copies).
    """

    def __init__(
        self,
        lags: int,
        heads: int = 4,
        score: str = "scaled_dot",
        units: int = 16,
        period: int = 1,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lags = lags
        self.heads = heads
        self.score = score
        self.units = units
        self.period = period
        self.dropout = dropout
        self.supports_masking = True
        self._score = get_score(score)
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self._project_query, self._project_key = (
            keras.layers.Dense(heads * units, use_bias=False, dtype=self.dtype_policy, name=f"{name}_projection")
            for name in ("query", "key")
        )

    def build(self, query_shape: Any, memory_shape: Any) -> None:
        queries = query_shape[1]
        self._project_query.build(query_shape)
        self._project_key.build(memory_shape)
        self._score_weights = self._score.build(self, self.units, self.units, "glorot_uniform")
        self.lag_bias = self.add_weight(
            name="lag_bias", shape=(self.lags, self.heads, queries), initializer=self._in_phase
        )
        self.gain = self.add_weight(
            name="gain", shape=(self.heads, queries, 1), initializer=keras.initializers.Constant(1 / self.heads)
        )

    def _in_phase(self, shape: Any, dtype: Any = None) -> Tensor:
        lag, query = np.arange(shape[0])[:, None, None], np.arange(shape[2])[None, None, :]
        start = np.where((lag + query + 1) % self.period == 0, 0.0, OUT_OF_PHASE)
        return ops.convert_to_tensor(np.broadcast_to(start, shape), dtype=dtype)

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
        memory = zero_masked(memory, memory_mask)
        seen = zero_masked(ops.ones_like(values) if observed is None else ops.cast(observed, values.dtype), memory_mask)
        values = ops.where(seen > 0, values, ops.zeros_like(values))
        keep = keep_mask(memory_mask, memory)
        scores = self._scores(query, memory) + self._biases(keep)
        # Not in half precision, in which the share of what was observed may be nothing.
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        shares = masked_softmax(scores, keep[:, None, None, :], wide)
        weights = ops.cast(shares, self.compute_dtype)
        context = ops.matmul(ops.mean(weights, axis=1), memory)
        kept = self._dropout(ops.ones_like(weights[:, :1]), training=training)
        means = self._means(shares, shares * ops.cast(kept, wide), values, seen)
        copied = ops.sum(ops.cast(self.gain, self.compute_dtype) * means, axis=1)
        return (context, copied, weights) if return_attention_scores else (context, copied)

    def _scores(self, query: Tensor, memory: Tensor) -> Tensor:
        """Scores `(batch, heads, queries, keys)`, each head by itself."""
        query, key = self._split(self._project_query(query)), self._split(self._project_key(memory))
        scores = self._score.scores(query, self._score.keys(key, self._score_weights), self._score_weights)
        return ops.reshape(scores, (-1, self.heads, *scores.shape[1:2], ops.shape(scores)[2]))

    def _split(self, x: Tensor) -> Tensor:
        """`(batch, time, heads * units)` to `(batch * heads, time, units)`."""
        time = ops.shape(x)[1]
        split = ops.transpose(ops.reshape(x, (-1, time, self.heads, self.units)), (0, 2, 1, 3))
        return ops.reshape(split, (-1, time, self.units))

    def _biases(self, keep: Tensor) -> Tensor:
        """Biases `(batch, heads, queries, keys)` by the lag of each key."""
        count = ops.sum(ops.cast(keep, "int32"), axis=1, keepdims=True)
        lag = count - 1 - ops.arange(ops.shape(keep)[1], dtype="int32")[None, :]
        chosen = ops.one_hot(ops.clip(lag, 0, self.lags - 1), self.lags, dtype=self.compute_dtype)
        table = ops.reshape(ops.cast(self.lag_bias, self.compute_dtype), (self.lags, -1))
        biases = ops.reshape(ops.matmul(chosen, table), (*ops.shape(keep), self.heads, self.lag_bias.shape[2]))
        return ops.transpose(biases, (0, 2, 3, 1))

    def _means(self, weights: Tensor, used: Tensor, values: Tensor, seen: Tensor) -> Tensor:
        """Weighted means `(batch, heads, queries, size)` of what was observed; ``used`` is what dropout makes of the
        weights.
        """
        values, seen = (ops.cast(ops.expand_dims(x, 1), weights.dtype) for x in (values, seen))
        total = ops.matmul(weights, seen)
        means = ops.matmul(used, values) / ops.where(total > 0, total, ops.ones_like(total))
        return ops.cast(means, self.compute_dtype)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None

    def compute_output_spec(
        self, query: Any, memory: Any, values: Any, *args: Any, return_attention_scores: bool = False, **kwargs: Any
    ) -> Any:
        batch, queries, _ = query.shape
        context, copied = (
            keras.KerasTensor((batch, queries, x.shape[2]), dtype=self.compute_dtype) for x in (memory, values)
        )
        if not return_attention_scores:
            return context, copied
        weights = keras.KerasTensor((batch, self.heads, queries, memory.shape[1]), dtype=self.compute_dtype)
        return context, copied, weights

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "lags": self.lags,
            "heads": self.heads,
            "score": self.score,
            "units": self.units,
            "period": self.period,
            "dropout": self.dropout,
        }
