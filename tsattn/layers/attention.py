"""Query, key and value attention, exact under masks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor, masked_softmax, zero_masked
from tsattn.layers.scores import get_score


@keras.saving.register_keras_serializable(package="tsattn")
class Attention(keras.layers.Layer):
    """Attention of a query over a value, with the score chosen by name.

    Masked values get a weight of exactly 0, whatever they hold (NaN included); a row whose values are all masked
    gives zeros, not the mean of its padding. Masked queries give zeros. The output carries the query's mask.

    Args:
        score: `"additive"` (Bahdanau et al. 2015), `"dot"`, `"general"` (Luong et al. 2015) or `"scaled_dot"`
            (Vaswani et al. 2017).
        units: size of the learned projections of query and key; None projects nothing.
        dropout: share of the attention weights dropped in training.
        kernel_initializer: initializer of the projections and of the score's weights.

    Call arguments:
        query: `(batch, queries, query_size)`.
        value: `(batch, keys, value_size)`.
        key: `(batch, keys, key_size)`; the value if left out.
        query_mask: boolean `(batch, queries)`; True means keep.
        value_mask: boolean `(batch, keys)`; True means keep.
        return_attention_scores: whether to return the weights as well.
        use_causal_mask: whether query i sees keys 0 to i only.
        training: whether to apply dropout.

    Output shape:
        `(batch, queries, value_size)`; with `return_attention_scores` also the weights `(batch, queries, keys)`.

    Example:
        >>> layer = Attention(score="additive", units=32)
        >>> context = layer(query, value, value_mask=mask)
    """

    def __init__(
        self,
        score: str = "additive",
        units: int | None = None,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.score = score
        self.units = units
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True
        self._score = get_score(score)
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self._query_projection = self._projection("query")
        self._key_projection = self._projection("key")

    def _projection(self, name: str) -> keras.layers.Dense | None:
        if self.units is None:
            return None
        return keras.layers.Dense(
            self.units,
            use_bias=False,
            kernel_initializer=self._fresh_initializer(),
            dtype=self.dtype_policy,
            name=f"{name}_projection",
        )

    def _fresh_initializer(self) -> Any:
        # A Keras initializer without a seed gives the same numbers twice: each weight needs its own copy.
        return self.kernel_initializer.clone()

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        d_query, d_key = query_shape[-1], (key_shape or value_shape)[-1]
        if self._query_projection is not None and self._key_projection is not None:
            if not self._query_projection.built:
                self._query_projection.build(query_shape)
            if not self._key_projection.built:
                self._key_projection.build(key_shape or value_shape)
            d_query = d_key = self.units
        if self._score.same_size and d_query != d_key:
            raise ConfigError(
                f"score {self.score!r} needs query and key of one size: set units to project both. "
                f"Received: query size {d_query}, key size {d_key}"
            )
        self._score_weights = {
            name: self.add_weight(
                name=name,
                shape=shape,
                initializer="zeros" if name == "bias" else self._vector_initializer(shape),
            )
            for name, shape in self._score.weights(d_query, d_key).items()
        }

    def _vector_initializer(self, shape: tuple[int, ...]) -> Any:
        if len(shape) > 1:
            return self._fresh_initializer()
        # Glorot counts a vector as both fan-in and fan-out; as the kernel of a one-unit layer it is this.
        limit = (6.0 / (shape[0] + 1)) ** 0.5
        return keras.initializers.RandomUniform(-limit, limit)

    def project_key(self, key: Tensor) -> Tensor:
        """Project keys `(batch, keys, key_size)` once, for many calls of `attend`."""
        return key if self._key_projection is None else self._key_projection(key)

    def draw_kept(self, shape: Any) -> Tensor:
        """Draw which weights a dropout keeps, in a loop's stead: 0, or more than 1 to make up for those."""
        return self._dropout(ops.ones(shape, self.compute_dtype), training=True)

    def attend(
        self,
        query: Tensor,
        projected_key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        training: bool | None = None,
        kept: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attend with keys that went through `project_key` and values without NaN.

        Args:
            query: `(batch, queries, query_size)`.
            projected_key: `(batch, keys, size)`.
            value: `(batch, keys, value_size)`, 0 where masked.
            mask: boolean, broadcastable to `(batch, queries, keys)`.
            training: whether to apply dropout.
            kept: what `draw_kept` drew for `(batch, queries, keys)`; drawn here if left out.

        Returns:
            The context `(batch, queries, value_size)` and the weights `(batch, queries, keys)`.
        """
        if self._query_projection is not None:
            query = self._query_projection(query)
        scores = self._score.function(query, projected_key, **self._score_weights)
        weights = masked_softmax(scores, mask)
        used = self._dropout(weights, training=training) if kept is None else weights * kept
        return ops.matmul(used, value), weights

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        training: bool | None = None,
    ) -> Any:
        key = zero_masked(value if key is None else key, value_mask)
        value = zero_masked(value, value_mask)
        query = zero_masked(query, query_mask)
        mask = None if value_mask is None else ops.expand_dims(ops.cast(value_mask, "bool"), 1)
        if use_causal_mask:
            queries, keys = ops.shape(query)[1], ops.shape(key)[1]
            causal = ops.arange(queries)[None, :, None] >= ops.arange(keys)[None, None, :]
            mask = causal if mask is None else ops.logical_and(mask, causal)
        context, weights = self.attend(query, self.project_key(key), value, mask, training)
        context = zero_masked(context, query_mask)
        return (context, zero_masked(weights, query_mask)) if return_attention_scores else context

    def compute_mask(
        self, query: Tensor, value: Tensor, query_mask: Tensor | None = None, **kwargs: Any
    ) -> Tensor | None:
        return query_mask

    def compute_output_shape(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> Any:
        return (*query_shape[:-1], value_shape[-1])

    def compute_output_spec(
        self, query: Any, value: Any, key: Any = None, return_attention_scores: bool = False, **kwargs: Any
    ) -> Any:
        context = keras.KerasTensor((*query.shape[:-1], value.shape[-1]), dtype=self.compute_dtype)
        if not return_attention_scores:
            return context
        weights = keras.KerasTensor((*query.shape[:-1], value.shape[1]), dtype=self.compute_dtype)
        return context, weights

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "score": self.score,
            "units": self.units,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
