"""Multi-head attention, exact under masks."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import check_positive, check_sequence
from tsattn.layers.ops import Tensor, masked_softmax, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention`, with the same arguments and weights, made exact under masks.

    Masked keys get a weight of exactly 0, whatever their content (NaN included). Outputs of masked queries are 0, as
    are those of queries without a valid key; Keras's layer returns the output bias and attends to padding there. Both
    explicit masks and those attached by Keras are used. The output carries the Keras mask of the query.

    Without `return_attention_scores` and dropout the weights are not stored: the backend's fused attention computes the
    output, by a flash kernel where it has one for the device, the dtype and the mask.

    Args:
        num_heads: Number of attention heads.
        key_dim: Size of query and key per head.
        value_dim: Size of the value per head. If None, `key_dim`.
        dropout: Dropout rate of the attention weights.
        use_bias: Whether the projections have biases.
        output_shape: Size of the output, or several sizes. If None, that of the query.
        attention_axes: Axes that are attended over. If None, all but those of batch and features.
        num_key_value_heads: Number of heads of key and value, each for `num_heads / num_key_value_heads` heads of the
            query (grouped-query attention, with the weights of `keras.layers.GroupQueryAttention`). If None,
            `num_heads`.
        **kwargs: Other arguments of `keras.layers.MultiHeadAttention`.

    Call arguments:
        query: `(batch, queries, query_size)`, with further axes before the size if `attention_axes` says so.
        value: `(batch, keys, value_size)`.
        key: `(batch, keys, key_size)`. Defaults to the value.
        query_mask: Boolean `(batch, queries)`; True means keep.
        value_mask: Boolean `(batch, keys)`; True means keep.
        key_mask: Boolean `(batch, keys)`, combined with `value_mask` by a logical and.
        attention_mask: Boolean, broadcastable to `(batch, queries, keys)` or, if heads differ, to
            `(batch, num_heads, queries, keys)`; True means that the query attends to the key.
        return_attention_scores: Whether to return the attention weights as well.
        training: Whether to apply dropout.
        use_causal_mask: Whether query i attends to keys 0 to i only.

    Output shape:
        `(batch, queries, output_shape or query_size)`. With `return_attention_scores`, also the weights
        `(batch, num_heads, queries, keys)`.

    Example:
        >>> layer = MultiHeadAttention(num_heads=4, key_dim=16)
        >>> context, weights = layer(query, value, value_mask=mask, return_attention_scores=True)

    References:
        Vaswani et al. 2017, Attention Is All You Need; Ainslie et al. 2023, GQA: Training Generalized Multi-Query
        Transformer Models from Multi-Head Checkpoints.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        *,
        num_key_value_heads: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, key_dim, value_dim, dropout, use_bias, output_shape, attention_axes, **kwargs)
        check_positive(num_key_value_heads=num_key_value_heads)
        if num_key_value_heads is not None and num_heads % num_key_value_heads:
            raise ConfigError(
                "num_heads must be a multiple of num_key_value_heads. "
                f"Received: num_heads={num_heads}, num_key_value_heads={num_key_value_heads}"
            )
        self.num_key_value_heads = num_key_value_heads

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        for name, shape in (("query", query_shape), ("value", value_shape)):
            if len(shape) < 3:
                check_sequence(name, shape)
        if len(query_shape) != len(value_shape):
            raise ConfigError(
                "query and value must have the same number of axes. "
                f"Received: shapes {tuple(query_shape)} and {tuple(value_shape)}"
            )
        key_shape = value_shape if key_shape is None else key_shape
        if value_shape[1:-1] != key_shape[1:-1]:
            raise ConfigError(
                "The shapes of value and key must be equal but for the last axis. "
                f"Received: {tuple(value_shape)} and {tuple(key_shape)}"
            )
        fewer = self.num_key_value_heads or self._num_heads
        # In the order of Keras's layer, so that the lists of weights match.
        self._query_dense = self._projection("query", query_shape, self._num_heads, self._key_dim)
        self._key_dense = self._projection("key", key_shape, fewer, self._key_dim)
        if self._use_gate:
            sizes = (self._num_heads, self._value_dim)
            self._gate_dense = self._projection("gate", query_shape, *sizes, activation="sigmoid")
        self._value_dense = self._projection("value", value_shape, fewer, self._value_dim)
        self._build_attention(len(value_shape) + 1)
        options = self._get_common_kwargs_for_sublayer()
        self._output_dense = self._make_output_dense(query_shape, options, "attention_output")
        self._output_dense.build((*query_shape[:-1], self._num_heads, self._value_dim))

    def _projection(
        self, name: str, shape: Any, heads: int, size: int, activation: str | None = None
    ) -> keras.layers.EinsumDense:
        """Return a built projection of the last axis to `(..., heads, size)`."""
        leading = "abcdefghijkl"[: len(shape) - 1]
        dense = keras.layers.EinsumDense(
            f"{leading}x,xyz->{leading}yz",
            output_shape=(*[None] * (len(leading) - 1), heads, size),
            bias_axes="yz" if self._use_bias else None,
            activation=activation,
            name=name,
            **self._get_common_kwargs_for_sublayer(),
        )
        dense.build(shape)
        return dense

    def _repeat_heads(self, projected: Tensor) -> Tensor:
        """Repeat the heads of a projected key or value, `(..., heads, size)`, for the heads of the query."""
        if self.num_key_value_heads is None:
            return projected
        return ops.repeat(projected, self._num_heads // self.num_key_value_heads, axis=-2)

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        query_mask, value_mask, key_mask = (
            _full_rank(mask, x) for mask, x in ((query_mask, query), (value_mask, value), (key_mask, key))
        )
        value_mask = _both(value_mask, key_mask)
        mask = self._pair_mask(query, value, value_mask, attention_mask)
        # A subclass may override `_compute_attention` without `use_causal_mask`, see Keras.
        is_own = type(self)._compute_attention is MultiHeadAttention._compute_attention
        native = use_causal_mask and mask is None and is_own and self._attention_axes == (1,)
        if use_causal_mask and not native:
            mask = _both(mask, self._causal_mask(query, value))
        query, value, key = zero_masked(query, query_mask), zero_masked(value, value_mask), zero_masked(key, value_mask)
        context, weights = self._compute_attention(
            self._query_dense(query),
            self._repeat_heads(self._key_dense(key)),
            self._repeat_heads(self._value_dense(value)),
            mask,
            training,
            **({"return_attention_scores": True} if return_attention_scores else {}),
            **({"use_causal_mask": True} if native else {}),
        )
        if self._use_gate:
            context = context * self._gate_dense(query)
        context = self._output_dense(context)
        keep = _both(query_mask, None if mask is None else self._has_key(mask, query))
        if keep is not None:
            for _ in range(len(context.shape) - len(keep.shape)):
                keep = ops.expand_dims(keep, -1)
            context = ops.where(keep, context, ops.zeros_like(context))
        if not return_attention_scores:
            return context
        if query_mask is not None:
            keep = self._expand(query_mask, len(self._attention_axes), 0)
            weights = ops.where(keep, weights, ops.zeros_like(weights))
        return context, weights

    def _pair_mask(
        self, query: Tensor, value: Tensor, value_mask: Tensor | None, attention_mask: Tensor | None
    ) -> Tensor | None:
        """Return the mask of pairs, broadcastable to the scores `(..., heads, queries, keys)`; None without any."""
        count = len(self._attention_axes)
        mask = None if value_mask is None else self._expand(value_mask, 0, count)
        if attention_mask is not None:
            attention_mask = ops.cast(attention_mask, "bool")
            while len(attention_mask.shape) < len(query.shape) + count:
                attention_mask = ops.expand_dims(attention_mask, -2 * count - 1)
            mask = _both(mask, attention_mask)
        if self._sliding_window is not None:
            mask = _both(mask, self._compute_sliding_window_mask(query, value))
        return mask

    def _expand(self, mask: Tensor, after: int, before: int) -> Tensor:
        """Return a mask `(batch, ...)` of queries or keys for the scores.

        Args:
            mask: Boolean, the shape of the queries or keys without features.
            after: Number of axes of the keys, for a mask of queries.
            before: Number of axes of the queries, for a mask of keys.
        """
        axes = tuple(self._attention_axes)
        free = [axis for axis in range(len(mask.shape)) if axis not in axes]
        mask = ops.transpose(mask, (*free, *axes))
        for _ in range(1 + before):
            mask = ops.expand_dims(mask, len(free))
        for _ in range(after):
            mask = ops.expand_dims(mask, -1)
        return mask

    def _has_key(self, mask: Tensor, query: Tensor) -> Tensor:
        """Return whether a query has a valid key in any head: boolean, broadcastable to queries without features."""
        axes = tuple(self._attention_axes)
        count, free = len(axes), len(query.shape) - 1 - len(axes)
        while len(mask.shape) < free + 1 + 2 * count:
            mask = ops.expand_dims(mask, 0)
        has_key = ops.any(mask, axis=(free, *range(-count, 0)))
        order = [axis for axis in range(len(query.shape) - 1) if axis not in axes] + list(axes)
        return ops.transpose(has_key, [order.index(axis) for axis in range(len(order))])

    def _causal_mask(self, query: Tensor, value: Tensor) -> Tensor:
        if len(self._attention_axes) > 1:
            raise ConfigError(
                "use_causal_mask requires a single attention axis. "
                f"Received: attention_axes={tuple(self._attention_axes)}"
            )
        queries, keys = (ops.arange(ops.shape(x)[self._attention_axes[0]], dtype="int32") for x in (query, value))
        return queries[:, None] >= keys[None, :]

    def _compute_attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Override Keras's attention: a query without a valid key gets 0, not NaN or the mean of the padding."""
        options = {"return_attention_scores": return_attention_scores, "use_causal_mask": use_causal_mask}
        is_fused = not (self._dropout > 0 or return_attention_scores or len(query.shape) != 4)
        if is_fused and keras.backend.backend() == "jax" and query.shape[-1] != value.shape[-1]:
            # Keras's fused attention on JAX requires values of the size of the keys.
            is_fused, options["return_attention_scores"] = False, True
        if attention_mask is None or not is_fused:
            context, weights = super()._compute_attention(query, key, value, attention_mask, training, **options)
            return context, weights
        mask = ops.cast(attention_mask, "bool")
        while len(mask.shape) < 4:
            mask = ops.expand_dims(mask, -3)
        if use_causal_mask:
            options["use_causal_mask"] = False
            mask = _both(mask, self._causal_mask(query, key))
        has_key = ops.any(mask, axis=-1, keepdims=True)
        # Fused kernels may return NaN for a row without valid keys, so it attends to all keys, and then gets 0.
        mask = ops.logical_or(mask, ops.logical_not(has_key))
        context, _ = super()._compute_attention(query, key, value, mask, training, **options)
        return ops.where(ops.swapaxes(has_key, 1, 2), context, ops.zeros_like(context)), None

    def _masked_softmax(self, attention_scores: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Override Keras's softmax of scores `(..., heads, queries, keys)`."""
        count = len(self._attention_axes)
        if attention_mask is not None:
            attention_mask = ops.cast(attention_mask, "bool")
            while len(attention_mask.shape) < len(attention_scores.shape):
                attention_mask = ops.expand_dims(attention_mask, -2 * count - 1)
        if count == 1:
            return masked_softmax(attention_scores, attention_mask)
        shape = ops.shape(attention_scores)
        flat = (*shape[:-count], math.prod(shape[-count:]))
        if attention_mask is not None:
            attention_mask = ops.reshape(ops.broadcast_to(attention_mask, shape), flat)
        return ops.reshape(masked_softmax(ops.reshape(attention_scores, flat), attention_mask), shape)

    def compute_mask(self, query: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        **kwargs: Any,
    ) -> Any:
        shape = self.compute_output_shape(query.shape, value.shape, None if key is None else key.shape)
        context = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return context
        axes = self._attention_axes or tuple(range(1, len(query.shape) - 1))
        axes = tuple(axis if axis >= 0 else len(query.shape) + axis for axis in axes)
        free = [query.shape[axis] for axis in range(len(query.shape) - 1) if axis not in axes]
        pairs = [x.shape[axis] for x in (query, value) for axis in axes]
        return context, keras.KerasTensor((*free, self.num_heads, *pairs), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_key_value_heads": self.num_key_value_heads}


def _full_rank(mask: Tensor | None, values: Tensor) -> Tensor | None:
    """Return a mask of leading axes as booleans with an axis for each of the values but the last."""
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    while len(mask.shape) < len(values.shape) - 1:
        mask = ops.expand_dims(mask, -1)
    return mask


def _both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Return the logical and of two masks, each None if everything is valid."""
    if one is None or other is None:
        return other if one is None else one
    return ops.logical_and(one, other)
