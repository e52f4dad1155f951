"""Keras's multi-head attention, made safe under padding."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor, check_sequence, keep_mask, masked_softmax, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """Keras's own multi-head attention, with the same arguments and weights, exact under masks.

    Masked keys get a weight of exactly 0, whatever they hold (NaN included). Masked queries give zeros, and so does a
    query that sees no key: in Keras's layer the bias of its output is left of it, and weights over the padding.
    Explicit masks are used as well as those that Keras has attached. The output carries the mask that Keras has
    attached to the query.

    Weights are always computed, so that `flash_attention` has no effect.

    Args:
        num_heads: number of heads.
        key_dim: size of a head of query and key.
        value_dim: size of a head of the value; that of the key if None.
        dropout: share of the attention weights dropped in training.
        use_bias: whether the projections have biases.
        output_shape: size of the output; that of the query if None.
        **kwargs: the others of `keras.layers.MultiHeadAttention`.

    Call arguments:
        query: `(batch, queries, query_size)`.
        value: `(batch, keys, value_size)`.
        key: `(batch, keys, key_size)`; the value if left out.
        query_mask: boolean `(batch, queries)`; True means keep.
        value_mask: boolean `(batch, keys)`; True means keep.
        key_mask: the same of the key; a step is kept where both keep it.
        attention_mask: boolean, broadcastable to `(batch, queries, keys)`: which query sees which key; or to
            `(batch, num_heads, queries, keys)`, where heads differ.
        return_attention_scores: whether to return the weights as well.
        training: whether to apply dropout.
        use_causal_mask: whether query i sees keys 0 to i only.

    Output shape:
        `(batch, queries, output_shape or query_size)`; with `return_attention_scores` also the weights
        `(batch, num_heads, queries, keys)`.

    Example:
        >>> layer = MultiHeadAttention(num_heads=4, key_dim=16)
        >>> context, weights = layer(query, value, value_mask=mask, return_attention_scores=True)

    Reference:
        Vaswani et al. 2017, Attention Is All You Need.
    """

    def __init__(self, num_heads: int, key_dim: int, **kwargs: Any) -> None:
        super().__init__(num_heads, key_dim, **kwargs)
        # Fused kernels return no weights, and some make NaN of a row without keys.
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
            value_mask = ops.logical_and(keep_mask(value_mask, value), ops.cast(key_mask, "bool"))
        key = zero_masked(value if key is None else key, value_mask)
        seen = None if attention_mask is None else ops.cast(attention_mask, "bool")
        if value_mask is not None:
            keep = ops.expand_dims(ops.cast(value_mask, "bool"), 1)
            if seen is not None and len(seen.shape) == 4:
                keep = ops.expand_dims(keep, 1)
            seen = keep if seen is None else ops.logical_and(keep, seen)
        context, weights = super().call(
            zero_masked(query, query_mask),
            zero_masked(value, value_mask),
            key,
            attention_mask=seen,
            return_attention_scores=True,
            training=training,
            use_causal_mask=use_causal_mask,
        )
        if query_mask is not None:
            keep = ops.cast(query_mask, "bool")[:, None, :, None]
            weights = ops.where(keep, weights, ops.zeros_like(weights))
        # Not `> 0`, which would hide the NaN of a training that diverged.
        context = zero_masked(context, ops.any(weights != 0, axis=(1, 3)))
        return (context, weights) if return_attention_scores else context

    def _masked_softmax(self, attention_scores: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Keras's place for the weights of scores `(batch, heads, queries, keys)`."""
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
