"""Multi-head attention, exact under masks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.layer_utils import check_sequence
from tsattn.layers.ops import Tensor, masked_softmax, resolve_mask, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention`, with the same arguments and weights, made exact under masks.

    Masked keys get a weight of exactly 0, whatever their content (NaN included). Outputs of masked queries are 0, as
    are those of queries without a valid key; Keras's layer returns the output bias and attends to padding there. Both
    explicit masks and those attached by Keras are used. The output carries the Keras mask of the query.

    Attention weights are always computed, so `flash_attention` has no effect.

    Args:
        num_heads: Number of attention heads.
        key_dim: Size of query and key per head.
        value_dim: Size of the value per head. If None, `key_dim`.
        dropout: Dropout rate of the attention weights.
        use_bias: Whether the projections have biases.
        output_shape: Size of the output. If None, that of the query.
        **kwargs: Other arguments of `keras.layers.MultiHeadAttention`.

    Call arguments:
        query: `(batch, queries, query_size)`.
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

    Reference:
        Vaswani et al. 2017, Attention Is All You Need.
    """

    def __init__(self, num_heads: int, key_dim: int, **kwargs: Any) -> None:
        super().__init__(num_heads, key_dim, **kwargs)
        # Fused kernels return no weights, and some return NaN for a row without valid keys.
        self._flash_attention = False

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        check_sequence("query", query_shape)
        check_sequence("value", value_shape)
        check_sequence("key", key_shape or value_shape)
        super().build(query_shape, value_shape, key_shape)

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
        if key_mask is not None:
            value_mask = ops.logical_and(resolve_mask(value_mask, value), ops.cast(key_mask, "bool"))
        key = zero_masked(value if key is None else key, value_mask)
        pair_mask = None if attention_mask is None else ops.cast(attention_mask, "bool")
        if value_mask is not None:
            keep = ops.expand_dims(ops.cast(value_mask, "bool"), 1)
            if pair_mask is not None and len(pair_mask.shape) == 4:
                keep = ops.expand_dims(keep, 1)
            pair_mask = keep if pair_mask is None else ops.logical_and(keep, pair_mask)
        context, weights = super().call(
            zero_masked(query, query_mask),
            zero_masked(value, value_mask),
            key,
            attention_mask=pair_mask,
            return_attention_scores=True,
            training=training,
            use_causal_mask=use_causal_mask,
        )
        if query_mask is not None:
            keep = ops.cast(query_mask, "bool")[:, None, :, None]
            weights = ops.where(keep, weights, ops.zeros_like(weights))
        # Not `> 0`, which would hide the NaN of a diverged training.
        context = zero_masked(context, ops.any(weights != 0, axis=(1, 3)))
        return (context, weights) if return_attention_scores else context

    def _masked_softmax(self, attention_scores: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Override Keras's softmax of scores `(batch, heads, queries, keys)`."""
        while attention_mask is not None and len(attention_mask.shape) < 4:
            attention_mask = ops.expand_dims(attention_mask, -3)
        return masked_softmax(attention_scores, attention_mask)

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
        shape = self.compute_output_shape(query.shape, value.shape)
        context = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return context
        weights = (query.shape[0], self.num_heads, query.shape[1], value.shape[1])
        return context, keras.KerasTensor(weights, dtype=self.compute_dtype)
